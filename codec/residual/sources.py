"""Sources that write what they know to a codestream, and sources that read it back.

See `passes.Source` and `pyramid.Source` for what they answer to.

Axes: N picture, n value, P cell of one phase, I J cells, K frequency.
"""

import torch
from torch import Tensor

from codec.residual.alphabet import (
    LOGITS,
    NIBBLE,
    TAIL_ESCAPE,
    TAIL_PORTIONS,
    TOTAL,
    class_boundaries,
    event_boundaries,
    events,
    tail_boundaries,
)
from codec.residual.context import owners
from codec.residual.pyramid import COARSEST, Guess, centre
from codec.residual.rans import CorruptStream, RansReader, RansWriter

_MOST_BITS = 28
_SIGNS = (0, 1, 1, -1, -1)  # of the five events
_SIZES = (0, 1, 2, 1, 2)


def put_values(writer: RansWriter, logits: Tensor, values: Tensor, owner: Tensor) -> None:
    """Write values (n,) under logits (n, LOGITS); owner (n,) is the picture of each, ascending.

    The event, then up to TAIL_PORTIONS of the tail; what is left after that as its length in bits
    and its bits, with even chances: rare, and soon done however large it is.
    """
    found = events(values)
    writer.put(event_boundaries(logits), found, _counts(owner, writer.pictures))
    left = values.abs().long() - 2
    rows = (left >= 0).nonzero()[:, 0]
    left = left[rows]
    for _ in range(TAIL_PORTIONS):
        portion = left.clamp(max=TAIL_ESCAPE)
        counts = _counts(owner[rows], writer.pictures)
        writer.put(tail_boundaries(logits[rows]), portion, counts)
        more = portion == TAIL_ESCAPE
        rows, left = rows[more], left[more] - TAIL_ESCAPE
    if not len(rows):
        return
    length = _bit_length(left + 1)
    for shift in (0, NIBBLE):
        _put_nibbles(writer, length >> shift & 15, owner[rows])
    for shift in range(0, _MOST_BITS, NIBBLE):
        longer = length > shift
        _put_nibbles(writer, (left + 1 >> shift & 15)[longer], owner[rows][longer])


def get_values(reader: RansReader, logits: Tensor, owner: Tensor, largest: int) -> Tensor:
    """Read what `put_values` wrote: (n,) int32.

    Raises:
        CorruptStream: a value beyond `largest`.
    """
    found = reader.get(event_boundaries(logits), _counts(owner, len(reader.lanes)))
    sign, size = (torch.tensor(x, device=logits.device)[found] for x in (_SIGNS, _SIZES))
    rows = (size == 2).nonzero()[:, 0]
    for _ in range(TAIL_PORTIONS):
        counts = _counts(owner[rows], len(reader.lanes))
        portion = reader.get(tail_boundaries(logits[rows]), counts)
        size[rows] += portion
        rows = rows[portion == TAIL_ESCAPE]
    if len(rows):
        size[rows] += _get_rest(reader, owner[rows])
    if bool((size > largest).any()) or bool((size < 0).any()):
        raise CorruptStream(f"expected values up to {largest}")
    return (sign * size).int()


def _get_rest(reader: RansReader, owner: Tensor) -> Tensor:
    """What is left of values after their portions, (n,) int64."""
    length = _get_nibbles(reader, owner) | _get_nibbles(reader, owner) << NIBBLE
    if bool((length > _MOST_BITS).any()):
        raise CorruptStream(f"expected values of at most {_MOST_BITS} bits")
    rest = torch.zeros_like(length)
    for shift in range(0, _MOST_BITS, NIBBLE):
        longer = length > shift
        rest[longer] |= _get_nibbles(reader, owner[longer]) << shift
    return rest - 1


def _bit_length(x: Tensor) -> Tensor:
    """Bits of positive int64 numbers below 2^_MOST_BITS."""
    powers = 1 << torch.arange(_MOST_BITS, device=x.device)
    return (x[:, None] >= powers).sum(1)


def _put_nibbles(writer: RansWriter, nibbles: Tensor, owner: Tensor) -> None:
    counts = _counts(owner, writer.pictures)
    writer.put(_even(len(nibbles), nibbles.device), nibbles, counts)


def _get_nibbles(reader: RansReader, owner: Tensor) -> Tensor:
    return reader.get(_even(len(owner), owner.device), _counts(owner, len(reader.lanes)))


def _counts(owner: Tensor, pictures: int) -> list[int]:
    return torch.bincount(owner, minlength=pictures).tolist()


def _owner(chosen: Tensor, each: int = 1) -> Tensor:
    """(P each,) int64: the picture of every chosen cell of (N, I, J)."""
    owner = owners(chosen)
    return owner.repeat_interleave(each) if each > 1 else owner


