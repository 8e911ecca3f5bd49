"""evaluate.py: the transfer study and its page, the benchmark's parts, refusals."""

import html.parser
import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

from codec.pictures.lut import identity_lut
from codec.pictures.lut_files import save_hald
from codec.pictures.metrics import delta_e2000
from codec.pictures.picture_files import Picture, read_picture, write_picture
from codec.pictures.sample_photos import embedded_photos
from codec.report import Report
from defilter.analysis import Analysers, default_analysers
from defilter.faces import FaceDetector
from defilter.learn import instagram
from defilter.learn.look_split import split_table
from defilter.look import load_look
from defilter.networks import DEFAULT_WEIGHTS
from defilter.study import look_benchmark, look_pairs, look_speed, transfer
from defilter.study.classic import monge_kantorovich, reinhard
from defilter.study.look_pairs import LookPair
from defilter.study.look_scores import ScoreTable, compare, score_rows
from defilter.unet import DefilterUNet
from defilter.verbs import extract
from defilter.weights import save_weights
from tests.conftest import colourful


class Tags(html.parser.HTMLParser):
    """Counts tags, checks that they close, and collects what the page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.counts: dict[str, int] = {}
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag not in ("meta", "img", "input", "br", "rect"):
            self.open.append(tag)
        self.sources += [value or "" for name, value in attributes if name in ("src", "href")]

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def run_transfer(photos: object, out: Path, **changes: object) -> Report:
    arguments = {"template": None, "strength": 1.0, "weights": None} | changes
    return transfer.run(photos=photos, out=str(out), **arguments)  # type: ignore[arg-type]


def test_transfer_writes_what_it_says(photo_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (photo_folder / "broken.jpg").write_text("no")
    result = run_transfer(str(photo_folder), out)
    written = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
    assert written == [
        "a.jpg",
        "contact_sheet.png",
        "look.cube",
        "look.json",
        "look.png",
        *(
            f"maps/{name}.{kind}"
            for name in ("a.jpg", "trip/b.png")
            for kind in ("areas.png", "degree.png", "json")
        ),
        "report.html",
        "trip/b.png",
    ]
    assert len(result.failures) == 1
    pixels = read_picture(photo_folder / "trip" / "b.png").pixels
    expected = load_look(out / "look.json").render(pixels)
    assert torch.equal(read_picture(out / "trip" / "b.png").pixels, expected)

    page = (out / "report.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    assert tags.counts["input"] == 3  # the template and two photos
    assert all(source.startswith("data:image/jpeg") for source in tags.sources)
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "trip/b.png" in page


def test_many_photos_are_linked(tmp_path: Path) -> None:
    for number in range(26):
        write_picture(Picture(colourful(8, 10)), tmp_path / "photos" / f"<{number:02d}>.png")
    run_transfer(str(tmp_path / "photos"), tmp_path / "out")
    tags = Tags()
    tags.feed((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert tags.counts["input"] == 1 + 24
    assert [s for s in tags.sources if not s.startswith("data:")] == [
        "%3C24%3E.png",
        "%3C25%3E.png",
    ]


def test_template_and_pooling(photo_folder: Path, photo_path: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("no")  # is left out, and costs the others nothing
    templates = [str(broken), str(photo_path), str(photo_folder / "a.jpg")]
    result = run_transfer(str(photo_folder), tmp_path / "out", template=templates)
    assert not result.failures
    look = load_look(tmp_path / "out/look.json")
    assert look.provenance["templates"] == [photo_path.name, "a.jpg"]


def test_a_bad_template_with_the_name_of_a_good_one(photo_path: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a/x.png").write_text("no picture")
    (tmp_path / "b/x.png").write_bytes(photo_path.read_bytes())
    templates = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert extract(templates).templates == (tmp_path / "b/x.png",)
    result = run_transfer(str(photo_path), tmp_path / "out", template=templates)
    assert not result.failures
    assert (tmp_path / "out/report.html").exists()


def test_each_photo_is_read_once_and_no_rendering(
    photo_folder: Path, photo_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def counted(path: Path) -> Picture:
        read.append(Path(path))
        return read_picture(path)

    for module in ("defilter.study.transfer", "defilter.files", "defilter.verbs"):
        monkeypatch.setattr(importlib.import_module(module), "read_picture", counted)
    run_transfer(str(photo_folder), tmp_path / "out", template=str(photo_path))
    assert sorted(read) == sorted(
        [photo_path, photo_path, photo_folder / "a.jpg", photo_folder / "trip/b.png"]
    )


@pytest.mark.parametrize("name", ["look.png", "report.html.jpg", "contact_sheet.png"])
def test_names_that_are_taken(tmp_path: Path, name: str) -> None:
    write_picture(Picture(colourful(8, 10)), tmp_path / "photos" / name)
    run = lambda: run_transfer(str(tmp_path / "photos"), tmp_path / "out")  # noqa: E731
    if name == "report.html.jpg":
        run()
    else:
        with pytest.raises(ValueError, match="rename"):
            run()
        assert not (tmp_path / "out").exists()


def test_refusals(photo_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="strength"):
        run_transfer(str(photo_folder), tmp_path / "out", strength=2)
    with pytest.raises(ValueError, match=r"none\.jpg"):
        run_transfer(str(photo_folder), tmp_path / "out", template="none.jpg")
    broken = tmp_path / "broken.jpg"
    broken.write_text("no")
    with pytest.raises(ValueError, match="no photo could be rendered"):
        run_transfer(str(broken), tmp_path / "out")


def test_classic_transfers_match_statistics() -> None:
    photo = colourful(40, 40).float() / 255 * 0.5 + 0.25
    template = torch.rand(3, 30, 30) * torch.tensor([0.2, 0.3, 0.1])[:, None, None] + 0.3
    moved = monge_kantorovich(photo, template).flatten(1)
    target = template.flatten(1)
    torch.testing.assert_close(moved.mean(1), target.mean(1), atol=2e-3, rtol=0)
    torch.testing.assert_close(torch.cov(moved), torch.cov(target), atol=2e-3, rtol=0)
    assert (reinhard(photo, photo) - photo).abs().max() < 0.01
    assert (reinhard(photo, template).mean((1, 2)) - template.mean((1, 2))).abs().max() < 0.03


def test_benchmark_rows_average_over_pairs_and_looks() -> None:
    rows = ScoreTable()
    truth = torch.full((3, 16, 16), 100, dtype=torch.uint8)
    for look, offset in (("x", 10), ("x", 20), ("y", 10)):
        rows.add("row", LookPair("film", look, ["t"], "p"), truth + offset, truth)
    table = rows.summary()["row"]
    single = [compare(truth + o, truth).psnr for o in (10, 20, 10)]
    assert table["pairs"] == 3
    assert table["psnr"] == pytest.approx(sum(single) / 3)
    per_look = torch.tensor([(single[0] + single[1]) / 2, single[2]])
    assert table["psnr_se"] == pytest.approx(float(per_look.std() / 2**0.5), rel=1e-5)
    assert rows.of_group("pilgram2").summary() == {}
    assert rows.of_group("film").summary()["row"]["gain"] == 0
    assert json.dumps(rows.summary())
    assert score_rows(rows.summary())[0]["pairs"] == "3"
    assert compare(truth, truth).psnr == 60


def test_the_speed_study_runs(tmp_path: Path) -> None:
    pytest.importorskip("PyOpenColorIO")
    result = look_speed.run(out=str(tmp_path), weights=None, threads=1, runs=3, megapixels=0.03)
    record = json.loads((tmp_path / "look_speed.json").read_text())
    rows = record["tables"]["rendering, ms per MP, 8 bit, 1 thread"]
    assert len(rows) == 5 and "ours, 27 numbers" in result.summary
    assert all(row["median ms"] > 0 for row in rows.values())
    exact = record["tables"]["exactness of the 27 numbers against float64"]["ours"]
    assert exact["largest difference"] <= 1
    assert exact["equal"] > 0.9999
    assert {"commit", "torch", "processor", "tables"} <= set(record)
    cubes = record["tables"]["a .cube, ms per MP, 8 bit, 1 thread"]
    assert {row["picture"] for row in cubes.values()} == {
        *("photo", "noise of 12 levels", "noise alone")
    }
    for row in cubes.values():
        ratio = row["ratio to OpenColorIO, 3D LUT, tetrahedral"]
        assert (ratio == 1) == row["what"].startswith("OpenColorIO")


def test_the_speed_study_runs_without_opencolorio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PyOpenColorIO", None)
    monkeypatch.setattr(look_speed, "_network", lambda *_: {"none": {"what": "not timed"}})
    write_picture(Picture(colourful(40, 48)), tmp_path / "photo.png")
    photo = str(tmp_path / "photo.png")
    result = look_speed.run(str(tmp_path), None, 1, 2, 0.01, photo)
    assert "OpenColorIO is not installed" in result.summary
    record = json.loads((tmp_path / "look_speed.json").read_text())
    cubes = record["tables"]["a .cube, ms per MP, 8 bit, 1 thread"]
    assert [row["what"] for row in cubes.values()] == ["ours"] * 3


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every track on two looks and small photos, with made-up foreign looks."""
    train, test = (next(iter(split_table()[key])) for key in ("train", "test"))
    for number, name in enumerate(look_pairs.PHOTOS):
        picture = Picture(colourful(40 + number, 48))
        write_picture(picture, tmp_path / "kodak" / f"{name}.png")
    for name, gain in ((train, 0.9), (test, 0.8)):
        save_hald(identity_lut(9) * gain, tmp_path / "looks" / f"{name}.png")
    pair = look_pairs.LookPair("film", test, list(look_pairs.PHOTOS[:5]), "kodim09")
    monkeypatch.setattr(look_benchmark, "require", lambda *_: None)
    monkeypatch.setattr(look_benchmark, "load_pairs", lambda: [pair])
    monkeypatch.setattr(
        look_benchmark, "instafilter_look", lambda _: lambda x: (x.float() * 0.7).byte()
    )
    literal = DefilterUNet(widths=(4, 8, 8))
    architecture = {"_target_": "defilter.unet.DefilterUNet", "widths": [4, 8, 8]}
    save_weights(literal.state_dict(), architecture, tmp_path / "fig2.safetensors")
    arguments = {
        "folders": {"kodak": str(tmp_path / "kodak"), "looks": [str(tmp_path / "looks")]},
        "trained": {
            "default": None,
            "fig2": str(tmp_path / "fig2.safetensors"),
            "closed_set": str(DEFAULT_WEIGHTS),
        },
        "out": str(tmp_path / "out"),
        "every": 24,
        "tracks": list(look_benchmark.TRACKS),
    }
    look_benchmark.run(**arguments)  # type: ignore[arg-type]
    record = json.loads((tmp_path / "out" / "look_benchmark.json").read_text())
    table = record["tables"]["B render"]
    assert table["oracle template"]["psnr"] > 35
    assert table["oracle template"]["gain"] == pytest.approx(
        table["oracle template"]["psnr"] - table["do nothing"]["psnr"]
    )
    assert table["default, oracle strength"]["psnr"] >= table["default"]["psnr"] - 0.01
    assert record["tables"]["C pair mode"]["9^3 LUT"]["psnr"] > 40
    assert {"A render", "clean photos", "U-Net, with vignettes"} <= set(record["tables"])
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"look_benchmark.json", "look_benchmark.md", "look_benchmark.png"}
    assert record["pairs"]["B render"]["default"][0][:2] == ["film", test]

    (tmp_path / "kodak" / "kodim24.png").unlink()
    with pytest.raises(ValueError, match="kodim24"):
        look_benchmark.run(**arguments)  # type: ignore[arg-type]


