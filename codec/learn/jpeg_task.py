"""Training of the networks that code what a JPEG file differs by from its prediction."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from codec.jpeg.passes import (
    Beside,
    Guesses,
    code_blocks,
    network_shapes,
    nothing_beside,
)
from codec.learn.context_task import BITS, Known
from codec.learn.jpeg_pairs import JpegTiles
from codec.pictures.weight_files import not_weights, read_weights
from codec.residual.row_network import RowNetwork


class JpegNetworks(nn.Module):
    """All networks by name, see `codec.jpeg.passes`.

    Args:
        hidden: widths of the hidden layers.
    """

    def __init__(self, hidden: list[int]):
        super().__init__()
        shapes = network_shapes()
        self.every = nn.ModuleDict(
            {name: RowNetwork(*shape, tuple(hidden)) for name, shape in shapes.items()}
        )

    def by_name(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """The networks as the coding passes want them."""
        return {name: cast(RowNetwork, self.every[name]) for name in self.every}


def load_jpeg_networks(path: str | Path) -> JpegNetworks:
    """Networks as `train.py` saved them.

    Raises:
        WeightsError: not such a file.
    """
    architecture, state = read_weights(path)
    try:
        networks = JpegNetworks(architecture["hidden"])
        networks.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise not_weights(path, error) from error
    return networks.eval()


class JpegTask(nn.Module):
    """Bits for each coefficient of the tiles."""

    def __init__(self, network: JpegNetworks):
        super().__init__()
        self.network = network

    def forward(self, batch: JpegTiles) -> tuple[Tensor, dict[str, Tensor]]:
        parts = self._bits(batch)
        return torch.stack(list(parts.values())).sum(), {n: x.detach() for n, x in parts.items()}

    def _bits(self, batch: JpegTiles) -> dict[str, Tensor]:
        networks = self.network.by_name()
        there = batch.luma_there
        unit = BITS / float(there.sum() * 64)
        guesses = Guesses(batch.luma_levels.int(), batch.luma_fractions, batch.steps[:, 0], there)
        luma = _known(batch.luma_off)
        code_blocks("luma", networks, luma, guesses, nothing_beside(guesses))
        chroma = []
        first: Tensor | None = None
        everywhere = torch.ones_like(batch.chroma_beside[..., 0], dtype=torch.bool)
        for number in (0, 1):
            guesses = Guesses(
                batch.chroma_levels[:, number].int(),
                batch.chroma_fractions[:, number],
                batch.steps[:, 1 + number],
                everywhere,
            )
            source = _known(batch.chroma_off[:, number])
            other = torch.zeros_like(guesses.levels) if first is None else first
            beside = Beside(batch.chroma_beside, other, first is not None)
            first = code_blocks("chroma", networks, source, guesses, beside)
            chroma.append(source.loss)
        return {"luma": luma.loss * unit, "chroma": torch.stack(chroma).sum() * unit}

    @torch.no_grad()
    def evaluate(self, batch: JpegTiles) -> dict[str, Tensor]:
        """Bits for each luma coefficient, (1,) each; `score` is their negative sum."""
        parts = {name: part.reshape(1).float() for name, part in self._bits(batch).items()}
        return parts | {"score": -(parts["luma"] + parts["chroma"])}

    @torch.no_grad()
    def preview(self, batch: JpegTiles) -> Tensor:
        """(N, 3, 16, 32): means of the tiles as guessed, and how far off they were."""
        levels, off = batch.luma_levels[..., 0].float(), batch.luma_off[..., 0].float()
        both = torch.cat((levels / 256 + 0.5, off / 16 + 0.5), 2)
        return both[:, None].expand(-1, 3, -1, -1).clamp(0, 1)


def _known(off: Tensor) -> Known:
    values = off[..., None, :].int()
    return Known(values[..., 0, 0], values)
