"""Search one picture with any encoder, or a batch with this project's own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from codec.picture import check_picture
from codec.pictures.jpeg_source import JpegSource
from codec.pictures.picture import Picture
from codec.search.criteria import Criterion, meets
from codec.search.encoders import Encoder, OwnEncoder
from codec.search.methods import (
    Expectation,
    Probe,
    Prober,
    TargetUnreachable,
    certified,
    unreachable_error,
)
from codec.search.prior import features, prior_of

_FIRST_APART = 2  # qualities

Method = Callable[[Prober], int]


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes:
        quality: the quality it settled on.
        score: the score there, for the first criterion.
        reached: whether all criteria are met; the literal form of US 9,325,996 misses by one step.
        data: the encoded picture.
        probes: what was measured, in order.
        rounds: batches of probes one after the other; without batches as many as probes.
        encoder: what encoded it.
        lossless: whether every pixel comes back, so that quality and score are the best there are.
        others: what was measured of the other kind of chroma, or lossy, before this was taken.
    """

    quality: int
    score: float
    reached: bool
    data: bytes
    probes: tuple[Probe, ...]
    rounds: int
    encoder: Encoder
    lossless: bool = False
    others: tuple[Probe, ...] = ()

    @property
    def cost(self) -> int:
        """All probes."""
        return len(self.probes) + len(self.others)

    @property
    def is_certified(self) -> bool:
        """Whether its quality was seen to pass and the next lower one, if there is one, to fail."""
        if self.lossless:
            return True
        passed = {probe.quality: probe.passes for probe in self.probes}
        place = self.encoder.qualities.index(self.quality)
        below = self.encoder.qualities[place - 1] if place else None
        return passed[self.quality] and (below is None or passed.get(below) is False)


def find(
    picture: Tensor,
    encoder: Encoder,
    criteria: Sequence[Criterion],
    method: Method = certified,
    source: JpegSource | None = None,
    qualities: Sequence[int] | None = None,
    like: Picture | None = None,
) -> Found:
    """The lowest quality that meets all criteria.

    Args:
        picture: (C, H, W) uint8, on any device; it is scored on the CPU.
        encoder: see `codec.search.encoders`.
        criteria: see `codec.search.criteria.at_least`.
        method: see `codec.search.methods`.
        source: what the JPEG file that the picture comes from says of its quality.
        qualities: which of the encoder's to choose from, rising; None is all of them.
        like: a picture whose metadata the file gets, or None.

    Raises:
        TargetUnreachable: the best quality misses a criterion.
        ValueError: not a picture, no quality or criterion, or a goal off its score's scale.
    """
    check_picture(picture)
    _check(encoder, criteria)
    qualities = encoder.qualities if qualities is None else qualities
    if not qualities:
        raise ValueError("expected at least one quality, got none")
    picture = picture.cpu()  # as what encoders return
    files: dict[int, bytes] = {}

    def measure(quality: int) -> tuple[tuple[float, ...], int | None]:
        decoded, data = encoder.probe(picture, quality)
        if data is not None:
            files[quality] = data
        return scores_of(picture, decoded, criteria), None if data is None else len(data)

    expectation = expectation_of(picture, encoder, criteria, qualities, source)
    prober = Prober(measure, criteria, qualities, expectation)
    quality = method(prober)
    last = prober.probe(quality)
    data = files.get(quality) if like is None else None
    if data is None:
        data = encoder.encode(picture, quality, like)
    probes = tuple(prober.probes)
    return Found(quality, last.score, last.passes, data, probes, len(probes), encoder)


def scores_of(picture: Tensor, decoded: Tensor, criteria: Sequence[Criterion]) -> tuple[float, ...]:
    """One score a criterion, up to the first that is missed: the others need not be measured."""
    scores: list[float] = []
    for score, goal in criteria:
        scores.append(score.measure(picture, decoded))
        if scores[-1] < goal:
            break
    return tuple(scores)