class CellWriter:
    """Writes classes (N, I, J) and values (N, I, J, planes, K) as they are asked for."""

    def __init__(self, writer: RansWriter, classes: Tensor, values: Tensor | None = None):
        self.writer, self.known, self.known_values = writer, classes, values

    def classes(self, logits: Tensor, chosen: Tensor) -> Tensor:
        found = self.known[chosen]
        counts = _counts(_owner(chosen), self.writer.pictures)
        self.writer.put(class_boundaries(logits), found.long(), counts)
        return found

    def values(self, logits: Tensor, chosen: Tensor, span: tuple[int, int]) -> Tensor:
        assert self.known_values is not None
        found = self.known_values[..., slice(*span)][chosen]
        owner = _owner(chosen, found[0].numel() if len(found) else 1)
        put_values(self.writer, logits.reshape(-1, LOGITS), found.flatten(), owner)
        return found


class CellReader:
    """Reads what a `CellWriter` wrote; no value may exceed `largest`."""

    def __init__(self, reader: RansReader, largest: int):
        self.reader, self.largest = reader, largest

    def classes(self, logits: Tensor, chosen: Tensor) -> Tensor:
        counts = _counts(_owner(chosen), len(self.reader.lanes))
        return self.reader.get(class_boundaries(logits), counts).int()

    def values(self, logits: Tensor, chosen: Tensor, span: tuple[int, int]) -> Tensor:
        shape = logits.shape[:-1]
        owner = _owner(chosen, shape[1] * shape[2])
        found = get_values(self.reader, logits.reshape(-1, LOGITS), owner, self.largest)
        return found.reshape(shape)


class PlaneWriter:
    """Writes a plane (N, R, C); no value of picture n exceeds `largest[n]`."""

    def __init__(self, writer: RansWriter, plane: Tensor, largest: list[int]):
        self.writer, self.plane, self.largest = writer, plane, largest

    def coarsest(self, shape: tuple[int, int, int]) -> Tensor:
        values = self.plane[:, ::COARSEST, ::COARSEST]
        offset = torch.tensor(self.largest, device=values.device)[:, None]
        left = values.flatten(1).long() + offset
        for longer in _nibbles(self.largest):
            counts = [left.shape[1] * more for more in longer]
            part = left[torch.tensor(longer, device=left.device)].flatten() & 15
            self.writer.put(_even(len(part), part.device), part, counts)
            left = left >> NIBBLE
        return values

    def refine(self, guess: Guess, where: tuple[tuple[slice, slice], ...]) -> Tensor:
        values = torch.cat([self.plane[(slice(None), *at)].flatten(1) for at in where], 1)
        owner = torch.arange(len(values), device=values.device).repeat_interleave(values.shape[1])
        put_values(self.writer, guess.outputs[:, 1:], values.flatten() - centre(guess), owner)
        return values


class PlaneReader:
    """Reads what a `PlaneWriter` wrote."""

    def __init__(self, reader: RansReader, largest: list[int]):
        self.reader, self.largest = reader, largest

    def coarsest(self, shape: tuple[int, int, int]) -> Tensor:
        rows, columns = (-(-n // COARSEST) for n in shape[1:])
        device = self.reader.device
        values = torch.zeros(shape[0], rows * columns, dtype=torch.int64, device=device)
        for number, longer in enumerate(_nibbles(self.largest)):
            counts = [rows * columns * more for more in longer]
            part = self.reader.get(_even(sum(counts), device), counts)
            values[torch.tensor(longer, device=device)] += (
                part.reshape(-1, rows * columns) << NIBBLE * number
            )
        offset = torch.tensor(self.largest, device=device)[:, None]
        if bool((values > 2 * offset).any()):
            raise CorruptStream(f"expected values up to {max(self.largest)}")
        return (values - offset).int().reshape(shape[0], rows, columns)

    def refine(self, guess: Guess, where: tuple[tuple[slice, slice], ...]) -> Tensor:
        pictures = len(self.reader.lanes)
        targets = len(guess.base) // pictures
        device = guess.base.device
        owner = torch.arange(pictures, device=device).repeat_interleave(targets)
        largest = 2 * max(self.largest)
        found = get_values(self.reader, guess.outputs[:, 1:], owner, 2 * largest)
        values = (found + centre(guess)).clamp(-largest, largest)  # only corrupt ones are beyond
        return values.reshape(pictures, targets)


def _nibbles(largest: list[int]) -> list[list[bool]]:
    """Nibble by nibble, which pictures have that nibble in 0 .. 2 `largest`."""
    counts = [-(-(2 * n).bit_length() // NIBBLE) for n in largest]
    return [[count > i for count in counts] for i in range(max(counts))]


def _even(n: int, device: torch.device) -> Tensor:
    """(n, 17) cumulative counts of sixteen equal chances."""
    row = torch.arange(17, dtype=torch.int32, device=device) * (TOTAL >> NIBBLE)
    return row.expand(n, -1)
