"""Train the context networks: the loss is the number of bits that the symbols would take.

Axes: N tile, P row, I J cells, K frequency.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codec.learn.networks import ContextNetworks, from_integers, load_trained
from codec.learn.symbols import Tiles, tile_symbols
from codec.residual.adaptive_quantisation import code_adaptive
from codec.residual.alphabet import LOGIT_STEPS
from codec.residual.context import picture_features
from codec.residual.context_sets import shipped_contexts
from codec.residual.passes import CHROMA, LUMA, DecodedLuma, code_cells
from codec.residual.pyramid import COARSEST, Guess, code_plane, shape_of
from codec.residual.quantise import AQ_LARGEST, WEIGHTINGS
from codec.residual.transform_sizes import code_sizes, split_flags

BITS = 1.4427  # a natural unit in bits
_SHIPPED = "shipped:"
_LOSSLESS_WEIGHT = 1 / 8  # beside the lossy bits, of which there are fewer; chosen by hand


def value_loss(logits: Tensor, values: Tensor) -> Tensor:
    """Natural units that each value (n,) takes under logits (n, 4), as `alphabet` codes it."""
    zero, positive, one, stop = logits.float().unbind(-1)
    size = values.abs()
    excess = (size - 2).clamp(min=0)
    loss = F.softplus(torch.where(size == 0, -zero, zero))
    busy = F.softplus(torch.where(values > 0, -positive, positive))
    busy = busy + F.softplus(torch.where(size == 1, -one, one))
    tail = excess * F.softplus(stop) + F.softplus(-stop)
    return loss + (size > 0) * busy + (size > 1) * tail


def class_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Natural units that each class (n,) takes under k logits of 'it ends here'."""
    logits = logits.float()
    number = torch.arange(logits.shape[1], device=logits.device)
    passed, ends = number < classes[:, None], number == classes[:, None]
    return (passed * F.softplus(logits) + ends * F.softplus(-logits)).sum(-1)


