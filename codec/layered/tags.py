"""What a block of a layer says of itself, in its stream or in its name.

US 2018/0007375, paragraphs 107 and 124-127: which of the streams it is, which block of which
division, and how the level below was made.
"""

import re
from typing import NamedTuple

from torch import Tensor

from codec.container import FormatError, check_size
from codec.layered.geometry import Ratio, Sampling, Size, Window
from codec.prediction.chain import hash_of
from codec.prediction.numbers import pack_numbers, unpack_numbers
from codec.prediction.upsample import MAX_RATIO, Kernel

LOWRES = "_lowres"
_NAME = re.compile(r"_(\d+)_(\d+)x(\d+)_(\d+)(?:\.\d)?")
_NUMBERS = 21


class Tag(NamedTuple):
    """Which part of which level a stream is.

    Attributes:
        level: from 0, the base.
        levels: how many there are.
        ratio: of neighbouring levels.
        sampling: how the level below was made.
        columns, rows: of the division.
        number: of the block, from 1, row after row.
        window: where it lies.
        size: of its level.
        kernel: how the level below is enlarged.
        part: of the block where that was cut in four, from 1; 0 for whole ones.
        offset: of differences that were clamped and shifted, or 0.
        planes: of the picture: 1 grey, 3 colour.
        luma_only: whether chroma is left out.
        smooth: whether the splices of its level are smoothed.
        known: `checksum` of what the block stands on; 0 where its stream has a hash of that.
    """

    level: int
    levels: int
    ratio: Ratio
    sampling: Sampling
    columns: int
    rows: int
    number: int
    window: Window
    size: Size
    kernel: Kernel
    part: int = 0
    offset: int = 0
    planes: int = 3
    luma_only: bool = False
    smooth: bool = False
    known: int = 0

    def pack(self) -> bytes:
        return pack_numbers(
            (
                self.level,
                self.levels,
                *self.ratio,
                self.sampling,
                self.columns,
                self.rows,
                self.number,
                *self.window,
                *self.size,
                self.kernel,
                self.part,
                self.offset,
                self.planes,
                self.luma_only,
                self.smooth,
                self.known,
            )
        )

    def name(self) -> str:
        """What is put behind the stem of a file: _1_2x2_3 is block 3 of 2 x 2 of level 1."""
        part = f".{self.part}" if self.part else ""
        return f"_{self.level}_{self.columns}x{self.rows}_{self.number}{part}"


def unpack_tag(data: bytes) -> Tag:
    """Inverse of `Tag.pack`.

    Raises:
        FormatError: not what it made.
    """
    n = unpack_numbers(data, _NUMBERS)
    try:
        tag = Tag(
            level=n[0],
            levels=n[1],
            ratio=Ratio(*n[2:4]),
            sampling=Sampling(n[4]),
            columns=n[5],
            rows=n[6],
            number=n[7],
            window=Window(*n[8:12]),
            size=Size(*n[12:14]),
            kernel=Kernel(n[14]),
            part=n[15],
            offset=n[16],
            planes=n[17],
            luma_only=bool(n[18]),
            smooth=bool(n[19]),
            known=n[20],
        )
    except ValueError as error:
        raise FormatError(f"layer: {error}") from error
    _check(tag)
    return tag


def _check(tag: Tag) -> None:
    """Raise FormatError for a block that cannot be."""
    check_size(*tag.size)
    inside = tag.window.lies_in(tag.size)
    ratio = min(tag.ratio) >= 1 and max(tag.ratio) <= MAX_RATIO
    known = tag.planes in (1, 3) and 0 <= tag.offset < 128
    if not (inside and ratio and known and 0 < tag.level < tag.levels):
        raise FormatError(f"layer: expected a block and its place, got {tag}")


def checksum(planes: Tensor) -> int:
    """31 bits of what names exact planes (C, H, W)."""
    return int.from_bytes(hash_of(planes)[:4], "big") >> 1


class Named(NamedTuple):
    """What the name of a block says."""

    level: int
    columns: int
    rows: int
    number: int


def unpack_name(name: str) -> Named | None:
    """Inverse of `Tag.name`; None for other names."""
    found = _NAME.fullmatch(name)
    return Named(*map(int, found.groups())) if found else None
