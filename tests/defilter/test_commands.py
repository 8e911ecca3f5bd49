"""The everyday verbs, as functions and as commands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import skimage.data
import torch
from PIL import Image

import defilter
from codec.pictures.mapping import ColourMapping, identity_coefficients
from codec.pictures.picture_files import Picture, read_picture, write_picture
from codec.pictures.sample_photos import embedded_photos
from defilter.__main__ import main
from defilter.look import Look, load_look, save_look
from tests.conftest import colourful
from tests.defilter.test_video import clip


@pytest.fixture
def look_file(tmp_path: Path) -> Path:
    coefficients = identity_coefficients()
    coefficients[:, 1] = 0.5
    save_look(Look(ColourMapping(coefficients)), tmp_path / "dark.json")
    return tmp_path / "dark.json"


def run(*arguments: str | Path) -> int:
    return main([str(argument) for argument in arguments])


def test_apply_keeps_names_formats_and_depth(
    photo_folder: Path, look_file: Path, tmp_path: Path
) -> None:
    write_picture(Picture(colourful(8, 9, torch.uint16)), photo_folder / "deep.png")
    out = tmp_path / "out"
    assert run("apply", look_file, photo_folder, "-o", out) == 0
    written = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
    assert written == ["a.jpg", "deep.png", "trip/b.png"]
    assert read_picture(out / "a.jpg").file_format == "JPEG"
    before, after = (read_picture(f / "deep.png").pixels for f in (photo_folder, out))
    assert after.dtype == torch.uint16
    assert (after.int() * 2 - before.int()).abs().max() <= 2


def test_strength(photo_folder: Path, look_file: Path, tmp_path: Path) -> None:
    source = read_picture(photo_folder / "trip" / "b.png").pixels.float()
    for strength in (0, 0.5, 1):
        out = tmp_path / str(strength)
        assert (
            run("apply", look_file, photo_folder / "trip", "-o", out, "--strength", str(strength))
            == 0
        )
        rendered = read_picture(out / "b.png").pixels.float()
        assert (rendered - source * (1 - strength / 2)).abs().max() <= 0.51


@pytest.mark.parametrize("name", ["look.cube", "look.png", "look.json"])
def test_extract_writes_by_extension(photo_path: Path, tmp_path: Path, name: str) -> None:
    assert run("extract", photo_path, "-o", tmp_path / name) == 0
    pixels = colourful(16, 16)
    assert load_look(tmp_path / name).render(pixels).shape == pixels.shape


def test_pair_mode(photo_path: Path, tmp_path: Path) -> None:
    before = read_picture(photo_path)
    after = Picture((before.pixels.float() * 0.7 + 20).to(torch.uint8))
    write_picture(after, tmp_path / "after.png")
    command = ("extract", tmp_path / "after.png", "--before", photo_path, "-o")
    assert run(*command, tmp_path / "look.json") == 0
    assert run(*command, tmp_path / "robust.json", "--robust") == 0
    look = load_look(tmp_path / "look.json")
    assert look.table is not None
    rendered = look.render(before.pixels).float()
    assert (rendered - after.pixels.float()).abs().mean() < 1


def test_remove_and_transfer(photo_path: Path, photo_folder: Path, tmp_path: Path) -> None:
    assert run("remove", photo_path, photo_folder, "-o", tmp_path / "removed") == 0
    assert (tmp_path / "removed" / photo_path.name).exists()
    command = ("transfer", "--template", photo_path, photo_folder, "-o", tmp_path / "out")
    assert run(*command) == 0
    assert (tmp_path / "out" / "trip" / "b.png").exists()


def test_public_functions_do_the_same(photo_path: Path, photo_folder: Path, tmp_path: Path) -> None:
    look = defilter.extract([photo_path]).look
    result = defilter.apply_to_files(look, [photo_folder], tmp_path / "out")
    assert len(result.written) == 2
    assert not result.failures
    transferred = defilter.transfer([photo_path], [photo_folder], tmp_path / "again")
    for first, second in zip(result.written, transferred.written, strict=True):
        assert first.target is not None and second.target is not None
        assert first.target.read_bytes() == second.target.read_bytes()


def test_one_broken_file_costs_the_others_nothing(
    photo_folder: Path, look_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photo_folder / "broken.jpg").write_text("no")
    out = tmp_path / "out"
    assert run("apply", look_file, photo_folder, "-o", out) == 1
    captured = capsys.readouterr()
    assert "broken.jpg: not a picture" in captured.err
    assert "2 of 3 done" in captured.out
    assert len([p for p in out.rglob("*") if p.is_file()]) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["apply"],
        ["apply", "look.json", "x.jpg"],
        ["apply", "look.json", "x.jpg", "-o", "out", "--strength", "2"],
        ["apply", "look.json", "x.jpg", "-o", "out", "--strength", "much"],
        ["extract", "x.jpg", "-o", "look.txt"],
        ["extract", "x.jpg", "-o", "look.cube", "--size", "18"],
        ["colourise", "x.jpg"],
        ["extract", "x.jpg", "y.jpg", "--before", "z.jpg", "-o", "look.cube"],
        ["extract", "x.jpg", "--robust", "-o", "look.cube"],
        ["extract", "x.jpg", "--before", "z.jpg", "--weights", "w", "-o", "look.cube"],
    ],
)
def test_wrong_usage_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_bad_input_is_one_sentence(
    photo_folder: Path, look_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.cube").write_text("LUT_3D_SIZE 2\n0 0 0\n")
    write_picture(Picture(torch.zeros(3, 30, 30, dtype=torch.uint8)), tmp_path / "black.png")
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "out"
    same = photo_folder / "a.jpg"
    cases = [
        (["apply", look_file, tmp_path / "empty", "-o", out], "empty"),
        (["apply", look_file, tmp_path / "none.jpg", "-o", out], "none.jpg"),
        (["apply", tmp_path / "bad.cube", same, "-o", out], "bad.cube"),
        (["apply", tmp_path / "none.json", same, "-o", out], "none.json"),
        (["apply", look_file, same, "-o", photo_folder], "overwrite"),
        (["apply", look_file, same, "-o", tmp_path / "file"], "file"),
        (["extract", tmp_path / "black.png", "-o", out / "x.cube"], "black.png"),
        (["extract", tmp_path / "black.png", "-o", tmp_path / "black.png"], "overwrite"),
        (["apply", look_file, photo_folder / "trip", "-o", photo_folder / "trip"], "overwrite it"),
        (["apply", look_file, same, "-o", ""], "empty"),
        (["apply", look_file, "", "-o", out], "empty"),
        (["extract", same, "--before", tmp_path / "black.png", "-o", out / "x.cube"], "a.jpg"),
        (
            ["transfer", "--template", same, photo_folder / "trip", same, "-o", photo_folder],
            "overwrite",
        ),
        (["remove", same, "-o", out, "--weights", same], "a.jpg"),
    ]
    for arguments, expected in cases:
        assert run(*arguments) == 1, arguments
        message = capsys.readouterr().err
        assert expected in message
        assert message.startswith("defilter: ")
        assert message.count("\n") == 1, message
    assert not [p for p in out.rglob("*") if p.is_file()]


def test_templates_and_looks_in_the_folder_are_not_rendered(
    photo_path: Path, photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    template = photo_folder / "template.png"
    template.write_bytes(photo_path.read_bytes())
    assert run("transfer", "--template", template, photo_folder, "-o", tmp_path / "a") == 0
    assert written(tmp_path / "a") == ["a.jpg", "trip/b.png"]
    assert run("extract", template, "-o", photo_folder / "look.png") == 0
    assert run("apply", photo_folder / "look.png", photo_folder, "-o", tmp_path / "b") == 0
    assert written(tmp_path / "b") == ["a.jpg", "template.png", "trip/b.png"]
    # Who names it has it rendered.
    arguments = ("transfer", "--template", template, template, "-o", tmp_path / "c")
    assert run(*arguments) == 0
    assert written(tmp_path / "c") == ["template.png"]


def written(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_what_is_no_still_picture_is_kept_and_other_files_are_named(
    photo_folder: Path, look_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [Image.new("RGB", (8, 8), (i, 0, 0)) for i in (0, 99)]
    frames[0].save(photo_folder / "moving.gif", save_all=True, append_images=frames[1:])
    clip(photo_folder / "clip.mov")
    (photo_folder / "notes.txt").write_text("x")
    out = tmp_path / "out"
    assert run("apply", look_file, photo_folder, "-o", out) == 0
    shown = capsys.readouterr().out
    assert "4 of 4 done, 1 of them kept as they are" in shown
    assert "kept as it is: animated" in shown and "notes.txt" in shown
    assert written(out) == ["a.jpg", "clip.mp4", "moving.gif", "trip/b.png"]
    assert (out / "moving.gif").read_bytes() == (photo_folder / "moving.gif").read_bytes()


def test_an_output_file_quality_and_what_is_there_already(
    photo_folder: Path, look_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, sizes = photo_folder / "a.jpg", []
    for quality in ([], ["--quality", "30"], ["--quality", "95"]):
        assert run("apply", look_file, source, "-o", tmp_path / "b.jpg", *quality) == 0
        sizes.append((tmp_path / "b.jpg").stat().st_size)
    assert sizes[1] < sizes[2]
    with Image.open(source) as before:
        assert run("apply", look_file, source, "-o", tmp_path / "c.jpg") == 0
        with Image.open(tmp_path / "c.jpg") as after:
            assert after.quantization == before.quantization  # type: ignore[attr-defined]
    capsys.readouterr()
    assert run("apply", look_file, source, "-o", tmp_path / "b.jpg", "--skip-existing") == 0
    assert "1 there already" in capsys.readouterr().out
    out = tmp_path / "out"
    assert run("transfer", "--template", source, photo_folder, "-o", out, "--dry-run") == 0
    assert "1 file would be written" in capsys.readouterr().out and not out.exists()


def test_a_pattern_that_no_shell_expanded(
    photo_folder: Path, look_file: Path, tmp_path: Path
) -> None:
    assert run("apply", look_file, f"{photo_folder}/*.jpg", "-o", tmp_path / "out") == 0
    assert written(tmp_path / "out") == ["a.jpg"]


def test_unwritable_output(
    photo_folder: Path,
    look_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "out")

    monkeypatch.setattr(Path, "touch", refuse)
    assert run("apply", look_file, photo_folder, "-o", tmp_path / "out") == 1
    assert capsys.readouterr().err.count("Permission denied") == 2


def test_grey_and_tiny_photos(look_file: Path, tmp_path: Path) -> None:
    Image.new("L", (1, 1), 100).save(tmp_path / "one.png")
    Image.new("L", (30, 20), 100).save(tmp_path / "grey.jpg")
    out = tmp_path / "out"
    photos = (tmp_path / "one.png", tmp_path / "grey.jpg")
    assert run("apply", look_file, *photos, "-o", out) == 0
    assert read_picture(out / "one.png").pixels.flatten().tolist() == [50, 50, 50]
    assert run("remove", tmp_path / "grey.jpg", "-o", tmp_path / "removed") == 0


@pytest.mark.slow
def test_the_module_runs(photo_path: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "defilter", "extract", photo_path, "-o", tmp_path / "x.cube"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "covers" in done.stdout


def test_faces_keep_their_colours_and_videos_are_rendered(look_file: Path, tmp_path: Path) -> None:
    picture = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)
    write_picture(Picture(picture), tmp_path / "a.png")
    for name, options in (("plain", []), ("faces", ["--faces"])):
        assert run("apply", look_file, tmp_path / "a.png", "-o", tmp_path / name, *options) == 0
    plain, kept = (read_picture(tmp_path / n / "a.png").pixels.float() for n in ("plain", "faces"))
    face = (slice(None), slice(90, 140), slice(200, 245))
    changed = [(x[face] - picture[face]).abs().mean() for x in (plain, kept)]
    assert changed[1] < 0.3 * changed[0] and changed[0] > 2
    assert torch.equal(plain[:, 400:], kept[:, 400:])
    clip(tmp_path / "clip.mp4")
    assert run("apply", look_file, tmp_path / "clip.mp4", "-o", tmp_path / "out") == 0
    assert (tmp_path / "out/clip.mp4").stat().st_size > 0
    (tmp_path / "text.mp4").write_text("no")
    assert run("apply", look_file, tmp_path / "text.mp4", "-o", tmp_path / "out") == 1


def test_what_few_commands_need_is_imported_by_those_alone() -> None:
    seldom = ("torchvision", "scipy", "av", "matplotlib", "skimage", "jinja2")
    code = f"import sys, defilter; print([m for m in {seldom} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_degree_of_the_patent_is_an_option(
    photo_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another scene: at least half of the look, and less as the patent has it."""
    other = embedded_photos()[3]
    command = ("transfer", "--template", photo_path, other, "-o", tmp_path / "out", "--no-areas")
    degrees = []
    for options in ((), ("--literal-scene",)):
        assert run(*command, *options) == 0
        said = capsys.readouterr().out
        degrees.append(float(re.findall(r"degree (\d\.\d\d)", said)[0]))
        assert ("--strength 1 overrules it" in said) == (degrees[-1] < 0.6)
    visible, literal = degrees
    assert literal < 0.5 <= visible
    assert visible == pytest.approx(0.5 + 0.5 * literal**0.5, abs=0.02)


