"""A picture as the application on coding with a cloud gallery has it, for comparison.

What is there (S4 to S6, claims 7 to 9): matched points divide the similar picture into regions;
each is moved by the best of several perspective matrices, and its light is compensated; every
block of the picture is that block of it, wherever it is, with the smallest squared error, and a
residual.
The formula of "best" is missing in the text; here it is the reading of
D_i(H) = sum of rho(|x - H x'|) over the matches of region i, with x in the picture and x' in the
similar one. The text also leaves out which block was chosen, without which nobody could decode.
`codec.align` predicts better for fewer bytes, see `study=album`.

Axes: H W pixels, M matches, R regions, B blocks.
"""

import hashlib
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from codec.align.features import warp_of
from codec.container import FormatError
from codec.gallery.descriptors import describe
from codec.gallery.matching import matches
from codec.pictures.picture_files import picture_of
from codec.prediction.numbers import pack_numbers, unpack_numbers
from codec.prediction.warp import Warp
from codec.search.encoders import encoder

_MAGIC = b"DFCGAL\1"
_HEAD = struct.Struct("<32sHHBHI")  # the similar picture, size, regions, bytes of them and blocks
_BLOCK = 16
_MOST_REGIONS = 4
_LEAST_MATCHES = 12  # of a region
_MATRICES = 200  # that are tried for a region
_TRUNCATED = 4.0  # pixels beyond which a match says nothing
_HALF = 127
_SIDES = 1 << 16


class Region(NamedTuple):
    """A part of a picture that one matrix moves.

    Attributes:
        middle: x and y in pixels; a pixel belongs to the nearest one.
        corners: see `Warp`.
        light: (3,) grey levels that are added.
    """

    middle: tuple[int, int]
    corners: tuple[int, ...]
    light: tuple[int, ...]

    def pack(self) -> bytes:
        """As the stream has it."""
        return pack_numbers((*self.middle, *self.corners, *self.light))


def encode(pixels: Tensor, similar: Tensor, quality: int, is_robust: bool = True) -> bytes | None:
    """The stream of a picture, or None where no points match.

    Args:
        pixels: (3, H, W) uint8.
        similar: (3, h, w) uint8, as a decoder has it.
        quality: of the JPEG file that the residual is.
        is_robust: whether matches that are far off count no more than at a few pixels; else the
            square of their distance counts, as the text has it.
    """
    regions = _regions(pixels, similar, is_robust)
    if not regions:
        return None
    lit = _light(pixels, similar, regions)
    reference = _moved(similar, lit, pixels.shape[1:])
    numbers = _nearest_blocks(pixels, reference)
    residual = pixels.int() - _assembled(reference, numbers, pixels.shape[1:])
    shifted = (residual.clamp(-_HALF, _HALF) + _HALF).to(torch.uint8)
    parameters = b"".join(region.pack() for region in lit)
    blocks = zlib.compress(numbers.numpy().astype("<u4").tobytes(), 9)
    height, width = pixels.shape[1:]
    head = _HEAD.pack(_index(similar), height, width, len(lit), len(parameters), len(blocks))
    return _MAGIC + head + parameters + blocks + encoder("jpeg").encode(shifted, quality)


