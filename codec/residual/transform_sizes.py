"""Which transform size each region of 32 x 32 pixels has: the encoder's choice, and its coding.

Axes: N picture, I J cells of 8 pixels, S T regions of 32 pixels or quarters of 16.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.residual.alphabet import COST_UNIT
from codec.residual.context import ONE, checkerboard, log_size, owners
from codec.residual.passes import Networks, Source
from codec.residual.rdoq import COST_WEIGHT
from codec.residual.transform import CELL, REGION

INPUTS = 32
_SPLIT_COST = COST_UNIT * COST_WEIGHT  # about one bit says that a block is split


def choose_sizes(weights: list[Tensor]) -> Tensor:
    """The cheapest sizes.

    Args:
        weights: J (N, I, J) of every cell if all blocks are of 8, 16 and 32 pixels.

    Returns:
        (N, I, J) int32 index into transform.SIZES.
    """
    small, middle, large = (
        F.avg_pool2d(w[:, None].double(), 2, divisor_override=1) for w in weights
    )
    quarters = (small < middle).int()  # 1: split into 8s
    best = F.avg_pool2d(torch.minimum(small, middle), 2, divisor_override=1) + _SPLIT_COST
    whole = F.avg_pool2d(large, 2, divisor_override=1)
    regions = (best < whole).int()  # 1: split
    index = torch.where(_enlarge(regions, 2) == 0, 2, 1 - quarters)
    return _enlarge(index, 2)[:, 0].int()


def code_sizes(
    networks: Networks,
    regions: Source,
    quarters: Source,
    means: Tensor,
    single: Tensor,
) -> Tensor:
    """Run through the size map: first which regions are split, then which of their quarters.

    Args:
        networks: by name, `region_split` and `quarter_split`.
        regions, quarters: answer with classes: 0 whole, 1 split.
        means: (N, I, J) quantised luma means.
        single: (N, 2) int8, see `context.picture_features`.

    Returns:
        (N, I, J) int32 index into transform.SIZES.
    """
    shape = [n * CELL // REGION for n in means.shape[1:]]
    every = torch.ones(len(means), *shape, dtype=torch.bool, device=means.device)
    split = _code_flags(networks["region_split"], regions, means, single, every)
    may = _enlarge(split, 2) == 1
    small = _code_flags(networks["quarter_split"], quarters, means, single, may)
    index = torch.where(may, 1 - small, 2)
    return _enlarge(index, 2).int()


def split_flags(sizes: Tensor) -> tuple[Tensor, Tensor]:
    """int32 flags (N, I/4, J/4) of split regions and (N, I/2, J/2) of split quarters."""
    return (sizes[:, ::4, ::4] < 2).int(), (sizes[:, ::2, ::2] < 1).int()


def _enlarge(x: Tensor, factor: int) -> Tensor:
    return x.repeat_interleave(factor, -2).repeat_interleave(factor, -1)


def _code_flags(
    network: Callable[[Tensor], Tensor],
    source: Source,
    means: Tensor,
    single: Tensor,
    may: Tensor,
) -> Tensor:
    """(N, S, T) int32 flags where `may` is set, in two phases."""
    factor = means.shape[1] // may.shape[1]
    busy = activity(means, factor)
    flags = torch.zeros(may.shape, dtype=torch.int32, device=may.device)
    known = ~may  # what may not be split is known to be whole
    black = checkerboard(*may.shape[1:], may.device)
    for phase in (0, 1):
        chosen = may & (black == (phase == 0))
        state = (known * (2 * flags - 1)).to(torch.int8) * ONE
        rows = torch.cat((around(state), busy), -1)[chosen]
        rows = torch.cat((rows, single[owners(chosen)]), -1)
        rows = F.pad(rows, (0, INPUTS - rows.shape[1]))
        flags[chosen] = source.classes(network(rows), chosen)
        known = known | chosen
    return flags


def around(x: Tensor) -> Tensor:
    """(N, S, T) -> (N, S, T, 4): above, below, left, right; zero outside."""
    p = F.pad(x, (1, 1, 1, 1))
    return torch.stack((p[:, :-2, 1:-1], p[:, 2:, 1:-1], p[:, 1:-1, :-2], p[:, 1:-1, 2:]), -1)


def activity(means: Tensor, factor: int) -> Tensor:
    """(N, S, T, 15) int8: range and slopes of the means of a block and of the four around it."""
    x = means.double()[:, None]
    high, low = F.max_pool2d(x, factor), -F.max_pool2d(-x, factor)
    p = F.pad(x, (0, 1, 0, 1), mode="replicate")
    across = F.avg_pool2d((p[..., :-1, 1:] - x).abs(), factor, divisor_override=1)
    down = F.avg_pool2d((p[..., 1:, :-1] - x).abs(), factor, divisor_override=1)
    found = [log_size(y[:, 0]) for y in (high - low, across, down)]
    return torch.cat([torch.cat((y[..., None], around(y)), -1) for y in found], -1)