def test_the_benchmark_refuses_without_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(instagram, "import_module", missing)
    with pytest.raises(instagram.MissingPackage, match="make bench-deps"):
        look_benchmark.run({}, {}, "o", 1, ["B"])
    with pytest.raises(ValueError, match="tracks"):
        look_benchmark.run({}, {}, "o", 1, ["D"])


def test_the_demonstration_changes_every_photo_visibly(tmp_path: Path) -> None:
    result = transfer.run(None, None, str(tmp_path), None, None, Analysers(faces=FaceDetector()))
    assert "at strength 1" in result.summary and not result.failures
    for path in embedded_photos():
        before, after = (read_picture(p).floats()[None] for p in (path, tmp_path / path.name))
        assert float(delta_e2000(before, after)) >= 5, path.name
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("degree 1.00 (as asked)") == 5


def test_weak_degrees_are_said_with_a_way_out(photo_path: Path, tmp_path: Path) -> None:
    literal = default_analysers(areas=False).scene
    assert literal is not None
    analysers = Analysers(scene=literal.literally())
    result = run_transfer(
        str(embedded_photos()[3]),
        tmp_path,
        template=str(photo_path),
        strength=None,
        analysers=analysers,
    )
    assert "strength=1 overrules" in result.summary
    assert "strength=1" in (tmp_path / "report.html").read_text(encoding="utf-8")
