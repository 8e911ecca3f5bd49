"""Interleaved rANS: many lanes, each a coder of its own, share one stream of words a picture.

A batch of pictures is coded together, yet the words of a picture depend on that picture alone.
State in [2^16, 2^32), words of 16 bits, probabilities of 2^-15. Symbols come in puts; those of one
put are dealt out to the lanes in turn, so that a step of all lanes is a few tensor operations.
Lanes form groups of GROUP, each with words of its own: what a warp of a GPU reads alone.

After Duda 2013, "Asymmetric numeral systems", and Giesen 2014, "Interleaved entropy coders".

Axes: N picture, n symbol, T step, L lane over all pictures, G group over all pictures.
"""

import math
from collections.abc import Callable
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from codec.residual.alphabet import COST_UNIT, PRECISION, TOTAL, tables
from codec.varint import VarintError, pack_varint, unpack_varint

WORD = 16
LOWEST = 1 << WORD
BYTES_PER_LANE = 640  # of payload: a lane costs three bytes, and saves steps
MOST_LANES = 4096
GROUP = 32
_VALUES_PER_LANE = 1 << 16
_STEPS_AT_ONCE = 256  # of the reader, between checks


class CorruptStream(ValueError):
    """The words do not end as an encoder's do."""


class _Put(NamedTuple):
    start: Tensor  # (n,) int32
    freq: Tensor  # (n,) int32, in 2^-PRECISION
    pictures: list[int]  # symbols of each picture


def pack_stream(lanes: int, words: bytes) -> bytes:
    """An entropy-coded stream as bytes: the number of lanes, then states and words."""
    return pack_varint(lanes) + words


def unpack_stream(data: bytes) -> tuple[int, bytes]:
    """Inverse of `pack_stream`.

    Raises:
        CorruptStream: not what it made.
    """
    try:
        lanes, at = unpack_varint(data, 0)
    except VarintError as error:
        raise CorruptStream(str(error)) from error
    if not 1 <= lanes <= MOST_LANES or len(data) - at < 4 * lanes:
        raise CorruptStream(f"expected 1 to {MOST_LANES} lanes and their states, got {lanes}")
    return lanes, data[at:]