def _sum(parts: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum(0)


class Known:
    """A source that knows the answers and sums their cost."""

    def __init__(self, classes: Tensor, values: Tensor | None = None):
        self.known, self.known_values = classes, values
        self.loss = torch.zeros((), device=classes.device)

    def classes(self, logits: Tensor, chosen: Tensor) -> Tensor:
        found = self.known[chosen]
        self.loss = self.loss + class_loss(logits, found).sum()
        return found

    def values(self, logits: Tensor, chosen: Tensor, group: tuple[int, int]) -> Tensor:
        assert self.known_values is not None
        found = self.known_values[..., slice(*group)][chosen]
        self.loss = self.loss + value_loss(logits.flatten(0, -2), found.flatten()).sum()
        return found


class _KnownPlane:
    """The same for `pyramid`: the guess is trained as a median, the logits as they are used."""

    def __init__(self, plane: Tensor):
        self.plane = plane
        self.loss = torch.zeros((), device=plane.device)
        self.guessing = torch.zeros((), device=plane.device)

    def coarsest(self, shape: tuple[int, int, int]) -> Tensor:
        return self.plane[:, ::COARSEST, ::COARSEST]

    def refine(self, guess: Guess, where: tuple[tuple[slice, slice], ...]) -> Tensor:
        values = torch.cat([self.plane[(slice(None), *at)].flatten(1) for at in where], 1)
        offset = guess.outputs[:, 0].float() * LOGIT_STEPS / 64
        wanted = (values.flatten() - guess.base) / guess.spread
        self.guessing = self.guessing + (offset - wanted).abs().sum()
        with torch.no_grad():
            whole = (offset.detach() * 64).round().clamp(-128, 127).int()
            middle = guess.base + ((whole * guess.spread + 32) >> 6)
        self.loss = self.loss + value_loss(guess.outputs[:, 1:], values.flatten() - middle).sum()
        return values


def _begun(start: str) -> ContextNetworks:
    name = start.removeprefix(_SHIPPED)
    if name == start:
        return load_trained(start)
    return from_integers(shipped_contexts(name, torch.device("cpu")))


class ContextTask(nn.Module):
    """Bits per pixel of the tiles' symbols.

    Args:
        network: the networks to train.
        start: weights to start from, as `train.py` saves them, or `shipped:SET`, which has to have
            the same widths; None starts afresh.
        guess_weight: weight of the pyramid's guess against bits.
    """

    def __init__(self, network: ContextNetworks, start: str | None, guess_weight: float):
        super().__init__()
        self.network, self.guess_weight = network, guess_weight
        if start is not None:
            self.network.load_state_dict(_begun(start).state_dict())

    def forward(self, batch: Tiles) -> tuple[Tensor, dict[str, Tensor]]:
        parts, guessing = self._bits(batch)
        loss = _sum(parts.values()) + self.guess_weight * guessing
        # DDP waits for a gradient of every weight on every process, and there may be tiles that a
        # network has nothing to say of: regions of no perceptual tile, for one.
        loss = loss + 0 * _sum(weight.sum() for weight in self.network.parameters())
        return loss, {name: part.detach() for name, part in parts.items()}

    def _bits(self, batch: Tiles) -> tuple[dict[str, Tensor], Tensor]:
        """Bits per pixel of each part over the batch, and the error of the guesses."""
        networks = self.network.by_name()
        symbols, cells = tile_symbols(batch)
        pixels = batch.pixels.shape[0] * batch.pixels.shape[2] * batch.pixels.shape[3]
        means = symbols.means
        matrix = cells.matrix
        single = picture_features(symbols.step_index, matrix)
        planes = [_KnownPlane(mean) for mean in means]
        for number, plane in enumerate(planes):
            code_plane(networks["means"], plane, shape_of(means[0]), means[:number][::-1], single)
        splits = [Known(flags) for flags in split_flags(symbols.sizes)]
        code_sizes(networks, splits[0], splits[1], means[0], single)
        perceptual = matrix == WEIGHTINGS["perceptual"].number
        adaptive = Known(batch.adaptive[perceptual].int() + AQ_LARGEST)
        if perceptual.any():
            code_adaptive(networks, adaptive, means[0][perceptual], symbols.step_index[perceptual])
        luma = Known(symbols.classes[0], symbols.values[0])
        code_cells(LUMA, networks, luma, cells, means[:1])
        before = DecodedLuma(symbols.classes[0], symbols.values[0][..., 0, :], means[0])
        chroma = Known(symbols.classes[1], symbols.values[1])
        code_cells(CHROMA, networks, chroma, cells, means[1:], before)
        exact = batch.exact[:: max(1, len(batch.exact) // 2)]
        lossless = [_KnownPlane(plane) for plane in exact.int().unbind(1)]
        none = torch.zeros(len(exact), 2, dtype=torch.int8, device=exact.device)
        for number, plane in enumerate(lossless):
            known = [p.plane for p in lossless[:number]][::-1]
            code_plane(networks["lossless"], plane, shape_of(exact[:, 0]), known, none)
        of = BITS / pixels
        exact_of = BITS / exact[:, 0].numel() * _LOSSLESS_WEIGHT
        parts = {
            "means": _sum(p.loss for p in planes) * of,
            "sizes": _sum(s.loss for s in splits) * of,
            "adaptive": adaptive.loss * of,
            "luma": luma.loss * of,
            "chroma": chroma.loss * of,
            "lossless": _sum(p.loss for p in lossless) * exact_of,
        }
        guessing = _sum(p.guessing for p in planes) * of
        guessing = guessing + _sum(p.guessing for p in lossless) * exact_of
        return parts, guessing

    @torch.no_grad()
    def evaluate(self, batch: Tiles) -> dict[str, Tensor]:
        """Bits per pixel, (1,) each; `score` is their negative sum."""
        parts, _ = self._bits(batch)
        parts = {name: part.reshape(1).float() for name, part in parts.items()}
        return parts | {"score": -_sum(parts.values())}

    @torch.no_grad()
    def preview(self, batch: Tiles) -> Tensor:
        """(N, 3, H, 2 W): the tiles, and the classes of their cells."""
        picture = batch.pixels.float() / 255
        classes = batch.luma_classes[:, None].float() / (LUMA.classes - 1)
        classes = F.interpolate(classes, picture.shape[2:]).expand_as(picture)
        return torch.cat((picture, classes), 3)
