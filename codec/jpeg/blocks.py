"""Coefficients as planes that others are predicted from, and planes as guesses of coefficients.

All in integers, equal on every device: planes are in 1/16 grey level at full size, luma about 0,
as `codec.planes` has them.

Axes: C plane, H W pixels, I J blocks, K = 64 frequencies in zigzag order.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.jpeg.coefficients import Component, JpegFile
from codec.prediction.upsample import Kernel, Upsample
from codec.residual.exact import exact_arithmetic
from codec.residual.transform import (
    CELL,
    FRACTION,
    forward,
    from_blocks,
    inverse_blocks,
)

FRACTION_ONE = 64  # of a step, in which guesses are said finer than in whole ones
LARGEST = 2047  # of a coefficient in steps


class Guess(NamedTuple):
    """What a prediction says of a component's coefficients.

    Attributes:
        levels: (I, J, 64) int32 in whole steps, the nearest.
        fractions: (I, J, 64) int8, what is missing from that in 1/FRACTION_ONE step.
        steps: (64,) int32.
    """

    levels: Tensor
    fractions: Tensor
    steps: Tensor


@exact_arithmetic()
def planes_of(file: JpegFile) -> Tensor:
    """(C, H, W) int32: the picture of a file, chroma enlarged to full size."""
    return torch.cat([_plane_of(one, file) for one in file.components])


def _plane_of(component: Component, file: JpegFile) -> Tensor:
    blocks = torch.from_numpy(component.blocks * component.steps).double()
    rows, columns = blocks.shape[:2]
    spatial = inverse_blocks(blocks.reshape(-1, 1, 1, CELL * CELL).mul_(1 << FRACTION), CELL)
    plane = from_blocks(spatial, rows * CELL, columns * CELL).int()
    across, down = _ratio(component, file.components)
    height, width = (-(-n // m) for n, m in zip(file.size, (down, across), strict=True))
    plane = plane[:, :height, :width]
    if across == down == 1:
        return plane
    return Upsample(across, down, Kernel.BILINEAR)(plane, file.size)


def _ratio(component: Component, every: list[Component]) -> tuple[int, int]:
    return every[0].across // component.across, every[0].down // component.down


@exact_arithmetic()
def guess_of(planes: Tensor, components: list[Component]) -> list[Guess]:
    """What planes (C, H, W) int32 say of the coefficients of components."""
    found = []
    for plane, one in zip(planes, components, strict=True):
        rows, columns = one.blocks.shape[:2]
        small = _shrink(plane, *_ratio(one, components))
        height, width = small.shape
        pad = (0, columns * CELL - width, 0, rows * CELL - height)
        whole = F.pad(small[None, None].double(), pad, mode="replicate")[0]
        steps = torch.from_numpy(one.steps)
        unit = (steps << FRACTION).double()
        wanted = forward(whole, CELL)[0]
        levels = torch.floor(wanted / unit + 0.5).clamp_(-LARGEST, LARGEST)
        left = (wanted - levels * unit) * FRACTION_ONE
        fractions = torch.floor(left / unit + 0.5).clamp_(-FRACTION_ONE, FRACTION_ONE)
        found.append(Guess(levels.int(), fractions.to(torch.int8), steps))
    return found


def _shrink(plane: Tensor, across: int, down: int) -> Tensor:
    """Means of pixels that lie on one of the smaller plane, (H, W) int32."""
    height, width = plane.shape
    pad = (0, -width % across, 0, -height % down)
    whole = F.pad(plane[None, None].double(), pad, mode="replicate")[0, 0].long()
    whole = whole.reshape(-(-height // down), down, -(-width // across), across)
    return ((whole.sum((1, 3)) + across * down // 2) // (across * down)).int()
