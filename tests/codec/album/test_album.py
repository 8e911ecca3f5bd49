"""Albums: added, arranged, deleted in every way, and everything comes back byte for byte."""

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import ExifTags, Image
from torch import Tensor

from codec.__main__ import main
from codec.album import arranging
from codec.album.album import Album, AlbumSettings, Scheme, open_album
from codec.album.arranging import levels
from codec.album.references import Form
from codec.learn.made_pairs import burst
from codec.pictures.metrics import psnr
from codec.pictures.picture_files import encode_png, read_picture, write_pixels
from codec.settings import Settings
from codec.store.pictures import MOST_DRIFT, PictureCoding, allowed, drifted
from codec.store.records import Item, StoreError
from tests.codec.jpeg.test_coefficients import jpeg
from tests.codec.test_picture import photo

SHOTS = ("a.jpg", "b.jpg", "c.jpg", "d.jpg")


def taken(seconds: int) -> bytes:
    """An EXIF block of a time."""
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[0x9003] = f"2024:05:17 10:00:{seconds:02}"
    return exif.tobytes()


def shots(count: int = 4, size: tuple[int, int] = (96, 128)) -> list[Tensor]:
    return burst(photo(0, *size), 1.5, 1.02, 1.0, random.Random(3), count)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A burst of four, a stranger taken with them, a picture of another day, and a text."""
    place = tmp_path_factory.mktemp("photos")
    for number, (name, pixels) in enumerate(zip(SHOTS, shots(), strict=True)):
        (place / name).write_bytes(jpeg(pixels, quality=92, exif=taken(2 * number)))
    (place / "stranger.jpg").write_bytes(jpeg(photo(2, 96, 128), quality=90, exif=taken(9)))
    (place / "sub").mkdir()
    (place / "sub/alone.jpg").write_bytes(jpeg(photo(1, 64, 64)))
    (place / "notes.txt").write_bytes(b"what they show " * 99)
    (place / ".hidden").write_bytes(b"of no use")
    return place


@pytest.fixture(scope="module")
def made(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The album of it."""
    path = tmp_path_factory.mktemp("album") / "a.dfa"
    with open_album(path, create=True) as album:
        done, coded = album.add([folder])
    assert len(done.written) == 7 and len(coded) == 3
    return path


@pytest.fixture
def album(made: Path, tmp_path: Path) -> Iterator[Album]:
    copy = tmp_path / "a.dfa"
    copy.write_bytes(made.read_bytes())
    with open_album(copy) as opened:
        yield opened


def reference_of(album: Album) -> str:
    """The name that the others of the burst stand on."""
    found = {album.reference(item) for item in album.store.items()} - {None}
    (one,) = found
    assert one is not None
    return one.name


def reference(album: Album, name: str) -> Item | None:
    return album.reference(album.collection.item(name, hidden=True))


def check(album: Album, folder: Path, names: set[str]) -> None:
    """Exactly these are there, byte for byte, and the store is sound."""
    assert {item.name for item in album.store.items()} == names
    for item in album.store.items(hidden=True):
        album.collection.contents.forget(item.content)
        data = album.collection.contents.bytes_of(item.content)
        assert data == (folder / item.name).read_bytes(), item.name
    assert album.store.problems() == []
    assert [problem for _, problem in album.collection.contents.verify() if problem] == []


ALL = {*SHOTS, "stranger.jpg", "sub/alone.jpg", "notes.txt"}


def test_a_burst_stands_on_one_of_its_pictures(album: Album, folder: Path) -> None:
    check(album, folder, ALL)
    found = {name: reference(album, name) for name in SHOTS}
    assert sum(one is None for one in found.values()) == 1 and reference_of(album) in SHOTS
    assert all(reference(album, name) is None for name in ALL - set(SHOTS))
    (group,) = album.store.groups()
    assert group.settled and group.label == "2024-05-17 10:00:00 to 10:00:09"
    size = sum((folder / name).stat().st_size for name in SHOTS)
    stored = sum(album.content(album.collection.item(name)).stored for name in SHOTS)
    assert stored < 0.7 * size


def test_adding_again_changes_nothing(album: Album, folder: Path) -> None:
    before = album.collection.stats()
    done, coded = album.add([folder])
    assert done.existing == 7 and not coded and album.collection.stats() == before


