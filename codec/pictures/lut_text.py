"""LUTs as text: .cube, .3dl and .csp, read as OpenColorIO reads them.

.cube: Adobe's "Cube LUT specification 1.0" (DOMAIN_MIN, DOMAIN_MAX) and what Resolve adds to it
(LUT_1D_INPUT_RANGE, LUT_3D_INPUT_RANGE, a 1D table in front of the 3D one); red fastest.
.3dl: Lustre and Flame; whole numbers, whose bit depth is told by the largest; blue fastest.
.csp: Rising Sun's cineSpace; a curve of free points for each channel, then a table; red fastest.
OpenColorIO's FileFormatIridasCube, FileFormatResolveCube, FileFormat3DL and FileFormatCSP say what
these mean where their makers do not. K points of a curve, D grid points of a table.
"""

import io
import logging
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from codec.pictures.lut import apply_curves, identity_lut

MAX_LUT_SIZE = 256  # grid points an axis, Adobe's limit and a HALD picture of level 16
MAX_CURVE_SIZE = 65536  # points, Adobe's limit
_CURVE_SIZE = 65536  # points that hold every level of 16 bits, and so of 8
_NAMED = 3  # ignored keywords that a warning names

logger = logging.getLogger(__name__)


class LutFileError(ValueError):
    """A LUT file that cannot be read; the message names the file and what is wrong."""


class Lut(NamedTuple):
    """A table over [0, 1]^3 and the curves that colours pass before it.

    Attributes:
        table: (3, D, D, D) float32, as `codec.pictures.lut` lays it out.
        shaper: (3, K) float32, values at K evenly spaced points from 0 to 1; None: no curves.
    """

    table: Tensor
    shaper: Tensor | None = None


class _Line(NamedTuple):
    path: Path
    number: int
    words: list[str]

    def is_row(self) -> bool:
        """Whether it starts with a number."""
        try:
            float(self.words[0])
        except ValueError:
            return False
        return True

    def numbers(self, count: int, start: int = 0) -> list[float]:
        """All words from `start` on, `count` of them."""
        words = self.words[start:]
        if len(words) == count:
            try:
                return [float(word) for word in words]
            except ValueError:
                pass
        raise self.error("a number" if count == 1 else f"{count} numbers")

    def whole_numbers(self, count: int) -> list[float]:
        numbers = self.numbers(count)
        if not all(abs(number) < 2**31 and number % 1 == 0 for number in numbers):
            raise self.error(f"{count} whole numbers")
        return numbers

    def size(self, least: int, most: int, start: int = 0) -> int:
        (value,) = self.numbers(1, start)
        if not least <= value <= most or value % 1:
            raise self.error(f"a size of {least} to {most}")
        return int(value)

    def error(self, expected: str) -> LutFileError:
        found = " ".join(self.words)
        return LutFileError(
            f"{self.path}, line {self.number}: expected {expected}, got {found[:60]!r}"
        )


def _lines(text: str, path: Path) -> Iterator[_Line]:
    """Lines that hold words, without comments; commas are blanks."""
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        words = line.split("#", 1)[0].replace(",", " ").split()
        if words:
            yield _Line(path, number, words)


def _rows(values: "array[float]", path: Path) -> Tensor:
    """(rows, 3) float32."""
    return _finite(torch.from_numpy(np.array(values, np.float32)).reshape(-1, 3), path)


def _finite(values: Tensor, path: Path) -> Tensor:
    values = values.float()
    if not bool(values.isfinite().all()):
        raise LutFileError(f"{path}: expected finite numbers, got NaN or infinity")
    return values


def _say_ignored(ignored: dict[str, int], path: Path) -> None:
    if ignored:
        named = [f"{word[:40]} (line {line})" for word, line in list(ignored.items())[:_NAMED]]
        more = f" and {len(ignored) - _NAMED} more" if len(ignored) > _NAMED else ""
        logger.warning("%s: no effect: %s%s", path, ", ".join(named), more)


# Curves. Bounds are (3,) float64, curves (3, K).


