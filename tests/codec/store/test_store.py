"""Stores of every kind: what goes in comes out, what is needed stays, what is wrong is said."""

import os
import random
import sqlite3
from pathlib import Path

import pytest

from codec.learn.made_pairs import burst
from codec.store import codings
from codec.store.codings import JPEG, LZMA, RAW, code_predicted, code_whole, decode, name_of
from codec.store.collection import Collection
from codec.store.exporting import checked_name, export_items
from codec.store.records import MOST_DEPTH, Content, Item, StoreError
from codec.store.sqlite import SqliteStore
from tests.codec.jpeg.test_coefficients import jpeg
from tests.codec.test_picture import photo


def put(store: SqliteStore, text: str, reference: bytes | None = None, depth: int = 0) -> bytes:
    """A content, and an item of the same name."""
    data = text.encode()
    name = name_of(data)
    store.put(Content(name, len(data), RAW, reference, depth, len(data)), data)
    store.add_item(Item(text, name, name, 0, 0o644))
    return name


def test_contents_and_items_come_back(store: SqliteStore) -> None:
    name = put(store, "a")
    child = put(store, "b", name, 1)
    assert store.content(name) == Content(name, 1, RAW, None, 0, 1)
    assert store.data(child) == b"b" and [one.name for one in store.children(name)] == [child]
    item = Item("c", name, name, 5, 0o600, 1.5, 3600, -1.0, 2.0, None, True, True)
    store.add_item(item)
    assert store.item("c") == item and [one.name for one in store.items()] == ["a", "b"]
    store.change_item("c", hidden=False, taken=None)
    assert store.item("c") == item._replace(hidden=False, taken=None)
    assert [one.name for one in store.items_of(name)] == ["a", "c"]
    with pytest.raises(TypeError, match="expected name"):
        store.change_item("c", colour=1)


def test_what_others_stand_on_stays(store: SqliteStore) -> None:
    name = put(store, "a")
    put(store, "b", name, 1)
    with pytest.raises(StoreError):
        store.remove(name)  # an item and a content stand on it
    store.remove_item("a")
    with pytest.raises(StoreError):
        store.remove(name)
    with pytest.raises(StoreError):
        put(store, "c", b"x" * 32, 1)  # stands on nothing
    with pytest.raises(StoreError):
        put(store, "d", name, MOST_DEPTH + 1)


def test_a_transaction_is_all_or_nothing(store: SqliteStore) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction():
        put(store, "a")
        with store.transaction():
            put(store, "b")
        raise ZeroDivisionError
    assert store.items() == [] and store.contents() == []


def test_groups(store: SqliteStore) -> None:
    put(store, "a")
    number = store.add_group("a day")
    assert store.groups() == []  # nobody is in it
    store.change_item("a", group=number)
    store.change_group(number, settled=True)
    (found,) = store.groups()
    assert found.settled and found.label == "a day"
    assert [one.name for one in store.members(number)] == ["a"]


def test_other_files_are_no_stores(tmp_path: Path) -> None:
    other = tmp_path / "b.dfa"
    with pytest.raises(StoreError, match="no such album"):
        SqliteStore(other)
    other.write_bytes(b"something else, longer than a header of SQLite" * 40)
    for create in (False, True):
        with pytest.raises(StoreError, match="is no album"):
            SqliteStore(other, create=create)
    assert other.read_bytes().startswith(b"something else")
    other.unlink()
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE x (y)")
    with pytest.raises(StoreError, match="is no album"):
        SqliteStore(other, create=True)
    with SqliteStore(tmp_path / "c.dfa", create=True) as store:
        store._database.execute("PRAGMA user_version = 2")
    with pytest.raises(StoreError, match="newer version"):
        SqliteStore(tmp_path / "c.dfa")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_where_nothing_can_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "fixed"
    with SqliteStore(folder / "a.dfa", create=True) as store:
        put(store, "a")
    (folder / "a.dfa").chmod(0o444)
    folder.chmod(0o555)
    try:
        with SqliteStore(folder / "a.dfa", write=False) as store:
            assert store.data(name_of(b"a")) == b"a"
        with pytest.raises(StoreError, match=r"written|opened"):
            SqliteStore(folder / "a.dfa")
    finally:
        folder.chmod(0o755)


def test_two_at_once(file_store: SqliteStore) -> None:
    store = file_store
    with SqliteStore(store.path) as other:
        put(store, "a")
        put(other, "b")
        assert [one.name for one in store.items()] == ["a", "b"]


def test_a_full_disk_is_said(file_store: SqliteStore) -> None:
    store = file_store
    put(store, "a")
    store._database.execute("PRAGMA max_page_count = 20")
    with pytest.raises(StoreError, match="disk is full"), store.transaction():
        put(store, "b" * 200_000)
    assert [one.name for one in store.items()] == ["a"] and store.problems() == []


