"""The order in which the coefficients of a file are coded, and what is known of each.

Coded is what a coefficient differs by from its guess. Luma first, then each chroma plane; in a
plane, groups of frequencies from low to high, each in two phases, the black and the white blocks of
a checkerboard. A `codec.residual.passes.Source` answers with the values.

Axes: N picture, I J blocks, K = 64 frequencies, P block of one phase, G group of frequencies.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.residual.alphabet import LOGITS
from codec.residual.context import ONE, checkerboard, log_size, signed_log
from codec.residual.passes import Source

K = 64
GROUPS = (0, 1, 3, 6, 10, 15, 21, 36, K)
SPANS = list(pairwise(GROUPS))
NAMES = ("luma", "chroma")
_AROUND = [(i, j) for i in (0, 1, 2) for j in (0, 1, 2) if (i, j) != (1, 1)]
_SEEN_STEPS = (0, 5, 20, 48)  # frequencies whose steps stand for all
_ABOUT = 6  # columns for each frequency that is coded
_FIXED = len(SPANS) * 2 + len(_SEEN_STEPS) + 2

Networks = Mapping[str, Callable[[Tensor], Tensor]]


class Guesses(NamedTuple):
    """`blocks.Guess` of pictures, one component.

    Attributes:
        levels: (N, I, J, 64) int32 whole steps.
        fractions: (N, I, J, 64) int8 of a step.
        steps: (N, 64) int32.
        there: (N, I, J) bool, which blocks there are.
    """

    levels: Tensor
    fractions: Tensor
    steps: Tensor
    there: Tensor


class Beside(NamedTuple):
    """What a component knows of those before it, all zeros for luma.

    Attributes:
        sizes: (N, I, J, G) int8, how far luma was off in the same place, by group.
        other: (N, I, J, 64) int32, how far the first chroma plane was off.
        second: whether this is the second one.
    """

    sizes: Tensor
    other: Tensor
    second: bool


def nothing_beside(guesses: Guesses) -> Beside:
    """What luma knows of other components."""
    zeros = torch.zeros_like(guesses.levels)
    return Beside(zeros[..., : len(SPANS)].to(torch.int8), zeros, False)


def code_blocks(
    name: str, networks: Networks, source: Source, guesses: Guesses, beside: Beside
) -> Tensor:
    """Run through the frequencies of a component.

    Args:
        name: of NAMES.
        networks: by name, `luma0` ... `chroma7`.
        source: whose values are what coefficients differ by from their guesses.
        guesses, beside: see there.

    Returns:
        (N, I, J, 64) int32, what the source answered.
    """
    fixed = _fixed(guesses, beside)
    about = _about(guesses, beside)
    shape = guesses.there.shape
    device = fixed.device
    off = torch.zeros(*shape, K, dtype=torch.int32, device=device)
    around = torch.zeros(
        shape[0], shape[1] + 2, shape[2] + 2, len(SPANS) + 1, dtype=torch.int8, device=device
    )
    board = checkerboard(shape[1], shape[2], device)
    for number, (start, stop) in enumerate(SPANS):
        network = networks[f"{name}{number}"]
        here = about[..., start:stop, :].flatten(-2)
        for phase in (0, 1):
            chosen = guesses.there & (board == (phase == 0))
            known = off[..., :start][chosen]
            rows = [fixed[chosen], here[chosen], log_size(known), signed_log(known)]
            for i, j in _AROUND:
                seen = around[:, i : i + shape[1], j : j + shape[2], : number + 2]
                rows.append(seen[chosen])
            rows.append(torch.full_like(rows[0][:, :1], phase * ONE))
            made = torch.cat(rows, 1)
            logits = network(made).reshape(len(made), 1, stop - start, LOGITS)
            found = source.values(logits, chosen, (start, stop))[:, 0]
            off[..., start:stop][chosen] = found
            inner = around[:, 1:-1, 1:-1]
            inner[..., number + 1][chosen] = log_size(found.abs().sum(-1))
            if number == 0:
                inner[..., 0][chosen] = signed_log(found[:, 0])
    return off


def sizes_by_group(x: Tensor) -> Tensor:
    """(..., 64) int32 -> (..., G) int8: the size of each group."""
    return torch.stack([log_size(x[..., a:b].abs().sum(-1)) for a, b in SPANS], -1)


def beside_luma(luma: Tensor, like: Tensor, first: Tensor | None = None) -> Beside:
    """What chroma knows: of luma (N, i, j, 64), for blocks like (N, I, J); and of the first one."""
    down, across = (-(-n // m) for n, m in zip(luma.shape[1:3], like.shape[1:3], strict=True))
    total = torch.stack([luma[..., a:b].abs().sum(-1) for a, b in SPANS], -1)
    pad = (0, 0, 0, like.shape[2] * across - luma.shape[2], 0, like.shape[1] * down - luma.shape[1])
    total = F.pad(total, pad).reshape(len(luma), like.shape[1], down, like.shape[2], across, -1)
    other = torch.zeros(*like.shape, K, dtype=torch.int32, device=luma.device)
    sizes = log_size(total.sum((2, 4)))
    return Beside(sizes, other if first is None else first, first is not None)


def _fixed(guesses: Guesses, beside: Beside) -> Tensor:
    """(N, I, J, F) int8: what every group sees."""
    shape = guesses.there.shape
    steps = log_size(guesses.steps[:, list(_SEEN_STEPS)])[:, None, None].expand(*shape, -1)
    one = torch.full((*shape, 1), ONE, dtype=torch.int8, device=steps.device)
    place = one * beside.second
    return torch.cat((sizes_by_group(guesses.levels), beside.sizes, steps, one, place), -1)


def _about(guesses: Guesses, beside: Beside) -> Tensor:
    """(N, I, J, 64, _ABOUT) int8: what is known of each frequency alone."""
    steps = log_size(guesses.steps)[:, None, None].expand(guesses.levels.shape)
    return torch.stack(
        (
            guesses.fractions,
            log_size(guesses.levels),
            signed_log(guesses.levels),
            steps,
            log_size(beside.other),
            signed_log(beside.other),
        ),
        -1,
    )


def network_shapes() -> dict[str, tuple[int, int]]:
    """Inputs and outputs of every network, by name."""
    return {
        f"{name}{number}": (
            _FIXED + _ABOUT * (stop - start) + 2 * start + len(_AROUND) * (number + 2) + 1,
            LOGITS * (stop - start),
        )
        for name in NAMES
        for number, (start, stop) in enumerate(SPANS)
    }
