"""An adaptive binary arithmetic coder for the few thousand decisions of a prediction.

Carryless, after Mahoney 2005, "Adaptive weighing of context models for lossless data compression":
an interval of 32 bits is divided at each decision, and bytes that both ends share are given out.
"""

from collections import defaultdict
from collections.abc import Hashable

_ONE = 1 << 16  # of a probability
_SLOWEST = 60  # decisions that a chance is the mean of, at most
_TOP = 0xFFFFFFFF


class _Chances:
    """How likely a decision is yes, by context: the mean of those before it, the last ones more."""

    def __init__(self) -> None:
        self.state: defaultdict[Hashable, tuple[int, int]] = defaultdict(lambda: (_ONE // 2, 1))

    def learn(self, context: Hashable, bit: bool) -> None:
        chance, count = self.state[context]
        away = (_ONE if bit else 0) - chance
        self.state[context] = chance + away // (count + 1), min(count + 1, _SLOWEST)

    def split(self, context: Hashable, low: int, high: int) -> int:
        """The last number of an interval's part for yes."""
        chance = min(max(self.state[context][0], 64), _ONE - 64)
        return low + ((high - low) * chance >> 16)


class BinaryWriter:
    """Codes decisions one after the other."""

    def __init__(self) -> None:
        self.chances, self.out = _Chances(), bytearray()
        self.low, self.high = 0, _TOP

    def decide(self, context: Hashable, bit: bool) -> bool:
        middle = self.chances.split(context, self.low, self.high)
        if bit:
            self.high = middle
        else:
            self.low = middle + 1
        self.chances.learn(context, bit)
        while not (self.low ^ self.high) >> 24:
            self.out.append(self.high >> 24)
            self.low, self.high = self.low << 8 & _TOP, self.high << 8 & _TOP | 255
        return bit

    def finish(self) -> bytes:
        """All bytes; what a reader finds behind them is zeros."""
        if self.low:
            self.out.append((self.low >> 24) + 1)
        return bytes(self.out)


class BinaryReader:
    """Gives the decisions back under the same contexts; broken data give other decisions."""

    def __init__(self, data: bytes) -> None:
        self.chances, self.rest = _Chances(), iter(data)
        self.low, self.high, self.place = 0, _TOP, 0
        for _ in range(4):
            self.place = self.place << 8 | next(self.rest, 0)

    def decide(self, context: Hashable, bit: bool = False) -> bool:
        middle = self.chances.split(context, self.low, self.high)
        bit = self.place <= middle
        if bit:
            self.high = middle
        else:
            self.low = middle + 1
        self.chances.learn(context, bit)
        while not (self.low ^ self.high) >> 24:
            self.low, self.high = self.low << 8 & _TOP, self.high << 8 & _TOP | 255
            self.place = self.place << 8 & _TOP | next(self.rest, 0)
        return bit