def test_codings_come_back() -> None:
    for data in (b"", b"x", b"text " * 9000, os.urandom(3000), jpeg(photo(0, 64, 64))):
        coded = code_whole(data)
        assert decode(coded.coding, coded.data) == data and len(coded.data) <= len(data)
    assert code_whole(b"text " * 9000).coding == LZMA
    assert code_whole(os.urandom(3000)).coding == RAW
    with pytest.raises(StoreError, match="newer version"):
        decode("xyz", b"")
    with pytest.raises(StoreError, match="damaged"):
        decode(LZMA, code_whole(b"text " * 9000).data[:-9])


def test_only_jpeg_files_are_predicted() -> None:
    first = jpeg(photo(0, 64, 64), quality=90)
    assert code_predicted(b"text", [first], 99) is None
    assert code_predicted(first, [b"text"], len(first)) is None
    again = first[:-2] + b"\0\0" + first[-2:]
    assert code_predicted(again, [first], 1) is None
    coded = code_predicted(again, [b"text", first], len(again))
    assert coded is not None and (coded.coding, coded.number) == (JPEG, 1)
    assert decode(JPEG, coded.data, first) == again


def test_what_does_not_come_back_is_stored_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    data = jpeg(photo(0, 64, 64))
    monkeypatch.setattr(codings, "_lepton", lambda: None)
    assert code_whole(data).coding == RAW

    class Wrong:
        compress_bytes = staticmethod(lambda data: data[:9])
        decompress_bytes = staticmethod(lambda data: data)

    monkeypatch.setattr(codings, "_lepton", Wrong)
    assert code_whole(data).coding == RAW


def folder_of(tmp_path: Path) -> dict[str, bytes]:
    """Files of several kinds, by name."""
    files = {
        "a.jpg": jpeg(photo(0, 64, 96), quality=90),
        "sub/b.txt": b"text " * 999,
        "sub/c.bin": os.urandom(999),
        "sub/d.jpg": jpeg(photo(2, 64, 96), progressive=True),
    }
    for number, (name, data) in enumerate(files.items()):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o640)
        os.utime(path, ns=(number, 1_600_000_000_123_456_789 + number))
    return files


def added(store: SqliteStore, tmp_path: Path) -> tuple[Collection, dict[str, bytes]]:
    files = folder_of(tmp_path)
    collection = Collection(store)
    done, items = collection.add([(tmp_path / "in" / name, name) for name in files])
    assert not done.failures and set(items) == set(files)
    return collection, files


def test_files_come_back(store: SqliteStore, tmp_path: Path) -> None:
    collection, files = added(store, tmp_path)
    done = export_items(collection.contents, store.items(), tmp_path / "out")
    assert not done.failures
    for name, data in files.items():
        path, before = tmp_path / "out" / name, tmp_path / "in" / name
        assert path.read_bytes() == data
        assert path.stat().st_mtime_ns == before.stat().st_mtime_ns
        assert path.stat().st_mode == before.stat().st_mode
    assert [problem for _, problem in collection.contents.verify() if problem] == []
    stats = collection.stats()
    assert (stats.items, stats.contents, stats.size) == (4, 4, sum(map(len, files.values())))


def test_names_and_bytes_that_are_there(store: SqliteStore, tmp_path: Path) -> None:
    collection, files = added(store, tmp_path)
    again, _ = collection.add([(tmp_path / "in" / name, name) for name in files])
    assert again.existing == 4 and not again.results
    # The same bytes under another name take nothing; other bytes get another name.
    collection.add([(tmp_path / "in/a.jpg", "twin.jpg")])
    twin = collection.item("twin.jpg")
    collection.add([(tmp_path / "in/sub/c.bin", "a.jpg")])
    other = collection.item("a (2).jpg")
    assert collection.stats().contents == 4
    assert collection.contents.bytes_of(twin.content) == files["a.jpg"]
    assert collection.contents.bytes_of(other.content) == files["sub/c.bin"]
    collection.delete("a.jpg")
    assert collection.contents.bytes_of(twin.content) == files["a.jpg"]


def test_one_bad_file_costs_the_others_nothing(store: SqliteStore, tmp_path: Path) -> None:
    folder_of(tmp_path)
    collection = Collection(store)
    wanted = [("a.jpg", "a.jpg"), ("gone.jpg", "b"), ("sub/b.txt", "../c"), ("sub/c.bin", "d")]
    done, items = collection.add([(tmp_path / "in" / path, name) for path, name in wanted])
    assert list(items) == ["a.jpg", "d"]
    assert len(done.failures) == 2
    assert "gone.jpg: cannot be read" in done.failures[0] and "below a folder" in done.failures[1]


