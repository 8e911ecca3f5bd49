"""A plane of integers from coarse to fine: every value is guessed from coarser ones around it.

A lattice of every 32nd value comes first. It is refined five times in two phases: the centres of
its squares, then the middles of the edges. A row network guesses a value from twelve
parents, from what is known of other planes there, and from how wrong the last guesses were nearby.
The means of the cells are coded so, and whole pictures without loss.

Axes: N picture, R C value of a plane, P target of one phase, T targets of one picture.
"""

from collections.abc import Callable
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
    for level, stride in enumerate(STRIDES):
        for phase in (0, 1):
            where = _targets(shape, stride, phase)
            if not where:
                continue
            rows, base, spread = _rows(plane, errors, known, single, stride, phase, level)
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


def _targets(
    shape: tuple[int, int, int], stride: int, phase: int
) -> tuple[tuple[slice, slice], ...]:
    """The sublattices of a phase that have any value."""
    return tuple(
        (slice(i * stride, None, 2 * stride), slice(j * stride, None, 2 * stride))
        for i, j in _ORIGINS[phase]
        if i * stride < shape[1] and j * stride < shape[2]
    )


def _neighbours(
    padded: Tensor, offsets: tuple, stride: int, shape: tuple[int, int, int], phase: int
) -> Tensor:
    """(P, offsets): values around the targets, from a plane padded by _FRAME strides."""
    frame = _FRAME * stride
    found = []
    for i, j in _ORIGINS[phase]:
        if i * stride >= shape[1] or j * stride >= shape[2]:
            continue
        parts = []
        for di, dj in offsets:
            top, left = frame + (i + di) * stride, frame + (j + dj) * stride
            rows = slice(top, top + shape[1] - i * stride, 2 * stride)
            columns = slice(left, left + shape[2] - j * stride, 2 * stride)
            parts.append(padded[:, rows, columns].flatten(1))
        found.append(torch.stack(parts, -1))
    return torch.cat(found, 1).flatten(0, 1)


def _relative(difference: Tensor, spread: Tensor) -> Tensor:
    """int8: difference in 1/64 of the spread, at most 2 of it; exact division of integers."""
    scaled = torch.floor((difference.float() * ONE + spread // 2) / spread)
    return scaled.clamp(-127, 127).to(torch.int8)


def _rows(
    plane: Tensor,
    errors: Tensor,
    known: list[Tensor],
    single: Tensor,
    stride: int,
    phase: int,
    level: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows (P, INPUTS) int8, parents' mean (P,) int32 and spread (P,) int32."""
    shape = shape_of(plane)
    frame = [_FRAME * stride] * 4
    inside = F.pad(torch.ones_like(plane[:1]), frame)
    near, every = _NEAR[phase], _NEAR[phase] + _FAR[phase]
    pictures = shape[0]

    def take(x: Tensor, offsets: tuple) -> Tensor:
        return _neighbours(F.pad(x, frame), offsets, stride, shape, phase)

    valid = _neighbours(inside, every, stride, (1, *shape[1:]), phase).repeat(pictures, 1)
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
    flags[:, 0] = phase * ONE
    flags[:, 1 + level] = ONE
    flags[:, 6 + len(known)] = ONE
    flags[:, 9 : 9 + single.shape[1]] = single.repeat_interleave(targets, 0)
    return torch.cat((*columns, flags), 1), base, spread
