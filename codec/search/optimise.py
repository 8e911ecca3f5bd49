"""The smallest file of one picture in one format: all that the format offers, and the search."""

import io
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from codec.pictures.picture import Picture
from codec.search.criteria import Criterion
from codec.search.encoders import Encoder
from codec.search.find import Found, Method, expectation_of, find
from codec.search.jpeg_source import JpegSource
from codec.search.methods import (
    Prober,
    TargetUnreachable,
    certified,
    unreachable_error,
)

_MAY_PAY = 4
"""Lossless files are tried where a lossy one is above a quarter of a quick PNG: of photos they are
below an eighth at quality 95, of screenshots and line art above a half at quality 50."""
_CLEARLY = 0.05  # by how much files with full chroma have to be smaller to be searched first
_MARGIN = 3.0  # qualities by which the other kind has to be expected to win to be probed


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

    Formats that halve chroma are tried with full chroma too where that may be smaller, or where
    nothing else meets the criteria. So is lossless coding, but for pictures that were JPEG files,
    which are smaller.

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
    if len(found.data) * _MAY_PAY < _size_of_png(picture):
        return found
    lossless = _lossless(picture, encoder, request)
    if lossless is None or len(lossless.data) >= len(found.data):
        return found
    return replace(lossless, others=found.probes + found.others)


def _lossy(picture: Tensor, encoder: Encoder, request: Request) -> Found:
    """The lowest quality of the kind of chroma that is expected to be smaller, or of the other."""
    finer = encoder.full_chroma if len(picture) == 3 else None
    if finer is None:
        return _find(picture, encoder, request)
    first, second = encoder, finer
    if encoder.is_quick:
        half, full = (_expected_size(picture, one, request) for one in (encoder, finer))
        if full < (1 - _CLEARLY) * half:
            first, second = finer, encoder
    try:
        found = _find(picture, first, request)
    except TargetUnreachable as error:
        return replace(_find(picture, second, request), others=error.probes)
    return _against(picture, second, found, request) if second.is_quick else found


def _expected_size(picture: Tensor, encoder: Encoder, request: Request) -> float:
    """Bytes at the quality where a picture should meet the criteria; infinite where at none."""
    place, scale = _expected_place(picture, encoder, request), _qualities(encoder, request)
    if place > len(scale) - 1:
        return math.inf
    return len(encoder.encode(picture, scale[round(place)]))


def _expected_place(picture: Tensor, encoder: Encoder, request: Request) -> float:
    scale = _qualities(encoder, request)
    expectation = expectation_of(picture, encoder, request.criteria, scale, request.source)
    return expectation.position({}, request.criteria)


def _against(picture: Tensor, rival: Encoder, found: Found, request: Request) -> Found:
    """What was found, or the rival's file if that is smaller.

    The rival's largest smaller file is probed if it is expected to pass, given by how much the
    picture has turned out to need more or less than expected.
    """
    limit = len(found.encoder.encode(picture, found.quality))
    scale = _qualities(rival, request)
    below = bisect_left(scale, limit, key=lambda quality: len(rival.encode(picture, quality)))
    surprise = _qualities(found.encoder, request).index(found.quality) - _expected_place(
        picture, found.encoder, request
    )
    guess = _expected_place(picture, rival, request) + surprise
    if guess > below - 1 - _MARGIN:
        return found
    method = partial(_from_the_top, guess=round(guess))
    try:
        best = _find(picture, rival, request, scale[:below], method)
    except TargetUnreachable as error:
        return replace(found, others=error.probes)
    return replace(best, others=found.probes)


def _from_the_top(prober: Prober, guess: int) -> int:
    """`certified` from a guess, a place on the scale, on; but only if the best quality passes."""
    if not prober.probe(prober.qualities[-1]).passes:
        raise unreachable_error(prober.probes, prober.criteria)
    prober.probe(prober.qualities[max(guess, 0)])
    return certified(prober)


def _find(
    picture: Tensor,
    encoder: Encoder,
    request: Request,
    qualities: Sequence[int] | None = None,
    method: Method = certified,
) -> Found:
    scale = _qualities(encoder, request) if qualities is None else qualities
    criteria, source, _, like = request
    return find(picture, encoder, criteria, method, source, scale, like)


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


def _size_of_png(picture: Tensor) -> int:
    """Bytes of a PNG file that took little time."""
    buffer = io.BytesIO()
    array = picture.permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(array.squeeze(2) if len(picture) == 1 else array).save(
        buffer, "PNG", compress_level=1
    )
    return buffer.tell()
