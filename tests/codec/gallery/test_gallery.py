"""Galleries: twins are found among everything, stored as what is new in them, and come back."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.__main__ import main
from codec.gallery.descriptors import Descriptor, describe, unpack_descriptor
from codec.gallery.gallery import Code, Gallery, open_gallery
from codec.gallery.index import BlockTables
from codec.gallery.matching import LEAST_INLIERS, agreement
from codec.gallery.thresholds import of_similar
from codec.learn.made_pairs import burst
from codec.pictures.picture_files import read_picture
from codec.pictures.resize import resize
from codec.pictures.sample_photos import embedded_photos
from codec.store.records import StoreError
from tests.codec.jpeg.test_coefficients import jpeg


def small(number: int) -> torch.Tensor:
    pixels = read_picture(embedded_photos()[number]).pixels
    scale = 256 / max(pixels.shape[1:])
    return resize(pixels, [round(n * scale) for n in pixels.shape[1:]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photos without times, another shot of the first, a text."""
    place = tmp_path_factory.mktemp("photos")
    for number in range(4):
        (place / f"{number}.jpg").write_bytes(jpeg(small(number), quality=92))
    _, again = burst(small(0), 1.5, 1.02, 1.0, random.Random(1))
    (place / "again.jpg").write_bytes(jpeg(again, quality=92))
    (place / "notes.txt").write_text("nothing to see")
    return place


@pytest.fixture(scope="module")
def made(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gallery") / "g.dfa"
    with open_gallery(path, create=True) as gallery:
        done, coded = gallery.add([folder])
        assert not done.failures and len(done.written) == 6
        assert [(one.name, one.reference) for one in coded] in (
            [("again.jpg", "0.jpg")],
            [("0.jpg", "again.jpg")],
        )
    return path


def test_twins_are_found_and_files_come_back(made: Path, folder: Path, tmp_path: Path) -> None:
    cut = small(0)[:, 10:, 20:]
    (tmp_path / "cut.jpg").write_bytes(jpeg(cut, quality=60))
    for code in Code:
        with open_gallery(made) as gallery:
            gallery.code = code
            hits = gallery.find(tmp_path / "cut.jpg")
            assert {hit.name for hit in hits} == {"0.jpg", "again.jpg"}
            assert all(hit.inliers >= LEAST_INLIERS for hit in hits)
            for item in gallery.album.store.items():
                data = gallery.album.collection.contents.bytes_of(item.content)
                assert data == (folder / item.name).read_bytes()
            with pytest.raises(StoreError, match="expected a picture"):
                gallery.find(folder / "notes.txt")


def test_what_is_stored_is_described_once(made: Path, folder: Path) -> None:
    with open_gallery(made) as gallery:
        names = gallery.album.store.described()
        assert len(names) == 6 and len(gallery.album.store.codes("key")) == 5
        gallery.describe()
        assert gallery.album.store.described() == names
        done, coded = gallery.add([folder])
        assert done.existing == 6 and not coded


def test_a_view_hides_a_look(folder: Path, tmp_path: Path) -> None:
    """What descriptors see is turned upside down on the way in: the plain picture is not found."""
    seen: list[int] = []

    def view(pixels: torch.Tensor) -> torch.Tensor:
        seen.append(1)
        return pixels.flip(1)

    with open_gallery(tmp_path / "v.dfa", create=True) as gallery:
        Gallery(gallery.album.store, view=view).add([folder / "1.jpg"])
        assert len(seen) == 1
        assert Gallery(gallery.album.store, view=view).find(folder / "1.jpg")


def test_descriptors_are_packed() -> None:
    found = describe(small(1))
    assert found is not None
    again = unpack_descriptor(found.pack())
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))
    for parts in ((b"",) * 4, (*found.pack()[:3], b"x"), (b"x", *found.pack()[1:])):
        with pytest.raises(ValueError, match="expected a descriptor"):
            unpack_descriptor(parts)


