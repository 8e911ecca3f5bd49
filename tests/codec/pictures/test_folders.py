import os
from pathlib import Path

import pytest

from codec.pictures.folders import list_pictures, search
from codec.pictures.picture_files import PictureError


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Pictures, other files, hidden files and a folder of results."""
    for name in (
        "a.jpg", "b.JFIF", "c.heic", "d.jpe", "e.mpo", "f.tga", "g.jp2", "h.jxl", "film.mp4",
        "notes.txt", "sub/i.png", "sub/raw.nef", ".hidden", "._a.jpg", "out/a.jpg",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_every_kind_is_found_and_the_rest_is_named(mixed: Path) -> None:
    listing = search([mixed], output=mixed / "out")
    names = [relative.as_posix() for _, relative in listing.found]
    assert names == [
        "a.jpg", "b.JFIF", "c.heic", "d.jpe", "e.mpo", "f.tga", "g.jp2", "h.jxl", "sub/i.png",
    ]  # fmt: skip
    assert [path.name for path in listing.skipped] == ["film.mp4", "notes.txt", "raw.nef"]
    sentence = listing.about_skipped()
    assert sentence == "skipped 3 files of other kinds: film.mp4, notes.txt, raw.nef"
    assert list_pictures([mixed], output=mixed / "out") == listing.found
    assert search([mixed / "a.jpg"]).about_skipped() == ""


def test_other_kinds_of_files(mixed: Path) -> None:
    listing = search([mixed], (".mp4",))
    assert [relative.name for _, relative in listing.found] == ["film.mp4"]
    assert len(listing.skipped) == 12
    assert "skipped 12 files" in listing.about_skipped()
    assert listing.about_skipped().endswith(", ...")
    with pytest.raises(PictureError, match=r"expected \.mkv"):
        search([mixed], (".mkv",))


def test_patterns_are_expanded_where_no_such_file_exists(
    mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mixed)
    assert [str(path) for path, _ in list_pictures(["*.j*"])] == [
        "a.jpg", "d.jpe", "g.jp2", "h.jxl",
    ]  # fmt: skip
    absolute = list_pictures([f"{mixed}{os.sep}**{os.sep}*.png"])
    assert [(path, str(name)) for path, name in absolute] == [(mixed / "sub/i.png", "i.png")]
    (mixed / "[x].png").touch()
    assert list_pictures(["[x].png"]) == [(Path("[x].png"), Path("[x].png"))]
    assert [relative.name for _, relative in list_pictures(["su*"])] == ["i.png"]
    with pytest.raises(PictureError, match=r"\*\.bmp: no such file"):
        list_pictures(["*.bmp"])
