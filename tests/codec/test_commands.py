"""`python -m codec` and what it calls: whole files, one bad one among good ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from codec import files
from codec.__main__ import main
from codec.pictures.metrics import ssim
from codec.pictures.picture_files import Picture, read_picture, write_picture
from tests.codec.test_picture import decibel, photo
from tests.conftest import colourful


def run(*arguments: str | Path) -> int:
    return main([str(argument) for argument in arguments])


def written(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def with_exif(path: Path, orientation: int = 6) -> None:
    """A photo with EXIF, an orientation and a profile."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Camera", orientation
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.fromarray(photo().permute(1, 2, 0).numpy())
    image.save(path, exif=exif, icc_profile=profile, quality=95)


def test_encode_and_decode_a_folder(photo_folder: Path, tmp_path: Path) -> None:
    coded, decoded = tmp_path / "coded", tmp_path / "decoded"
    assert run("encode", photo_folder, "-o", coded, "--quality", "90") == 0
    assert written(coded) == ["a.dfc", "trip/b.dfc"]
    assert run("decode", coded, "-o", decoded) == 0
    assert written(decoded) == ["a.png", "trip/b.png"]
    before, after = (read_picture(p).pixels for p in (photo_folder / "trip/b.png",
                                                      decoded / "trip/b.png"))  # fmt: skip
    assert decibel(before, after) > 25