def test_points_of_twins_agree() -> None:
    one, other, turned = describe(small(0)), describe(small(2)), describe(small(0).rot90(1, (1, 2)))
    assert one is not None and other is not None and turned is not None
    assert agreement(one, one).inliers > 0.9 * len(one.points)
    assert agreement(one, turned).inliers > 0.3 * len(one.points)
    assert agreement(one, other).inliers < LEAST_INLIERS
    none = one._replace(places=one.places[:0], points=one.points[:0])
    assert agreement(none, one) == agreement(one, none) == (0, 0)


def test_commands(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["gallery", "add", "g.dfa", str(folder)]) == 0
    assert "predicted from" in capsys.readouterr().out
    assert main(["gallery", "find", "g.dfa", str(folder / "again.jpg"), str(folder / "3.jpg")]) == 0
    said = capsys.readouterr().out
    assert "  0.jpg  " in said and "points agree" in said and said.count("  3.jpg  0 bits") == 1
    assert main(["gallery", "find", "none.dfa", str(folder)]) == 1
    assert "none.dfa: no such album" in capsys.readouterr().err
    assert main(["album", "list", "g.dfa"]) == 0


def test_a_page_shows_what_was_found(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["gallery", "add", "g.dfa", str(folder)]) == 0
    command = ["gallery", "find", "g.dfa", str(folder / "again.jpg"), "--page"]
    assert main([*command, "found.txt"]) == 1
    assert "ends in .html" in capsys.readouterr().err
    assert main([*command, "found.html"]) == 0
    page = (tmp_path / "found.html").read_text()
    hits = capsys.readouterr().out.count("points agree")
    assert page.count("data:image/jpeg;base64,") == 1 + hits and "0.jpg" in page
    assert "http" not in page and 'src="data:' in page


def test_nearer_than_what_is_said(folder: Path, tmp_path: Path) -> None:
    with open_gallery(tmp_path / "g.dfa", create=True) as gallery:
        gallery.add([folder])
        found = gallery.find(folder / "again.jpg")
        assert found[0].distance == 0 and len(found) > 1
        gallery.limit = found[1].distance
        assert len(gallery.find(folder / "again.jpg")) == 1  # strictly nearer
        gallery.limit = found[1].distance + 1
        assert len(gallery.find(folder / "again.jpg")) > 1
    with open_gallery(tmp_path / "g.dfa") as gallery:
        gallery.index, gallery.limit, gallery.code = BlockTables, 31, Code.KEY
        assert [hit.name for hit in gallery.find(folder / "again.jpg")] == ["again.jpg"]
        gallery.limit = 99
        with pytest.raises(ValueError, match="radius of at most 31"):
            gallery.find(folder / "again.jpg")


def test_thresholds_of_similar_pictures(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def made(*numbers: int) -> Descriptor:
        code = np.packbits(np.arange(2048) < numbers[0])
        key = np.packbits(np.arange(256) < numbers[-1])
        return Descriptor(np.zeros((1, 2), np.float32), np.zeros((1, 16), np.uint8), code, key)

    sets = [[made(0), made(100), made(40)], [made(0, 7), made(30, 9)], [made(2000)]]
    assert of_similar(sets, "whole") == 100 and of_similar(sets, "key") == 100
    assert of_similar(sets, "whole", 0.2) == 30  # of 30, 30, 60, 100, 100
    assert of_similar(sets, "whole", 0.5) == 60
    with pytest.raises(ValueError, match="two or more"):
        of_similar([[made(0)], []], "whole")
    for name, source in (("a-1", "0.jpg"), ("a-2", "again.jpg")):
        (tmp_path / "sets").mkdir(exist_ok=True)
        shutil.copy(folder / source, tmp_path / "sets" / f"{name}.jpg")
    found = ["gallery", "find", str(tmp_path / "g.dfa"), str(folder / "again.jpg")]
    assert main(["gallery", "add", str(tmp_path / "g.dfa"), str(folder)]) == 0
    assert main([*found, "--similar", str(tmp_path / "sets"), "--quantile", "0.5"]) == 0
    assert "of 2048 bits" in capsys.readouterr().out
    assert main([*found, "--similar", str(folder)]) == 1
    assert "called SET-NUMBER" in capsys.readouterr().err
    assert main([*found, "--similar", str(folder), "--within", "3"]) == 1