def expectation_of(
    picture: Tensor,
    encoder: Encoder,
    criteria: Sequence[Criterion],
    qualities: Sequence[int],
    source: JpegSource | None,
) -> Expectation:
    """What is known of a picture before the first probe; arguments as of `find`."""
    known = features(picture, source)
    priors = [prior_of(encoder.name, c.score.name, qualities, known, source) for c in criteria]
    jump = None if source is None else encoder.quality_of(source)
    return Expectation(priors, qualities.index(jump) if jump in qualities else None)


def find_batch(
    pictures: list[Tensor], encoder: OwnEncoder, criteria: Sequence[Criterion], width: int = 5
) -> list[Found | TargetUnreachable]:
    """Search many pictures together: each round tries `width` qualities of every picture at once.

    Args:
        pictures: (C, H, W) uint8 of any sizes, on any device; they are scored on the CPU.
        encoder: this project's codec, whose probes need no entropy coding.
        criteria: see `find`.
        width: qualities of a picture in one round.

    Returns:
        One entry a picture, in order: what was found, or that the criteria are out of reach.
    """
    _check(encoder, criteria)
    if width < 1:
        raise ValueError(f"expected a width of at least 1, got {width}")
    pictures = [picture.cpu() for picture in pictures]
    searches = [_Bracket(encoder, criteria, picture) for picture in pictures]
    while open_ := [number for number, search in enumerate(searches) if not search.done]:
        wanted = [(n, quality) for n in open_ for quality in searches[n].propose(width)]
        decoded = encoder.preview([pictures[n] for n, _ in wanted], [q for _, q in wanted])
        for (n, quality), result in zip(wanted, decoded, strict=True):
            searches[n].enter(quality, result)
        for n in open_:
            searches[n].rounds += 1
    return [search.finish() for search in searches]


def _check(encoder: Encoder, criteria: Sequence[Criterion]) -> None:
    whole = bool(criteria) and all(isinstance(one, Criterion) for one in criteria)
    if isinstance(encoder, str) or not whole:
        raise ValueError('expected encoder("jpeg") and at_least("ssim", 0.97), got something else')
    criteria[0].score.check_target(criteria[0].goal)  # floors may be anything


class _Bracket:
    """The search of one picture in rounds: `low` fails, `high` passes, both places on the scale."""

    def __init__(self, encoder: OwnEncoder, criteria: Sequence[Criterion], picture: Tensor):
        self.encoder, self.criteria, self.picture = encoder, criteria, picture
        self.qualities = encoder.qualities
        self.expectation = expectation_of(picture, encoder, criteria, self.qualities, None)
        self.low, self.high = -1, len(self.qualities)
        self.rounds = 0
        self.probes: dict[int, Probe] = {}

    @property
    def done(self) -> bool:
        return self.high - self.low == 1

    def propose(self, width: int) -> list[int]:
        """Qualities about the guess, wide apart at first, then next to each other, then even."""
        inside = self.high - self.low - 1
        if inside <= width:
            return list(self.qualities[self.low + 1 : self.high])
        if self.rounds > 1:
            places = [self.low + round((i + 1) * (inside + 1) / (width + 1)) for i in range(width)]
            return [self.qualities[place] for place in places]
        apart = 1 if self.rounds else _FIRST_APART
        guess = round(self.expectation.position(self.probes, self.criteria))
        spread = [guess + apart * (i - width // 2) for i in range(width)]
        places = sorted({min(max(p, self.low + 1), self.high - 1) for p in spread})
        return [self.qualities[place] for place in places]

    def enter(self, quality: int, decoded: Tensor) -> None:
        scores = scores_of(self.picture, decoded, self.criteria)
        place, passes = self.qualities.index(quality), meets(scores, self.criteria)
        self.probes[place] = Probe(quality, scores, None, passes)
        if passes:
            self.high = min(self.high, place) if place > self.low else self.high
        elif place < self.high:
            self.low = max(self.low, place)

    def finish(self) -> Found | TargetUnreachable:
        probes = tuple(self.probes.values())
        if self.high == len(self.qualities):
            return unreachable_error(probes, self.criteria)
        best = self.probes[self.high]
        data = self.encoder.encode(self.picture, best.quality)
        return Found(best.quality, best.score, True, data, probes, self.rounds, self.encoder)
