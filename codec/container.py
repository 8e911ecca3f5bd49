"""The file format, byte by byte as docs/format.md describes it: sections with types and checksums.

Nothing is allocated because a length says so: every size is checked against what is there and
against the limits first.
"""

import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from codec.residual.rans import MOST_LANES

MAGIC = b"\x89DFC"
VERSION = 1
MAX_PIXELS = 1 << 27
MAX_SIDE = 1 << 20
_HEADER = struct.Struct("<BBBBBI")
_LARGEST_VARINT_BYTES = 5


class FormatError(ValueError):
    """Data that are no codestream, or a broken one; the message says where."""


class Kind(IntEnum):
    """What a stream holds. Only STILL is coded so far, the others are reserved."""

    STILL = 0
    LAYERED = 1
    ALBUM = 2
    GALLERY = 3


class Section(IntEnum):
    """Types of sections. From 16: reserved for streams of other kinds. From 128: may be skipped."""

    HEADER = 1
    MEANS = 2
    CELLS = 3
    EXACT = 4
    LEVEL = 16
    BLOCK = 17
    PLANES_PRESENT = 18
    REFERENCE_HASH = 19
    PREDICTION = 20
    EXIF = 128
    ICC = 129


class Mode(IntEnum):
    """How a picture is coded."""

    MSE = 0
    PERCEPTUAL = 1
    LOSSLESS = 2


class Filter(IntEnum):
    """What the decoder does to the pixels at the end."""

    NONE = 0
    EDGE = 1
    NETWORK = 2


class Header(NamedTuple):
    """What a decoder has to know first.

    Attributes:
        height, width: in pixels, from 1.
        planes: 1 grey or 3 colour.
        mode: see `Mode`.
        step: index of the quantisation step.
        filter: see `Filter`.
        contexts: fingerprint of the context networks.
        postfilter: fingerprint of the post-filter, 0 without.
        kind: see `Kind`.
    """

    height: int
    width: int
    planes: int
    mode: Mode
    step: int
    filter: Filter
    contexts: int
    postfilter: int = 0
    kind: Kind = Kind.STILL


def pack_varint(value: int) -> bytes:
    """LEB128: seven bits a byte, the lowest first."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def unpack_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a position, and the position after it."""
    value = 0
    for number in range(_LARGEST_VARINT_BYTES):
        if at + number >= len(data):
            break
        byte = data[at + number]
        value |= (byte & 0x7F) << 7 * number
        if byte < 0x80:
            return value, at + number + 1
    raise FormatError(f"byte {at}: expected a length")


def pack_header(header: Header) -> bytes:
    fixed = _HEADER.pack(
        header.kind, header.planes, header.mode, header.step, header.filter, header.contexts
    )
    tail = struct.pack("<I", header.postfilter) if header.filter == Filter.NETWORK else b""
    return fixed + pack_varint(header.width) + pack_varint(header.height) + tail


def unpack_header(data: bytes) -> Header:
    """Inverse of `pack_header`, with every field checked."""
    if len(data) < _HEADER.size:
        raise FormatError(f"header: expected at least {_HEADER.size} bytes, got {len(data)}")
    kind, planes, mode, step, filter_, contexts = _HEADER.unpack_from(data)
    width, at = unpack_varint(data, _HEADER.size)
    height, at = unpack_varint(data, at)
    if kind != Kind.STILL:
        raise FormatError(f"header: expected a still picture, got stream kind {kind}")
    if planes not in (1, 3):
        raise FormatError(f"header: expected 1 or 3 planes, got {planes}")
    if mode not in tuple(Mode) or filter_ not in tuple(Filter):
        raise FormatError(f"header: expected a known mode and filter, got {mode} and {filter_}")
    if filter_ == Filter.NETWORK and planes != 3:
        raise FormatError("header: expected three planes where the filter is a network, got 1")
    check_size(height, width)
    postfilter = 0
    if filter_ == Filter.NETWORK:
        if len(data) != at + 4:
            raise FormatError("header: expected the fingerprint of a post-filter at its end")
        (postfilter,) = struct.unpack_from("<I", data, at)
        at += 4
    if at != len(data):
        raise FormatError(f"header: expected {at} bytes, got {len(data)}")
    return Header(
        height, width, planes, Mode(mode), step, Filter(filter_), contexts, postfilter, Kind(kind)
    )


def check_size(height: int, width: int) -> None:
    """Raise FormatError unless a picture of this size may be coded."""
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE and height * width <= MAX_PIXELS):
        raise FormatError(
            f"expected 1 to {MAX_SIDE} pixels a side and {MAX_PIXELS} in all, got {width}x{height}"
        )


def pack(sections: list[tuple[int, bytes]]) -> bytes:
    """A codestream of sections (type, payload)."""
    return MAGIC + bytes([VERSION]) + b"".join(pack_section(*section) for section in sections)


def pack_section(kind: int, payload: bytes) -> bytes:
    """A section: type, length, payload and CRC-32 of all that."""
    section = bytes([kind]) + pack_varint(len(payload)) + payload
    return section + struct.pack("<I", zlib.crc32(section))


def unpack(data: bytes) -> dict[int, bytes]:
    """The sections of a codestream by type.

    Raises:
        FormatError: not a codestream, another version, truncated, a wrong checksum, a section
            twice, or one that this version does not know and may not skip.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise FormatError("expected a codestream (.dfc), which begins with 89 44 46 43")
    if len(data) <= len(MAGIC) or data[len(MAGIC)] != VERSION:
        raise FormatError(f"expected version {VERSION} of the format")
    found: dict[int, bytes] = {}
    for kind, payload in _sections(data, len(MAGIC) + 1):
        if kind in found:
            raise FormatError(f"expected one section of type {kind}, got two")
        if kind >= Section.EXIF or kind in (1, 2, 3, 4):
            found[kind] = payload
        else:
            raise FormatError(f"section type {kind} needs a newer version")
    if Section.HEADER not in found:
        raise FormatError("expected a header section")
    return found


def _sections(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at < len(data):
        start = at
        length, at = unpack_varint(data, at + 1)
        end = at + length
        if end + 4 > len(data):
            raise FormatError(f"byte {start}: truncated, {end + 4 - len(data)} bytes are missing")
        (checksum,) = struct.unpack_from("<I", data, end)
        if zlib.crc32(data[start:end]) != checksum:
            raise FormatError(f"byte {start}: wrong checksum of section {data[start]}")
        yield data[start], data[at:end]
        at = end + 4


def pack_stream(lanes: int, words: bytes) -> bytes:
    """The payload of an entropy-coded section."""
    return pack_varint(lanes) + words


def unpack_stream(data: bytes) -> tuple[int, bytes]:
    """Inverse of `pack_stream`."""
    lanes, at = unpack_varint(data, 0)
    if not 1 <= lanes <= MOST_LANES or len(data) - at < 4 * lanes:
        raise FormatError(f"expected 1 to {MOST_LANES} lanes and their states, got {lanes}")
    return lanes, data[at:]
