"""What fits write, and where."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from codec.pictures.lut import identity_lut
from codec.pictures.lut_files import save_hald
from codec.pictures.picture_files import Picture, write_picture
from codec.pictures.storage import output_path
from defilter.learn import look_split, natural_colours, scene_space
from defilter.scene.network import SceneClassifier
from defilter.scene.similarity import SHIPPED, SHIPPED_SPACE, load_scene_comparer
from defilter.weights import save_weights
from tests.conftest import colourful


def test_only_the_word_shipped_means_the_package(tmp_path: Path) -> None:
    assert output_path("out/x.json", SHIPPED) == Path("out/x.json")
    assert output_path("shipped", SHIPPED) == SHIPPED


def test_colours_of_photos(tmp_path: Path) -> None:
    for number in range(3):
        write_picture(Picture(colourful(40, 50 + number)), tmp_path / f"photos/{number}.png")
    out = tmp_path / "new" / "colours.safetensors"
    report = natural_colours.run({"photos": str(tmp_path / "photos")}, str(out))
    assert str(out) in report.summary and report.failures == []
    found = load_file(out)
    assert found["colours"].shape == (2048, 3) and found["occupied"].shape == (4096,)


def test_families_of_looks_stay_together(tmp_path: Path) -> None:
    names = ["Kodak-Portra-160-1", "Kodak-Portra-400-2", "TealOrange1", "tealorange_2", "bw-x"]
    for name in names:
        table = identity_lut(16)
        table = table.mean(0, keepdim=True).expand(3, -1, -1, -1) if name == "bw-x" else table
        save_hald(table, tmp_path / f"looks/{name}.png")
    out = tmp_path / "split.json"
    look_split.run({"looks": [str(tmp_path / "looks")]}, str(out))
    found = json.loads(out.read_text())
    place = {name: key for key, members in found.items() for name in members}
    assert place.keys() == set(names)
    assert place["Kodak-Portra-160-1"] == place["Kodak-Portra-400-2"]
    assert place["TealOrange1"] == place["tealorange_2"]
    assert [name for name, key in place.items() if key.endswith("_monochrome")] == ["bw-x"]


def test_a_fitted_space_belongs_to_its_classifier(tmp_path: Path) -> None:
    torch.manual_seed(0)
    arguments = {"classes": ["a", "b"], "widths": [8] * 5, "hidden": [16, 16], "dropout": 0.0}
    architecture = {"_target_": "defilter.scene.network.SceneClassifier"} | arguments
    network = SceneClassifier(**arguments)  # type: ignore[arg-type]
    save_weights(network.state_dict(), architecture, tmp_path / "weights.safetensors")
    out = tmp_path / "out"
    scene_space.run(str(tmp_path / "weights.safetensors"), {"scenes": None}, "conv5", 0.1, str(out))
    comparer = load_scene_comparer(out / SHIPPED.name, out / SHIPPED_SPACE.name)
    assert comparer.space.layer == "conv5" and comparer.space.whitening.shape == (8, 8)
