"""A plane of integers from coarse to fine: every value is guessed from coarser ones around it.

A lattice of every 32nd value comes first. It is refined five times in two phases: the centres of
its squares, then the middles of the edges. A row network guesses a value from twelve
parents, from what is known of other planes there, and from how wrong the last guesses were nearby.
The means of the cells are coded so, and whole pictures without loss.

Axes: N picture, R C value of a plane, P target of one phase, T targets of one picture.
"""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.residual.context import ONE, log_size

STRIDES = (16, 8, 4, 2, 1)  # distance of a new value to its nearest parents
COARSEST = 32
OUTPUTS = 5  # guess in 1/64 of the spread, then the logits of the alphabet
PLANES = 3  # the guess may use up to two planes that came before
INPUTS = 64
_FRAME = 3
_NEAR = {
    0: ((-1, -1), (-1, 1), (1, -1), (1, 1)),
    1: ((-1, 0), (1, 0), (0, -1), (0, 1)),
}
_FAR = {
    0: ((-1, -3), (-1, 3), (1, -3), (1, 3), (-3, -1), (-3, 1), (3, -1), (3, 1)),
    1: ((-1, -2), (-1, 2), (1, -2), (1, 2), (-2, -1), (-2, 1), (2, -1), (2, 1)),
}
Offsets = tuple[tuple[int, int], ...]
_ORIGINS = {0: ((1, 1),), 1: ((1, 0), (0, 1))}  # of the targets, in strides


class Guess(NamedTuple):
    """A phase's targets: parents' mean (P,), spread of the parents (P,), network outputs (P, 5)."""

    base: Tensor
    spread: Tensor
    outputs: Tensor


class Source(Protocol):
    """Where the values of a plane come from, or go to."""

    def coarsest(self, shape: tuple[int, int, int]) -> Tensor:
        """(N, R', C') int32: the first lattice."""

    def refine(self, guess: Guess, where: tuple[tuple[slice, slice], ...]) -> Tensor:
        """(N, T) int32: the values at `where`, one sublattice after the other."""


def code_plane(
    network: Callable[[Tensor], Tensor],
    source: Source,
    shape: tuple[int, int, int],
    known: list[Tensor],
    single: Tensor,
) -> Tensor:
    """Run through a plane from coarse to fine.

    Args:
        network: (P, INPUTS) int8 -> (P, OUTPUTS).
        source: see `Source`.
        shape: (N, R, C) of the plane.
        known: planes of the same shape that came before, at most PLANES - 1.
        single: (N, s) int8 features of the pictures, such as the step; s at most 4.

    Returns:
        (N, R, C) int32.
    """
    plane = torch.zeros(shape, dtype=torch.int32, device=single.device)
    plane[:, ::COARSEST, ::COARSEST] = source.coarsest(shape)
    errors = torch.zeros_like(plane)
    for level, phase in product(range(len(STRIDES)), (0, 1)):
        at_hand = _Phase(shape, level, phase)
        where = at_hand.targets()
        if where:
            rows, base, spread = _rows(at_hand, plane, errors, known, single)
            guess = Guess(base, spread, network(rows))
            values = source.refine(guess, where)
            wrong = values - base.reshape(values.shape)
            start = 0
            for at in where:
                target = plane[(slice(None), *at)]
                size = target[0].numel()
                part = slice(start, start + size)
                target.copy_(values[:, part].reshape(target.shape))
                errors[(slice(None), *at)] = wrong[:, part].reshape(target.shape)
                start += size
    return plane


def shape_of(plane: Tensor) -> tuple[int, int, int]:
    """(N, R, C) of a plane."""
    pictures, rows, columns = plane.shape
    return pictures, rows, columns


def centre(guess: Guess) -> Tensor:
    """(P,) int32: the guessed value itself, from int8 outputs."""
    return guess.base + ((guess.outputs[:, 0].int() * guess.spread + 32) >> 6)


