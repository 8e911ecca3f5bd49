"""How a picture is coded in layers."""

from dataclasses import dataclass, field
from enum import Enum

from codec.layered.differences import LOSSLESS, Coder, OwnCoder, ZipCoder
from codec.layered.geometry import TWO_BY_TWO, WHOLE, Division, Ratio, Sampling
from codec.prediction.upsample import Kernel
from codec.settings import BASES

MOST_LEVELS = 8


class Tags(Enum):
    """Where a block says what it is."""

    STREAM = "stream"
    NAME = "name"
    AGREED = "agreed"


@dataclass(frozen=True)
class LayerSettings:
    """How to code in layers.

    Attributes:
        base: one of `codec.settings.BASES`.
        levels: with the base, from 2.
        ratio: of neighbouring levels.
        division: of every level but the base into blocks.
        coder: of the differences, see `codec.layered.differences`.
        base_quality: on the base's own scale; None takes what makes the fewest bytes in all, by
            and large.
        sampling: how a level is made smaller.
        kernel: how it is enlarged again.
        closed: whether differences are taken from what a decoder has of the level below (paragraph
            87), or from the level below itself (88), which is simpler and drifts.
        sub_blocks: whether blocks are cut in four where that is cheaper (118).
        least_chroma: mean size in grey levels below which chroma of a block is left out (122).
        soften: whether differences are smoothed before they are coded (120).
        smooth: whether differences are smoothed where blocks meet (133).
        tags: where blocks say what they are (124-127): in the stream, in its name alone, or not at
            all, and who reads them has to know the division.
    """

    base: str = "jpeg"
    levels: int = 2
    ratio: Ratio = TWO_BY_TWO
    division: Division = WHOLE
    coder: Coder = field(default_factory=OwnCoder)
    base_quality: int | None = None
    sampling: Sampling = Sampling.BICUBIC
    kernel: Kernel = Kernel.BICUBIC
    closed: bool = True
    sub_blocks: bool = False
    least_chroma: float = 0.0
    soften: bool = False
    smooth: bool = False
    tags: Tags = Tags.STREAM


def check_layer_settings(settings: LayerSettings) -> None:
    """Raise ValueError for a setting out of range."""
    if settings.base not in BASES:
        raise ValueError(f"expected a base out of {', '.join(BASES)}, got {settings.base!r}")
    if not 2 <= settings.levels <= MOST_LEVELS:
        raise ValueError(f"expected 2 to {MOST_LEVELS} levels, got {settings.levels}")
    if settings.ratio == Ratio(1, 1):
        raise ValueError("expected levels of different sizes, got a ratio of 1x1")
    if isinstance(settings.coder, ZipCoder) and settings.tags != Tags.STREAM:
        raise ValueError("expected zipped differences to say what they are: tags in the stream")
    lossy = not settings.closed or settings.soften or settings.smooth or settings.least_chroma > 0
    if settings.coder.quality == LOSSLESS and lossy:
        raise ValueError(
            "expected nothing that loses parts of differences (open loop, softening, smoothing, "
            "left-out chroma) where every pixel is to come back"
        )
