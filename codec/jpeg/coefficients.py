"""A baseline JPEG file as its coefficients and what stands around them, and back, byte for byte.

Files of one scan of all components, Huffman coding and 8 bits are taken apart; `read_jpeg` refuses
what is anything else, and whatever would not come back as it was.

Axes: I J blocks, K = 64 frequencies in zigzag order.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from codec.jpeg.huffman import HuffmanError, HuffmanTable, K, read_blocks, write_blocks

MOST_BLOCKS = 1 << 21  # of a file: 134 million samples
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_FRAMES = (0xC0, 0xC1)  # baseline, and extended sequential, whose files look the same at 8 bits
_OTHER_FRAMES = (0xC2, 0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
_SCAN = 0xDA
_SAMPLINGS = (1, 2)


class UnknownJpeg(ValueError):
    """A JPEG file that is not taken apart, or no such file."""


class Component(NamedTuple):
    """A plane of the picture.

    Attributes:
        across, down: its sampling factors.
        steps: (64,) int32 quantisation steps.
        blocks: (I, J, 64) int32 quantised coefficients, without the blocks beyond the edge.
    """

    across: int
    down: int
    steps: np.ndarray
    blocks: np.ndarray


class JpegFile(NamedTuple):
    """A file taken apart.

    Attributes:
        head: up to and with the header of the scan.
        tail: what stands behind the last block.
        size: height and width in pixels.
        components: see `Component`.
    """

    head: bytes
    tail: bytes
    size: tuple[int, int]
    components: list[Component]


class _Plan(NamedTuple):
    """What the headers say of the scan."""

    size: tuple[int, int]
    samplings: list[tuple[int, int]]
    steps: list[np.ndarray]
    tables: list[tuple[HuffmanTable, HuffmanTable]]
    restart: int

    @property
    def units(self) -> tuple[int, int]:
        """Rows and columns of MCUs: the least blocks of all components that lie on each other."""
        down, across = (max(s[i] for s in self.samplings) for i in (1, 0))
        rows, columns = (-(-n // (8 * m)) for n, m in zip(self.size, (down, across), strict=True))
        return rows, columns

    def inside(self, number: int) -> tuple[int, int]:
        """Rows and columns of blocks of a component that hold pixels."""
        most = [max(s[i] for s in self.samplings) for i in (1, 0)]
        own = self.samplings[number][::-1]
        pixels = (-(-n * m // f) for n, m, f in zip(self.size, own, most, strict=True))
        rows, columns = (-(-n // 8) for n in pixels)
        return rows, columns

    @property
    def turns(self) -> list[int]:
        """The components of the blocks of an MCU."""
        if len(self.samplings) == 1:
            return [0]
        return [n for n, (a, d) in enumerate(self.samplings) for _ in range(a * d)]


def read_jpeg(data: bytes) -> JpegFile:
    """Take a file apart.

    Raises:
        UnknownJpeg: it is not such a file, or would not come back byte for byte.
    """
    try:
        *_, (_, _, at) = _segments(data)
        head = data[:at]
        plan = _plan(head)
        end = _scan_end(data, at)
        stretches = [part.replace(b"\xff\x00", b"\xff") for part in _RESTART.split(data[at:end])]
        count = _stretch_blocks(plan)
        if len(stretches) != len(count):
            raise UnknownJpeg(f"expected {len(count)} restart intervals, got {len(stretches)}")
        kinds = [plan.tables[n] for n in plan.turns]
        blocks = np.concatenate(
            [read_blocks(part, kinds, n) for part, n in zip(stretches, count, strict=True)]
        )
    except (HuffmanError, IndexError) as error:
        raise UnknownJpeg(f"cannot take the JPEG file apart: {error}") from error
    found = JpegFile(head, b"", plan.size, _components(blocks, plan, count))
    made = write_jpeg(found)
    if not data.startswith(made):
        raise UnknownJpeg("expected padding and blocks beyond the edge as encoders write them")
    return found._replace(tail=data[len(made) :])


def write_jpeg(file: JpegFile) -> bytes:
    """Put a file together again.

    Raises:
        UnknownJpeg: headers that do not fit the coefficients.
    """
    plan = _plan(file.head)
    count = _stretch_blocks(plan)
    blocks = _in_scan_order(file.components, plan, count)
    kinds = [plan.tables[n] for n in plan.turns]
    try:
        parts = write_blocks(blocks, kinds, count)
    except HuffmanError as error:
        raise UnknownJpeg(str(error)) from error
    body = [parts[0].replace(b"\xff", b"\xff\x00")]
    for number, part in enumerate(parts[1:]):
        body += [bytes([0xFF, 0xD0 + number % 8]), part.replace(b"\xff", b"\xff\x00")]
    return b"".join((file.head, *body, file.tail))


def shapes_of(head: bytes) -> tuple[tuple[int, int], list[Component]]:
    """Size of the picture and components without coefficients, zeros in their places.

    Raises:
        UnknownJpeg: no such headers.
    """
    plan = _plan(head)
    return plan.size, [
        Component(*plan.samplings[n], plan.steps[n], np.zeros((*plan.inside(n), K), np.int32))
        for n in range(len(plan.samplings))
    ]


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Code of each segment up to the header of the scan, and where its body begins and ends."""
    if not data.startswith(b"\xff\xd8"):
        raise UnknownJpeg("expected a JPEG file")
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise UnknownJpeg(f"byte {at}: expected a marker")
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length < 2:
            raise UnknownJpeg(f"byte {at}: expected a segment of two bytes or more")
        code, start, at = data[at + 1], at + 4, at + 2 + length
        yield code, start, at
        if code == _SCAN:
            return
    raise UnknownJpeg("expected the header of a scan")