class _Phase(NamedTuple):
    """One of the ten steps from coarse to fine.

    Attributes:
        shape: (N, R, C) of the plane.
        level: 0 to 4.
        phase: 0 the centres of squares, 1 the middles of edges.
    """

    shape: tuple[int, int, int]
    level: int
    phase: int

    @property
    def stride(self) -> int:
        return STRIDES[self.level]

    def origins(self) -> list[tuple[int, int]]:
        """Where the sublattices begin that have any value."""
        places = [(i * self.stride, j * self.stride) for i, j in _ORIGINS[self.phase]]
        return [(i, j) for i, j in places if i < self.shape[1] and j < self.shape[2]]

    def targets(self) -> tuple[tuple[slice, slice], ...]:
        """The sublattices themselves."""
        step = 2 * self.stride
        return tuple((slice(i, None, step), slice(j, None, step)) for i, j in self.origins())

    def neighbours(self, padded: Tensor, offsets: Offsets) -> Tensor:
        """(P, offsets): values around the targets, from a plane padded by _FRAME strides."""
        stride = self.stride
        found = []
        for i, j in self.origins():
            parts = []
            for di, dj in offsets:
                top, left = i + (_FRAME + di) * stride, j + (_FRAME + dj) * stride
                rows = slice(top, top + self.shape[1] - i, 2 * stride)
                columns = slice(left, left + self.shape[2] - j, 2 * stride)
                parts.append(padded[:, rows, columns].flatten(1))
            found.append(torch.stack(parts, -1))
        return torch.cat(found, 1).flatten(0, 1)


def _relative(difference: Tensor, spread: Tensor) -> Tensor:
    """int8: difference in 1/64 of the spread, at most 2 of it; exact division of integers."""
    scaled = torch.floor((difference.float() * ONE + spread // 2) / spread)
    return scaled.clamp(-127, 127).to(torch.int8)


def _rows(
    at_hand: _Phase, plane: Tensor, errors: Tensor, known: list[Tensor], single: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows (P, INPUTS) int8, parents' mean (P,) int32 and spread (P,) int32."""
    frame = [_FRAME * at_hand.stride] * 4
    near, every = _NEAR[at_hand.phase], _NEAR[at_hand.phase] + _FAR[at_hand.phase]
    pictures = len(plane)

    def take(x: Tensor, offsets: Offsets) -> Tensor:
        return at_hand.neighbours(F.pad(x, frame), offsets)

    valid = take(torch.ones_like(plane[:1]), every).repeat(pictures, 1)
    count = valid[:, :4].sum(1, dtype=torch.int32)

    def mean_of(x: Tensor) -> Tensor:
        """Mean of the valid nearest four, rounded down."""
        total = (x[:, :4] * valid[:, :4]).sum(1, dtype=torch.int32)
        return torch.div(2 * total + count, 2 * count, rounding_mode="floor")

    own = take(plane, every)
    base = mean_of(own)
    away = (own - base[:, None]) * valid
    spread = away.abs().amax(1) + 1
    wrong = take(errors, near) * valid[:, :4]
    columns = [
        _relative(away, spread[:, None]),
        log_size(spread)[:, None],
        log_size(wrong),
        _relative(wrong, spread[:, None]),
    ]
    for number in range(PLANES - 1):
        if number < len(known):
            other = take(known[number], (*every, (0, 0)))
            middle = mean_of(other)
            full = torch.cat((valid, torch.ones_like(valid[:, :1])), 1)
            shift = (other - middle[:, None]) * full
            width = shift.abs().amax(1) + 1
            columns += [_relative(shift, width[:, None]), log_size(width)[:, None]]
        else:
            columns.append(torch.zeros(len(own), 14, dtype=torch.int8, device=plane.device))
    targets = len(own) // pictures
    free = INPUTS - sum(c.shape[1] for c in columns)
    flags = torch.zeros(len(own), free, dtype=torch.int8, device=plane.device)
    flags[:, 0] = at_hand.phase * ONE
    flags[:, 1 + at_hand.level] = ONE
    flags[:, 6 + len(known)] = ONE
    flags[:, 9 : 9 + single.shape[1]] = single.repeat_interleave(targets, 0)
    return torch.cat((*columns, flags), 1), base, spread
