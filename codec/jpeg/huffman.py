"""Huffman coding of blocks of coefficients, as in baseline JPEG (ITU-T T.81, annex F).

Blocks stand in the order of the scan. Reading follows one code after the other; what the codes say
is worked out for all of them at once.

Axes: B block in the order of the scan, K = 64 frequencies in zigzag order, S symbol.
"""

from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

K = 64
_WINDOW = 16  # bits of the longest code
_ADVANCE = 6  # bits of a table's entry that say how far it goes on, in bits of the stream
_SKIP_ALL = 2 * K  # what an unknown code skips, so that reading a block ends
_END, _ZEROS = 0x00, 0xF0  # no more values in this block; sixteen zeros


class HuffmanError(ValueError):
    """Data that are no such code."""


class HuffmanTable(NamedTuple):
    """Codes of symbols as a file states them.

    Attributes:
        counts: of the codes of 1 to 16 bits.
        symbols: in the order of their codes.
    """

    counts: tuple[int, ...]
    symbols: bytes

    def codes(self) -> tuple[np.ndarray, np.ndarray]:
        """Code and length of each of 256 symbols, int64; length 0 is none (figure C.1 to C.3).

        Raises:
            HuffmanError: more codes than there is room for.
        """
        code, lengths = np.zeros(256, np.int64), np.zeros(256, np.int64)
        value = number = 0
        for length, count in enumerate(self.counts, start=1):
            for symbol in self.symbols[number : number + count]:
                code[symbol], lengths[symbol] = value, length
                value += 1
            number += count
            if value > 1 << length:
                raise HuffmanError("expected a Huffman table whose codes fit their lengths")
            value <<= 1
        return code, lengths


class _Reading(NamedTuple):
    """By the next 16 bits: symbol, length of its code (0: none), and an entry for the loop."""

    symbol: np.ndarray
    length: np.ndarray
    entries: list[int]


def _reading(table: HuffmanTable, is_dc: bool) -> _Reading:
    code, lengths = table.codes()
    symbol, length = (np.zeros(1 << _WINDOW, np.int64) for _ in range(2))
    for one in np.flatnonzero(lengths):
        first = code[one] << _WINDOW - lengths[one]
        here = slice(first, first + (1 << _WINDOW - lengths[one]))
        symbol[here], length[here] = one, lengths[one]
    skip = (symbol >> 4) + 1
    skip[symbol == _END] = K
    bits = symbol & 15
    if is_dc:
        skip, bits = np.ones_like(symbol), symbol
    skip[length == 0] = _SKIP_ALL
    return _Reading(symbol, length, (skip << _ADVANCE | (length + bits)).tolist())


def read_blocks(
    data: bytes, kinds: Sequence[tuple[HuffmanTable, HuffmanTable]], n: int
) -> np.ndarray:
    """Blocks out of one stretch of entropy-coded data without stuffed bytes.

    Args:
        data: from one restart to the next.
        kinds: tables for the mean and for the rest, of the blocks as they take turns.
        n: how many blocks.

    Returns:
        (n, 64) int32; frequency 0 as it stands there, the difference to a block before.

    Raises:
        HuffmanError: data that are no such blocks, or fewer.
    """
    tables = {
        (table, is_dc): _reading(table, is_dc)
        for pair in set(kinds)
        for table, is_dc in zip(pair, (True, False), strict=True)
    }
    turns = [(tables[dc, True].entries, tables[ac, False].entries) for dc, ac in kinds]
    windows = _windows(data)
    places, ends = _follow(windows.tolist(), turns, n)
    place = np.frombuffer(places, np.uint32).astype(np.int64)
    last = np.frombuffer(ends, np.uint32).astype(np.int64)
    owner = np.repeat(np.arange(n), last - np.concatenate(([0], last[:-1])))
    first = np.diff(owner, prepend=-1) > 0
    symbol, bits = np.zeros(len(place), np.int64), np.zeros(len(place), np.int64)
    window = windows[place >> 3] >> (16 - (place & 7)) & 0xFFFF
    length = np.zeros(len(place), np.int64)
    kind_of = owner % len(kinds)
    for (table, is_dc), reading in tables.items():
        mine = [pair[not is_dc] == table for pair in kinds]
        here = np.array(mine)[kind_of] & (first == is_dc)
        symbol[here], length[here] = reading.symbol[window[here]], reading.length[window[here]]
    bits = np.where(first, symbol, symbol & 15)
    if (length == 0).any() or (bits > 15).any():
        raise HuffmanError("expected a code of the Huffman table")
    if n and int(place[-1] + length[-1] + bits[-1]) > 8 * len(data):
        raise HuffmanError("expected more entropy-coded data")
    blocks = np.zeros((n, K), np.int32)
    at = place + length
    # Up to 15 bits from any bit on: within the 31 that follow the byte.
    raw = (windows[at >> 3] >> (32 - (at & 7) - bits)) & ((1 << bits) - 1)
    value = np.where((bits > 0) & (raw < 1 << np.maximum(bits - 1, 0)), raw - (1 << bits) + 1, raw)
    skip = np.where(first, 1, np.where(symbol == _END, K, (symbol >> 4) + 1))
    total = np.cumsum(skip)
    before = np.where(first, total - skip, 0)
    frequency = total - np.maximum.accumulate(before) - 1
    kept = first | ((symbol != _END) & (symbol != _ZEROS))
    if (frequency[kept] >= K).any() or (frequency[symbol == _ZEROS] >= K).any():
        raise HuffmanError("expected blocks of 64 frequencies")
    blocks[owner[kept], frequency[kept]] = value[kept]
    return blocks


