"""Packages: every item alone, nothing believed that was not checked."""

from pathlib import Path

import pytest

import codec
from codec.container import FormatError
from codec.package import Item, Package, write_package
from tests.codec.test_picture import photo


def items() -> list[Item]:
    streams = codec.encode([photo(0, 40, 32), photo(1, 24, 56)], 60)
    return [Item("a.dfc", streams[0]), Item("trip/b.dfc", streams[1]), Item("note é", b"", 7)]


def test_items_come_back(tmp_path: Path) -> None:
    entries = write_package(tmp_path / "x.dfp", items())
    with Package(tmp_path / "x.dfp") as package:
        assert list(package.entries.values()) == entries
        for name, data, coding in items():
            assert package.read(name) == data and package.entries[name].coding == coding
        assert codec.decode([package.read("a.dfc")])[0].shape == (3, 40, 32)
        with pytest.raises(KeyError):
            package.read("c")


def test_opening_reads_the_index_alone(tmp_path: Path) -> None:
    """Damage to an item is noticed when that item is read, and costs the others nothing."""
    path = tmp_path / "x.dfp"
    entries = write_package(path, items())
    data = bytearray(path.read_bytes())
    data[entries[0].position + 50] ^= 1
    with Package(bytes(data)) as package:
        assert package.read("trip/b.dfc") == items()[1].data
        with pytest.raises(FormatError, match="checksum"):
            package.read("a.dfc")


def test_every_flipped_bit_and_every_truncation_of_the_index_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.dfp"
    write_package(path, [Item("a", b"abc"), Item("b", b"")])
    data = path.read_bytes()
    for position in range(len(data)):
        for bit in range(8):
            broken = bytearray(data)
            broken[position] ^= 1 << bit
            with pytest.raises(FormatError), Package(bytes(broken)) as package:
                assert [package.read(name) for name in package.entries] == [b"abc", b""]
        with pytest.raises(FormatError):
            Package(data[:position])


def test_names_are_different_and_nothing_is_left_of_a_package_that_failed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two called a"):
        write_package(tmp_path / "x.dfp", [Item("a", b"1"), Item("a", b"2")])
    assert list(tmp_path.iterdir()) == []


def test_a_picture_is_no_package_and_the_other_way_round(tmp_path: Path) -> None:
    (stream,) = codec.encode([photo(0, 20, 20)])
    with pytest.raises(FormatError, match="expected a package"):
        Package(stream)
    write_package(tmp_path / "x.dfp", items())
    with pytest.raises(FormatError, match="section header"):
        codec.decode([(tmp_path / "x.dfp").read_bytes()])
