"""Stores that several machines share: all see the same, and nothing is lost between them."""

import json
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from codec.album import Album, open_album
from codec.cloud import changes, cloud_store, descriptors, objects
from codec.cloud.cloud_store import CloudStore
from codec.cloud.places import open_store
from codec.gallery import open_gallery
from codec.pictures.picture_files import encode_jpeg, encode_png
from codec.settings import Settings
from codec.store.codings import RAW, name_of
from codec.store.collection import Collection
from codec.store.copying import copy_items
from codec.store.pictures import PictureCoding
from codec.store.records import MOST_DEPTH, Conflict, Content, Item, StoreError
from codec.store.sqlite import SqliteStore
from tests.codec.store.test_store import added, chain, put
from tests.codec.test_picture import photo


@pytest.fixture(params=["folder", "bucket"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store can be that several machines share."""
    if request.param == "bucket":
        return str(request.getfixturevalue("bucket"))
    return f"{tmp_path / 'album'}/"


@contextmanager
def machine(place: str, name: str, tmp_path: Path) -> Iterator[CloudStore]:
    """A store as another machine has it, with a working copy of its own."""
    before = os.environ["DFC_CACHE"]
    os.environ["DFC_CACHE"] = str(tmp_path / name)
    try:
        store = CloudStore(place, create=True)
    finally:
        os.environ["DFC_CACHE"] = before
    with store:
        yield store


def named(store: SqliteStore) -> list[str]:
    with store.transaction():
        return [item.name for item in store.items(hidden=True)]


def test_machines_see_what_others_did(shared: str, tmp_path: Path) -> None:
    with machine(shared, "one", tmp_path) as one, machine(shared, "two", tmp_path) as two:
        put(one, "a")
        put(two, "b", name_of(b"a"), 1)
        assert named(one) == named(two) == ["a", "b"]
        assert one.data(name_of(b"b")) == b"b" and two.data(name_of(b"a")) == b"a"
        Collection(one).delete("a")
        assert [item.name for item in two.items()] == ["a", "b"]  # not looked at anew
        assert Collection(two).delete("b") is False
        assert named(one) == [] and one.contents() == []
    with machine(shared, "three", tmp_path) as three:
        assert named(three) == [] and three.contents() == []


def test_changes_at_the_same_time(
    shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with machine(shared, "one", tmp_path) as one, machine(shared, "two", tmp_path) as two:
        put(one, "a")
        put(one, "z")
        with one.transaction():  # both are kept
            put(one, "b")
            put(two, "c", name_of(b"a"), 1)
        assert named(one) == named(two) == ["a", "b", "c", "z"]
        for other in ("d", "b"):  # the same name; and what is removed, and stood on
            with pytest.raises(StoreError, match="try again"), one.transaction():
                if other == "d":
                    put(one, "d")
                    two.add_item(Item("d", name_of(b"a"), name_of(b"x"), 0, 0o644))
                else:
                    one.remove_item("z")
                    one.remove(name_of(b"z"))
                    put(two, "e", name_of(b"z"), 1)
        assert named(one) == named(two) == ["a", "b", "c", "d", "e", "z"]
        assert two.item("d") == one.item("d") and one.data(name_of(b"e")) == b"e"
        with pytest.raises(StoreError, match="try again"), one.transaction():
            put(one, "f", name_of(b"b"), 1)
            with two.transaction():  # meanwhile that stands on something
                found = two.content(name_of(b"b"))
                assert found is not None
                two.put(found._replace(reference=name_of(b"a"), depth=1), b"b")
        assert "f" not in named(two)


def test_what_was_looked_at_may_have_changed(shared: str, tmp_path: Path) -> None:
    with machine(shared, "one", tmp_path) as one, machine(shared, "two", tmp_path) as two:
        put(one, "a")
        put(one, "b")
        assert named(two) == ["a", "b"]
        found = two.content(name_of(b"b"))
        assert found is not None
        Collection(one).delete("a")
        with pytest.raises(StoreError):  # stands on what is gone
            two.put(found._replace(reference=name_of(b"a"), depth=1), b"b")
        put(one, "c")
        with machine(shared, "three", tmp_path) as three:
            assert named(one) == named(two) == named(three) == ["b", "c"]


def test_another_program_changed_a_picture(file_store: SqliteStore, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(encode_png(photo(0, 48, 64)))
    collection, coding = Collection(file_store), PictureCoding(Settings(60))
    collection.add([(picture, "a.png"), (picture, "twin.png")], coding=coding)
    item = collection.item("a.png")
    finer = coding.finer(20)
    assert finer is not None
    again = finer.code(picture.read_bytes(), picture)
    assert again is not None
    collection.exchange(item, again)
    assert collection.item("a.png").content == collection.item("twin.png").content
    assert len(file_store.contents()) == 1
    with pytest.raises(Conflict):  # it is another one now
        collection.exchange(item, again)
    with pytest.raises(Conflict):
        missing = again._replace(reference=b"\0" * 16)
        collection.exchange(collection.item("a.png"), missing)
    assert collection.contents.bytes_of(collection.item("a.png").content) == again.data


def test_bytes_of_others_are_not_written_over(shared: str, tmp_path: Path) -> None:
    with machine(shared, "one", tmp_path) as one, machine(shared, "two", tmp_path) as two:
        name = name_of(b"text")
        with pytest.raises(Conflict), one.transaction():
            one.put(Content(name, 4, RAW, None, 0, 9), b"otherwise")
            two.put(Content(name, 4, RAW, None, 0, 4), b"text")
        assert named(one) == [] and one.data(name) == two.data(name) == b"text"


def test_several_machines_add_files_of_one_name(
    shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    for n in range(3):
        paths.append(tmp_path / f"{n}.txt")
        paths[-1].write_text(f"text {n}")
    with machine(shared, "one", tmp_path) as one, machine(shared, "two", tmp_path) as two:
        real = one._objects.create
        waiting = [lambda: Collection(two).add([(paths[2], "same")])]

        def create(key: str, data: bytes) -> bool:
            if waiting:
                waiting.pop()()  # just before
            return real(key, data)

        monkeypatch.setattr(one._objects, "create", create)
        done, _ = Collection(one).add([(paths[0], "same"), (paths[1], "other")])
        assert not done.failures
        assert named(one) == named(two) == ["other", "same", "same (2)"]
        one.close()
        album = Album(two)
        monkeypatch.setattr(album, "_group", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            album.group()
        tries = []

        def refused() -> None:
            tries.append(1)
            raise Conflict("again")

        monkeypatch.setattr(album, "_group", refused)
        with pytest.raises(Conflict):
            album.group()
        assert len(tries) == 5


def test_an_older_state_put_back_is_noticed(tmp_path: Path) -> None:
    place = f"{tmp_path / 'album'}/"
    with machine(place, "one", tmp_path) as one:
        put(one, "a")
        shutil.copytree(place, tmp_path / "backup")
        put(one, "lost")
    shutil.rmtree(place)
    shutil.copytree(tmp_path / "backup", place)
    with machine(place, "two", tmp_path) as two:
        put(two, "b")
    with machine(place, "one", tmp_path) as one:
        assert named(one) == ["a", "b"] and one.problems() == []
        put(one, "c")
    with machine(place, "two", tmp_path) as two:
        assert named(two) == ["a", "b", "c"]
        assert two.data(name_of(b"b")) == b"b"


def test_other_files_are_not_tidied_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_store, "_YOUNG", timedelta(seconds=-5))
    place = tmp_path / "album"
    with machine(f"{place}/", "one", tmp_path) as one:
        put(one, "a")
        others = ["contents/photo.jpg", "log/notes", "contents/sub/contents/" + "0" * 64 + ".raw.1"]
        for name in others:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text("mine")
        unused = place / f"contents/{'0' * 64}.raw.1"
        unused.write_text("unused")
        one.compact()
        assert all((place / name).exists() for name in others) and not unused.exists()
        assert one.data(name_of(b"a")) == b"a"


def test_the_same_bytes_are_not_taken_at_their_word(shared: str, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.txt", "b.txt")]
    for path in paths:
        path.write_text("the same")
    with machine(shared, "one", tmp_path) as one:
        Collection(one).add([(paths[0], "a.txt")])
        (key,) = (found.key for found in one._objects.list("contents"))
        one._objects.delete([key])
    with machine(shared, "two", tmp_path) as two:
        done, _ = Collection(two).add([(paths[1], "b.txt")])
        assert "is mended" in done.results[0].notes[-1]
        assert Collection(two).contents.bytes_of(name_of(b"the same")) == b"the same"
        assert two.problems() == []


def test_a_transaction_that_took_too_long_is_none(
    shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with machine(shared, "one", tmp_path) as one:
        monkeypatch.setattr(cloud_store, "_LONGEST", -1.0)
        with pytest.raises(Conflict, match="took too long"):
            put(one, "a")
        monkeypatch.setattr(cloud_store, "_LONGEST", 99.0)
        assert named(one) == []


def test_what_is_missing_or_wrong_is_said(shared: str, tmp_path: Path) -> None:
    def data(store: SqliteStore, text: str) -> None:
        Collection(store).contents.bytes_of(name_of(text.encode()))

    with machine(shared, "one", tmp_path) as one:
        put(one, "gone")
        put(one, "short")
        put(one, "other")
        put(one, "child", name_of(b"gone"), 1)
        keys = {text: cloud_store._key(found) for text in ("gone", "short", "other")
                if (found := one.content(name_of(text.encode())))}  # fmt: skip
        one._objects.delete([keys["gone"]])
        one._objects.put(keys["short"], b"s")
        one._objects.put(keys["other"], b"rehto")
    with machine(shared, "two", tmp_path) as two:
        for text, words in (("gone", "is missing"), ("short", "not what was stored"),
                            ("other", "damaged"), ("child", "is missing")):  # fmt: skip
            with pytest.raises(StoreError, match=words):
                data(two, text)
        assert len(two.problems()) == 2
        wrong = [problem for _, problem in Collection(two).contents.verify() if problem]
        assert len(wrong) == 4
    with machine(shared, "one", tmp_path) as one:
        one._objects.delete([one._objects.list("log")[0].key])
    with pytest.raises(StoreError, match="change 1 is missing"), machine(shared, "x", tmp_path):
        pass


def test_a_working_copy_can_be_lost_or_lag_behind(
    shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud_store, "_EACH", 5)
    with machine(shared, "one", tmp_path) as one, machine(shared, "two", tmp_path) as two:
        names = chain(one, MOST_DEPTH + 1)
        assert len(named(two)) == MOST_DEPTH + 1
        for name in ("3", "2"):
            Collection(one).delete(name)
        for n in range(9):
            put(one, f"late {n}")
        monkeypatch.setattr(cloud_store, "_YOUNG", timedelta(seconds=-5))
        one.compact()
        assert len(one._objects.list("log")) == len(one._objects.list("snapshots")) == 1
        keys = {cloud_store._key(content) for content in one.contents()}
        assert {found.key for found in one._objects.list("contents")} == keys
        everyone = named(one)
        assert named(two) == everyone and two.content(names[3]) is None
    with machine(shared, "three", tmp_path) as three:
        assert named(three) == everyone and three.data(names[1]) == b"1"
    with machine(shared, "one", tmp_path) as one:
        for n in range(3):
            put(one, f"later {n}")
        one._write_snapshot(one._seen().number)
        one._objects.delete(
            [cloud_store._numbered("log", one._seen().number - 1)]
        )  # stopped half way
        everyone = named(one)
    with machine(shared, "three", tmp_path) as three:
        assert named(three) == everyone
    (copy,) = (tmp_path / "three").glob("*.dfa")
    copy.write_bytes(b"something else" * 999)
    with machine(shared, "three", tmp_path) as three:
        assert named(three) == everyone


def test_what_was_not_finished_is_not_there(
    shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with machine(shared, "one", tmp_path) as one:
        put(one, "a")
        with monkeypatch.context() as patch:
            patch.setattr(one._objects, "create", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError), one.transaction():
                put(one, "b")
        assert named(one) == ["a"] and len(one._objects.list("contents")) == 2
        one.compact()
        assert len(one._objects.list("contents")) == 2  # somebody may be about to refer to it
        monkeypatch.setattr(cloud_store, "_YOUNG", timedelta(seconds=-5))
        one.compact()
        assert len(one._objects.list("contents")) == 1
        # The change was written, and the answer lost: it is there when things are looked at again.
        real = one._objects.create

        def interrupted(key: str, data: bytes) -> bool:
            real(key, data)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(one._objects, "create", interrupted)
            with pytest.raises(KeyboardInterrupt), one.transaction():
                put(one, "c")
        assert named(one) == ["a", "c"]
        with monkeypatch.context() as patch:
            patch.setattr(one._objects, "create", lambda *some: real(*some) and False)
            put(one, "d")
        assert named(one) == ["a", "c", "d"]


def test_places_that_are_no_albums(tmp_path: Path, bucket: str) -> None:
    with pytest.raises(StoreError, match="no such album"):
        open_store(f"{tmp_path / 'none'}/")
    assert not (tmp_path / "none").exists()
    with pytest.raises(StoreError, match="there is no album"):
        open_store(bucket)
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"x")
    with pytest.raises(StoreError, match="holds something else"):
        open_store(folder, create=True)
    with pytest.raises(StoreError, match="there is no album"):
        open_store(folder)
    with pytest.raises(StoreError, match="cannot be used"):
        open_store("nonsense://a/b")
    for marker, words in ((b"{}", "damaged"), (b"[1]", "damaged"), (b"\xff", "damaged"),
                          (json.dumps({"format": "dfa", "version": 2, "id": ""}).encode(),
                           "newer version")):  # fmt: skip
        (folder / "album.json").write_bytes(marker)
        with pytest.raises(StoreError, match=words):
            open_store(folder)


def test_a_server_that_does_not_answer(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(objects._PATIENCE, "max_retries", 0)
    with pytest.raises(StoreError, match=r"^s3://[^\n]*cannot be read[^\n]*$"):
        open_store(bucket)


def test_without_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore", None)
    with pytest.raises(StoreError, match=r"pip install 'defilter\[cloud\]'"):
        open_store(f"{tmp_path}/a/", create=True)


def test_changes_that_are_none() -> None:
    made = changes.Changes([("groups", [1, "a", 0])], [("items", "b"), ("contents", b"c")])
    data = changes.pack(made)
    assert changes.unpack(data, "x") == made
    text = zlib.decompress(data)
    wrong = [b"", b"x", data[:-9], zlib.compress(b"[]"), zlib.compress(b"[" * 9000)]
    for old, new in ((b"groups", b"tables"), (b'"a",', b""), (b"items", b"x"), (b'"a"', b"[]")):
        wrong.append(zlib.compress(text.replace(old, new)))
    for one in wrong:
        with pytest.raises(StoreError, match="x: is damaged"):
            changes.unpack(one, "x")
    with pytest.raises(StoreError, match="newer version"):
        changes.unpack(zlib.compress(text.replace(b'"version":1', b'"version":2')), "x")


def test_copies_go_on_where_they_were_stopped(
    shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SqliteStore(tmp_path / "a.dfa", create=True) as file:
        source, files = added(file, tmp_path)
        chain(file, 3)
        number = file.add_group("a day")
        for name in ("a.jpg", "0", "2"):
            file.change_item(name, group=number)
        with machine(shared, "one", tmp_path) as one:
            target = Collection(one)
            assert len(copy_items(source, target, ["2", "sub/*"]).results) == 4
            assert [item.name for item in one.items()] == ["2", *list(files)[1:]]
            assert [item.name for item in one.items(hidden=True)][:2] == ["0", "1"]
            with pytest.raises(StoreError, match="fits no file"):
                copy_items(source, target, ["x*"])
            real = one.put
            monkeypatch.setattr(one, "put", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                copy_items(source, target)
            monkeypatch.setattr(one, "put", real)
            done = copy_items(source, target)
            assert done.existing == 6 and len(done.results) == 1
            assert named(one) == named(file) and not any(i.hidden for i in one.items(True))
            (group,) = one.groups()
            assert [item.name for item in one.members(group.number)] == ["0", "2", "a.jpg"]
        file._database.execute("UPDATE data SET data = x'00' WHERE name = ?", (name_of(b"1"),))
        with SqliteStore(tmp_path / "b.dfa", create=True) as back, \
                machine(shared, "two", tmp_path) as two:  # fmt: skip
            assert not copy_items(Collection(two), Collection(back)).failures
            for name, data in files.items():
                item = Collection(back).item(name)
                assert Collection(back).contents.bytes_of(item.content) == data
            assert named(back) == named(file) and back.problems() == []
        with SqliteStore(tmp_path / "c.dfa", create=True) as other:
            done = copy_items(source, Collection(other))
            assert len(done.failures) == 2 and len(other.items()) == len(files) + 1


def test_an_album_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    from tests.codec.store.test_kills import files_in

    files = files_in(tmp_path / "in")
    with open_album(bucket, create=True) as album:
        done, _ = album.add([tmp_path / "in"])
        assert not done.failures and len(done.results) == len(files)
    os.environ["DFC_CACHE"] = str(tmp_path / "elsewhere")
    with open_album(bucket, write=False) as album:
        album.export(tmp_path / "out")
        assert len(album.store.groups()) == 1
    for name, data in files.items():
        assert (tmp_path / "out" / name).read_bytes() == data


def test_a_gallery_in_a_bucket(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(3):
        (tmp_path / f"{n}.jpg").write_bytes(encode_jpeg(photo(n, 240, 320), 90))
    (tmp_path / "text.txt").write_bytes(b"text")
    with open_gallery(bucket, create=True) as gallery:
        gallery.add([tmp_path / "0.jpg", tmp_path / "1.jpg", tmp_path / "text.txt"])
    monkeypatch.setenv("DFC_CACHE", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(descriptors, "_AT_ONCE", 1)
    with open_gallery(bucket) as gallery:
        assert len(gallery.album.store.described()) == 3
        assert gallery.find(tmp_path / "1.jpg")[0].name == "1.jpg"
        gallery.add([tmp_path / "2.jpg"])
        gallery.album.purge("0.jpg")
        gallery.album.store.compact()
        assert len(gallery.album.store.described()) == 3
        assert gallery.find(tmp_path / "0.jpg") == []


def test_working_copies_keep_little(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(bucket, create=True) as store:
        for n in range(4):
            put(store, f"{n}" * 10)
    monkeypatch.setattr(cloud_store, "_MOST_KEPT", 25)
    with open_store(bucket):
        pass
    with open_store(bucket) as store:
        kept = [bytes(name) for (name,) in store._rows("SELECT name FROM data ORDER BY rowid")]
        assert kept == [name_of(f"{n}".encode() * 10) for n in (2, 3)]
        assert store.data(name_of(b"0" * 10)) == b"0" * 10
        other = Content(b"\1" * 32, 1, RAW, None, 0, 1)
        with pytest.raises(StoreError, match="is missing"):
            store.data(other.name)