def decode(stream: bytes, similar: Tensor) -> Tensor:
    """The picture (3, H, W) uint8 of a stream.

    Args:
        stream: of `encode`.
        similar: the picture that it was given.

    Raises:
        FormatError: no such stream, or another picture.
    """
    try:
        if not stream.startswith(_MAGIC):
            raise ValueError("another start")
        at = len(_MAGIC) + _HEAD.size
        index, height, width, count, parameters, blocks = _HEAD.unpack(stream[len(_MAGIC) : at])
        if index != _index(similar):
            raise FormatError("expected the picture that it was predicted from")
        if not height or not width:
            raise ValueError("no pixels")
        regions = _unpacked(stream[at : at + parameters], count)
        at += parameters
        rows, columns = -(-height // _BLOCK), -(-width // _BLOCK)
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(stream[at : at + blocks], 4 * rows * columns)
        numbers = torch.from_numpy(np.frombuffer(raw, "<u4").astype(np.int64))
        if not regions or len(numbers) != rows * columns or numbers.max() >= len(numbers):
            raise ValueError("other blocks")
        shifted = picture_of(stream[at + blocks :], Path("residual")).pixels
        if shifted.shape != (3, height, width):
            raise ValueError("a residual of another size")
    except FormatError:
        raise
    except (ValueError, struct.error, zlib.error) as error:
        raise FormatError("expected a picture coded with a gallery") from error
    reference = _moved(similar, regions, shifted.shape[1:])
    predicted = _assembled(reference, numbers, shifted.shape[1:])
    return (predicted + shifted.int() - _HALF).clamp(0, 255).to(torch.uint8)


def _index(similar: Tensor) -> bytes:
    """What names a picture of the gallery: its shape and its pixels."""
    shape = "x".join(map(str, similar.shape))
    return hashlib.sha256(shape.encode() + similar.contiguous().numpy().tobytes()).digest()


def _unpacked(data: bytes, count: int) -> list[Region]:
    numbers = unpack_numbers(data, 13 * count)
    rows = [numbers[n : n + 13] for n in range(0, len(numbers), 13)]
    return [Region((row[0], row[1]), row[2:10], row[10:]) for row in rows]


def _regions(pixels: Tensor, similar: Tensor, is_robust: bool) -> list[Region]:
    """Regions with their best matrices, without light."""
    one, other = describe(pixels), describe(similar)
    if one is None or other is None or max(pixels.shape[1:]) >= _SIDES:
        return []
    here, there = matches(one, other)
    if len(here) < _LEAST_MATCHES:
        return []
    count = min(_MOST_REGIONS, len(here) // _LEAST_MATCHES)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 1.0)
    cv2.setRNGSeed(0)
    _, labels, _ = cv2.kmeans(there, count, None, stop, 3, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    rng = np.random.default_rng(0)
    found = []
    for number in range(count):
        own = np.flatnonzero(labels[:, 0] == number)
        matrix = _best_matrix(here[own], there[own], rng, is_robust)
        warp = None if matrix is None else warp_of(matrix, (pixels.shape[1], pixels.shape[2]))
        if warp is not None:
            x, y = (int(v) for v in here[own].mean(0))
            found.append(Region((x, y), warp.corners, (0, 0, 0)))
    return found


def _best_matrix(
    here: np.ndarray, there: np.ndarray, rng: np.random.Generator, is_robust: bool
) -> np.ndarray | None:
    """(3, 3) from picture to similar picture: of those that four matches make, the one whose D is
    smallest."""
    best, least = None, np.inf
    if len(here) < 4:
        return None
    for _ in range(_MATRICES):
        four = rng.choice(len(here), 4, replace=False)
        matrix = cv2.getPerspectiveTransform(
            there[four].astype(np.float32), here[four].astype(np.float32)
        )
        if abs(np.linalg.det(matrix)) < 1e-6:
            continue
        with np.errstate(all="ignore"):
            moved = cv2.perspectiveTransform(there[None].astype(np.float64), matrix)[0]
        away = ((moved - here) ** 2).sum(1)
        total = float((np.minimum(away, _TRUNCATED**2) if is_robust else away).sum())
        if total < least:
            best, least = np.linalg.inv(matrix), total
    return best


def _owners(regions: list[Region], size: tuple[int, ...]) -> Tensor:
    """(H, W) int64: the region of every pixel."""
    y, x = torch.arange(size[0])[:, None], torch.arange(size[1])
    away = [(x - mx) ** 2 + (y - my) ** 2 for (mx, my), _, _ in regions]
    return torch.stack(away).argmin(0)


def _moved(similar: Tensor, regions: list[Region], size: tuple[int, ...]) -> Tensor:
    """(3, H, W) int32 grey levels: the similar picture, moved and lit."""
    owners = _owners(regions, size)
    out = torch.zeros(3, *size, dtype=torch.int32)
    for number, (_, corners, light) in enumerate(regions):
        moved = Warp(corners)(similar.int() * 16, (size[0], size[1])) + 8 >> 4
        lit = moved + torch.tensor(light, dtype=torch.int32)[:, None, None]
        out = torch.where(owners == number, lit, out)
    return out.clamp(0, 255)


def _light(pixels: Tensor, similar: Tensor, regions: list[Region]) -> list[Region]:
    """The regions with what their pixels differ by."""
    size = pixels.shape[1:]
    difference = (pixels.int() - _moved(similar, regions, size)).float()
    owners = _owners(regions, size)
    lit = []
    for number, region in enumerate(regions):
        own = difference[:, owners == number]
        means = own.mean(1) if own.shape[1] else torch.zeros(3)
        lit.append(region._replace(light=tuple(int(v) for v in means.round())))
    return lit


def _blocks(planes: Tensor) -> Tensor:
    """(B, 3 _BLOCK^2) float32 of planes (3, H, W), the last ones filled up."""
    bottom, right = (-n % _BLOCK for n in planes.shape[1:])
    padded = F.pad(planes[None].float(), (0, right, 0, bottom), mode="replicate")
    return F.unfold(padded, _BLOCK, stride=_BLOCK)[0].T


def _nearest_blocks(pixels: Tensor, reference: Tensor) -> Tensor:
    """(B,) int64: of every block the one of the reference with the smallest squared error."""
    wanted, known = _blocks(pixels), _blocks(reference)
    return torch.cat(
        [(known.square().sum(1) - 2 * part @ known.T).argmin(1) for part in wanted.split(1024)]
    )


def _assembled(reference: Tensor, numbers: Tensor, size: tuple[int, ...]) -> Tensor:
    """(3, H, W) int32: blocks of a reference, put where they are wanted."""
    rows, columns = (-(-n // _BLOCK) * _BLOCK for n in size)
    chosen = _blocks(reference)[numbers].T[None]
    whole = F.fold(chosen, (rows, columns), _BLOCK, stride=_BLOCK)[0]
    return whole[:, : size[0], : size[1]].round().int()
