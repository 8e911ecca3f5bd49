"""LUTs in the files that other programs open: .cube and HALD pictures.

.cube: text, red fastest, as Adobe's "Cube LUT specification 1.0" describes it (3D tables; 1D tables
are read too). HALD level L: a picture of side L^3 holding a table of L^2 grid points an axis.
"""

import math
from pathlib import Path

import torch
from torch import Tensor

from codec.pictures.lut import compose, identity_lut
from codec.pictures.picture_files import PictureError, read_picture, write_pixels
from codec.pictures.storage import write_atomically

MAX_LUT_SIZE = 256  # a HALD picture of level 16
MAX_CUBE_BYTES = 128 * 2**20
MOST_TRAVEL = 2.0  # 250 real looks reach 1.0, photos start at 3


class LutFileError(ValueError):
    """A .cube or HALD file that cannot be read; the message names the file and what is wrong."""


def load_lut(path: Path | str) -> Tensor:
    """Read a .cube file, or any picture as HALD.

    Returns:
        (3, D, D, D) float32, as `codec.pictures.lut` lays it out.

    Raises:
        LutFileError: the file is not a table of either kind.
    """
    path = Path(path)
    return load_cube(path) if path.suffix.lower() == ".cube" else load_hald(path)


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


def load_cube(path: Path | str) -> Tensor:
    """Read a .cube file with any domain; see `load_lut`."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_CUBE_BYTES:
            raise LutFileError(f"{path}: larger than {MAX_CUBE_BYTES >> 20} MiB")
        # Titles come in any encoding, some files with a byte order mark.
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise LutFileError(f"{path}: cannot be read ({error.strerror or error})") from error
    keywords, values = _parse_cube(text, path)
    low, high = (
        torch.tensor(keywords.get(key, default))
        for key, default in (("DOMAIN_MIN", [0.0] * 3), ("DOMAIN_MAX", [1.0] * 3))
    )
    if low.numel() != 3 or high.numel() != 3 or not bool((high > low).all()):
        raise LutFileError(f"{path}: expected three DOMAIN_MAX values above DOMAIN_MIN")
    if "LUT_3D_SIZE" in keywords:
        size = _declared_size(keywords["LUT_3D_SIZE"], MAX_LUT_SIZE, path)
        table = _checked(values, size**3, path).T.reshape(3, size, size, size)
    elif "LUT_1D_SIZE" in keywords:
        size = _declared_size(keywords["LUT_1D_SIZE"], 65536, path)
        return _from_curves(_checked(values, size, path), low, high)
    else:
        raise LutFileError(f"{path}: expected a line 'LUT_3D_SIZE n'")
    return _to_unit_domain(table, low, high)


def _parse_cube(text: str, path: Path) -> tuple[dict[str, list[float]], list[list[float]]]:
    keywords: dict[str, list[float]] = {}
    values: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if not words or words[0] == "TITLE":
            continue
        named = words[0][0].isalpha() and words[0].lower() not in ("nan", "inf", "infinity")
        try:
            row = [float(word) for word in (words[1:] if named else words)]
        except ValueError as error:
            raise LutFileError(
                f"{path}, line {number}: expected numbers, got {line[:60]!r}"
            ) from error
        if named:
            keywords[words[0]] = row
        elif len(row) == 3:
            values.append(row)
        else:
            raise LutFileError(f"{path}, line {number}: expected 3 numbers, got {len(row)}")
    return keywords, values


def _declared_size(words: list[float], largest: int, path: Path) -> int:
    if len(words) != 1 or not 2 <= words[0] <= largest or words[0] % 1:
        raise LutFileError(f"{path}: expected a table size of 2 to {largest}, got {words}")
    return int(words[0])


def _checked(values: list[list[float]], count: int, path: Path) -> Tensor:
    if len(values) != count:
        raise LutFileError(f"{path}: expected {count} rows of numbers, got {len(values)}")
    table = torch.tensor(values, dtype=torch.float32)
    if not bool(table.isfinite().all()):
        raise LutFileError(f"{path}: expected finite numbers, got NaN or infinity")
    return table


def _from_curves(curves: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """A 1D table of (size, 3) as a 3D one of 65 grid points."""
    grid = identity_lut(65)
    position = (grid.movedim(0, -1) - low) / (high - low)
    index = position.clamp(0, 1) * (len(curves) - 1)
    lower = index.floor().long().clamp(max=len(curves) - 2)
    channels = [
        torch.lerp(
            curves[lower[..., c], c], curves[lower[..., c] + 1, c], index[..., c] - lower[..., c]
        )
        for c in range(3)
    ]
    return torch.stack(channels)


def _to_unit_domain(table: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Resample a table over [low, high] to the same number of grid points over [0, 1]."""
    if bool((low == 0).all()) and bool((high == 1).all()):
        return table
    low, high = (bound.view(3, 1, 1, 1) for bound in (low, high))
    position = (identity_lut(table.shape[-1]) - low) / (high - low)
    return compose(position.clamp(0, 1)[None], table)[0]


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


def load_hald(path: Path | str) -> Tensor:
    """Read a HALD picture of any level, 8 or 16 bits; see `load_lut`."""
    try:
        picture = read_picture(path)
    except PictureError as error:
        raise LutFileError(f"{error}; expected a .cube file or a HALD picture") from error
    height, width = picture.pixels.shape[1:]
    level = round(width ** (1 / 3))
    if height != width or level**3 != width or not 2 <= level * level <= MAX_LUT_SIZE:
        raise LutFileError(
            f"{path}: expected a square HALD picture of side 8, 27, 64, ... pixels, "
            f"got {width} x {height}"
        )
    size = level * level
    table = picture.floats().reshape(3, size, size, size).clone()
    if _travel(table) > MOST_TRAVEL:
        raise LutFileError(f"{path}: an ordinary picture, expected a HALD table of colours")
    return table


def _travel(table: Tensor) -> float:
    """How far a channel moves on its way along a line of the table, on average: 1 at most for a
    look that only brightens, several for the pixels of a photo."""
    steps = torch.stack([table.diff(dim=axis).abs().mean() for axis in (1, 2, 3)])
    return float(steps.max()) * (table.shape[-1] - 1)