def least_lanes(values: int) -> int:
    """The least lanes for a number of values, so that none takes long to decode."""
    return min(-(-values // _VALUES_PER_LANE), MOST_LANES)


def lanes_for(payload: int, values: int, bytes_per_lane: int = BYTES_PER_LANE) -> int:
    """Lanes of a stream of about `payload` bytes: whole groups, where there are several."""
    lanes = max(payload // bytes_per_lane, 1)
    if lanes > GROUP:
        lanes = (lanes + GROUP // 2) // GROUP * GROUP
    return min(max(lanes, least_lanes(values)), MOST_LANES)


def groups_of(lanes: int) -> list[int]:
    """Lanes of each group."""
    whole, rest = divmod(lanes, GROUP)
    return [GROUP] * whole + [rest] * (rest > 0)


class RansWriter:
    """Collects symbols, then codes them from the last to the first.

    Args:
        pictures: N.
        device: where the symbols are.
        values: of the planes of one picture, see `least_lanes`.
        bytes_per_lane: see `lanes_for`.
    """

    def __init__(
        self,
        pictures: int,
        device: torch.device,
        values: int = 0,
        bytes_per_lane: int = BYTES_PER_LANE,
    ):
        self.pictures, self.device = pictures, device
        self.values, self.bytes_per_lane = values, bytes_per_lane
        self.puts: list[_Put] = []

    def put(self, boundaries: Tensor, symbols: Tensor, pictures: list[int]) -> None:
        """Symbols (n,) int64 under cumulative counts (n, k + 1), picture after picture."""
        if len(symbols) == 0:
            return
        start = boundaries.gather(1, symbols[:, None])[:, 0]
        end = boundaries.gather(1, symbols[:, None] + 1)[:, 0]
        self.puts.append(_Put(start, end - start, pictures))

    def bits(self) -> Tensor:
        """(N,) float64: what the symbols of each picture take in theory."""
        total = torch.zeros(self.pictures, dtype=torch.float64, device=self.device)
        for put in self.puts:
            owner = _owners(put.pictures, self.device)
            cost = -(put.freq.double() / TOTAL).log2()
            total.index_add_(0, owner, cost)
        return total

    def costs(self) -> list[int]:
        """What the symbols of each picture take in 1/COST_UNIT bit: sums are equal everywhere."""
        total = torch.zeros(self.pictures, dtype=torch.int64, device=self.device)
        table = tables(self.device)[2].long()
        for put in self.puts:
            sums = F.pad(table[put.freq.long()].cumsum(0), (1, 0))
            ends = torch.tensor([0, *accumulate(put.pictures)], device=self.device)
            total += sums[ends].diff()
        return total.tolist()

    def finish(self) -> list[tuple[int, bytes]]:
        """Lanes and words of every picture."""
        sizes = [cost // (8 * COST_UNIT) for cost in self.costs()]
        lanes = [lanes_for(size, self.values, self.bytes_per_lane) for size in sizes]
        totals = [sum(put.pictures[n] for put in self.puts) for n in range(self.pictures)]
        # Pictures that need about as many steps are coded together: the words do not depend on it.
        alike: dict[int, list[int]] = {}
        for number, (total, count) in enumerate(zip(totals, lanes, strict=True)):
            alike.setdefault((total // count).bit_length(), []).append(number)
        found: list[tuple[int, bytes]] = [(1, b"")] * self.pictures
        for numbers in alike.values():
            coded = self._code(numbers, [lanes[n] for n in numbers])
            for number, result in zip(numbers, coded, strict=True):
                found[number] = result
        return found

    def _code(self, numbers: list[int], lanes: list[int]) -> list[tuple[int, bytes]]:
        """Lanes and words of some of the pictures."""
        dealt, starts, freqs, offset = [], [], [], 0
        for put in self.puts:
            counts = [put.pictures[n] for n in numbers]
            ends = list(accumulate(put.pictures))
            for n in numbers:
                part = slice(ends[n] - put.pictures[n], ends[n])
                starts.append(put.start[part])
                freqs.append(put.freq[part])
            table = _deal(counts, lanes, self.device)
            dealt.append(torch.where(table >= 0, table + offset, -1))
            offset += sum(counts)
        # An unused lane, -1 in the table, codes the certain symbol, which changes nothing.
        certain = [torch.tensor([x], dtype=torch.int32, device=self.device) for x in (0, TOTAL)]
        idle = torch.full((0, sum(lanes)), -1, device=self.device)
        table = torch.cat([idle, *dealt])
        start = torch.cat([*starts, certain[0]])[table]
        freq = torch.cat([*freqs, certain[1]])[table]
        state = torch.full((sum(lanes),), LOWEST, dtype=torch.int64, device=self.device)
        words = torch.zeros(table.shape, dtype=torch.int32, device=self.device)
        written = torch.zeros(table.shape, dtype=torch.bool, device=self.device)
        del dealt, starts, freqs, table
        where, arrays = _numpy_on_cpu(state, start, freq, words, written)
        _push(where, arrays[0], _Table(*arrays[1:]))
        return self._collect(lanes, state, words, written)

    def _collect(
        self, lanes: list[int], state: Tensor, words: Tensor, written: Tensor
    ) -> list[tuple[int, bytes]]:
        found = []
        first = 0
        for count in lanes:
            own = slice(first, first + count)
            bodies = []
            for group in groups_of(count):
                part = slice(first, first + group)
                bodies.append(words[:, part][written[:, part]].long())
                first += group
            lengths = torch.tensor([len(body) for body in bodies[:-1]], dtype=torch.int64)
            heads = torch.cat((state[own], lengths.to(state.device)))
            halves = torch.stack((heads >> WORD, heads & 0xFFFF), 1).flatten()
            every = torch.cat((halves, *bodies)).cpu().numpy().astype("<u2")
            found.append((count, every.tobytes()))
        return found


class _OpenStream(NamedTuple):
    states: Tensor  # (lanes,) int64
    bodies: list[Tensor]  # int64 words of each group


def _open(lanes: int, data: bytes) -> _OpenStream:
    """States and words of a stream.

    Raises:
        CorruptStream: they do not fit each other.
    """
    groups = len(groups_of(lanes))
    heads = lanes + groups - 1
    if len(data) % 2 or len(data) < 4 * heads:
        raise CorruptStream(f"expected at least {4 * heads} bytes, got {len(data)}")
    words = torch.frombuffer(bytearray(data), dtype=torch.uint8).reshape(-1, 2).long()
    words = words[:, 0] | words[:, 1] << 8
    halves = words[: 2 * heads].reshape(-1, 2)
    whole = halves[:, 0] << WORD | halves[:, 1]
    states, lengths = whole[:lanes], whole[lanes:].tolist()
    last = len(words) - 2 * heads - sum(lengths)
    if bool((states < LOWEST).any()) or last < 0:
        raise CorruptStream("expected states from 2^16 and groups that end in the data")
    return _OpenStream(states, list(words[2 * heads :].split([*lengths, last])))


class RansReader:
    """Gives symbols back in the order in which they were put.

    Args:
        streams: lanes and words of every picture.
        device: where the symbols are wanted.
        values: of the planes of one picture, see `least_lanes`.

    Raises:
        CorruptStream: fewer words than lanes need, or fewer lanes than values need.
    """

    def __init__(self, streams: list[tuple[int, bytes]], device: torch.device, values: int = 0):
        self.device = device
        self.lanes = [lanes for lanes, _ in streams]
        if min(self.lanes) < least_lanes(values):
            least = least_lanes(values)
            raise CorruptStream(f"expected at least {least} lanes, got {min(self.lanes)}")
        opened = [_open(lanes, data) for lanes, data in streams]
        # Pictures with fewer groups, and groups with fewer lanes, have idle ones.
        self.most = max(len(one.bodies) for one in opened)
        self.wide = min(max(self.lanes), GROUP)
        shape = (len(streams), self.most * self.wide)
        state = torch.full(shape, LOWEST, dtype=torch.int64, device="cpu")
        for number, one in enumerate(opened):
            state[number, : len(one.states)] = one.states
        empty = torch.zeros(0, dtype=torch.int64, device="cpu")
        bodies = [
            body for one in opened for body in one.bodies + [empty] * (self.most - len(one.bodies))
        ]
        lengths = torch.tensor([len(body) for body in bodies], device="cpu")[:, None]
        self.state = state.reshape(-1, self.wide).to(device)  # (G, L)
        # Zeros behind, so that reading too far is noticed before it reads outside.
        behind = torch.zeros(_STEPS_AT_ONCE * self.wide, dtype=torch.int64, device="cpu")
        self.words = torch.cat([*bodies, behind]).to(device)
        self.end = lengths.cumsum(0).to(device)  # (G, 1), like `before`
        self.before = self.end - lengths.to(device) - 1  # the word read last

    def get(self, boundaries: Tensor, pictures: list[int]) -> Tensor:
        """(n,) int64 symbols under cumulative counts (n, k + 1) int32, picture after picture."""
        if len(boundaries) == 0:
            return torch.zeros(0, dtype=torch.int64, device=self.device)
        table = self._deal(pictures)  # (T, G, L)
        used = table >= 0
        cdf = (
            boundaries.long()[table.clamp(min=0)].movedim(-1, 1).contiguous()
        )  # (T, k+1, G, lanes)
        found = torch.empty(table.shape, dtype=torch.int64, device=self.device)
        lane = torch.arange(self.state.numel(), device=self.device).view_as(self.state)
        everywhere = used.flatten(1).all(1).tolist()
        for first in range(0, len(found), _STEPS_AT_ONCE):
            part = slice(first, first + _STEPS_AT_ONCE)
            where, arrays = _numpy_on_cpu(
                self.state, self.before, self.words, lane, found[part], cdf[part], used[part]
            )
            _pop(where, everywhere[part], _Lanes(*arrays[:4]), _Steps(*arrays[4:]))
            if bool((self.before >= self.end).any()):
                raise CorruptStream("expected more entropy-coded data")
        symbols = torch.empty(len(boundaries), dtype=torch.int64, device=self.device)
        symbols[table[used]] = found[used]
        return symbols

    def _deal(self, pictures: list[int]) -> Tensor:
        """(T, G, L) int64: which symbol each lane codes at each step; -1 for none."""
        parts = _deal(pictures, self.lanes, self.device).split(self.lanes, 1)
        most = self.most * self.wide
        table = torch.stack([F.pad(p, (0, most - p.shape[1]), value=-1) for p in parts], 1)
        return table.reshape(len(table), -1, self.wide)

    def close(self) -> None:
        """Check that everything was read, and nothing else.

        Raises:
            CorruptStream: it was not.
        """
        if bool((self.before + 1 != self.end).any()) or bool((self.state != LOWEST).any()):
            raise CorruptStream("expected the entropy-coded data to end here")


# The two loops below take tensors or NumPy arrays alike. On a CPU they get arrays over the same
# memory, whose calls cost a third of torch's.


class _Table(NamedTuple):
    """Symbols of all lanes, (T, L) each: `words` and `written` are written to."""

    start: Any
    freq: Any
    words: Any
    written: Any


def _push(where: Callable[..., Any], state: Any, table: _Table) -> None:
    """Code symbols, the last step first; the state (L,) is written to."""
    start, freq, words, written = table
    for t in range(len(start) - 1, -1, -1):
        count = freq[t]
        full = state >> (2 * WORD - PRECISION) >= count
        written[t] = full
        words[t] = state & LOWEST - 1
        short = where(full, state >> WORD, state)
        state[:] = short + short // count * (TOTAL - count) + start[t]


class _Lanes(NamedTuple):
    """What a reader carries from step to step: `state` and `before` are written to."""

    state: Any  # (G, L)
    before: Any  # (G, 1) position of the word read last
    words: Any  # of all groups one after the other
    number: Any  # (G, L) of each lane


class _Steps(NamedTuple):
    """Steps of all lanes: `found` is written to."""

    found: Any  # (T, G, L) symbols
    cdf: Any  # (T, k + 1, G, L) cumulative counts
    used: Any  # (T, G, L) which lanes have a symbol


def _pop(where: Callable[..., Any], everywhere: list[bool], lanes: _Lanes, steps: _Steps) -> None:
    """Decode symbols; `everywhere` says for each step whether all lanes have one."""
    state, before, words, number = lanes
    count = math.prod(number.shape)
    for t, all_used in enumerate(everywhere):
        row = steps.cdf[t]
        slot = state & TOTAL - 1
        symbol = (row[1:-1] <= slot).sum(0)
        steps.found[t] = symbol
        flat = row.reshape(-1)
        at = symbol * count + number
        start = flat[at]
        moved = (flat[at + count] - start) * (state >> PRECISION) + slot - start
        if not all_used:
            moved = where(steps.used[t], moved, state)
        short = moved < LOWEST
        index = short.cumsum(1) + before
        before[:] = index[:, -1:]
        state[:] = where(short, moved << WORD | words[index], moved)


def _numpy_on_cpu(*tensors: Tensor) -> tuple[Callable[..., Any], list[Any]]:
    """`where`, and the tensors or, on a CPU, NumPy arrays over their memory."""
    if tensors[0].device.type == "cpu":
        return np.where, [tensor.numpy() for tensor in tensors]
    return torch.where, list(tensors)


def _owners(counts: list[int], device: torch.device) -> Tensor:
    """(sum,) int64: which picture each thing belongs to."""
    numbers = torch.tensor(counts, device=device)
    return torch.arange(len(counts), device=device).repeat_interleave(numbers)


def _deal(pictures: list[int], lanes: list[int], device: torch.device) -> Tensor:
    """(T, L) int64: which symbol each lane codes at each step; -1 for none."""
    steps = max(-(-n // count) for n, count in zip(pictures, lanes, strict=True))
    table = torch.full((steps, sum(lanes)), -1, dtype=torch.int64, device=device)
    symbol = lane = 0
    for n, count in zip(pictures, lanes, strict=True):
        rows = -(-n // count)
        part = torch.arange(symbol, symbol + rows * count, device=device)
        part[n:] = -1
        table[:rows, lane : lane + count] = part.reshape(rows, count)
        symbol, lane = symbol + n, lane + count
    return table
