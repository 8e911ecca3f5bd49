"""`python -m codec optimise`: what comes out where nothing is said, and what may be said."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from codec.__main__ import main
from codec.pictures.picture_files import read_picture, write_pixels
from codec.search import SCORES
from codec.search.tiles import worst_tile
from tests.codec.search.test_criteria import page, sky
from tests.codec.test_picture import photo


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_without_a_score_it_looks_the_same(tmp_path: Path) -> None:
    write_pixels(tmp_path / "p.png", photo())
    assert run("optimise", tmp_path / "p.png", "-o", tmp_path / "out") == 0
    before, after = (read_picture(tmp_path / n).pixels for n in ("p.png", "out/p.jpg"))
    assert 80 <= SCORES["ssimulacra2"].measure(before, after) < 82
    assert worst_tile(before, after) >= 50
    assert (tmp_path / "out/p.jpg").stat().st_size < (tmp_path / "p.png").stat().st_size / 4


def test_a_mean_cannot_ruin_a_sky_or_small_print(tmp_path: Path) -> None:
    write_pixels(tmp_path / "in/sky.png", sky())
    write_pixels(tmp_path / "in/page.png", page((0, 0, 0), (255, 255, 255), 5))
    assert run("optimise", tmp_path / "in", "-o", tmp_path / "out", "--ssim", "0.9") == 0
    for name in ("sky", "page"):
        (result,) = (tmp_path / "out").glob(f"{name}.*")
        assert worst_tile(read_picture(tmp_path / f"in/{name}.png").pixels,
                          read_picture(result).pixels) >= 50  # fmt: skip
    options = ("--ssim", "0.9", "--worst-tile", "-100")
    assert run("optimise", tmp_path / "in/sky.png", "-o", tmp_path / "none", *options) == 0
    sky_before, sky_after = (
        read_picture(tmp_path / name).pixels for name in ("in/sky.png", "none/sky.jpg")
    )
    assert worst_tile(sky_before, sky_after) < 0


def test_the_lowest_quality_can_be_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pixels(tmp_path / "p.png", photo())
    options = ("--ssim", "0.5", "--worst-tile", "-100", "--min-quality", "64")
    assert run("optimise", tmp_path / "p.png", "-o", tmp_path / "out", *options) == 0
    assert "quality 64" in capsys.readouterr().out


def test_settings_of_this_codec_are_taken(tmp_path: Path) -> None:
    write_pixels(tmp_path / "p.png", photo())
    found = []
    for settings in ((), ("--mode", "mse"), ("--filter", "none"), ("--effort", "fast")):
        out = tmp_path / "-".join(("out", *settings))
        options = ("--format", "dfc", "--psnr", "32", *settings)
        assert run("optimise", tmp_path / "p.png", "-o", out, *options) == 0
        found.append((out / "p.dfc").read_bytes())
    assert len(set(found)) == 4


def test_line_art_becomes_lossless_webp(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pixels(tmp_path / "p.png", page((0, 0, 0), (255, 255, 255)))
    assert run("optimise", tmp_path / "p.png", "-o", tmp_path / "out", "--format", "webp") == 0
    assert "lossless" in capsys.readouterr().out
    before, after = (read_picture(tmp_path / n).pixels for n in ("p.png", "out/p.webp"))
    assert torch.equal(before, after)


@pytest.mark.parametrize("name", ["jpeg", "dfc", "webp"])
def test_no_output_is_larger_than_line_art(name: str, tmp_path: Path) -> None:
    art = page((0, 0, 0), (255, 255, 255), 3)[0].numpy()
    Image.fromarray(art).convert("1").save(tmp_path / "p.png", optimize=True)
    assert run("optimise", tmp_path / "p.png", "-o", tmp_path / "out", "--format", name) == 0
    (result,) = (tmp_path / "out").iterdir()
    assert result.stat().st_size <= (tmp_path / "p.png").stat().st_size


def test_a_jpeg_file_that_could_only_grow_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = photo().permute(1, 2, 0).numpy()
    Image.fromarray(picture).save(tmp_path / "p.jpg", quality=60, optimize=True, progressive=True)
    options = ("--ssimulacra2", "97")
    assert run("optimise", tmp_path / "p.jpg", "-o", tmp_path / "out", *options) == 0
    assert "kept" in capsys.readouterr().out
    assert (tmp_path / "out/p.jpg").read_bytes() == (tmp_path / "p.jpg").read_bytes()
