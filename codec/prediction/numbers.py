"""Signed whole numbers as bytes: small ones take one byte each."""

from collections.abc import Iterable

from codec.container import FormatError
from codec.varint import VarintError, pack_varint, unpack_varint


def pack_numbers(numbers: Iterable[int]) -> bytes:
    """Numbers in -2^31 .. 2^31 - 1: 0, -1, 1, -2 ... as the varints 0, 1, 2, 3 ..."""
    return b"".join(pack_varint(2 * n if n >= 0 else -2 * n - 1) for n in numbers)


def unpack_numbers(data: bytes, count: int) -> tuple[int, ...]:
    """Inverse of `pack_numbers`, of that many numbers and no byte more.

    Raises:
        FormatError: more or fewer.
    """
    found, at = [], 0
    try:
        for _ in range(count):
            number, at = unpack_varint(data, at)
            found.append(number >> 1 if number % 2 == 0 else -(number + 1 >> 1))
    except VarintError as error:
        raise FormatError(f"prediction: {error}") from error
    if at != len(data):
        raise FormatError(f"prediction: expected {count} numbers, got more")
    return tuple(found)
