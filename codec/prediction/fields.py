"""Small planes of integers that a prediction needs, such as vectors, as bytes.

Each value is guessed as the median of three neighbours. What it is off by is a few yes-or-no
decisions, whose chances are learned on the way: by plane, and by how much the neighbours differ.

Axes: C plane, R S value of a plane.
"""

from collections.abc import Callable, Hashable

import torch
from torch import Tensor

from codec.container import MAX_PIXELS, FormatError
from codec.prediction.binary_coder import BinaryReader, BinaryWriter
from codec.varint import VarintError, pack_varint, unpack_varint

LARGEST = 1 << 13  # value of a field
_MOST_PLANES = 4
_MOST_VALUES = MAX_PIXELS >> 8  # of a plane: a value for each block of 16 x 16
_MOST_BITS = 15
_LIVELIEST = 5  # classes of how much neighbours differ

Decide = Callable[[Hashable, bool], bool]


def pack_field(field: Tensor) -> bytes:
    """The bytes of planes (C, R, S) of integers within LARGEST."""
    writer = BinaryWriter()
    for number, plane in enumerate(field.tolist()):
        _run(writer.decide, number, plane, len(plane), len(plane[0]))
    return b"".join(map(pack_varint, field.shape)) + writer.finish()


def unpack_field(data: bytes) -> Tensor:
    """Inverse of `pack_field`: (C, R, S) int16.

    Raises:
        FormatError: not what it made, where that shows; others give another field.
    """
    try:
        planes, at = unpack_varint(data, 0)
        rows, at = unpack_varint(data, at)
        columns, at = unpack_varint(data, at)
    except VarintError as error:
        raise FormatError(f"prediction: {error}") from error
    if not 1 <= planes <= _MOST_PLANES or not 1 <= rows * columns <= _MOST_VALUES:
        raise FormatError(f"prediction: expected a field, got one of {planes}x{rows}x{columns}")
    reader = BinaryReader(data[at:])
    found = [_run(reader.decide, number, None, rows, columns) for number in range(planes)]
    return torch.tensor(found, dtype=torch.int16)


def _run(
    decide: Decide, number: int, known: list[list[int]] | None, rows: int, columns: int
) -> list[list[int]]:
    """Go through a plane in raster order, with what is known of it or what is being read."""
    above = [0] * (columns + 1)
    found = []
    for i in range(rows):
        row, left = [], 0
        for j in range(columns):
            up, beside = above[j], above[j + 1]
            low, high = (up, beside) if up < beside else (beside, up)
            guess = min(max(left, low), high)
            lively = min((abs(left - up) + high - low).bit_length(), _LIVELIEST)
            wrong = 0 if known is None else known[i][j] - guess
            left = guess + _difference(decide, (number, lively), wrong)
            if abs(left) > LARGEST:
                raise FormatError(f"prediction: expected values within {LARGEST}, got {left}")
            row.append(left)
        found.append(row)
        above = [*row, 0]
    return found


def _difference(decide: Decide, where: tuple[int, int], wrong: int) -> int:
    """Zero or not, the sign, and the size as its length in bits and the bits below the first."""
    if decide((where, "zero"), wrong == 0):
        return 0
    negative = decide((where, "sign"), wrong < 0)
    size, length = abs(wrong), 1
    while length < _MOST_BITS and decide((where, "longer", length), size >> length > 0):
        length += 1
    found = 1
    for shift in range(length - 2, -1, -1):
        # The second bit is worth learning, the ones below it are noise.
        context = (where, "bit", length) if shift == length - 2 else ("even", length, shift)
        found = found << 1 | decide(context, bool(size >> shift & 1))
    return -found if negative else found
