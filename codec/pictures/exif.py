"""EXIF blocks, changed in place: maker notes hold offsets, so nothing in a block may move.

A block is `Exif\\0\\0` and a TIFF structure: directories of 12-byte entries (TIFF 6.0, section 2).
The second directory describes the thumbnail (Exif 3.0, section 4.6.9).
"""

import io
import struct
from dataclasses import dataclass

from PIL import ExifTags, Image
from torch import Tensor

from codec.pictures.layout import to_image

START = b"Exif\0\0"
MAX_BYTES = 65533  # a JPEG segment, less its length
_ENTRY = 12
_JPEG = b"\xff\xd8"
_LONG = 4
_SHORT = 3
_SIZES = {1: 1, 2: 1, _SHORT: 2, _LONG: 4, 6: 1, 7: 1}  # bytes of a value of each type
# Qualities to try until a thumbnail fits into the room of the one before.
_THUMBNAIL_QUALITIES = (90, 80, 70, 55, 40, 25, 10)
_THUMBNAIL_SIDE = 160  # Exif 3.0 asks for 160 x 120


def orientation_of(exif: bytes | None) -> int:
    """What a block says, or 1."""
    block = Image.Exif()
    if exif:
        block.load(exif)
    return block.get(ExifTags.Base.Orientation, 1)


@dataclass(frozen=True)
class _Directory:
    """Where a directory's entries begin, how many there are, and in which byte order."""

    order: str
    start: int
    count: int

    @classmethod
    def at(cls, tiff: bytes | bytearray, place: int) -> "_Directory":
        order = "<" if tiff[:2] == b"II" else ">"
        (count,) = struct.unpack_from(order + "H", tiff, place)
        return cls(order, place + 2, count)

    @property
    def end(self) -> int:
        """Where the offset of the next directory stands."""
        return self.start + self.count * _ENTRY

    def entry(self, tiff: bytes | bytearray, tag: int) -> int | None:
        """Where the entry of a tag stands, or None."""
        for place in range(self.start, self.end, _ENTRY):
            if struct.unpack_from(self.order + "H", tiff, place)[0] == tag:
                return place
        return None

    def number(self, tiff: bytes | bytearray, tag: int) -> int | None:
        """The value of a tag that holds one whole number, or None."""
        place = self.entry(tiff, tag)
        if place is None:
            return None
        (kind,) = struct.unpack_from(self.order + "H", tiff, place + 2)
        return struct.unpack_from(self.order + ("H" if kind == _SHORT else "I"), tiff, place + 8)[0]

    def set_number(self, tiff: bytearray, tag: int, value: int) -> None:
        """Write the value of a tag that is there."""
        place = self.entry(tiff, tag)
        assert place is not None
        struct.pack_into(self.order + "HII", tiff, place + 2, _LONG, 1, value)

    def next(self, tiff: bytes | bytearray) -> int:
        """Where the next directory begins; 0 if there is none."""
        return struct.unpack_from(self.order + "I", tiff, self.end)[0]


def _first(tiff: bytes | bytearray) -> _Directory:
    order = "<" if tiff[:2] == b"II" else ">"
    return _Directory.at(tiff, struct.unpack_from(order + "I", tiff, 4)[0])


def value_in_tiff(tiff: bytes, tag: int) -> bytes:
    """The bytes of a value of a TIFF file, whatever their type; empty if there are none."""
    try:
        directory = _first(tiff)
        place = directory.entry(tiff, tag)
        if place is None:
            return b""
        kind, count, offset = struct.unpack_from(directory.order + "HII", tiff, place + 2)
    except struct.error:
        return b""
    size = count * _SIZES.get(kind, 0)
    return tiff[offset : offset + size] if size > 4 else tiff[place + 8 : place + 8 + size]


def stored_upright(tiff: bytes) -> bytes:
    """A TIFF file, or structure, whose orientation tag, if it has one, says 1."""
    changed = bytearray(tiff)
    directory = _first(changed)
    place = directory.entry(changed, ExifTags.Base.Orientation)
    if place is not None:
        struct.pack_into(directory.order + "HIHH", changed, place + 2, _SHORT, 1, 1, 0)
    return bytes(changed)


def without_orientation(exif: bytes) -> bytes:
    """A block without its orientation tag, for formats that say it elsewhere; nothing moves but
    the entries behind it."""
    tiff = bytearray(exif.removeprefix(START))
    try:
        directory = _first(tiff)
        place = directory.entry(tiff, ExifTags.Base.Orientation)
        if place is None:
            return exif
        end = directory.end + 4
        tiff[place:end] = tiff[place + _ENTRY : end] + bytes(_ENTRY)
        struct.pack_into(directory.order + "H", tiff, directory.start - 2, directory.count - 1)
    except struct.error:
        return exif
    return START + bytes(tiff)


def with_thumbnail_of(exif: bytes, stored: Tensor) -> bytes:
    """A block whose thumbnail, if it has one, shows these pixels.

    Args:
        exif: the block; one that cannot be read is left as it is.
        stored: (1 or 3, H, W) uint8 pixels, turned as they lie in the file.

    Returns:
        The block with a JPEG thumbnail of about the old size, or without one where it was no JPEG
        or there is no room for a new one.
    """
    tiff = bytearray(exif.removeprefix(START))
    try:
        first = _first(tiff)
        place = first.next(tiff)
        if place == 0:
            return exif
        directory = _Directory.at(tiff, place)
        if not _exchange_thumbnail(tiff, directory, stored):
            struct.pack_into(first.order + "I", tiff, first.end, 0)
    except struct.error:
        return exif
    return START + bytes(tiff)


def _exchange_thumbnail(tiff: bytearray, directory: _Directory, stored: Tensor) -> bool:
    """Whether the thumbnail could be exchanged, in its place or, if too large, behind the rest."""
    offset = directory.number(tiff, ExifTags.Base.JpegIFOffset)
    length = directory.number(tiff, ExifTags.Base.JpegIFByteCount)
    if offset is None or length is None or offset + length > len(tiff):
        return False
    if not tiff[offset : offset + length].startswith(_JPEG):
        return False  # the tags are wrong: there may be anything
    side = _side(bytes(tiff[offset : offset + length]))
    tiff[offset : offset + length] = bytes(length if offset + length < len(tiff) else 0)
    for at, room in (
        (offset, length if offset < len(tiff) else MAX_BYTES - len(START) - offset),
        (len(tiff), MAX_BYTES - len(START) - len(tiff)),
    ):
        new = _thumbnail(stored, side, room)
        if new:
            tiff[at : at + len(new)] = new
            directory.set_number(tiff, ExifTags.Base.JpegIFOffset, at)
            directory.set_number(tiff, ExifTags.Base.JpegIFByteCount, len(new))
            return True
    return False


def _side(jpeg: bytes) -> int:
    try:
        return max(Image.open(io.BytesIO(jpeg)).size)
    except (OSError, SyntaxError):
        return _THUMBNAIL_SIDE


def _thumbnail(stored: Tensor, side: int, room: int) -> bytes:
    """A JPEG file of at most `side` pixels a side and `room` bytes; empty if there is none."""
    image = to_image(stored)
    image.thumbnail((side, side))
    for quality in _THUMBNAIL_QUALITIES:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        if len(buffer.getvalue()) <= room:
            return buffer.getvalue()
    return b""