def _over_unit(curves: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Curves over [low, high] as curves over [0, 1]."""
    if bool((low == 0).all()) and bool((high == 1).all()):
        return curves
    level = torch.linspace(0, 1, _CURVE_SIZE, dtype=torch.float64).expand(3, -1)
    return _follow((level - low[:, None]) / (high - low)[:, None], curves)


def _follow(values: Tensor, curves: Tensor) -> Tensor:
    """(3, K) values sent through (3, L) curves: (3, K)."""
    return apply_curves(values[None, :, None], curves)[0, :, 0]


def _before_table(shaper: Tensor | None, low: Tensor, high: Tensor) -> Tensor | None:
    """The shaper of a table over [low, high] as the shaper of a table over [0, 1]."""
    if bool((low == 0).all()) and bool((high == 1).all()):
        return shaper
    values = torch.tensor([[0.0, 1.0]] * 3) if shaper is None else shaper
    return (values.double() - low[:, None]) / (high - low)[:, None]


# .cube


def parse_cube(text: str, path: Path) -> Lut:
    """Read a .cube file: 1D, 3D, or 1D in front of 3D.

    DOMAIN_MIN and DOMAIN_MAX belong to the first table of the file. A keyword that is not known
    is left out with a warning, as are Resolve's LUT_IN_VIDEO_RANGE and LUT_OUT_VIDEO_RANGE, which
    OpenColorIO does not apply either.

    Args:
        text: of the file.
        path: for messages.

    Raises:
        LutFileError: the text is no such table.
    """
    keywords, values = _split_cube(text, path)
    points = keywords["LUT_1D_SIZE"].size(2, MAX_CURVE_SIZE, 1) if "LUT_1D_SIZE" in keywords else 0
    size = keywords["LUT_3D_SIZE"].size(2, MAX_LUT_SIZE, 1) if "LUT_3D_SIZE" in keywords else 0
    if not points and not size:
        raise LutFileError(f"{path}: expected a line 'LUT_3D_SIZE n' or 'LUT_1D_SIZE n'")
    count = points + size**3
    if len(values) != 3 * count:
        raise LutFileError(f"{path}: expected {count} rows of numbers, got {len(values) // 3}")
    rows = _rows(values, path)
    shaper = None
    if points:
        shaper = _over_unit(rows[:points].T, *_cube_range(keywords, "LUT_1D", True, path))
    if size:
        shaper = _before_table(shaper, *_cube_range(keywords, "LUT_3D", not points, path))
    table = rows[points:].T.reshape(3, size, size, size) if size else identity_lut(2)
    return Lut(table, None if shaper is None else _finite(shaper, path))


_CUBE_KEYWORDS = (
    "TITLE",
    "LUT_1D_SIZE",
    "LUT_3D_SIZE",
    "DOMAIN_MIN",
    "DOMAIN_MAX",
    "LUT_1D_INPUT_RANGE",
    "LUT_3D_INPUT_RANGE",
)


def _split_cube(text: str, path: Path) -> tuple[dict[str, _Line], "array[float]"]:
    """Keywords in capitals with their lines, and the rows of numbers one after another."""
    keywords: dict[str, _Line] = {}
    values = array("f")
    ignored: dict[str, int] = {}
    for line in _lines(text, path):
        word = line.words[0].upper()
        if line.is_row():
            values.extend(line.numbers(3))
        elif word in _CUBE_KEYWORDS:
            keywords[word] = line
        else:
            ignored.setdefault(word, line.number)
    _say_ignored(ignored, path)
    return keywords, values


def _cube_range(
    keywords: dict[str, _Line], table: str, first: bool, path: Path
) -> tuple[Tensor, Tensor]:
    """The inputs that a table reaches from and to, (3,) each."""
    whole = keywords.get(f"{table}_INPUT_RANGE")
    ends = [keywords.get(key) if first else None for key in ("DOMAIN_MIN", "DOMAIN_MAX")]
    low, high = (
        [default] * 3 if line is None else line.numbers(3, 1)
        for line, default in zip(ends, (0.0, 1.0), strict=True)
    )
    if whole is not None:
        if any(ends):
            raise whole.error("DOMAIN_MIN and DOMAIN_MAX or an input range, not both")
        low, high = ([value] * 3 for value in whole.numbers(2, 1))
    bounds = torch.tensor([low, high], dtype=torch.float64)
    if not bool(bounds.isfinite().all()) or not bool((bounds[0] < bounds[1]).all()):
        raise next(filter(None, (whole, *ends))).error("numbers below those of the upper end")
    return bounds[0], bounds[1]


# .3dl

_3DL_KEYWORDS = ("3DMESH", "MESH", "GAMMA", "LUT8", "LUT10", "LUT12", "LUT16")
_LEAST_PEAK = 128  # smaller whole numbers are no colours of 8 bits or more
_SHAPER_TOLERANCE = 2  # levels; programs round the even steps of a shaper differently


def parse_3dl(text: str, path: Path) -> Lut:
    """Read a .3dl file; see `parse_cube`."""
    shaper: list[float] = []
    values = array("f")
    ignored: dict[str, int] = {}
    for line in _lines(text, path):
        if not line.is_row():
            if line.words[0].upper() not in _3DL_KEYWORDS:
                ignored.setdefault(line.words[0], line.number)
        elif len(line.words) > 3 and not shaper:
            shaper = line.whole_numbers(len(line.words))
        else:
            values.extend(line.whole_numbers(3))
    _say_ignored(ignored, path)
    colours = _rows(values, path)
    size = round(len(colours) ** (1 / 3))
    if size**3 != len(colours) or not 2 <= size <= MAX_LUT_SIZE:
        expected = "8, 27, 64, ... rows of three whole numbers"
        raise LutFileError(f"{path}: expected {expected}, got {len(colours)}")
    table = (colours / _peak(colours, path)).T.reshape(3, size, size, size)
    return Lut(table.permute(0, 3, 2, 1).contiguous(), _3dl_shaper(shaper, path))


def _peak(values: Tensor, path: Path) -> int:
    """What white is: 8, 10, 12 or 16 bits, the fewest whose double the largest number stays below
    (14 bits are not in use)."""
    largest = float(values.max())
    if largest < _LEAST_PEAK:
        raise LutFileError(f"{path}: expected whole numbers of 8 bits or more, got {largest:.0f}")
    return next((2**bits - 1 for bits in (8, 10, 12) if largest < 2 ** (bits + 1)), 65535)


def _3dl_shaper(levels: list[float], path: Path) -> Tensor | None:
    if not levels:
        return None
    values = torch.tensor(levels, dtype=torch.float64)
    peak = _peak(values, path)
    even = torch.linspace(0, peak, len(levels), dtype=torch.float64)
    if bool(((values - even).abs() < _SHAPER_TOLERANCE).all()):
        return None
    return (values / peak).float().expand(3, -1)


# .csp


class _Reader:
    """Takes the lines of a file one by one."""

    def __init__(self, lines: Iterator[_Line], path: Path) -> None:
        self._lines, self._path = lines, path

    def next(self, expected: str) -> _Line:
        line = next(self._lines, None)
        if line is None:
            raise LutFileError(f"{self._path}: expected {expected}, the file ends")
        return line


def parse_csp(text: str, path: Path) -> Lut:
    """Read a .csp file; see `parse_cube`."""
    reader = _Reader(_lines(text, path), path)
    line = reader.next("CSPLUTV100")
    if line.words[0].upper() != "CSPLUTV100":
        raise line.error("CSPLUTV100")
    kind = reader.next("1D or 3D")
    if kind.words[0].upper() not in ("1D", "3D"):
        raise kind.error("1D or 3D")
    line = _skip_metadata(reader)
    knots = []
    for _ in range(3):
        knots.append(_knots(line, reader))
        line = reader.next("a size")
    shaper = _csp_shaper(knots)
    if kind.words[0] == "1D":
        curves = _csp_rows(reader, line.size(2, MAX_CURVE_SIZE), path)
        shaper = curves if shaper is None else _follow(shaper, curves)
        return Lut(identity_lut(2), _finite(shaper, path))
    if len(line.words) != 3 or len(set(line.words)) != 1:
        raise line.error("the same size for three axes")
    size = line.size(2, MAX_LUT_SIZE, 2)
    table = _csp_rows(reader, size**3, path).reshape(3, size, size, size)
    return Lut(table, None if shaper is None else _finite(shaper, path))


def _skip_metadata(reader: _Reader) -> _Line:
    """The first line after the metadata, if there are any."""
    expected = "a number of points"
    line = reader.next(expected)
    if line.words[0].upper() != "BEGIN":
        return line
    while line.words[0].upper() != "END":
        line = reader.next("END METADATA")
    return reader.next(expected)


def _csp_rows(reader: _Reader, count: int, path: Path) -> Tensor:
    """(3, count) float32."""
    values = array("f")
    for _ in range(count):
        values.extend(reader.next(f"{count} rows of numbers").numbers(3))
    return _rows(values, path).T


def _knots(line: _Line, reader: _Reader) -> Tensor:
    """(2, K) float64: the points of one channel's curve, inputs and outputs."""
    count = line.size(0, MAX_CURVE_SIZE)
    if count < 2:  # no curve
        return torch.tensor([[0.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    inputs, outputs = (reader.next("points of a curve") for _ in range(2))
    knots = torch.tensor([inputs.numbers(count), outputs.numbers(count)], dtype=torch.float64)
    if not bool(knots.isfinite().all()) or not bool((knots[0].diff() > 0).all()):
        raise inputs.error("finite points with ascending inputs")
    return knots


def _csp_shaper(knots: list[Tensor]) -> Tensor | None:
    """(3, K) float64 over [0, 1] from three curves through points; None where nothing changes."""
    if all(torch.equal(*points) for points in knots):
        return None
    low, high = (torch.stack([points[0, end] for points in knots]) for end in (0, -1))
    curves = []
    for points in knots:
        x = torch.linspace(0, 1, _CURVE_SIZE, dtype=torch.float64)
        curves.append(_smooth(points[0, 0] + x * (points[0, -1] - points[0, 0]), points))
    return _over_unit(torch.stack(curves), low, high)


def _smooth(x: Tensor, knots: Tensor) -> Tensor:
    """A cubic Hermite curve through the points, whose slope at an inner point is that of the line
    through its neighbours; the first and last pieces are parabolas. (N,), (2, K) -> (N,)."""
    place, value = knots
    width, rise = place.diff(), value.diff()
    inner = (value[2:] - value[:-2]) / (place[2:] - place[:-2])
    chord = rise / width
    if len(inner):
        ends = 2 * chord[0] - inner[0], 2 * chord[-1] - inner[-1]
        slope = torch.cat((ends[0][None], inner, ends[1][None]))
    else:
        slope = chord.expand(2)
    piece = (torch.searchsorted(place, x, right=True) - 1).clamp(0, len(width) - 1)
    t = (x - place[piece]) / width[piece]
    start, end = (slope[piece + k] * width[piece] for k in (0, 1))
    square = 3 * rise[piece] - 2 * start - end
    cube = start + end - 2 * rise[piece]
    return value[piece] + t * (start + t * (square + t * cube))
