"""Layers as files: what must not be written over, what is missing, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codec.__main__ import main
from codec.pictures.picture_files import read_picture, write_pixels
from tests.codec.test_picture import photo

FAST = ["--effort", "fast"]


def layer(*arguments: object) -> int:
    return main(["layer", *map(str, arguments)])


def unlayer(*arguments: object) -> int:
    return main(["unlayer", *map(str, arguments)])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_pixels(tmp_path / "in/a.png", photo(0, 48, 64))
    return tmp_path / "in/a.png"


@pytest.mark.parametrize("name", ["a_1.jpg", "a_1_1x1_1.jpg"])
def test_blocks_never_replace_what_is_none(
    name: str, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.full((20, 20, 3), 90, np.uint8)).save(source.with_name(name))
    before = source.with_name(name).read_bytes()
    tags = "agreed" if name == "a_1.jpg" else "name"
    options = ["--differences", "offset", "--tags", tags]
    assert layer(source, "-o", source.parent, *options) == 1
    assert f"would overwrite {source.with_name(name)}" in capsys.readouterr().err
    assert source.with_name(name).read_bytes() == before
    assert not source.with_name("a_lowres.jpg").exists()


def test_blocks_never_replace_another_input(source: Path) -> None:
    other = source.with_name("a_1_1x1_1.dfc.png")
    write_pixels(other, photo(1, 32, 32))
    assert layer(source, "-o", source.parent, *FAST) == 0
    assert layer(source, "-o", source.parent, *FAST) == 0  # its own blocks it does replace
    assert read_picture(other).pixels.shape == (3, 32, 32)


def test_equal_stems_keep_their_kind_and_their_base(source: Path, tmp_path: Path) -> None:
    Image.fromarray(photo(1, 32, 48).permute(1, 2, 0).numpy()).save(source.with_suffix(".jpg"))
    assert layer(source.parent, "-o", tmp_path / "out", *FAST) == 0
    assert (tmp_path / "out/a.png_lowres.jpg").exists()
    assert (tmp_path / "out/a.jpg_lowres.jpg").exists()
    assert unlayer(tmp_path / "out", "-o", tmp_path / "back") == 0
    assert read_picture(tmp_path / "back/a.png.png").pixels.shape == (3, 48, 64)
    assert read_picture(tmp_path / "back/a.jpg.png").pixels.shape == (3, 32, 48)


@pytest.mark.parametrize("damage", ["gone", "short", "empty", "flipped"])
def test_a_sole_block_that_is_no_use_is_reported(
    damage: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert layer(source, "-o", tmp_path, *FAST) == 0
    block = tmp_path / "a_1_1x1_1.dfc"
    data = bytearray(block.read_bytes())
    if damage == "gone":
        block.unlink()
    else:
        data[len(data) // 2] ^= 1
        block.write_bytes({"short": data[:-20], "empty": b"", "flipped": data}[damage])
    assert unlayer(tmp_path / "a_lowres.jpg", "-o", tmp_path / "b.png") == 1
    assert ("no blocks" if damage == "gone" else "1_1x1_1.dfc: ") in capsys.readouterr().out
    assert read_picture(tmp_path / "b.png").pixels.shape == (3, 24, 32)
    level = ["--level", "0"]
    assert unlayer(tmp_path / "a_lowres.jpg", "-o", tmp_path / "c.png", *level) == 0


@pytest.mark.parametrize("package", [False, True])
def test_blocks_that_were_agreed_on_are_pointed_at(
    package: bool, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / ("a.dfp" if package else "out")
    assert layer(source, "-o", out, *FAST, "--tags", "agreed", "--blocks", "2x1") == 0
    base = out if package else out / "a_lowres.jpg"
    assert unlayer(base, "-o", tmp_path / "b.png") == 1
    assert "try --agreed" in capsys.readouterr().out
    assert unlayer(base, "-o", tmp_path / "c.png", "--agreed", "2x1") == 0
    assert read_picture(tmp_path / "c.png").pixels.shape == (3, 48, 64)


def test_an_offset_that_is_not_said_is_asked_for(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--differences", "offset", "--tags", "name"]
    assert layer(source, "-o", tmp_path, *options) == 0
    assert unlayer(tmp_path / "a_lowres.jpg", "-o", tmp_path / "b.png") == 1
    assert "--offset" in capsys.readouterr().err
    assert unlayer(tmp_path / "a_lowres.jpg", "-o", tmp_path / "b.png", "--offset", 32) == 0


@pytest.mark.parametrize("differences", ["offset", "zip", "own"])
def test_another_base_is_noticed(
    differences: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for quality, folder in ((20, "one"), (60, "other")):
        options = ["--differences", differences, "--base-quality", quality]
        assert layer(source, "-o", tmp_path / folder, *options) == 0
    (tmp_path / "one/a_lowres.jpg").replace(tmp_path / "other/a_lowres.jpg")
    assert unlayer(tmp_path / "other/a_lowres.jpg", "-o", tmp_path / "b.png") == 1
    assert "other pixels than where" in capsys.readouterr().err
    assert not (tmp_path / "b.png").exists()


@pytest.mark.parametrize(
    "options",
    [
        "--lossless --differences offset",
        "--lossless --open-loop",
        "--lossless --soften",
        "--lossless --smooth",
        "--differences zip --tags name",
        "--differences zip --quality 50",
        "--differences offset --mode mse",
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: str, source: Path, tmp_path: Path
) -> None:
    assert layer(source, "-o", tmp_path / "out", *options.split()) == 1
    assert not (tmp_path / "out").exists()


def test_names_of_files_that_layers_do_not_become_are_refused(source: Path, tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "a.mkv", "a.dfc"):
        assert layer(source, "-o", tmp_path / name) == 1
        assert not (tmp_path / name).exists()
    assert layer(source, "-o", tmp_path / "a.dfp", *FAST) == 0
    assert unlayer(tmp_path / "a.dfp", "-o", tmp_path / "b.mp4") == 1
    with pytest.raises(SystemExit):
        layer(source, "-o", tmp_path / "out", "--least-chroma", "-1")
    assert not (tmp_path / "b.mp4").exists()
