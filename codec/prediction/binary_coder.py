"""An adaptive binary arithmetic coder for the few thousand decisions of a prediction.

Carryless, after Mahoney 2005, "Adaptive weighing of context models for lossless data compression":
an interval of 32 bits is divided at each decision, and bytes that both ends share are given out.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator

_ONE = 1 << 16  # of a probability
_SLOWEST = 60  # decisions that a chance is the mean of, at most
_TOP = 0xFFFFFFFF


class _Interval:
    """The interval, and how likely a decision is yes by its context: the mean of those before it,
    the last ones more."""

    def __init__(self) -> None:
        self.low, self.high = 0, _TOP
        self.chances: defaultdict[Hashable, tuple[int, int]] = defaultdict(lambda: (_ONE // 2, 1))

    def middle(self, context: Hashable) -> int:
        """The last number of the part for yes."""
        chance = min(max(self.chances[context][0], 64), _ONE - 64)
        return self.low + ((self.high - self.low) * chance >> 16)

    def take(self, context: Hashable, bit: bool, middle: int) -> None:
        """Go into the part of a decision, and learn from it."""
        self.low, self.high = (self.low, middle) if bit else (middle + 1, self.high)
        chance, count = self.chances[context]
        away = (_ONE if bit else 0) - chance
        self.chances[context] = chance + away // (count + 1), min(count + 1, _SLOWEST)

    def shared(self) -> Iterator[int]:
        """The bytes that both ends share, which leave the interval."""
        while not (self.low ^ self.high) >> 24:
            yield self.high >> 24
            self.low, self.high = self.low << 8 & _TOP, self.high << 8 & _TOP | 255


class BinaryWriter:
    """Codes decisions one after the other."""

    def __init__(self) -> None:
        self.interval, self.out = _Interval(), bytearray()

    def decide(self, context: Hashable, bit: bool) -> bool:
        self.interval.take(context, bit, self.interval.middle(context))
        self.out.extend(self.interval.shared())
        return bit

    def finish(self) -> bytes:
        """All bytes; what a reader finds behind them is zeros."""
        if self.interval.low:
            self.out.append((self.interval.low >> 24) + 1)
        return bytes(self.out)


class BinaryReader:
    """Gives the decisions back under the same contexts; broken data give other decisions."""

    def __init__(self, data: bytes) -> None:
        self.interval, self.rest, self.place = _Interval(), iter(data), 0
        for _ in range(4):
            self._shift()

    def decide(self, context: Hashable, bit: bool = False) -> bool:
        middle = self.interval.middle(context)
        bit = self.place <= middle
        self.interval.take(context, bit, middle)
        for _ in self.interval.shared():
            self._shift()
        return bit

    def _shift(self) -> None:
        self.place = self.place << 8 & _TOP | next(self.rest, 0)
