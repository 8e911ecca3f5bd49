"""LEB128 numbers: seven bits a byte, the lowest first, the top bit set on all but the last."""

_MOST_BYTES = 5


class VarintError(ValueError):
    """There is no number at this position."""


def pack_varint(value: int) -> bytes:
    """The bytes of a number, 0 to 2^35 - 1."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def unpack_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a position, and the position after it.

    Raises:
        VarintError: the data end in it, or it is longer than five bytes.
    """
    value = 0
    for number, byte in enumerate(data[at : at + _MOST_BYTES]):
        value |= (byte & 0x7F) << 7 * number
        if byte < 0x80:
            return value, at + number + 1
    raise VarintError(f"byte {at}: expected a length")
