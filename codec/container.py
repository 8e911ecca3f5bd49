"""The file format, byte by byte as docs/format.md describes it: sections with types and checksums.

A picture has a HEADER and what it needs; a package has ITEMs and an INDEX, see `codec.package`.

Nothing is allocated because a length says so: every size is checked against what is there and
against the limits first.
"""

import io
import struct
import zlib
from collections.abc import Container, Iterable, Iterator
from enum import IntEnum
from typing import BinaryIO, NamedTuple

from codec.varint import VarintError, pack_varint, unpack_varint

MAGIC = b"\x89DFC"
VERSION = 2
START = MAGIC + bytes([VERSION])
MAX_PIXELS = 1 << 27
MAX_SIDE = 1 << 20
_HEADER = struct.Struct("<BBBBBI")
_PICTURE = 0  # the first byte of a header; others are free for later versions
_LONGEST_HEAD = 6  # bytes of type and length


class FormatError(ValueError):
    """Data that are no codestream, or a broken one; the message says where."""


class Section(IntEnum):
    """Types of sections. Those from OPTIONAL on may be skipped by who does not know them."""

    HEADER = 1
    MEANS = 2
    CELLS = 3
    LOSSLESS = 4
    ITEM = 5
    INDEX = 6
    END = 7
    PREDICTION = 8
    EXIF = 128
    ICC = 129
    XMP = 130
    PHOTOSHOP = 131
    LAYER = 132


OPTIONAL = 128
_KNOWN = frozenset(Section)


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
        step_index: of the quantisation step.
        filter: see `Filter`.
        contexts: fingerprint of the context networks.
        postfilter: fingerprint of the post-filter, 0 without.
    """

    height: int
    width: int
    planes: int
    mode: Mode
    step_index: int
    filter: Filter
    contexts: int
    postfilter: int = 0


def pack_header(header: Header) -> bytes:
    fixed = _HEADER.pack(
        _PICTURE, header.planes, header.mode, header.step_index, header.filter, header.contexts
    )
    tail = struct.pack("<I", header.postfilter) if header.filter == Filter.NETWORK else b""
    return fixed + pack_varint(header.width) + pack_varint(header.height) + tail


def unpack_header(data: bytes) -> Header:
    """Inverse of `pack_header`, with every field checked."""
    if len(data) < _HEADER.size:
        raise FormatError(f"header: expected at least {_HEADER.size} bytes, got {len(data)}")
    kind, planes, mode, step, filter_, contexts = _HEADER.unpack_from(data)
    try:
        width, at = unpack_varint(data, _HEADER.size)
        height, at = unpack_varint(data, at)
    except VarintError as error:
        raise FormatError(f"header: {error}") from error
    if kind != _PICTURE:
        raise FormatError(f"header: expected a picture, got kind {kind} of stream")
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
    return Header(height, width, planes, Mode(mode), step, Filter(filter_), contexts, postfilter)


def check_size(height: int, width: int) -> None:
    """Raise FormatError unless a picture of this size may be coded."""
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE and height * width <= MAX_PIXELS):
        raise FormatError(
            f"expected 1 to {MAX_SIDE} pixels a side and {MAX_PIXELS} in all, got {width}x{height}"
        )


class Sections:
    """The sections of a stream in their order; a type may stand several times.

    Args:
        found: (type, payload) in their order.
    """

    def __init__(self, found: Iterable[tuple[int, bytes]]):
        self.found = list(found)

    def all(self, kind: Section) -> list[bytes]:
        """The payloads of every section of a type."""
        return [payload for number, payload in self.found if number == kind]

    def get(self, kind: Section) -> bytes | None:
        """The payload of the one section of a type, or None.

        Raises:
            FormatError: there are several.
        """
        every = self.all(kind)
        if len(every) > 1:
            raise FormatError(f"expected one section {kind.name.lower()}, got {len(every)}")
        return every[0] if every else None

    def one(self, kind: Section) -> bytes:
        """The same where it has to be there.

        Raises:
            FormatError: there is none, or several.
        """
        payload = self.get(kind)
        if payload is None:
            raise FormatError(f"expected a section {kind.name.lower()}")
        return payload


def pack(sections: Iterable[tuple[int, bytes]]) -> bytes:
    """A stream of sections (type, payload)."""
    return START + b"".join(pack_section(*section) for section in sections)


def pack_section(kind: int, payload: bytes) -> bytes:
    """A section: type, length, payload and CRC-32 of all that."""
    section = bytes([kind]) + pack_varint(len(payload)) + payload
    return section + struct.pack("<I", zlib.crc32(section))


def unpack(data: bytes) -> Sections:
    """The sections of a whole stream.

    Raises:
        FormatError: not a stream, another version, truncated, a wrong checksum, or a section that
            this version does not know and may not skip.
    """
    return Sections(read_sections(io.BytesIO(data)))


def read_sections(
    file: BinaryIO, wanted: Container[int] | None = None
) -> Iterator[tuple[int, bytes]]:
    """The sections of a stream in a file, one after the other.

    Args:
        file: at its start; it has to be able to seek.
        wanted: types whose payload is read and checked, others are passed over; None is all.

    Raises:
        FormatError: as `unpack`.
    """
    end = file.seek(0, io.SEEK_END)
    file.seek(0)
    start = file.read(len(START))
    if start[: len(MAGIC)] != MAGIC:
        raise FormatError("expected a codestream (.dfc), which begins with 89 44 46 43")
    if start != START:
        raise FormatError(f"expected version {VERSION} of the format")
    at = len(START)
    while at < end:
        kind, head, length = _section_head(file, at)
        after = at + head + length + 4
        if after > end:
            raise FormatError(f"byte {at}: truncated, {after - end} bytes are missing")
        if kind not in _KNOWN and kind < OPTIONAL:
            raise FormatError(f"section type {kind} needs a newer version")
        if wanted is None or kind in wanted:
            yield kind, read_section(file, at)
        at = after


def read_section(file: BinaryIO, at: int) -> bytes:
    """The payload of the section that begins at a position, its checksum compared.

    Raises:
        FormatError: truncated, or a wrong checksum.
    """
    kind, head, length = _section_head(file, at)
    end = file.seek(0, io.SEEK_END)
    if at + head + length + 4 > end:
        raise FormatError(f"byte {at}: truncated, {at + head + length + 4 - end} bytes are missing")
    file.seek(at)
    section = file.read(head + length)
    (checksum,) = struct.unpack("<I", file.read(4))
    if zlib.crc32(section) != checksum:
        raise FormatError(f"byte {at}: wrong checksum of section {kind}")
    return section[head:]


def _section_head(file: BinaryIO, at: int) -> tuple[int, int, int]:
    """Type, bytes before the payload, and bytes of the payload."""
    file.seek(at)
    head = file.read(_LONGEST_HEAD)
    if not head:
        raise FormatError(f"byte {at}: expected a section")
    try:
        length, before = unpack_varint(head, 1)
    except VarintError as error:
        raise FormatError(f"byte {at}: expected the length of a section") from error
    return head[0], before, length
