"""Exhaustive sweeps: what every quality of a picture scores, weighs and takes."""

import time
from typing import NamedTuple

from torch import Tensor
from tqdm import tqdm

from codec.search.encoders import Encoder
from codec.search.scores import Score


class Entry(NamedTuple):
    """A quality of a sweep: its score, bytes and the seconds that encode and measure took."""

    score: float
    bytes: int
    seconds: float


class Sweep(NamedTuple):
    """Many or all qualities of one picture."""

    entries: dict[int, Entry]

    def measure(self, quality: int) -> tuple[tuple[float], int]:
        """Score and bytes of a quality, as a probe finds them."""
        return (self.entries[quality].score,), self.entries[quality].bytes

    def lowest(self, target: float) -> int | None:
        """The lowest quality from which on all pass; None if the best fails."""
        passing = None
        for quality in sorted(self.entries, reverse=True):
            if self.entries[quality].score < target:
                break
            passing = quality
        return passing

    def crossings(self, target: float) -> list[int]:
        """All qualities that pass while the one below fails: more than one where scores fall."""
        order = sorted(self.entries)
        passes = [self.entries[q].score >= target for q in order]
        return [
            q
            for q, here, below in zip(order, passes, [False, *passes], strict=False)
            if here and not below
        ]


def sweep_pictures(
    pictures: dict[str, Tensor], encoder: Encoder, scores: list[Score], every: int = 1
) -> dict[str, dict[str, Sweep]]:
    """Encode every quality, or every n-th, of every picture once.

    Returns:
        By name of the score, then of the picture.
    """
    sweeps: dict[str, dict[str, Sweep]] = {score.name: {} for score in scores}
    qualities = sorted({*encoder.qualities[::every], encoder.qualities[-1]})
    for title, picture in tqdm(pictures.items(), desc=f"sweep {encoder.name}", disable=None):
        entries: dict[str, dict[int, Entry]] = {score.name: {} for score in scores}
        for quality in qualities:
            started = time.perf_counter()
            data = encoder.encode(picture, quality)
            decoded = encoder.decode(data)
            coded = time.perf_counter() - started
            for score in scores:
                started = time.perf_counter()
                found = score.measure(picture, decoded)
                seconds = coded + time.perf_counter() - started
                entries[score.name][quality] = Entry(found, len(data), seconds)
        for name, found_at in entries.items():
            sweeps[name][title] = Sweep(found_at)
    return sweeps
