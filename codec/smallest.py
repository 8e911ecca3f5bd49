"""The smallest stream of a picture at a quality or a score: alone, or predicted from another."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from codec.align.search import best_prediction
from codec.pictures.jpeg_source import JpegSource
from codec.search.criteria import Criterion
from codec.search.encoders import OwnEncoder
from codec.search.find import Found, find
from codec.settings import Settings


class Smallest(NamedTuple):
    """A stream.

    Attributes:
        data: the bytes, without metadata.
        note: what a search says of it, or empty.
        reference: hash of what it is predicted from, or None.
        alone: bytes that the picture takes alone.
    """

    data: bytes
    note: str
    reference: bytes | None
    alone: int


def smallest(
    pixels: Tensor,
    settings: Settings,
    criteria: Sequence[Criterion] | None = None,
    references: Mapping[bytes, Tensor] | None = None,
    source: JpegSource | None = None,
    device: str = "cpu",
) -> Smallest:
    """Code a picture, predicted where that is smaller.

    Args:
        pixels: (3, H, W) or (1, H, W) uint8.
        settings: with criteria, its quality does not matter.
        criteria: what is to be reached, see `codec.search.criteria.at_least`.
        references: exact planes by their hash, which it may be predicted from.
        source: what the JPEG file that the picture comes from says of its quality.
        device: where to compute.
    """
    own = OwnEncoder.of(settings, device)

    def coded(encoder: OwnEncoder) -> tuple[bytes, str]:
        if criteria is not None:
            found = find(pixels, encoder, criteria, source=source)
            return found.data, describe(found, criteria)
        if settings.lossless:
            return encoder.encode_lossless(pixels), ""
        return encoder.encode(pixels, settings.quality), ""

    alone = coded(own)
    guess = None
    if references is not None:
        guess = best_prediction(
            pixels,
            references,
            settings.quality,
            mode=settings.mode,
            lossless=settings.lossless,
        )
    if guess is not None:
        # A search tries many qualities: there hints are not tried on top.
        forms = [guess] if criteria is not None else [guess, guess.hinted()]
        less = min((coded(replace(own, predicted=one)) for one in forms), key=lambda x: len(x[0]))
        if len(less[0]) < len(alone[0]):
            return Smallest(*less, guess.prediction.reference, len(alone[0]))
    return Smallest(*alone, None, len(alone[0]))


def describe(found: Found, criteria: Sequence[Criterion]) -> str:
    """What a search found, as a clause."""
    probes = f"{found.cost} probe{'s' * (found.cost != 1)}"
    if found.lossless:
        return f"lossless, {probes}"
    chroma = " with full chroma" * found.encoder.name.endswith("_444")
    score = f"{criteria[0].score.name} {found.score:.4f}"
    return f"quality {found.quality}{chroma}, {score}, {probes}"