def test_a_single_new_picture_stands_on_a_group(album: Album, tmp_path: Path) -> None:
    new = jpeg(shots(5)[4], quality=92, exif=taken(12))
    (tmp_path / "e.jpg").write_bytes(new)
    (tmp_path / "f.jpg").write_bytes(jpeg(photo(2, 64, 64), exif=taken(13)))
    _, coded = album.add([tmp_path / "e.jpg", tmp_path / "f.jpg"])
    assert [one.name for one in coded] == ["e.jpg"]
    assert coded[0].reference == reference_of(album)
    item = album.collection.item("e.jpg")
    assert album.collection.contents.bytes_of(item.content) == new
    assert len(album.store.groups()) == 1 and album.content(item).depth == 1


def test_a_deleted_reference_is_hidden_until_its_last_child_goes(
    album: Album, folder: Path
) -> None:
    name = reference_of(album)
    hidden, coded = album.delete(name)
    assert hidden and not coded
    check(album, folder, ALL - {name})
    album.collection.undelete(name)
    check(album, folder, ALL)
    album.delete(name)
    for other in set(SHOTS) - {name}:
        assert album.delete(other) == (False, [])
    assert album.store.item(name) is None
    check(album, folder, ALL - set(SHOTS))


@pytest.mark.parametrize("scheme", [Scheme.AGAIN, Scheme.HAND_OVER], ids=str)
def test_schemes_of_the_patent(album: Album, folder: Path, scheme: Scheme) -> None:
    name = reference_of(album)
    others = set(SHOTS) - {name}
    before = {one: album.store.data(album.collection.item(one).content) for one in others}
    hidden, coded = album.delete(name, scheme)
    check(album, folder, ALL - {name})
    if scheme == Scheme.AGAIN:  # I: another of them is the reference, and the deleted one is gone
        assert not hidden and album.store.item(name) is None
        assert reference_of(album) in others and {one.name for one in coded} == others
        return
    # II: one is whole, the deleted one stands on it, and the others are as they were.
    assert hidden
    (whole,) = (one for one in others if reference(album, one) is None)
    parent = reference(album, name)
    assert parent is not None and parent.name == whole
    for one in others - {whole}:
        assert reference(album, one).name == name
        assert album.store.data(album.collection.item(one).content) == before[one]


def test_purged_pictures_are_gone(album: Album, folder: Path) -> None:
    name = reference_of(album)
    album.delete(name)
    coded = album.purge(name)
    assert {one.name for one in coded} == set(SHOTS) - {name}
    assert album.store.item(name) is None
    check(album, folder, ALL - {name})
    album.store.compact()
    assert (folder / name).read_bytes()[200:300] not in album.store.path.read_bytes()


