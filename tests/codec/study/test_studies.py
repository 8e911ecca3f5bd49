"""The codec's studies and exports, small."""

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from PIL import Image

from codec.learn import export, search_prior
from codec.learn.networks import ContextNetworks, load_answers, load_trained
from codec.learn.quality_table import _match
from codec.learn.symbols import symbol_tiles
from codec.pictures.picture_files import read_picture, write_pixels
from codec.residual.context_sets import SHIPPED, load_contexts
from codec.residual.postfilter import PostFilter
from codec.search import SCORES, at_least, encoder
from codec.search.criteria import meets
from codec.search.find import scores_of
from codec.study import (
    file_search,
    layered,
    layered_video,
    prediction,
    quality_search,
    rate_distortion,
)
from defilter.weights import save_weights
from tests.codec.test_picture import photo
from tests.defilter.study.test_look_studies import Tags


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(2):
        write_pixels(tmp_path / "photos" / f"{number}.png", photo(number, 64, 72))
    (tmp_path / "photos" / "broken.png").write_bytes(b"no")
    return tmp_path / "photos"


def test_rate_distortion_writes_what_it_says(folder: Path, tmp_path: Path) -> None:
    result = rate_distortion.run(
        str(folder),
        str(tmp_path / "out"),
        {"dfc": [30, 60, 90], "jpeg": [30, 60, 90]},
        ["JPEG 4:2:0", "dfc mse, fast"],
        True,
        "cpu",
    )
    assert len(result.failures) == 1 and "broken.png" in result.failures[0]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"report.html", "rate_distortion.json", "rate_distortion.md", "psnr_rgb.png"} <= names
    record = json.loads((tmp_path / "out" / "rate_distortion.json").read_text())
    assert {"commit", "networks", "points", "tables", "differences"} <= set(record)
    assert len(record["points"]["JPEG 4:2:0"]["0.png"]) == 3
    rates = record["differences"]["psnr_rgb"]["dfc mse, fast"]["JPEG 4:2:0"]
    assert set(rates) == {"0.png", "1.png"} and all(rate < 0 for rate in rates.values())
    tags = Tags()
    tags.feed((tmp_path / "out" / "report.html").read_text())
    assert tags.counts["img"] >= 5 and not tags.open
    assert all(source.startswith("data:") for source in tags.sources)
    assert "dfc lossless" in result.summary and "BROKEN" not in result.summary


