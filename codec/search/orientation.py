"""An EXIF block without its orientation, and otherwise as it is."""

import struct

_START = b"Exif\0\0"
_ORIENTATION = 0x0112
_ENTRY = 12  # bytes of a directory's entry


def without_orientation(exif: bytes) -> bytes:
    """The block without the orientation of its first directory; thumbnail and all else stay.

    Pillow would write the block anew instead, without the thumbnail. Later entries move up, which
    no offset refers to. A block that cannot be read stays as it is.
    """
    start = len(_START) if exif.startswith(_START) else 0
    order = {b"II": "<", b"MM": ">"}.get(exif[start : start + 2])
    if order is None:
        return exif
    try:
        (first,) = struct.unpack_from(f"{order}I", exif, start + 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start + first)
        entries = start + first + 2
        tags = [
            struct.unpack_from(f"{order}H", exif, entries + _ENTRY * i)[0] for i in range(count)
        ]
    except struct.error:
        return exif
    if _ORIENTATION not in tags:
        return exif
    at = entries + _ENTRY * tags.index(_ORIENTATION)
    end = entries + _ENTRY * count + 4  # with the offset of the next directory
    block = bytearray(exif)
    block[at:end] = exif[at + _ENTRY : end] + bytes(_ENTRY)
    struct.pack_into(f"{order}H", block, start + first, count - 1)
    return bytes(block)
