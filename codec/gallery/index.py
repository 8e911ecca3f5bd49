"""The nearest of many codes by Hamming distance: exact scans, or tables of blocks.

Tables are multi-index hashing (Norouzi et al. 2012): a code is cut into blocks, and two codes that
differ in few bits agree in a block, or nearly so. Within their radius they find what the scan
finds. They pay for tens of millions of codes; below that the scan is as fast, and simpler.

Axes: N codes, B bytes of a code.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple, Protocol

import numpy as np
import torch

NEAREST = 300  # that are looked at, as the seed has it
_AT_ONCE = 1 << 14  # codes that fit a processor's cache


class Nearest(NamedTuple):
    """Codes that were found, the nearest first.

    Attributes:
        numbers: (n,) int64 of the codes.
        distances: (n,) int64 in bits.
    """

    numbers: np.ndarray
    distances: np.ndarray


class Index(Protocol):
    """Codes that can be searched."""

    def search(self, query: np.ndarray, most: int = NEAREST, radius: int | None = None) -> Nearest:
        """See `Scan.search`."""


def distances_to(query: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(N,) uint16 bits in which codes (N, B) uint8 differ from one (B,); B is a multiple of 8."""
    return _distances(query, _columns(codes))


def _columns(codes: np.ndarray) -> np.ndarray:
    """(B / 8, N) uint64: the first eight bytes of all codes, then the next; the layout that a
    processor adds up several times as fast."""
    return np.ascontiguousarray(np.ascontiguousarray(codes).view(np.uint64).T)


def _distances(query: np.ndarray, columns: np.ndarray) -> np.ndarray:
    wanted = np.ascontiguousarray(query).view(np.uint64)
    count = columns.shape[1]
    found = np.zeros(count, np.uint16)
    different = np.empty(min(count, _AT_ONCE), np.uint64)
    bits = np.empty(len(different), np.uint8)
    for first in range(0, count, _AT_ONCE):
        part = found[first : first + _AT_ONCE]
        here = len(part)
        for word, column in zip(wanted, columns, strict=True):
            np.bitwise_xor(column[first : first + here], word, out=different[:here])
            np.bitwise_count(different[:here], out=bits[:here])
            np.add(part, bits[:here], out=part)
    return found


class Scan:
    """Every code looked at.

    Args:
        codes: (N, B) uint8.
    """

    def __init__(self, codes: np.ndarray):
        self._columns = _columns(codes)

    def search(self, query: np.ndarray, most: int = NEAREST, radius: int | None = None) -> Nearest:
        """The nearest codes, of equally near ones the first.

        Args:
            query: (B,) uint8.
            most: of them.
            radius: only those at most so many bits away; None is all.
        """
        return _nearest(None, _distances(query, self._columns), most, radius)


class TorchScan:
    """Every code looked at, on any device.

    Args:
        codes: (N, B) uint8; B is a multiple of 8.
        device: where.
    """

    def __init__(self, codes: np.ndarray, device: str = "cpu"):
        self._columns = torch.from_numpy(_columns(codes).view(np.int64)).to(device)

    def search(self, query: np.ndarray, most: int = NEAREST, radius: int | None = None) -> Nearest:
        """As `Scan.search`."""
        wanted = torch.from_numpy(np.ascontiguousarray(query).view(np.int64))
        wanted = wanted.to(self._columns.device)[:, None]
        parts = self._columns.split(_AT_ONCE, dim=1)
        distances = torch.cat([_ones(part ^ wanted) for part in parts], dim=0)
        return _nearest(None, distances.cpu().numpy(), most, radius)


def _ones(words: torch.Tensor) -> torch.Tensor:
    """(N,) int64 bits that are set in words (W, N) int64, of which there are at most 1023."""
    # Counts of ever wider fields side by side (Warren, "Hacker's Delight", section 5-1).
    words = words.sub_((words >> 1) & 0x5555555555555555)
    words = (words & 0x3333333333333333).add_((words >> 2) & 0x3333333333333333)
    words = words.add_(words >> 4).bitwise_and_(0x0F0F0F0F0F0F0F0F)
    fields = (words & 0x00FF00FF00FF00FF).add_((words >> 8) & 0x00FF00FF00FF00FF).sum(0)
    return (fields * 0x0001000100010001 >> 48) & 0xFFFF