def test_what_was_stopped_while_deleting_goes_on(
    album: Album, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    name = reference_of(album)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("codec.album.arranging.Arranger.choose", stop)
        album.delete(name, Scheme.AGAIN)
    check(album, folder, ALL)
    assert album.waiting() == 1 and len(album.arrange()) == 3 and album.waiting() == 0


def test_a_damaged_file_is_mended_by_itself(album: Album, folder: Path) -> None:
    item = album.collection.item(reference_of(album))
    data = bytearray(album.store.data(item.content))
    data[len(data) // 2] ^= 1
    album.store._database.execute("UPDATE data SET data = ? WHERE name = ?", (data, item.content))
    problems = [problem for _, problem in album.collection.contents.verify() if problem]
    assert len(problems) == 4 and sum("what it stands on is damaged" in p for p in problems) == 3
    done, _ = album.add([folder], repair=True)
    assert [result.notes for result in done.results] == [("was damaged",)]
    assert sum(album.content(one).reference is not None for one in album.store.items()) == 3
    check(album, folder, ALL)


def test_names_and_folders(folder: Path, tmp_path: Path) -> None:
    """Hidden files and folders stay out unless they are named; several folders keep their names."""
    for name in ("one", "two", "two/.git"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
    (tmp_path / "two/b.txt").symlink_to("nowhere")
    with open_album(tmp_path / "n.dfa", create=True) as album:
        done, _ = album.add([tmp_path / "one", tmp_path / "two"])
        assert {item.name for item in album.store.items()} == {"one/a.txt", "two/a.txt"}
        assert "not followed: b.txt" in done.about_skipped
        album.add([folder / ".hidden"])
        assert album.store.item(".hidden") is not None
        broken = tmp_path / "\udcff.txt"
        try:
            broken.write_text("no name")
        except OSError:
            return  # a file system that has none
        done, _ = album.add([broken, tmp_path / "one/a.txt"])
        assert len(done.failures) == 1 and "expected a name in Unicode" in done.failures[0]


def test_a_deleted_file_comes_back_when_it_is_added_again(album: Album, folder: Path) -> None:
    name = reference_of(album)
    album.delete(name)
    album.add([folder / name])
    check(album, folder, ALL)


def test_a_tree_comes_back(folder: Path, tmp_path: Path) -> None:
    with open_album(tmp_path / "t.dfa", create=True) as album:
        album.settings = AlbumSettings(form=Form.TREE)
        album.add([folder])
        check(album, folder, ALL)
        assert levels({0: 1, 1: 2, 3: 2}) == [[1, 3], [0]]


def test_work_that_was_stopped_goes_on(folder: Path, tmp_path: Path) -> None:
    with open_album(tmp_path / "s.dfa", create=True) as album:
        album.collection.add([(folder / name, name) for name in SHOTS])
        album.group()
        assert [group.settled for group in album.store.groups()] == [False]
        assert len(album.arrange()) == 3 and album.arrange() == []


def test_pictures_instead_of_files(folder: Path, tmp_path: Path) -> None:
    coding = PictureCoding(Settings(70, "mse"))
    with open_album(tmp_path / "p.dfa", create=True) as album:
        album.settings = AlbumSettings(coding=coding)
        done, coded = album.add([folder])
        assert not done.failures and len(coded) == 3
        again, none = album.add([folder])
        assert again.existing == 7 and not none
        stats = album.collection.stats()
        assert stats.pictures >= 4 and stats.stored < 0.4 * stats.size
        out = album.export(tmp_path / "out")
        assert not out.failures
        assert (tmp_path / "out/notes.txt").read_bytes() == (folder / "notes.txt").read_bytes()
        for name in SHOTS:
            shown = (tmp_path / "out" / name).with_suffix(".png")
            x, y = (
                read_picture(path).pixels[None].float() / 255 for path in (shown, folder / name)
            )
            content = album.content(album.collection.item(name))
            assert content.psnr is not None and float(psnr(x, y)) > 30
            assert shown.stat().st_mtime_ns == (folder / name).stat().st_mtime_ns
        assert [problem for _, problem in album.collection.contents.verify() if problem] == []


@pytest.mark.parametrize("steps", [4, 0])
def test_a_reference_is_finer_where_all_take_less_then(
    steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    still = burst(photo(0, 96, 128), 0.7, 1.0, 0.5, random.Random(3), 4)
    for number, pixels in enumerate(still):
        (tmp_path / f"in/{number}.png").write_bytes(encode_png(pixels))
        os.utime(tmp_path / f"in/{number}.png", (number, number))
    monkeypatch.setattr(arranging, "_FINER", steps)
    with open_album(tmp_path / "p.dfa", create=True) as album:
        album.settings = AlbumSettings(coding=PictureCoding(Settings(70, "mse")))
        files = [(tmp_path / f"in/{n}.png", f"{n}.png") for n in range(4)]
        album.collection.add(files, coding=album.settings.coding)
        number = album.store.add_group("together")
        for item in album.store.items():
            album.store.change_item(item.name, group=number)
        before = {item.name: album.content(item) for item in album.store.items()}
        sources = {f"{n}.png": tmp_path / f"in/{n}.png" for n in range(4)}
        coded = album.arrange(sources)
        (root,) = {one.reference for one in coded} - {None}
        content = album.content(album.collection.item(root))
        was = before[root].psnr
        assert content.psnr is not None and was is not None
        if steps:
            assert content.psnr > was and content.stored > before[root].stored
            assert sum(one.after for one in coded) < sum(one.before for one in coded)
            assert len(coded) == 4
        else:
            assert content == before[root] and len(coded) == 3
        assert [problem for _, problem in album.collection.contents.verify() if problem] == []


def test_pictures_without_their_files_drift_little(folder: Path, tmp_path: Path) -> None:
    with open_album(tmp_path / "p.dfa", create=True) as album:
        album.settings = AlbumSettings(coding=PictureCoding(Settings(60, "mse")))
        album.add([folder])

        def errors() -> dict[str, float]:
            album.export(tmp_path / str(len(album.store.items())))
            place = tmp_path / str(len(album.store.items()))
            found = {}
            for item in album.store.items():
                if item.name in SHOTS:
                    shown = read_picture((place / item.name).with_suffix(".png")).pixels
                    wanted = read_picture(folder / item.name).pixels
                    found[item.name] = float(psnr(shown[None] / 255, wanted[None] / 255))
            return found

        before = errors()
        for _ in range(2):
            name = reference_of(album)
            with pytest.raises(StoreError, match="hide or again"):
                album.delete(name, Scheme.HAND_OVER)
            hidden, coded = album.delete(name, Scheme.AGAIN)
            assert not hidden and coded
            for one, after in errors().items():
                assert after > before[one] - MOST_DRIFT
                assert album.content(album.collection.item(one)).drift < MOST_DRIFT
        assert [problem for _, problem in album.collection.contents.verify() if problem] == []


def test_drift_never_passes_its_limit() -> None:
    drift = 0.0
    for _ in range(50):
        goal = allowed(40.0, drift)
        drift = drift if goal is None else drifted(40.0, drift, goal)
    assert goal is None and 0.29 < drift < MOST_DRIFT


def test_lossless_pictures(tmp_path: Path) -> None:
    pixels = photo(0, 40, 56)
    write_pixels(tmp_path / "a.png", pixels)
    with open_album(tmp_path / "l.dfa", create=True) as album:
        album.settings = AlbumSettings(coding=PictureCoding(Settings(lossless=True)))
        album.add([tmp_path / "a.png"])
        album.export(tmp_path / "out")
    assert torch.equal(read_picture(tmp_path / "out/a.png").pixels, pixels)


def test_commands(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)

    def said(*arguments: str, status: int = 0) -> str:
        assert main(["album", *arguments]) == status
        found = capsys.readouterr()
        return found.out + found.err

    assert "3 predicted from others" in said("add", "a.dfa", str(folder))
    listing = said("list", "a.dfa")
    assert "group 1: 2024-05-17" in listing and listing.count("  from ") == 3
    name = next(line.split("  from ")[1] for line in listing.splitlines() if "  from " in line)
    shown = said("show", "a.dfa", name, "notes.txt", "nothing.jpg", status=1)
    assert "stored as: lepton" in shown and "stored as: lzma" in shown
    assert "nothing.jpg: there is no such file" in shown
    assert "hidden, as others stand on it; dfc album undelete" in said("delete", "a.dfa", name)
    assert f"  {name}" not in said("list", "a.dfa")
    assert "deleted, kept for those" in said("list", "a.dfa", "--hidden")
    assert "there again" in said("undelete", "a.dfa", name)
    assert "7 contents decoded and compared, 0 problems" in said("verify", "a.dfa")
    assert "deleted" in said("delete", "a.dfa", "--scheme", "again", name)
    assert "removed for good" in said("purge", "a.dfa", "notes.txt")
    assert "a.dfa: " in said("compact", "a.dfa") and "5 files" in said("stats", "a.dfa")
    assert "5 of 5 done" in said("export", "a.dfa", "-o", "out")
    assert (tmp_path / "out/sub/alone.jpg").read_bytes() == (folder / "sub/alone.jpg").read_bytes()
    assert "ends in .html" in said("page", "a.dfa", "-o", "a.dfa", status=1)
    page = said("page", "a.dfa").strip()
    assert [path.name for path in tmp_path.glob("a.dfa*")] == ["a.dfa"]  # one file again
    html = (tmp_path / page).read_text()
    assert page == "a.html" and html.count("<figure") == 5 and "http" not in html
    assert "5 files" in said("arrange", "a.dfa")
    assert "1 of 1 done" in said("export", "a.dfa", "-o", "one", "--only", "sub/alone.jpg")


def test_a_page_without_its_extra_is_one_sentence(
    made: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.chdir(made.parent)
    assert main(["album", "page", made.name]) == 1
    assert "pages need pip install 'defilter[album]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["list", "none.dfa"], "none.dfa: no such album"),
        (["arrange", "none.dfa"], "none.dfa: no such album"),
        (["add", "b.dfa", "nothing/"], "nothing/: no such file or folder"),
        (
            ["add", "b.dfa", "--group", "colour", "."],
            "expected one of both, time, place, day, city",
        ),
        (["add", "b.dfa", "--mode", "mse", "."], "go with --quality"),
        (["list", "text.dfa"], "text.dfa: is no album"),
        (["add", "b.jpg", "text.dfa"], "b.jpg: expected a name that ends in .dfa"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.dfa").write_text("no database" * 200)
    os.chdir(tmp_path)
    assert main(["album", *arguments]) == 1
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.glob("[bn]*.dfa"))  # nothing was made