def _windows(data: bytes) -> np.ndarray:
    """By byte, it and the three after it as one number, int64; zeros behind the data."""
    x = np.frombuffer(data + bytes(8), np.uint8).astype(np.int64)
    return x[:-3] << 24 | x[1:-2] << 16 | x[2:-1] << 8 | x[3:]


def _follow(
    windows: list[int], turns: list[tuple[list[int], list[int]]], n: int
) -> "tuple[array[int], array[int]]":
    """Where each symbol begins, in bits, and the number of symbols up to the end of each block."""
    places, ends = array("I"), array("I")
    add, mask, at = places.append, (1 << _ADVANCE) - 1, 0
    try:
        for number in range(n):
            dc, ac = turns[number % len(turns)]
            add(at)
            at += dc[windows[at >> 3] >> 16 - (at & 7) & 0xFFFF] & mask
            k = 1
            while k < K:
                add(at)
                entry = ac[windows[at >> 3] >> 16 - (at & 7) & 0xFFFF]
                at += entry & mask
                k += entry >> _ADVANCE
            ends.append(len(places))
    except IndexError:
        raise HuffmanError("expected more entropy-coded data") from None
    return places, ends


def write_blocks(
    blocks: np.ndarray, kinds: Sequence[tuple[HuffmanTable, HuffmanTable]], stretches: Sequence[int]
) -> list[bytes]:
    """Inverse of `read_blocks`, for stretches of so many blocks each; the last byte ends in ones.

    Raises:
        HuffmanError: values for which the tables have no code.
    """
    values, lengths, owner = _symbols(blocks, kinds)
    ends = np.searchsorted(owner, np.cumsum(stretches))
    found = []
    for first, last in zip([0, *ends], ends, strict=False):
        found.append(_pack(values[first:last], lengths[first:last]))
    return found


def _symbols(
    blocks: np.ndarray, kinds: Sequence[tuple[HuffmanTable, HuffmanTable]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(S,) codes with the bits behind them, their lengths, and the blocks they belong to."""
    rest = blocks.copy()
    rest[:, 0] = 0
    owner, frequency = rest.nonzero()
    starts = np.diff(owner, prepend=-1) > 0
    gap = frequency - np.where(starts, 0, np.concatenate(([0], frequency[:-1]))) - 1
    # A value of a block, with as many codes of sixteen zeros before it as it takes.
    zeros = gap >> 4
    count = zeros + 1
    last = np.repeat(np.cumsum(count), count) - 1 == np.arange(count.sum())
    value = np.repeat(rest[owner, frequency], count) * last
    bits = _bits(value)
    symbol = np.where(last, np.repeat(gap & 15, count) << 4 | bits, _ZEROS)
    ends = np.flatnonzero(blocks[:, K - 1] == 0)
    whole = np.arange(len(blocks))
    parts = (
        (whole, np.zeros_like(whole), _bits(blocks[:, 0]), blocks[:, 0]),
        (np.repeat(owner, count), np.repeat(frequency, count), symbol, value),
        (ends, np.full_like(ends, K), np.full_like(ends, _END), np.zeros_like(ends)),
    )
    owner, place, symbol, value = (np.concatenate(x) for x in zip(*parts, strict=True))
    order = np.argsort(owner * (K + 1) + place, kind="stable")
    owner, place, symbol, value = (x[order] for x in (owner, place, symbol, value))
    code, length = np.zeros(len(symbol), np.int64), np.zeros(len(symbol), np.int64)
    turn = owner % len(kinds)
    for number, pair in enumerate(kinds):
        for table, here in zip(pair, (place == 0, place > 0), strict=True):
            mine = here & (turn == number)
            known, lengths = table.codes()
            code[mine], length[mine] = known[symbol[mine]], lengths[symbol[mine]]
    if (length == 0).any():
        raise HuffmanError("expected a Huffman table with a code for every symbol")
    bits = _bits(value)
    low = np.where(value < 0, value + (1 << bits) - 1, value)
    return code << bits | low, length + bits, owner


def _bits(value: np.ndarray) -> np.ndarray:
    """Bits of the size of a number, int64 (table F.1)."""
    return np.frexp(np.abs(value).astype(np.float64))[1].astype(np.int64)


def _pack(values: np.ndarray, lengths: np.ndarray) -> bytes:
    """Numbers of so many bits one after the other, ones behind them up to a whole byte."""
    start = np.cumsum(lengths) - lengths
    total = int(lengths.sum())
    bits = np.ones(total + -total % 8, np.uint8)
    for number in range(int(lengths.max(initial=0))):
        longer = lengths > number
        bits[start[longer] + number] = values[longer] >> lengths[longer] - number - 1 & 1
    return np.packbits(bits).tobytes()