class FaissScan:
    """Every code looked at by FAISS (`IndexBinaryFlat`), which is made for it; of codes that are
    equally near as the last one, any.

    Args:
        codes: (N, B) uint8.

    Raises:
        ImportError: it is not installed.
    """

    def __init__(self, codes: np.ndarray):
        import faiss

        self._index = faiss.IndexBinaryFlat(8 * codes.shape[1])
        self._index.add(np.ascontiguousarray(codes))

    def search(self, query: np.ndarray, most: int = NEAREST, radius: int | None = None) -> Nearest:
        """As `Scan.search`."""
        if not self._index.ntotal:
            return Nearest(np.zeros(0, np.int64), np.zeros(0, np.int64))
        distances, numbers = self._index.search(query[None], min(most, self._index.ntotal))
        return _nearest(numbers[0], distances[0], most, radius)


def scan_of(codes: np.ndarray) -> Index:
    """The fastest exact search here: that of FAISS where it is installed.

    Args:
        codes: (N, B) uint8.
    """
    try:
        return FaissScan(codes)
    except ImportError:
        return Scan(codes)


class BlockTables:
    """Tables of the blocks of codes.

    Args:
        codes: (N, B) uint8.
        blocks: that a code is cut into; a divisor of its bits, each of at most 32.
        flips: bits of a block that may differ.
    """

    def __init__(self, codes: np.ndarray, blocks: int = 16, flips: int = 1):
        self.codes, self.flips = np.ascontiguousarray(codes), flips
        self.bits = 8 * codes.shape[1] // blocks
        if self.bits * blocks != 8 * codes.shape[1] or not 1 <= self.bits <= 32:
            raise ValueError(
                f"expected blocks of 1 to 32 bits, got {8 * codes.shape[1]} / {blocks}"
            )
        self.radius = blocks * (flips + 1) - 1  # up to which nothing is missed
        keys = _blocks(self.codes, self.bits)
        self._order = [np.argsort(column, kind="stable") for column in keys.T]
        self._sorted = [column[order] for column, order in zip(keys.T, self._order, strict=True)]

    def search(self, query: np.ndarray, most: int = NEAREST, radius: int | None = None) -> Nearest:
        """As `Scan.search`, within `self.radius`.

        Raises:
            ValueError: a larger radius.
        """
        radius = self.radius if radius is None else radius
        if radius > self.radius:
            raise ValueError(f"expected a radius of at most {self.radius} bits, got {radius}")
        found = []
        (keys,) = _blocks(query[None], self.bits)
        for key, order, every in zip(keys, self._order, self._sorted, strict=True):
            wanted = np.array(list(_near(int(key), self.bits, self.flips)), np.int64)
            low = np.searchsorted(every, wanted, "left")
            high = np.searchsorted(every, wanted, "right")
            found += [order[a:b] for a, b in zip(low, high, strict=True) if b > a]
        numbers = np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)
        return _nearest(numbers, distances_to(query, self.codes[numbers]), most, radius)


def _nearest(
    numbers: np.ndarray | None, distances: np.ndarray, most: int, radius: int | None
) -> Nearest:
    """The nearest of codes with these distances, and these numbers or, for None, those in order."""
    limit = np.iinfo(distances.dtype).max if radius is None else radius
    if len(distances) > most:
        # Everything up to the distance of the last one; then the first of those that are equal.
        limit = min(limit, int(np.partition(distances, most - 1)[most - 1]))
    near = np.flatnonzero(distances <= limit)
    found = near if numbers is None else numbers[near]
    order = np.lexsort((found, distances[near]))[:most]
    return Nearest(found[order], distances[near][order].astype(np.int64))


def _blocks(codes: np.ndarray, bits: int) -> np.ndarray:
    """(N, blocks) int64 numbers of so many bits."""
    ones = np.unpackbits(codes, axis=1).reshape(len(codes), -1, bits).astype(np.int64)
    return (ones << np.arange(bits - 1, -1, -1)).sum(2)


def _near(key: int, bits: int, flips: int) -> Iterator[int]:
    """Numbers that differ from one in at most so many bits."""
    for count in range(flips + 1):
        for places in combinations(range(bits), count):
            changed = key
            for place in places:
                changed ^= 1 << place
            yield changed