def _scan_end(data: bytes, at: int) -> int:
    """Where the entropy-coded data end: at the first marker that is no restart."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            return len(data)
        if data[at + 1] != 0 and not 0xD0 <= data[at + 1] <= 0xD7:
            return at
        at += 2


def _plan(head: bytes) -> _Plan:
    """What the headers say (B.2)."""
    steps: dict[int, np.ndarray] = {}
    tables: dict[int, HuffmanTable] = {}
    frame, restart, scan = b"", 0, b""
    for code, start, stop in _segments(head):
        body = head[start:stop]
        if code in _OTHER_FRAMES:
            raise UnknownJpeg("expected a baseline JPEG file")
        if code == 0xDB:
            steps |= _quantisation(body)
        elif code == 0xC4:
            tables |= _huffman(body)
        elif code in _FRAMES:
            if frame:
                raise UnknownJpeg("expected one picture")
            frame = body
        elif code == 0xDD:
            restart = int.from_bytes(body[:2], "big")
        elif code == _SCAN:
            scan = body
    return _checked_plan(frame, scan, restart, steps, tables)


def _checked_plan(
    frame: bytes,
    scan: bytes,
    restart: int,
    steps: dict[int, np.ndarray],
    tables: dict[int, HuffmanTable],
) -> _Plan:
    if len(frame) < 6 or frame[0] != 8:
        raise UnknownJpeg("expected samples of 8 bits")
    count = frame[5]
    size = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    if count not in (1, 3) or len(frame) != 6 + 3 * count or 0 in size:
        raise UnknownJpeg("expected a grey picture or one of three components")
    if len(scan) != 4 + 2 * count or scan[0] != count or scan[-3:] != b"\x00\x3f\x00":
        raise UnknownJpeg("expected one scan of everything")
    components = [tuple(frame[at : at + 3]) for at in range(6, len(frame), 3)]
    selectors = [tuple(scan[at : at + 2]) for at in range(1, 1 + 2 * count, 2)]
    if [name for name, _, _ in components] != [name for name, _ in selectors]:
        raise UnknownJpeg("expected the components in their order")
    try:
        steps_of = [steps[step] for _, _, step in components]
        tables_of = [(tables[one >> 4], tables[16 | one & 15]) for _, one in selectors]
    except KeyError:
        raise UnknownJpeg("expected tables for every component") from None
    samplings = [(factors >> 4, factors & 15) for _, factors, _ in components]
    if count == 1:
        samplings = [(1, 1)]  # its factors mean nothing (A.2.2)
    _check_samplings(samplings)
    plan = _Plan(size, samplings, steps_of, tables_of, restart)
    if plan.units[0] * plan.units[1] * len(plan.turns) > MOST_BLOCKS:
        raise UnknownJpeg(f"expected at most {MOST_BLOCKS} blocks")
    return plan


def _check_samplings(samplings: list[tuple[int, int]]) -> None:
    if any(factor not in _SAMPLINGS for pair in samplings for factor in pair):
        raise UnknownJpeg("expected sampling factors of 1 and 2")
    if any(pair[i] > samplings[0][i] for pair in samplings for i in (0, 1)):
        raise UnknownJpeg("expected luma at full size")


def _quantisation(body: bytes) -> dict[int, np.ndarray]:
    found, at = {}, 0
    while at < len(body):
        wide = body[at] >> 4
        stop = at + 1 + K * (1 + (wide > 0))
        table = np.frombuffer(body[at + 1 : stop], ">u2" if wide else np.uint8).astype(np.int32)
        if wide > 1 or len(table) != K or (table == 0).any():
            raise UnknownJpeg("expected quantisation tables of 64 steps from 1")
        found[body[at] & 15] = table
        at = stop
    return found


def _huffman(body: bytes) -> dict[int, HuffmanTable]:
    found, at = {}, 0
    while at < len(body):
        counts = tuple(body[at + 1 : at + 17])
        stop = at + 17 + sum(counts)
        if len(counts) != 16 or stop > len(body):
            raise UnknownJpeg("expected whole Huffman tables")
        found[body[at]] = HuffmanTable(counts, body[at + 17 : stop])
        at = stop
    return found


def _stretch_blocks(plan: _Plan) -> list[int]:
    """Blocks from one restart to the next."""
    if len(plan.samplings) == 1:
        rows, columns = plan.inside(0)
    else:
        rows, columns = plan.units
    units = rows * columns
    each = plan.restart or units
    return [min(each, units - first) * len(plan.turns) for first in range(0, units, each)]


def _grid(plan: _Plan, number: int) -> np.ndarray:
    """(rows, columns) where in the scan the blocks of a component stand, those beyond included."""
    if len(plan.samplings) == 1:
        rows, columns = plan.inside(0)
        return np.arange(rows * columns).reshape(rows, columns)
    across, down = plan.samplings[number]
    rows, columns = plan.units
    turns = plan.turns
    first = turns.index(number) + np.arange(down)[:, None] * across + np.arange(across)
    unit = np.arange(rows * columns).reshape(rows, columns) * len(turns)
    where = unit[:, None, :, None] + first[:, None, :]
    return where.reshape(rows * down, columns * across)


def _components(blocks: np.ndarray, plan: _Plan, count: list[int]) -> list[Component]:
    found = []
    restarts = np.cumsum([0, *count[:-1]])
    for number, (across, down) in enumerate(plan.samplings):
        grid = _grid(plan, number)
        _undo_differences(blocks, grid, restarts)
        rows, columns = plan.inside(number)
        inside = blocks[grid[:rows, :columns]]
        found.append(Component(across, down, plan.steps[number], inside))
    return found


def _in_order(grid: np.ndarray, restarts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of a component's blocks as the scan has them, and which of them begin a stretch."""
    places = np.sort(grid.flatten())
    stretch = np.searchsorted(restarts, places, side="right")
    return places, np.diff(stretch, prepend=0) > 0


