"""Packages: several streams in one file, each of which can be read without the others.

A package is a stream of ITEM sections, an INDEX that names them and says where they lie, and an END
that says where the index is: whoever opens one reads its last bytes, the index, and then only the
items that are asked for.
"""

import hashlib
import io
import struct
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

from codec.container import START, FormatError, Section, pack_section, read_section
from codec.pictures.storage import atomic_file
from codec.varint import VarintError, pack_varint, unpack_varint

SUFFIX = ".dfp"
MAX_INDEX_BYTES = 1 << 28
_PLACE = struct.Struct("<BQQ32s")  # coding, position of the section, bytes, SHA-256
_END = struct.Struct("<Q")
_END_SIZE = len(pack_section(Section.END, bytes(_END.size)))
PICTURE = 0  # the coding of items that are streams of this project; others say what they are


class Item(NamedTuple):
    """What goes into a package.

    Attributes:
        name: for people and for `Package.read`; no two are equal.
        data: its bytes.
        coding: PICTURE, or a number that who wrote the package knows.
    """

    name: str
    data: bytes
    coding: int = PICTURE


class Entry(NamedTuple):
    """A line of the index: what an item is called, how it is coded, where it lies, and its hash."""

    name: str
    coding: int
    position: int
    size: int
    sha256: bytes


def write_package(path: Path | str, items: Iterable[Item]) -> list[Entry]:
    """Write items into a package, one after the other, so that they need not all be in memory.

    Raises:
        ValueError: two items have one name.
        OSError: the file cannot be written; none is left then.
    """
    entries: dict[str, Entry] = {}
    with atomic_file(Path(path)) as file:
        file.write(START)
        for item in items:
            if item.name in entries:
                raise ValueError(f"expected items with different names, got two called {item.name}")
            digest = hashlib.sha256(item.data).digest()
            size = len(item.data)
            entries[item.name] = Entry(item.name, item.coding, file.tell(), size, digest)
            file.write(pack_section(Section.ITEM, item.data))
        position = file.tell()
        file.write(pack_section(Section.INDEX, _pack_index(entries.values())))
        file.write(pack_section(Section.END, _END.pack(position)))
    return list(entries.values())


class Package:
    """An open package; also a context manager.

    Args:
        source: a path, or the bytes of a package.

    Raises:
        FormatError: not a package, or a broken one.
        OSError: the file cannot be read.
    """

    def __init__(self, source: Path | str | bytes):
        # Closed by `close`, not by the end of this block.
        self.file: BinaryIO = io.BytesIO(source) if isinstance(source, bytes) else _opened(source)
        try:
            self.entries = {entry.name: entry for entry in _read_index(self.file)}
        except BaseException:
            self.file.close()
            raise

    def read(self, name: str) -> bytes:
        """The bytes of one item; nothing else is read.

        Raises:
            KeyError: no item has this name.
            FormatError: the item is not what the index says.
        """
        entry = self.entries[name]
        data = read_section(self.file, entry.position)
        if len(data) != entry.size or hashlib.sha256(data).digest() != entry.sha256:
            raise FormatError(f"item {name}: expected the bytes that the index names, got others")
        return data

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> "Package":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _opened(path: Path | str) -> BinaryIO:
    return Path(path).open("rb")


def _pack_index(entries: Iterable[Entry]) -> bytes:
    packed = bytearray()
    for entry in entries:
        name = entry.name.encode()
        packed += pack_varint(len(name)) + name + _PLACE.pack(*entry[1:])
    return bytes(packed)


def _read_index(file: BinaryIO) -> list[Entry]:
    end = file.seek(0, io.SEEK_END) - _END_SIZE
    file.seek(0)
    if end < len(START) or file.read(len(START)) != START:
        raise FormatError("expected a package (.dfp)")
    if _section_type(file, end) != Section.END:
        raise FormatError("expected a package (.dfp) that ends with where its index is")
    payload = read_section(file, end)
    if len(payload) != _END.size:
        raise FormatError(f"byte {end}: expected {_END.size} bytes, got {len(payload)}")
    (position,) = _END.unpack(payload)
    if not len(START) <= position < end or end - position > MAX_INDEX_BYTES:
        raise FormatError(f"byte {end}: expected the position of an index, got {position}")
    if _section_type(file, position) != Section.INDEX:
        raise FormatError(f"byte {position}: expected an index")
    return _unpack_index(read_section(file, position), position)


def _section_type(file: BinaryIO, at: int) -> int:
    file.seek(at)
    return file.read(1)[0]


def _unpack_index(data: bytes, before: int) -> list[Entry]:
    entries, at = [], 0
    try:
        while at < len(data):
            size, at = unpack_varint(data, at)
            name = data[at : at + size].decode()
            entry = Entry(name, *_PLACE.unpack_from(data, at + size))
            if not len(START) <= entry.position < before:
                raise FormatError(f"item {name}: expected a position in the package")
            entries.append(entry)
            at += size + _PLACE.size
    except (VarintError, UnicodeDecodeError, struct.error) as error:
        raise FormatError(f"index: expected names and places ({error})") from error
    if len({entry.name for entry in entries}) != len(entries):
        raise FormatError("index: expected different names")
    return entries
