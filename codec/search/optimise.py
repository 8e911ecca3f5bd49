"""The smallest file of one picture in one format: all that the format offers, and the search."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from codec.pictures.jpeg_source import JpegSource
from codec.pictures.picture import Picture
from codec.search.criteria import Criterion
from codec.search.encoders import Encoder, size_of_png
from codec.search.find import Found, expectation_of, find
from codec.search.methods import TargetUnreachable, certified

_MAY_PAY = 4
"""Lossless files are tried where a lossy one is above a quarter of a quick PNG: of photos they are
below an eighth at quality 95, of screenshots and line art above a half at quality 50."""
_CLEARLY = 0.1
"""By how much files with full chroma should be smaller to be searched instead. Of 32 photos at
SSIMULACRA2 80 six were smaller with it; so chosen, files are 1.0 % larger than the smaller of both,
which takes 2 to 3 more probes to find."""


class Request(NamedTuple):
    """What is wanted of a file.

    Attributes:
        criteria: see `codec.search.criteria.at_least`.
        source: what the JPEG file that the picture comes from says of its quality.
        lowest: no quality below this one.
        like: a picture whose metadata the file gets, or None.
    """

    criteria: Sequence[Criterion]
    source: JpegSource | None = None
    lowest: int = 1
    like: Picture | None = None


def optimise(picture: Tensor, encoder: Encoder, request: Request) -> Found:
    """The smallest file that meets all criteria.

    Formats that halve chroma get full chroma where that should be clearly smaller, or where nothing
    else meets the criteria. Lossless files are tried where they may be smaller, or likewise; not of
    pictures that were JPEG files, which are smaller still.

    Args:
        picture: (C, H, W) uint8.
        encoder: see `codec.search.encoders`.
        request: what is wanted.

    Raises:
        TargetUnreachable: there is no such file.
    """
    try:
        found = _lossy(picture, encoder, request)
    except TargetUnreachable as error:
        lossless = _lossless(picture, encoder, request)
        if lossless is None:
            raise
        return replace(lossless, others=error.probes)
    if request.source is not None or len(found.data) * _MAY_PAY < size_of_png(picture):
        return found
    lossless = _lossless(picture, encoder, request)
    if lossless is None or len(lossless.data) >= len(found.data):
        return found
    return replace(lossless, others=found.probes + found.others)


def _lossy(picture: Tensor, encoder: Encoder, request: Request) -> Found:
    """The lowest quality of the kind of chroma that should be smaller, or else of the other."""
    finer = encoder.full_chroma if len(picture) == 3 else None
    if finer is None:
        return _find(picture, encoder, request)
    first, second = encoder, finer
    if encoder.is_quick:
        half, full = (_expected_size(picture, one, request) for one in (encoder, finer))
        if full < (1 - _CLEARLY) * half:
            first, second = finer, encoder
    try:
        return _find(picture, first, request)
    except TargetUnreachable as error:
        return replace(_find(picture, second, request), others=error.probes)


def _expected_size(picture: Tensor, encoder: Encoder, request: Request) -> float:
    """Bytes at the quality where a picture should meet the criteria; infinite where at none."""
    criteria, source, _, _ = request
    scale = _qualities(encoder, request)
    place = expectation_of(picture, encoder, criteria, scale, source).position({}, criteria)
    if place > len(scale) - 1:
        return math.inf
    return len(encoder.encode(picture, scale[round(place)]))


def _find(picture: Tensor, encoder: Encoder, request: Request) -> Found:
    criteria, source, _, like = request
    scale = _qualities(encoder, request)
    return find(picture, encoder, criteria, certified, source, scale, like)


def _qualities(encoder: Encoder, request: Request) -> list[int]:
    """Those that are not below the lowest; the best one if that is above all."""
    return [q for q in encoder.qualities if q >= request.lowest] or [encoder.qualities[-1]]


def _lossless(picture: Tensor, encoder: Encoder, request: Request) -> Found | None:
    if request.source is not None:
        return None
    data = encoder.encode_lossless(picture, request.like)
    if data is None:
        return None
    best = request.criteria[0].score.best
    return Found(encoder.qualities[-1], best, True, data, (), 0, encoder, lossless=True)