@pytest.mark.parametrize("name", ["", "/a", "../a", "a/../../b", "a\0b"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(StoreError, match="below a folder"):
        checked_name(name)


def test_a_damaged_content_is_found(file_store: SqliteStore, tmp_path: Path) -> None:
    store = file_store
    collection, _ = added(store, tmp_path)
    item = collection.item("sub/c.bin")
    store._database.execute("UPDATE data SET data = ? WHERE name = ?", (b"?", item.content))
    collection.contents.forget(item.content)
    problems = {
        content.name: problem for content, problem in collection.contents.verify() if problem
    }
    assert set(problems) == {item.content} and "damaged" in problems[item.content]
    done = export_items(collection.contents, store.items(), tmp_path / "out")
    assert len(done.failures) == 1 and "sub/c.bin" in done.failures[0]
    assert (tmp_path / "out/a.jpg").exists() and not (tmp_path / "out/sub/c.bin").exists()


def test_another_file_is_not_written_over(store: SqliteStore, tmp_path: Path) -> None:
    collection, files = added(store, tmp_path)
    out = tmp_path / "out/a.jpg"
    out.parent.mkdir()
    out.write_bytes(b"mine")
    done = export_items(collection.contents, store.items(), tmp_path / "out")
    assert len(done.failures) == 1 and out.read_bytes() == b"mine"
    assert export_items(collection.contents, store.items()[1:], tmp_path / "out").failures == []
    assert (tmp_path / "out/sub/b.txt").read_bytes() == files["sub/b.txt"]


def chain(store: SqliteStore, count: int) -> list[bytes]:
    """Contents that stand on each other, as far as a store knows."""
    names: list[bytes] = []
    for n in range(count):
        names.append(put(store, f"{n}", names[-1] if names else None, n))
    return names


def test_one_of_many_is_read_with_what_it_stands_on(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.transaction():
        for n in range(300):
            put(store, f"other {n}")
    shots = [jpeg(one, quality=90) for one in burst(photo(0, 48, 64), 1, 1, 1, random.Random(0))]
    for name, data in zip("ab", shots, strict=True):
        (tmp_path / name).write_bytes(data)
    collection = Collection(store)
    collection.add([(tmp_path / name, name) for name in "ab"])
    first, second = (collection.item(name).content for name in "ab")
    assert collection.contents.predict([(second, [first])]) == [second]
    real, read = store.data, []

    def data(name: bytes) -> bytes:
        read.append(name)
        return real(name)

    monkeypatch.setattr(store, "data", data)
    monkeypatch.setattr(store, "items", lambda *_: 1 / 0)
    monkeypatch.setattr(store, "contents", lambda *_: 1 / 0)
    again = Collection(store)
    assert again.contents.bytes_of(again.item("b").content) == shots[1]
    assert read == [first, second]


def test_no_circles_and_no_long_chains(store: SqliteStore) -> None:
    names = chain(store, MOST_DEPTH + 1)
    other = put(store, "other")
    collection = Collection(store)
    assert not collection.contents.may_stand_on(names[0], names[1])
    assert not collection.contents.may_stand_on(names[0], names[0])
    assert not collection.contents.may_stand_on(other, names[MOST_DEPTH])
    assert collection.contents.may_stand_on(other, names[MOST_DEPTH - 1])
    assert not collection.contents.may_stand_on(names[0], other)  # with what stands on it, too long
    assert collection.contents.may_stand_on(names[1], other)
    assert not collection.contents.may_stand_on(other, b"unknown")


def test_deleted_ones_go_with_the_last_that_stands_on_them(store: SqliteStore) -> None:
    chain(store, 3)
    collection = Collection(store)
    assert collection.delete("0") and collection.delete("1")
    assert [one.name for one in store.items()] == ["2"]
    with pytest.raises(StoreError, match="undelete it first"):
        collection.item("0")
    with pytest.raises(StoreError, match="hidden"):
        collection.delete("0")
    collection.undelete("1")
    with pytest.raises(StoreError, match="is not deleted"):
        collection.undelete("1")
    assert not collection.delete("2")
    assert [one.name for one in store.items(hidden=True)] == ["0", "1"]
    assert not collection.delete("1")
    assert store.items(hidden=True) == [] and store.contents() == []


def test_pinned_ones_stay(store: SqliteStore) -> None:
    chain(store, 2)
    store.change_item("0", pinned=True)
    collection = Collection(store)
    collection.delete("0")
    collection.delete("1")
    assert [one.name for one in store.items(hidden=True)] == ["0"]


def test_a_circle_that_somebody_made_is_said(file_store: SqliteStore) -> None:
    store = file_store
    names = chain(store, 2)
    store._database.execute(
        "UPDATE contents SET reference = ?, depth = 1 WHERE name = ?", names[::-1]
    )
    with pytest.raises(StoreError, match="stand on each other"):
        Collection(store).contents.bytes_of(names[0])