def test_lossless_keeps_pixels_exif_profile_and_orientation(tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    with_exif(source)
    assert run("encode", source, "-o", tmp_path / "a", "--lossless") == 0
    assert run("decode", tmp_path / "a/photo.dfc", "-o", tmp_path / "b") == 0
    with Image.open(source) as before, Image.open(tmp_path / "b/photo.png") as after:
        assert before.tobytes() == after.tobytes()
        assert after.getexif()[0x010F] == "Camera" and after.getexif()[0x0112] == 6
        assert after.info["icc_profile"] == before.info["icc_profile"]


def test_grey_stays_grey(tmp_path: Path) -> None:
    grey = photo()[:1].expand(3, -1, -1).contiguous()
    write_picture(Picture(grey), tmp_path / "grey.png")
    assert run("encode", tmp_path / "grey.png", "-o", tmp_path) == 0
    assert run("decode", tmp_path / "grey.dfc", "-o", tmp_path / "out") == 0
    with Image.open(tmp_path / "out/grey.png") as image:
        assert image.mode == "L"


@pytest.mark.parametrize(("option", "value"), [("--ssim", "0.95"), ("--psnr", "34")])
def test_encode_to_a_target(
    option: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(Picture(photo()), tmp_path / "p.png")
    arguments = ("encode", tmp_path / "p.png", "-o", tmp_path, option, value, "--effort", "fast")
    assert run(*arguments) == 0
    assert "quality " in capsys.readouterr().out
    assert run("decode", tmp_path / "p.dfc", "-o", tmp_path / "out") == 0
    x, y = (read_picture(p).pixels for p in (tmp_path / "p.png", tmp_path / "out/p.png"))
    score = float(ssim(x[None] / 255, y[None] / 255)) if option == "--ssim" else decibel(x, y)
    assert float(value) <= score < float(value) * 1.03


def test_info_says_what_is_inside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_picture(Picture(colourful(30, 50)), tmp_path / "p.png")
    run("encode", tmp_path / "p.png", "-o", tmp_path, "--mode", "mse")
    capsys.readouterr()
    assert run("info", tmp_path / "p.dfc") == 0
    out = capsys.readouterr().out
    assert "50x30 RGB, mse, step" in out and "bits a pixel" in out


def test_optimise_never_makes_a_file_larger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    with_exif(folder / "large.jpg")
    flat = torch.full((8, 8), 90, dtype=torch.uint8).numpy()
    Image.fromarray(flat).save(folder / "small.jpg", quality=1, optimize=True)
    (folder / "broken.jpg").write_bytes(b"no")
    assert run("optimise", folder, "-o", out, "--ssim", "0.95") == 0
    shown = capsys.readouterr().out
    assert "3 of 3 done, 2 of them kept as they are" in shown and "probes" in shown
    assert "kept as it is: not a picture" in shown and "kept as it is: the input" in shown
    for name in ("small.jpg", "broken.jpg"):
        assert (out / name).read_bytes() == (folder / name).read_bytes()
    assert (out / "large.jpg").stat().st_size < (folder / "large.jpg").stat().st_size
    with Image.open(out / "large.jpg") as after:
        assert after.getexif()[0x0112] == 6 and after.info["icc_profile"]


def test_no_input_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.jpg", "a.png"):
        write_picture(Picture(photo(), file_format=name[2:].upper().replace("JPG", "JPEG")),
                      tmp_path / name)  # fmt: skip
    before = (tmp_path / "a.jpg").read_bytes()
    assert run("optimise", tmp_path, "-o", tmp_path, "--ssim", "0.9") == 1
    assert capsys.readouterr().err.count("would overwrite it;") == 1  # a.png becomes a.png.jpg
    assert (tmp_path / "a.jpg").read_bytes() == before


def test_names_that_would_clash_keep_their_old_suffix(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name, file_format in (("a.jpg", "JPEG"), ("a.png", "PNG"), ("b.png", "PNG")):
        write_picture(Picture(photo(), file_format=file_format), folder / name)
    assert run("encode", folder, "-o", tmp_path / "coded", "--effort", "fast") == 0
    assert written(tmp_path / "coded") == ["a.jpg.dfc", "a.png.dfc", "b.dfc"]
    assert run("decode", tmp_path / "coded", "-o", tmp_path / "back") == 0
    assert written(tmp_path / "back") == ["a.jpg.png", "a.png.png", "b.png"]
    assert run("optimise", folder, "-o", tmp_path / "small", "--ssim", "0.9") == 0
    assert written(tmp_path / "small") == ["a.jpg", "a.png.jpg", "b.jpg"]


def test_one_input_may_have_a_file_as_its_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "b.png"):
        write_picture(Picture(photo()), tmp_path / name)
    assert run("encode", tmp_path / "a.png", "-o", tmp_path / "x.dfc") == 0
    assert run("decode", tmp_path / "x.dfc", "-o", tmp_path / "y.png") == 0
    assert written(tmp_path) == ["a.png", "b.png", "x.dfc", "y.png"]
    assert run("encode", tmp_path / "a.png", tmp_path / "b.png", "-o", tmp_path / "x.dfc") == 1
    assert "expected a folder for 2 files" in capsys.readouterr().err


def test_what_would_be_done_is_said_and_not_done(
    photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photo_folder / "notes.txt").write_text("x")
    for command in (("encode",), ("optimise", "--ssim", "0.9")):
        assert run(*command, photo_folder, "-o", tmp_path / "out", "--dry-run") == 0
        shown = capsys.readouterr().out
        assert "2 files would be written" in shown and "a.jpg -> " in shown
        assert not (tmp_path / "out").exists()


def test_results_that_are_there_may_be_left(
    photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photo_folder / "notes.txt").write_text("x")
    target = tmp_path / "out" / "a.dfc"
    target.parent.mkdir()
    target.write_bytes(b"mine")
    assert run("encode", photo_folder, "-o", tmp_path / "out", "--skip-existing") == 0
    shown = capsys.readouterr().out
    assert "1 of 1 done, 1 there already" in shown and "notes.txt" in shown
    assert target.read_bytes() == b"mine" and written(tmp_path / "out") == ["a.dfc", "trip/b.dfc"]


def test_drawings_that_pack_better_as_they_are_stay_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = torch.full((1, 200, 300), 255, dtype=torch.uint8)
    page[:, 10::20, ::3] = 0
    write_picture(Picture(page), tmp_path / "page.png")
    before = (tmp_path / "page.png").read_bytes()
    assert run("encode", tmp_path / "page.png", "-o", tmp_path / "out") == 0
    assert "kept as it is: the input is smaller" in capsys.readouterr().out
    assert written(tmp_path / "out") == ["page.png"]
    assert (tmp_path / "out/page.png").read_bytes() == before
    assert run("encode", tmp_path / "page.png", "-o", tmp_path / "out", "--lossless") == 0
    assert run("decode", tmp_path / "out/page.dfc", "-o", tmp_path / "back") == 0
    assert torch.equal(read_picture(tmp_path / "back/page.png").pixels[:1], page)


def test_times_and_permissions_travel(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    write_picture(Picture(photo()), source)
    os.utime(source, (1_500_000_000, 1_500_000_000))
    source.chmod(0o600)
    assert run("encode", source, "-o", tmp_path) == 0
    assert run("decode", tmp_path / "a.dfc", "-o", tmp_path / "out") == 0
    assert run("optimise", source, "-o", tmp_path / "out", "--ssim", "0.9") == 0
    for path in (tmp_path / "a.dfc", tmp_path / "out/a.png", tmp_path / "out/a.jpg"):
        found = path.stat()
        assert found.st_mtime == 1_500_000_000 and found.st_mode & 0o777 == 0o600, path


def test_decode_leaves_the_original_beside_the_stream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    original = tmp_path / "a.png"
    write_picture(Picture(photo()), original)
    before = original.read_bytes()
    assert run("encode", tmp_path, "-o", tmp_path, "--quality", "30") == 0
    assert run("encode", tmp_path, "-o", tmp_path, "--quality", "40") == 0  # again is fine
    assert run("decode", tmp_path, "-o", tmp_path) == 1
    assert "choose another folder" in capsys.readouterr().err
    assert original.read_bytes() == before
    assert run("decode", tmp_path, "-o", tmp_path / "out") == 0


def test_an_output_folder_inside_the_input_is_no_input(tmp_path: Path) -> None:
    write_picture(Picture(photo()), tmp_path / "a.png")
    for _ in range(2):
        assert run("optimise", tmp_path, "-o", tmp_path / "out", "--ssim", "0.9") == 0
        assert written(tmp_path) == ["a.png", "out/a.jpg"]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("name", ["jpeg", "webp", "avif", "dfc"])
def test_exif_travels_between_all_formats(suffix: str, name: str, tmp_path: Path) -> None:
    source = tmp_path / f"p.{suffix}"
    with_exif(source)
    assert run("optimise", source, "-o", tmp_path / "out", "--format", name, "--psnr", "25") == 0
    (result,) = (tmp_path / "out").iterdir()
    if name == "dfc":
        assert run("decode", result, "-o", tmp_path / "back") == 0
        (result,) = (tmp_path / "back").iterdir()
    with Image.open(result) as after:
        assert after.getexif()[0x010F] == "Camera"
    assert decibel(read_picture(source).pixels, read_picture(result).pixels) > 20  # upright


@pytest.mark.parametrize("name", ["webp", "avif", "dfc"])
def test_optimise_into_other_formats(name: str, tmp_path: Path) -> None:
    source = tmp_path / "p.png"
    write_picture(Picture(photo()), source)
    assert run("optimise", source, "-o", tmp_path / "out", "--format", name, "--ssim", "0.9") == 0
    (result,) = written(tmp_path / "out")
    assert result == f"p.{name}"
    assert (tmp_path / "out" / result).stat().st_size < source.stat().st_size


def test_impossible_targets_are_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(Picture(photo()), tmp_path / "p.png")
    for option, value in (("--ssim", "97"), ("--ssim", "nan"), ("--ssim=-3", None),
                          ("--ssimulacra2", "200"), ("--psnr", "inf")):  # fmt: skip
        for command in ("encode", "optimise"):
            words = [option] if value is None else [option, value]
            with pytest.raises(SystemExit) as stopped:
                run(command, tmp_path / "p.png", "-o", tmp_path / "out", *words)
            assert stopped.value.code == 2
            assert "above 0" in capsys.readouterr().err.splitlines()[-1]


def test_info_goes_on_after_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_picture(Picture(photo()), tmp_path / "b.png")
    assert run("encode", tmp_path / "b.png", "-o", tmp_path) == 0
    (tmp_path / "a.dfc").write_bytes(b"no")
    capsys.readouterr()
    assert run("info", tmp_path) == 1
    shown = capsys.readouterr()
    assert "a.dfc" in shown.err and "b.dfc: " in shown.out


def test_an_interrupt_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "b.png"):
        write_picture(Picture(photo()), tmp_path / name)

    def stop_at_the_second(path: Path, keep_profile: bool) -> Picture:
        if path.name == "b.png":
            raise KeyboardInterrupt
        return read_picture(path, keep_profile)

    monkeypatch.setattr(files, "read_picture", stop_at_the_second)
    arguments = ("encode", tmp_path, "-o", tmp_path / "out", "--psnr", "30", "--effort", "fast")
    assert run(*arguments) == 130
    shown = capsys.readouterr()
    assert "a.dfc" in shown.out and "interrupted" in shown.err
    assert written(tmp_path / "out") == ["a.dfc"]


def test_a_target_out_of_reach(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_picture(Picture(photo()), tmp_path / "p.png")
    arguments = ("encode", tmp_path / "p.png", "-o", tmp_path / "out", "--ssim", "0.99999")
    assert run(*arguments, "--effort", "fast") == 1
    assert "expected a score of 0.99999, the best is" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_bad_files_are_told_and_cost_the_others_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = tmp_path / "good.png"
    write_picture(Picture(colourful(20, 20)), good)
    write_picture(Picture(colourful(20, 20, torch.uint16)), tmp_path / "deep.png")
    clear = torch.zeros(1, 20, 20, dtype=torch.uint8)
    write_picture(Picture(colourful(20, 20), alpha=clear), tmp_path / "clear.png")
    (tmp_path / "empty.png").write_bytes(b"")
    assert run("encode", tmp_path, "-o", tmp_path / "out", "--quality", "50") == 1
    shown = capsys.readouterr()
    assert len(shown.err.splitlines()) == 1 and "empty.png" in shown.err
    assert "kept as it is: expected 8 bits a channel, got 16" in shown.out
    assert "kept as it is: expected an opaque picture" in shown.out
    assert written(tmp_path / "out") == ["clear.png", "deep.png", "good.dfc"]
    (tmp_path / "out/bad.dfc").write_bytes((tmp_path / "out/good.dfc").read_bytes()[:-9])
    assert run("decode", tmp_path / "out", "-o", tmp_path / "back") == 1
    assert "bad.dfc: byte" in capsys.readouterr().err
    assert written(tmp_path / "back") == ["good.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["encode", "p.png", "-o", "out", "--quality", "0"], "from 1 to 100, got 0"),
        (["encode", "p.png", "-o", "out", "--quality", "5", "--lossless"], "not allowed with"),
        (["encode", "p.png"], "-o/--output"),
        (["optimise", "p.png", "-o", "out", "--ssim", "1", "--psnr", "40"], "not allowed with"),
        (["optimise", "p.png", "-o", "out", "--format", "gif", "--ssim", "1"], "invalid choice"),
        (["shrink"], "invalid choice"),
    ],
)
def test_wrong_usage(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["encode", "missing.png", "-o", "out"],
        ["decode", "missing.dfc", "-o", "out"],
        ["info", "missing.dfc"],
        ["encode", "missing.png", "-o", "out", "--device", "abacus"],
    ],
)
def test_what_is_missing_is_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_command_runs(tmp_path: Path) -> None:
    write_picture(Picture(colourful(20, 20)), tmp_path / "p.png")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "codec", "encode", str(tmp_path / "p.png"), "-o",
         str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "1 of 1 done" in done.stdout


def test_a_group_that_fails_while_writing_is_not_taken_for_originals(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_picture(Picture(photo()), tmp_path / "in" / name)
    assert run("encode", tmp_path / "in", "-o", tmp_path / "coded", "--effort", "fast") == 0
    (tmp_path / "coded/b.png").mkdir()
    assert run("decode", tmp_path / "coded", "-o", tmp_path / "coded") == 1
    assert written(tmp_path / "coded") == ["a.dfc", "a.png", "b.dfc"]


def test_a_floor_goes_with_a_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_picture(Picture(photo()), tmp_path / "p.png")
    assert run("encode", tmp_path / "p.png", "-o", tmp_path, "--worst-tile", "60") == 1
    assert "goes with a score" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("optimise", tmp_path / "p.png", "-o", tmp_path, "--worst-tile", "nan")


def test_an_input_that_is_smaller_is_kept_with_a_score_too(tmp_path: Path) -> None:
    flat = torch.full((8, 8), 90, dtype=torch.uint8).numpy()
    Image.fromarray(flat).save(tmp_path / "flat.jpg", quality=1, optimize=True)
    for option, value in (("--quality", "80"), ("--psnr", "60")):
        out = tmp_path / value
        assert run("encode", tmp_path / "flat.jpg", "-o", out, option, value) == 0
        (name,) = written(out)
        assert (out / name).stat().st_size <= (tmp_path / "flat.jpg").stat().st_size
