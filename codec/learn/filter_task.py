"""Train the post-filter on what the codec made of photos.

Axes: N tile, H W pixels.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from codec.learn.networks import load_answers
from codec.learn.symbols import TileMaker, Tiles, TileSets, tile_symbols
from codec.pictures.colour import luma, ycbcr_to_rgb
from codec.pictures.metrics import psnr
from codec.pictures.ssimulacra2 import distance, ssimulacra2
from codec.pictures.weight_files import read_weights
from codec.residual.analyse import reconstruct
from codec.residual.edge_filter import smooth
from codec.residual.postfilter import GREY, PostFilter
from codec.residual.quantise import FRACTION, WEIGHTINGS, plane_steps

_UNSEEN = 0.1  # of SSIMULACRA2's distance, a score of 96; chosen by hand


class Decoded(NamedTuple):
    """Tiles before and after the codec.

    Attributes:
        pixels: (N, 3, H, W) uint8, the original.
        planes, smoothed: (N, 3, H, W) int16, decoded YCbCr in 1/16, without and with edge filter.
        step: (N, 1, I, J) float32 luma step in grey levels.
        sizes: (N, I, J) int8.
    """

    pixels: Tensor
    planes: Tensor
    smoothed: Tensor
    step: Tensor
    sizes: Tensor


def decoded_tiles(
    clean: str | None,
    photos: str | None,
    tiles: int,
    networks: str | None,
    matrix: str,
    seed: int,
) -> TileSets:
    """Tiles of training and of validation photos, through the codec once at the start.

    Args:
        clean, photos, tiles, networks, seed: see `codec.learn.symbols.symbol_tiles`.
        matrix: the quantisation matrix, `mse` or `perceptual`.
    """
    coder = None if networks is None else load_answers(networks)
    maker = TileMaker(clean, photos, coder, seed)
    return maker.sets(tiles, lambda split, count: _decode(maker(split, count, (matrix,))))


def _decode(tiles: Tiles) -> Decoded:
    parts = []
    for start in range(0, len(tiles.pixels), 16):
        batch = Tiles(*(x[start : start + 16] for x in tiles))
        symbols, _ = tile_symbols(batch)
        name = next(n for n, m in WEIGHTINGS.items() if m.number == int(batch.matrix[0]))
        matrix = WEIGHTINGS[name]
        symbols = symbols._replace(weighting=matrix)
        planes = reconstruct(symbols)
        steps = plane_steps(symbols.steps, 3, symbols.sizes)
        parts.append(
            Decoded(
                batch.pixels,
                planes.short(),
                smooth(planes, steps).short(),
                (steps[:, :1] / 2**FRACTION).float(),
                batch.sizes,
            )
        )
    return Decoded(*(torch.cat(group) for group in zip(*parts, strict=True)))


def _to_rgb(planes: Tensor) -> Tensor:
    """Decoded planes as floats about [0, 1], not clamped."""
    x = planes.float() / (GREY * 255)
    offset = torch.tensor([128 / 255, 0, 0], device=x.device)[:, None, None]
    with torch.autocast(x.device.type, enabled=False):  # bfloat16 would be two grey levels off
        return ycbcr_to_rgb(x + offset)


class PostFilterTask(nn.Module):
    """Bring decoded tiles nearer to the originals.

    The squared error of each tile counts in units of what the decoded tile has, so that all rates
    weigh alike.

    Args:
        network: the filter to train.
        start: weights to start from, as `train.py` saves them; None starts afresh.
        seen_weight: weight of SSIMULACRA2's distance, in units of what the edge filter leaves, for
            the perceptual matrix.
    """

    def __init__(self, network: PostFilter, start: str | None, seen_weight: float):
        super().__init__()
        self.network, self.seen_weight = network, seen_weight
        if start is not None:
            self.network.load_state_dict(read_weights(start).state)

    def _restored(self, batch: Decoded) -> Tensor:
        planes = self.network(
            batch.planes.float(), batch.smoothed.float(), batch.step, batch.sizes.int()
        )
        return _to_rgb(planes)

    def forward(self, batch: Decoded) -> tuple[Tensor, dict[str, Tensor]]:
        truth = batch.pixels.float() / 255
        restored = self._restored(batch)
        before = (_to_rgb(batch.planes) - truth).square().flatten(1).mean(1)
        after = (restored - truth).square().flatten(1).mean(1)
        loss = (after / (before + 1e-6)).mean()
        logs = {"error": loss.detach()}
        if self.seen_weight:
            with torch.no_grad():
                decoded = _seen(truth, _to_rgb(batch.smoothed))
            seen = (_seen(truth, restored) / decoded).mean()
            logs["distance"] = seen.detach()
            loss = loss + self.seen_weight * seen
        return loss, logs

    @torch.no_grad()
    def evaluate(self, batch: Decoded) -> dict[str, Tensor]:
        """PSNR-RGB and SSIMULACRA2, (N,) each, before and after.

        `score` is what training aims at: the gain in dB, or by how many per cent SSIMULACRA2's
        distance is less than the edge filter's.
        """
        truth = batch.pixels.float() / 255
        before, restored = (x.clamp(0, 1) for x in (_to_rgb(batch.planes), self._restored(batch)))
        smoothed = _to_rgb(batch.smoothed).clamp(0, 1)
        figures = {
            "decoded": psnr(before, truth),
            "smoothed": psnr(smoothed, truth),
            "restored": psnr(restored, truth),
            "luma_gain": _luma_psnr(restored, truth) - _luma_psnr(before, truth),
            "seen_smoothed": ssimulacra2(truth, smoothed),
            "seen_restored": ssimulacra2(truth, restored),
        }
        gain = figures["restored"] - figures["decoded"]
        if self.seen_weight:
            gain = 100 - 100 * _seen(truth, restored) / _seen(truth, smoothed)
        return figures | {"score": gain}

    @torch.no_grad()
    def preview(self, batch: Decoded) -> Tensor:
        """(N, 3, H, 3 W): decoded, restored, original."""
        truth = batch.pixels.float() / 255
        return torch.cat((_to_rgb(batch.planes), self._restored(batch), truth), 3).clamp(0, 1)


def _seen(truth: Tensor, decoded: Tensor) -> Tensor:
    """(N,) SSIMULACRA2's distance, with a floor below which nothing shows."""
    return distance(truth, decoded.clamp(0, 1)) + _UNSEEN


def _luma_psnr(x: Tensor, y: Tensor) -> Tensor:
    return psnr(luma(x), luma(y))
