"""Fit what the quality search expects of photos before it probes: the table prior.json.

A sweep measures all scores of one piece of a photo at some qualities. It is kept in a file of its
own, so that running the command again goes on where it stopped.
"""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.interpolate import PchipInterpolator
from torch import Tensor
from tqdm import tqdm

from codec.pictures.folders import list_pictures
from codec.pictures.jpeg_source import JpegSource, jpeg_source
from codec.pictures.picture_files import PictureError, read_picture
from codec.pictures.storage import write_atomically
from codec.report import Report
from codec.search.encoders import Encoder, encoder
from codec.search.prior import SHIPPED, PriorModel, axis_of, features, fit, log_gap, row_name
from codec.search.scores import SCORES, WORST_TILE

_SIZES = ((216, 288), (256, 384))  # of crops; scores of 20 pieces take a minute on one core
_SCALES = (1.0, 0.75, 0.6, 0.85, 0.7, 0.5)
_JPEG_QUALITIES = (60, 97)
_JPEG_ENCODERS = ("jpeg_baseline", "jpeg_baseline", "jpeg_444")  # most files halve chroma
_GRID = (1, 3, 6, 10, 15, 20, 26, 33, 40, 47, 54, 61, 68, 74, 79, 84, 88, 91, 93, 95, 97, 99, 100)
# JPEG files of JPEG files: their scores jump where a step is a multiple of the former one.
_FINE_GRID = tuple(sorted({*_GRID, *range(62, 96)}))
_FEWEST = 4  # pieces to fit a row to
_SCORES = (*SCORES.values(), WORST_TILE)


class Piece(NamedTuple):
    """A piece of a photo, (3, H, W) uint8, and what the JPEG file says that it was."""

    name: str
    pixels: Tensor
    source: JpegSource | None


Curves = dict[int, dict[str, float]]  # by quality, then by name of the score


def run(photos: str, out: str, sweeps: str, encoders: list[str], pieces: int) -> Report:
    """Measure and fit a row for every encoder and score, for JPEG files and for others.

    Args:
        photos: folder of photos that no benchmark uses.
        out: JSON to add to; `shipped` is the one of the package.
        sweeps: folder for what is measured.
        encoders: names.
        pieces: how many to measure at most.
    """
    every, failures = _pieces(photos)
    path = SHIPPED if out == "shipped" else Path(out)
    table = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    chosen = every[:pieces]
    for name in encoders:
        curves = [
            _sweep(piece, encoder(name), Path(sweeps) / name)
            for piece in tqdm(chosen, desc=f"sweep {name}", disable=None)
        ]
        for from_jpeg in (False, True):
            mine = [n for n, p in enumerate(chosen) if (p.source is not None) == from_jpeg]
            if len(mine) < _FEWEST:
                continue
            known = np.stack([features(chosen[n].pixels, chosen[n].source) for n in mine])
            for score in _SCORES:
                depths = [_depths(curves[n], chosen[n], encoder(name), score.name) for n in mine]
                row = _rounded(fit(np.stack(depths), known))
                table[row_name(name, score.name, from_jpeg)] = row
        text = json.dumps(table, separators=(",", ":")).replace('},"', '},\n"')
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (text + "\n").encode())
    return Report(f"{len(chosen)} pieces, {len(table)} rows in {path}", failures)


def _pieces(photos: str) -> tuple[list[Piece], list[str]]:
    """Pieces in random order, and a sentence for each photo that cannot be used."""
    found, failures = [], []
    for number, (path, name) in enumerate(list_pictures([photos])):
        try:
            found += list(_pieces_of(path, str(name), number))
        except PictureError as error:
            failures.append(str(error))
    if not found:
        raise ValueError(f"expected at least one picture in {photos}")
    random.Random(1).shuffle(found)
    return found, failures


def _pieces_of(path: Path, name: str, number: int) -> Iterator[Piece]:
    """JPEG files as they are, with their grid; others as two crops and one stored as JPEG first.

    Sizes, places and qualities follow from the number of the photo.
    """
    rng = random.Random(number)
    pixels = read_picture(path).pixels
    if pixels.dtype != torch.uint8:
        raise PictureError(f"{path}: expected 8 bits a channel")
    source = jpeg_source(path.read_bytes())
    if source is not None:
        height, width = (min(n, m) for n, m in zip(pixels.shape[1:], _SIZES[1], strict=True))
        yield Piece(name, pixels[:, :height, :width].contiguous(), source)
        return
    for turn, size in enumerate(_SIZES):
        scale = _SCALES[(2 * number + turn) % len(_SCALES)]
        yield Piece(f"{name} {turn}", _crop(pixels, scale, size, rng), None)
    crop = _crop(pixels, _SCALES[number % len(_SCALES)], _SIZES[0], rng)
    yield Piece(f"{name} jpeg", *_through_jpeg(crop, rng))


def _crop(picture: Tensor, scale: float, largest: tuple[int, int], rng: random.Random) -> Tensor:
    """A random crop of a picture (3, H, W) uint8, after reducing it."""
    if scale < 1:
        size = [max(1, round(n * scale)) for n in picture.shape[1:]]
        x = F.interpolate(picture[None].float(), size, mode="bicubic", antialias=True)
        picture = x[0].round().clamp(0, 255).to(picture.dtype)
    height, width = (min(n, m) for n, m in zip(picture.shape[1:], largest, strict=True))
    top = rng.randint(0, picture.shape[1] - height)
    left = rng.randint(0, picture.shape[2] - width)
    return picture[:, top : top + height, left : left + width].contiguous()


def _through_jpeg(picture: Tensor, rng: random.Random) -> tuple[Tensor, JpegSource | None]:
    """The picture out of a JPEG file of random quality, and what that says."""
    quality, one = rng.randint(*_JPEG_QUALITIES), encoder(rng.choice(_JPEG_ENCODERS))
    data = one.encode(picture, quality)
    return one.decode(data), jpeg_source(data)


def _sweep(piece: Piece, one: Encoder, folder: Path) -> Curves:
    """All scores at the qualities of the grid, out of the folder if they are there."""
    path = folder / f"{piece.name.replace('/', '_')}.json"
    if path.exists():
        read = json.loads(path.read_text(encoding="utf-8"))
        return {int(quality): scores for quality, scores in read.items()}
    found: Curves = {}
    for quality in _FINE_GRID if one.is_quick and piece.source is not None else _GRID:
        decoded = one.probe(piece.pixels, quality).decoded
        found[quality] = {s.name: round(s.measure(piece.pixels, decoded), 6) for s in _SCORES}
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(found).encode())
    return found


def _depths(curves: Curves, piece: Piece, one: Encoder, score: str) -> np.ndarray:
    """(X,) depths over `axis_of`, without the jump where a JPEG file's own tables come again."""
    jump = None if piece.source is None else one.quality_of(piece.source)
    known = [quality for quality in curves if quality != jump]
    to_unit = next(s.to_unit for s in _SCORES if s.name == score)
    depths = [log_gap(to_unit(curves[quality][score])) for quality in known]
    grid, axis = axis_of(one.name, piece.source)
    return np.interp(grid, axis, PchipInterpolator(known, depths)(np.arange(1, 101)))


def _rounded(model: PriorModel) -> dict[str, Sequence[float]]:
    return {name: values.round(4).tolist() for name, values in model._asdict().items()}
