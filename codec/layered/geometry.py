"""Sizes of levels and blocks of a level.

Axes: C plane, H W pixels.
"""

from collections.abc import Sequence
from enum import IntEnum
from itertools import accumulate, product
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.prediction.upsample import Kernel, Upsample

_MARGIN = 2  # pixels of the level below that a kernel looks at beyond a block
MOST_BLOCKS = 256


class Size(NamedTuple):
    height: int
    width: int


class Window(NamedTuple):
    """A rectangle of a level."""

    top: int
    left: int
    height: int
    width: int

    def of(self, planes: Tensor) -> Tensor:
        """(C, H, W) -> the part of it."""
        rows, columns = self.top + self.height, self.left + self.width
        return planes[:, self.top : rows, self.left : columns]

    def lies_in(self, size: Size) -> bool:
        """Whether it is a part of a level, and not empty."""
        return (
            min(self) >= 0
            and 0 < self.height <= size.height - self.top
            and 0 < self.width <= size.width - self.left
        )

    def quarters(self) -> list["Window"]:
        """The same cut in four; fewer where a side has one pixel."""
        top, left = self.height // 2, self.width // 2
        parts = [
            Window(self.top + i, self.left + j, height, width)
            for i, height in ((0, top), (top, self.height - top))
            for j, width in ((0, left), (left, self.width - left))
        ]
        return [part for part in parts if part.height and part.width]


class Ratio(NamedTuple):
    """p x q of US 2018/0007375, paragraph 102: W / across and H / down pixels."""

    across: int
    down: int

    def below(self, size: Size) -> Size:
        """The size of the next smaller level, rounded up."""
        return Size(-(-size.height // self.down), -(-size.width // self.across))


class Sampling(IntEnum):
    """How a level is made smaller."""

    NEAREST = 0
    BILINEAR = 1
    BOX = 2
    BICUBIC = 3  # widened by the ratio, so that nothing aliases


class Division(NamedTuple):
    """How a level is cut into blocks, in numbers of equal ones or in pixels.

    Attributes:
        columns, rows: either one number each, of equal parts, or the widths and heights of all.
    """

    columns: tuple[int, ...] = (1,)
    rows: tuple[int, ...] = (1,)

    def windows(self, size: Size) -> list[Window]:
        """The blocks of a level, row after row.

        Raises:
            ValueError: parts that do not make up the level.
        """
        across, down = _parts(self.columns, size.width), _parts(self.rows, size.height)
        return [
            Window(top, left, height, width)
            for (top, height), (left, width) in product(down, across)
        ]


TWO_BY_TWO, WHOLE = Ratio(2, 2), Division()


def _parts(wanted: tuple[int, ...], length: int) -> list[tuple[int, int]]:
    """Starts and lengths of the parts of a side."""
    if len(wanted) == 1:
        count = min(wanted[0], length)
        ends = [length * (i + 1) // count for i in range(count)]
    else:
        ends = list(accumulate(wanted))
        if ends[-1] != length or min(wanted) < 1:
            raise ValueError(f"expected parts that make up {length} pixels, got {wanted}")
    starts = [0, *ends[:-1]]
    return [(start, end - start) for start, end in zip(starts, ends, strict=True)]


def level_sizes(size: Size, ratio: Ratio, levels: int) -> list[Size]:
    """The sizes of all levels, the base first."""
    sizes = [size]
    for _ in range(levels - 1):
        sizes.insert(0, ratio.below(sizes[0]))
    return sizes


def shrink(pixels: Tensor, ratio: Ratio, sampling: Sampling) -> Tensor:
    """(C, H, W) uint8 -> (C, ceil(H / down), ceil(W / across)) uint8."""
    height, width = ratio.below(Size(pixels.shape[1], pixels.shape[2]))
    right, bottom = width * ratio.across - pixels.shape[2], height * ratio.down - pixels.shape[1]
    x = F.pad(pixels[None].float(), (0, right, 0, bottom), mode="replicate")
    if sampling == Sampling.NEAREST:
        small = x[..., ratio.down // 2 :: ratio.down, ratio.across // 2 :: ratio.across]
    elif sampling == Sampling.BILINEAR:
        small = F.interpolate(x, (height, width), mode="bilinear")
    elif sampling == Sampling.BOX:
        small = F.avg_pool2d(x, (ratio.down, ratio.across))
    else:
        small = F.interpolate(x, (height, width), mode="bicubic", antialias=True)
    return small[0].round().clamp(0, 255).to(torch.uint8)


class Below(NamedTuple):
    """What a block stands on: a window of the level below, and how it becomes the block."""

    window: Window
    step: Upsample


def below(block: Window, size: Size, ratio: Ratio, kernel: Kernel) -> Below:
    """The part of the level below (of a size) that a block is enlarged from."""
    top = max(0, block.top // ratio.down - _MARGIN)
    left = max(0, block.left // ratio.across - _MARGIN)
    bottom = min(size.height, -(-(block.top + block.height) // ratio.down) + _MARGIN)
    right = min(size.width, -(-(block.left + block.width) // ratio.across) + _MARGIN)
    step = Upsample(
        ratio.across,
        ratio.down,
        kernel,
        block.left - left * ratio.across,
        block.top - top * ratio.down,
    )
    return Below(Window(top, left, bottom - top, right - left), step)


def smooth_splices(difference: Tensor, windows: Sequence[Window]) -> Tensor:
    """A difference (C, H, W) int32 smoothed by 1 2 1 across the borders where blocks meet.

    US 2018/0007375, paragraph 133.
    """
    out = difference
    for axis, starts in (
        (2, {window.left for window in windows}),
        (1, {window.top for window in windows}),
    ):
        seen = F.pad(out[None].double(), (1, 1, 1, 1), mode="replicate")[0].int()
        seen = seen[:, 1:-1] if axis == 2 else seen[:, :, 1:-1]
        length = out.shape[axis]
        before, middle, after = (seen.narrow(axis, shift, length) for shift in range(3))
        soft = before + 2 * middle + after + 2 >> 2
        beside = sorted({p for start in starts if start for p in (start - 1, start)})
        places = torch.tensor(beside, dtype=torch.int64, device=out.device)
        out = out.index_copy(axis, places, soft.index_select(axis, places))
    return out