def test_a_look_never_takes_the_place_of_a_template(
    photo_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = photo_folder / "trip/b.png"
    before = target.read_bytes()
    assert run("extract", photo_folder, "-o", target) == 1
    assert "would overwrite an input" in capsys.readouterr().err and target.read_bytes() == before


def test_remove_leaves_videos_in_folders_aside(
    photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip(photo_folder / "clip.mp4")
    assert run("remove", photo_folder, "-o", tmp_path / "out") == 0
    assert "clip.mp4" in capsys.readouterr().out
    assert run("remove", photo_folder / "clip.mp4", "-o", tmp_path / "out") == 1
    assert "not from videos" in capsys.readouterr().err


def test_nothing_to_render_is_a_failure(
    photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trip, out = photo_folder / "trip", tmp_path / "out"
    assert run("transfer", "--template", trip / "b.png", trip, "-o", out) == 1
    assert "the look comes from it: b.png" in capsys.readouterr().out and not out.exists()


def test_the_quality_of_pictures_has_no_say_in_videos(
    look_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip(tmp_path / "clip.mp4")
    assert run("apply", look_file, tmp_path / "clip.mp4", "-o", tmp_path, "--quality", "9") == 1
    out = tmp_path / "out.mp4"
    assert run("apply", look_file, tmp_path / "clip.mp4", "-o", out, "--quality", "9") == 0
    assert "the quality is for pictures" in capsys.readouterr().out