def _undo_differences(blocks: np.ndarray, grid: np.ndarray, restarts: np.ndarray) -> None:
    places, begins = _in_order(grid, restarts)
    total = np.cumsum(blocks[places, 0])
    base = np.where(begins, total - blocks[places, 0], 0)
    numbers = np.cumsum(begins) - 1
    blocks[places, 0] = total - base[np.flatnonzero(begins)][numbers]


def _in_scan_order(components: list[Component], plan: _Plan, count: list[int]) -> np.ndarray:
    """(B, 64): blocks with those beyond the edge, differences of means between neighbours.

    Beyond the edge libjpeg's encoder puts blocks without detail and with the mean of the block
    before, row by row of an MCU.
    """
    blocks = np.zeros((sum(count), K), np.int32)
    restarts = np.cumsum([0, *count[:-1]])
    for number, component in enumerate(components):
        grid = _grid(plan, number)
        rows, columns = component.blocks.shape[:2]
        blocks[grid[:rows, :columns]] = component.blocks
        beyond = np.ones(grid.shape, bool)
        beyond[:rows, :columns] = False
        places, begins = _in_order(grid, restarts)
        outside = np.zeros(len(blocks), bool)
        outside[grid[beyond]] = True
        known = ~outside[places]
        last = np.maximum.accumulate(np.where(known, np.arange(len(places)), 0))
        mean = blocks[places, 0][last]
        blocks[places, 0] = mean - np.where(begins, 0, np.concatenate(([0], mean[:-1])))
    return blocks
