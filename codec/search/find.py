"""Search one picture with any encoder, or a batch with this project's own."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from codec.picture import check_picture
from codec.search.encoders import Encoder, OwnEncoder
from codec.search.methods import (
    Probe,
    Prober,
    TargetUnreachable,
    certified,
    log_gap,
    position_of,
    unreachable_error,
)
from codec.search.prior import prior_of
from codec.search.scores import Score

_FIRST_APART = 2  # qualities

Method = Callable[[Prober, float], int]


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes:
        quality: the quality it settled on.
        score: the score there.
        reached: whether that is at least the target; the seed's literal form misses by one step.
        data: the encoded picture.
        probes: what was measured, in order.
        rounds: batches of probes one after the other; without batches as many as probes.
    """

    quality: int
    score: float
    reached: bool
    data: bytes
    probes: tuple[Probe, ...]
    rounds: int


def find(
    picture: Tensor, encoder: Encoder, score: Score, target: float, method: Method = certified
) -> Found:
    """The lowest quality whose score reaches a target.

    Args:
        picture: (C, H, W) uint8, on any device; it is scored on the CPU.
        encoder: see `codec.search.encoders`.
        score: see `codec.search.scores`.
        target: on the score's own scale.
        method: see `codec.search.methods`.

    Raises:
        TargetUnreachable: the best quality scores lower.
        ValueError: not a picture, or a target off the score's scale.
    """
    check_picture(picture)
    _check(encoder, score, target)
    picture = picture.cpu()  # as what encoders return
    files: dict[int, bytes] = {}

    def measure(quality: int) -> tuple[float, int | None]:
        if isinstance(encoder, OwnEncoder):
            return score.measure(picture, encoder.preview([picture], [quality])[0]), None
        files[quality] = encoder.encode(picture, quality)
        return score.measure(picture, encoder.decode(files[quality])), len(files[quality])

    prior = prior_of(encoder.name, score.name, encoder.qualities, picture)
    prober = Prober(measure, score.to_unit, encoder.qualities, prior)
    quality = method(prober, target)
    reached = prober(quality)
    data = files.get(quality) or encoder.encode(picture, quality)
    probes = tuple(prober.probes)
    return Found(quality, reached, reached >= target, data, probes, len(probes))


def find_batch(
    pictures: list[Tensor], encoder: OwnEncoder, score: Score, target: float, width: int = 5
) -> list[Found | TargetUnreachable]:
    """Search many pictures together: each round tries `width` qualities of every picture at once.

    Args:
        pictures: (C, H, W) uint8 of any sizes, on any device; they are scored on the CPU.
        encoder: this project's codec, whose probes need no entropy coding.
        score, target: see `find`.
        width: qualities of a picture in one round.

    Returns:
        One entry a picture, in order: what was found, or that the target is out of reach.
    """
    _check(encoder, score, target)
    if not isinstance(encoder, OwnEncoder):
        raise ValueError(f"expected this project's codec (OwnEncoder), got {encoder.name}")
    if width < 1:
        raise ValueError(f"expected a width of at least 1, got {width}")
    pictures = [picture.cpu() for picture in pictures]
    searches = [_Bracket(encoder, score, target, picture) for picture in pictures]
    while open_ := [number for number, search in enumerate(searches) if not search.done]:
        wanted = [(n, quality) for n in open_ for quality in searches[n].propose(width)]
        decoded = encoder.preview([pictures[n] for n, _ in wanted], [q for _, q in wanted])
        for (n, quality), result in zip(wanted, decoded, strict=True):
            searches[n].enter(quality, score.measure(pictures[n], result))
        for n in open_:
            searches[n].rounds += 1
    return [search.finish(p) for search, p in zip(searches, pictures, strict=True)]


def _check(encoder: Encoder, score: Score, target: float) -> None:
    if isinstance(encoder, str) or isinstance(score, str):
        raise ValueError('expected encoder("jpeg") and SCORES["ssim"], got a name')
    score.check_target(target)


class _Bracket:
    """The search of one picture in rounds: `low` fails, `high` passes."""

    def __init__(self, encoder: OwnEncoder, score: Score, target: float, picture: Tensor):
        self.encoder, self.score, self.target = encoder, score, target
        self.prior = prior_of(encoder.name, score.name, encoder.qualities, picture)
        self.low, self.high = encoder.qualities[0] - 1, encoder.qualities[-1] + 1
        self.rounds = 0
        self.probes: list[Probe] = []

    @property
    def done(self) -> bool:
        return self.high - self.low == 1

    def propose(self, width: int) -> list[int]:
        """Qualities about the guess, wide apart at first, then next to each other, then even."""
        inside = self.high - self.low - 1
        if inside <= width:
            return list(range(self.low + 1, self.high))
        if self.rounds > 1:
            return [self.low + round((i + 1) * (inside + 1) / (width + 1)) for i in range(width)]
        first = self.encoder.qualities[0]
        known = {p.quality - first: log_gap(self.score.to_unit(p.score)) for p in self.probes}
        goal = log_gap(self.score.to_unit(self.target))
        apart = 1 if self.rounds else _FIRST_APART
        guess = first + round(position_of(self.prior.expected(known), goal))
        spread = [guess + apart * (i - width // 2) for i in range(width)]
        return sorted({min(max(q, self.low + 1), self.high - 1) for q in spread})

    def enter(self, quality: int, score: float) -> None:
        self.probes.append(Probe(quality, score, None))
        if score >= self.target:
            self.high = min(self.high, quality) if quality > self.low else self.high
        elif quality < self.high:
            self.low = max(self.low, quality)

    def finish(self, picture: Tensor) -> Found | TargetUnreachable:
        if self.high > self.encoder.qualities[-1]:
            return unreachable_error(self.probes, self.target)
        reached = next(p.score for p in self.probes if p.quality == self.high)
        data = self.encoder.encode(picture, self.high)
        return Found(self.high, reached, True, data, tuple(self.probes), self.rounds)