def test_rate_distortion_refuses_unknown_codecs(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected codecs out of JPEG"):
        rate_distortion.run(str(folder), str(tmp_path), {}, ["HEIC"], False, "cpu")
    with pytest.raises(ValueError, match="qualities for dfc"):
        rate_distortion.run(str(folder), str(tmp_path), {}, ["dfc mse"], False, "cpu")


def test_quality_search_is_exact_against_sweeps(folder: Path, tmp_path: Path) -> None:
    result = quality_search.run(
        str(folder), str(tmp_path / "out"), ["jpeg_baseline"], {"ssim": [0.9, 0.97]},
        {"ssim": [0.9]},
    )  # fmt: skip
    record = json.loads((tmp_path / "out" / "quality_search.json").read_text())
    rows = {(row["method"], row["score"]): row for row in record["methods"]}
    assert len(rows) == 2 * len(quality_search.METHODS)
    for target in ("ssim 0.9", "ssim 0.97"):
        for method in ("certified (default)", "bisection"):
            assert rows[method, target]["exact"] == "2/2"
        literal = rows["US 9,325,996, literal, d=1", target]
        assert literal["exact"] == f"{2 - literal['below target']}/2"
    assert record["batches"][0]["certified"] == "2/2"
    assert "certified (default)" in result.summary


def test_files_are_searched_as_they_are(folder: Path, tmp_path: Path) -> None:
    one = folder / "0.png"
    with Image.open(one) as image:
        image.save(folder / "camera.jpg", quality=90)
    targets = {"ssim": [0.95], "ssimulacra2": [95.0]}
    file_search.run(str(folder), str(tmp_path / "out"), ["jpeg"], targets, None)
    record = json.loads((tmp_path / "out" / "file_search.json").read_text())
    rows = {row["target"]: row for row in record["rows"]}
    assert rows["ssim 0.95"]["files"] == 3 and rows["ssim 0.95"]["exact"] == "3/3"
    for search in record["searches"]:
        assert search["probes"] == len(search.get("qualities", [0] * search["probes"]))
        if "quality" in search:
            read = (read_picture(folder / search["file"]).stored(), encoder(search["kind"]))
            decoded = [read[1].probe(read[0], search["quality"] - i).decoded for i in (0, 1)]
            name, goal = search["target"].split()
            criteria = at_least(name, float(goal))
            met = [meets(scores_of(read[0], x, criteria), criteria) for x in decoded]
            assert met == [True, False]


def test_a_prior_is_fitted_and_rises(folder: Path, tmp_path: Path) -> None:
    out, sweeps = tmp_path / "new/prior.json", tmp_path / "sweeps"
    search_prior.run(str(folder), str(out), str(sweeps), ["jpeg"], 6)
    table = json.loads(out.read_text())
    assert set(table) == {f"jpeg_baseline {name}" for name in (*SCORES, "worst_tile")}
    for row in table.values():
        usual = row["usual"]
        assert len(usual) == 100 and all(b >= a for a, b in pairwise(usual))
        assert len(row["weights"]) == len(row["centre"]) == 10
        assert usual[-1] > usual[-10] + 0.01  # the last quality was measured
        assert len(row["components"]) == 4 and len(row["components"][0]) == 100
    measured = {path: path.stat().st_mtime_ns for path in sweeps.rglob("*.json")}
    assert len(measured) == 6
    search_prior.run(str(folder), str(out), str(sweeps), ["jpeg"], 6)
    assert {path: path.stat().st_mtime_ns for path in sweeps.rglob("*.json")} == measured
    assert json.loads(out.read_text()) == table


def test_a_quality_table_matches_scores() -> None:
    table = _match([1, 50, 100], [20.0, 30.0, 40.0], [0, 100, 200], [40.0, 30.0, 20.0])
    assert table[49] == 100 and table[0] == 200 and table[-1] == 0
    assert table == sorted(table, reverse=True)


def test_trained_networks_become_what_ships(tmp_path: Path) -> None:
    networks = ContextNetworks([8], [8])
    path = tmp_path / "trained.safetensors"
    save_weights(networks.state_dict(), {"hidden": [8], "small": [8]}, path)
    assert load_trained(path).state_dict().keys() == networks.state_dict().keys()
    tiles = symbol_tiles(None, None, 32, str(path), 0.5, False, 0)
    assert tiles.training.hints.any() and tiles.training.matrix.unique().tolist() == [0, 1]
    found = export.export_contexts({"full": str(path)}, tiles, str(tmp_path / "out.safetensors"))
    assert "integers" in found.summary
    sets = load_contexts(tmp_path / "out.safetensors")
    assert sets["fast"].fingerprint == load_contexts(SHIPPED)["fast"].fingerprint
    contexts = sets["full"]
    rows = torch.randint(-50, 50, (40, contexts["luma1"].inputs)).to(torch.int8)
    wanted = load_answers(path)["luma1"](rows).int()
    assert (contexts["luma1"](rows).int() - wanted).abs().max() <= 1
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no")
    for load in (load_trained, load_contexts):
        with pytest.raises(ValueError, match=r"broken\.safetensors: expected"):
            load(broken)


def test_a_postfilter_is_exported_in_half_precision(tmp_path: Path) -> None:
    network = PostFilter(4, 2)
    save_weights(network.state_dict(), {}, tmp_path / "trained.safetensors")
    out = tmp_path / "out.safetensors"
    result = export.export_postfilters({"mse": str(tmp_path / "trained.safetensors")}, str(out))
    assert "numbers in" in result.summary and out.stat().st_size < 12_000


def pages(folder: Path) -> Tags:
    tags = Tags()
    tags.feed((folder / "report.html").read_text())
    assert not tags.open and all(source.startswith("data:") for source in tags.sources)
    return tags


def test_prediction_study(tmp_path: Path) -> None:
    for number in range(2):
        write_pixels(tmp_path / "photos" / f"{number}.png", photo(number, 64, 80))
        write_pixels(tmp_path / "albums" / f"set-{number}.png", photo(0, 64, 80))
    done = prediction.run(
        str(tmp_path / "out"), str(tmp_path / "albums"), str(tmp_path / "photos"), None, 60, 1
    )
    assert done.failures == [] and "chosen" in done.summary
    record = json.loads((tmp_path / "out/prediction.json").read_text())
    rows = record["sections"]["Kinds of pairs, means"]
    assert [row["kind"] for row in rows] == ["set", "burst", "noisy burst", "copy"]
    assert float(rows[0]["chosen"]) < 40 and float(rows[3]["chosen"]) < 60
    assert pages(tmp_path / "out").counts["img"] >= 1 + 4 * 2
    with pytest.raises(ValueError, match="at least one pair"):
        prediction.run(str(tmp_path / "out"), None, str(tmp_path / "photos"), [], 60, 0)


def test_layered_study(folder: Path, tmp_path: Path) -> None:
    done = layered.run(
        str(folder),
        str(tmp_path / "out"),
        ["JPEG base", "one JPEG 4:2:0"],
        {"default": [30, 90]},
    )
    assert len(done.failures) == 1 and "JPEG base" in done.summary
    record = json.loads((tmp_path / "out/layered.json").read_text())
    assert set(record["points"]) == {"one layer", "JPEG base", "one JPEG 4:2:0"}
    assert set(record["simulcast"]) == {"0.png", "1.png"}
    assert pages(tmp_path / "out").counts["img"] >= 2 + 2 * 4
    with pytest.raises(ValueError, match="expected contenders out of"):
        layered.run(str(folder), str(tmp_path), ["PNG base"], {"default": [50]})


def test_layered_video_study(tmp_path: Path) -> None:
    pytest.importorskip("av")
    done = layered_video.run(None, str(tmp_path), 4, 0, 30, [40, 85], [20, 34], [96, 128], 2)
    record = json.loads((tmp_path / "layered_video.json").read_text())
    assert set(record["points"]) == set(layered_video.CONTENDERS)
    first, rows = (record["sections"][title] for title in list(record["sections"])[:2])
    patent = next(row for row in first if row["contender"] == layered_video.PATENT)
    assert patent[f"made over {layered_video.PATENT}"] == "+0.00"
    assert float(rows[-1]["made"]) > float(rows[-2]["made"])  # cut videos show where they are cut
    assert "frames/s" in done.summary and pages(tmp_path).counts["img"] >= 2 + 10
    with pytest.raises(ValueError, match="expected frames"):
        layered_video.read_clip(layered_video_clip(tmp_path), skip=9)


def layered_video_clip(folder: Path) -> Path:
    grey = [torch.full((1, n, n), 128, dtype=torch.uint8) for n in (32, 16, 16)]
    layered_video.write_clip(folder / "clip.mkv", [(grey[0], grey[1], grey[2])], "ffv1", {})
    return folder / "clip.mkv"


def test_difference_at_equal_bytes() -> None:
    def curve(up: float, sizes: tuple[int, ...]) -> list[layered_video.Point]:
        return [layered_video.Point(0, n, 30 + up + math.log2(n), 0, 1) for n in sizes]

    lower, upper = curve(0, (100, 200, 400, 800)), curve(1.5, (150, 300, 600))
    assert layered_video.difference_at_equal_bytes(lower, upper) == pytest.approx(1.5)
    assert layered_video.difference_at_equal_bytes(lower, curve(0, (1000, 2000))) is None
