"""LUTs in the files that other programs open: .cube, .3dl, .csp and HALD pictures.

HALD level L: a picture of side L^3 holding a table of L^2 grid points an axis, red fastest.
"""

import codecs
import logging
import math
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from codec.pictures.lut import resample
from codec.pictures.lut_text import (
    MAX_LUT_SIZE,
    Lut,
    LutFileError,
    parse_3dl,
    parse_csp,
    parse_cube,
)
from codec.pictures.picture_files import PictureError, read_picture, write_pixels
from codec.pictures.storage import read_limited, write_atomically

MAX_TEXT_BYTES = 128 * 2**20
MOST_TRAVEL = 2.0  # 250 real looks reach 1.0, photos start at 3
_FOLDED_SIZE = 65  # grid points of a table that holds curves too
_PARSERS = {".cube": parse_cube, ".3dl": parse_3dl, ".csp": parse_csp}

logger = logging.getLogger(__name__)


def read_lut(path: Path | str) -> Lut:
    """Read a .cube, .3dl or .csp file, or any other picture as HALD.

    What a file says and has no effect, and a HALD picture that cannot be exact, are warned of.

    Raises:
        LutFileError: the file is not a table of any kind.
    """
    path = Path(path)
    parse = _PARSERS.get(path.suffix.lower())
    return Lut(_load_hald(path)) if parse is None else parse(_read_text(path), path)


def load_lut(path: Path | str) -> Tensor:
    """The same as one table, (3, D, D, D) float32, which holds the curves in front of it too."""
    table, shaper = read_lut(path)
    if shaper is None:
        return table
    straight = shaper.shape[1] == 2
    size = table.shape[-1] if straight else max(_FOLDED_SIZE, table.shape[-1])
    return resample(table, size, shaper)


def _read_text(path: Path) -> str:
    data = read_limited(path, MAX_TEXT_BYTES, LutFileError)
    # Titles come in any encoding.
    return data.decode(_encoding(data), errors="replace")


def _encoding(data: bytes) -> str:
    """UTF-16 by its byte order mark, or by the zero beside the first letter; else UTF-8."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    wide = {b"\0": "utf-16-be"}.get(data[:1], {b"\0": "utf-16-le"}.get(data[1:2]))
    return wide or "utf-8-sig"


def save_cube(table: Tensor, path: Path | str, title: str = "look") -> None:
    """Write a (3, D, D, D) table as .cube with six decimals."""
    size = table.shape[-1]
    rows = table.detach().cpu().double().flatten(1).T.tolist()
    header = [
        f'TITLE "{title.replace(chr(34), chr(39))}"',
        f"LUT_3D_SIZE {size}",
        "DOMAIN_MIN 0.0 0.0 0.0",
        "DOMAIN_MAX 1.0 1.0 1.0",
    ]
    lines = header + [f"{red:.6f} {green:.6f} {blue:.6f}" for red, green, blue in rows]
    write_atomically(Path(path), ("\n".join(lines) + "\n").encode())


def save_hald(table: Tensor, path: Path | str, bits: int = 8) -> None:
    """Write a (3, L^2, L^2, L^2) table as a HALD PNG of 8 or 16 bits a channel."""
    level = math.isqrt(table.shape[-1])
    if level * level != table.shape[-1]:
        raise ValueError(f"expected a table of 4, 9, 16, ... points an axis, got {table.shape[-1]}")
    if bits not in (8, 16):
        raise ValueError(f"expected 8 or 16 bits, got {bits}")
    side, peak = level**3, 2**bits - 1
    pixels = (table.detach().cpu().double().clamp(0, 1) * peak).round().reshape(3, side, side)
    write_pixels(Path(path), pixels.to(torch.uint8 if bits == 8 else torch.uint16))


def _load_hald(path: Path) -> Tensor:
    """(3, D, D, D) from a HALD picture of any level, 8 or 16 bits."""
    try:
        picture = read_picture(path)
    except PictureError as error:
        expected = "expected a .cube, .3dl or .csp file or a HALD picture"
        raise LutFileError(f"{error}; {expected}") from error
    height, width = picture.pixels.shape[1:]
    level = round(width ** (1 / 3))
    if height != width or level**3 != width or not 2 <= level * level <= MAX_LUT_SIZE:
        strip = f": a strip of {height} tiles, of another kind" if width == height * height else ""
        raise LutFileError(
            f"{path}: expected a square HALD picture of side 8, 27, 64, ... pixels, "
            f"got {width} x {height}{strip}; a photo gives its look by `extract` or `transfer`"
        )
    size = level * level
    pixels = picture.floats()
    table = pixels.reshape(3, size, size, size).clone()
    if _travel(table) > MOST_TRAVEL:
        tiles = pixels.reshape(3, level, size, level, size).transpose(2, 3)
        found = "an ordinary picture"
        if _travel(tiles.reshape(3, size, size, size)) <= MOST_TRAVEL:
            found = f"a table in {size} tiles, of another kind (OBS Studio's)"
        raise LutFileError(f"{path}: {found}, expected a HALD table of colours")
    if not _holds_every_colour(path):
        logger.warning(
            "%s: a HALD picture with lossy compression or a palette: colours come out wrong by up "
            "to a third of the range; expected PNG or TIFF with all its colours",
            path,
        )
    return table


def _holds_every_colour(path: Path) -> bool:
    """Whether a picture file keeps each pixel as it was: no lossy compression, no short palette."""
    with Image.open(path) as image:
        if image.format == "WEBP":
            return b"VP8 " not in path.read_bytes()  # the chunk of lossy pixels
        short = image.mode == "P" and image.width * image.height > 256
        return image.format not in ("JPEG", "MPO", "AVIF", "JPEG2000") and not short


def _travel(table: Tensor) -> float:
    """How far a channel moves on its way along a line of the table, on average: 1 at most for a
    look that only brightens, several for the pixels of a photo."""
    steps = torch.stack([table.diff(dim=axis).abs().mean() for axis in (1, 2, 3)])
    return float(steps.max()) * (table.shape[-1] - 1)
