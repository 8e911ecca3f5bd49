"""What blocks are that do not say so: from their names, or from what was agreed (paragraph 127)."""

from collections.abc import Sequence
from typing import NamedTuple

from codec.container import FormatError, Section, unpack, unpack_header
from codec.layered.bases import decode_picture
from codec.layered.geometry import Ratio, Sampling, Size, Window
from codec.layered.levels import Block
from codec.layered.tags import Tag
from codec.prediction.chain import unpack_prediction
from codec.prediction.upsample import Kernel, Upsample


class Untagged(NamedTuple):
    """A block, its level and where it stands in its division."""

    data: bytes
    level: int
    columns: int
    rows: int
    number: int


def agreed(streams: Sequence[bytes], columns: int, rows: int) -> list[Untagged]:
    """Blocks in the order that was agreed on: level after level, row after row.

    Raises:
        FormatError: their number does not fit the division.
    """
    count = columns * rows
    if not streams or len(streams) % count:
        raise FormatError(f"expected {columns}x{rows} blocks for each level, got {len(streams)}")
    return [
        Untagged(data, place // count + 1, columns, rows, place % count + 1)
        for place, data in enumerate(streams)
    ]


def with_tags(
    found: Sequence[Untagged], base: Size, planes: int = 3, offset: int = 0
) -> list[Block]:
    """Blocks with what their sizes and their order tell.

    Args:
        found: all blocks of all levels; of a level with a missing one nothing can be placed.
        base: size of the smallest level.
        planes: that it has, 1 or 3.
        offset: of differences that were clamped and shifted.

    Raises:
        FormatError: blocks that make up no rectangle, or whose size cannot be told.
    """
    blocks: list[Block] = []
    below = base
    levels = max((one.level for one in found), default=0) + 1
    for level in range(1, levels):
        these = sorted((one for one in found if one.level == level), key=lambda one: one.number)
        if not these or len(these) != these[0].columns * these[0].rows:
            raise FormatError(f"level {level}: without tags every block has to be here")
        columns, rows = these[0].columns, these[0].rows
        sizes = [_size_of(one.data) for one in these]
        widths, heights = [s.width for s in sizes[:columns]], [s.height for s in sizes[::columns]]
        size = Size(sum(heights), sum(widths))
        ratio = Ratio(round(size.width / below.width), round(size.height / below.height))
        for place, one in enumerate(these):
            row, column = divmod(place, columns)
            window = Window(sum(heights[:row]), sum(widths[:column]), heights[row], widths[column])
            if (window.height, window.width) != sizes[place]:
                raise FormatError(f"level {level}: expected blocks that make up a rectangle")
            tag = Tag(
                level,
                levels,
                ratio,
                Sampling.BICUBIC,
                columns,
                rows,
                one.number,
                window,
                size,
                _kernel_of(one.data),
                offset=offset,
                planes=planes,
            )
            blocks.append(Block(tag, one.data))
        below = size
    return blocks


def _size_of(data: bytes) -> Size:
    if data[:2] == b"\xff\xd8":
        return Size(*decode_picture(data).shape[1:])
    header = unpack_header(unpack(data).one(Section.HEADER))
    return Size(header.height, header.width)


def _kernel_of(data: bytes) -> Kernel:
    """That a stream says it is enlarged with; others leave it to the default."""
    if data[:2] == b"\xff\xd8":
        return Kernel.BICUBIC
    packed = unpack(data).get(Section.PREDICTION)
    steps = () if packed is None else unpack_prediction(packed).steps
    found = [step.kernel for step in steps if isinstance(step, Upsample)]
    return found[0] if found else Kernel.BICUBIC
