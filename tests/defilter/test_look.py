import json
from pathlib import Path

import pytest
import torch

from codec.pictures.lut_files import LutFileError, load_lut
from codec.pictures.mapping import ColourMapping, identity_coefficients
from defilter.look import Look, LookFileError, load_look, save_look
from defilter.scene.similarity import SceneDescriptor
from tests.codec.pictures.test_mapping import TABLE_1
from tests.conftest import colourful

MAPPING = ColourMapping(torch.tensor(TABLE_1, dtype=torch.float64))
LOOK = Look(
    MAPPING,
    coverage=0.5,
    provenance={"templates": ["ä.jpg"]},
    categories={"sky": ColourMapping(identity_coefficients(2), "ycbcr")},
    scene=SceneDescriptor("coast", 0.75, [0.1, 0.2], "0123456789ab"),
)


def test_json_keeps_everything(tmp_path: Path) -> None:
    save_look(LOOK, tmp_path / "look.json")
    loaded = load_look(tmp_path / "look.json")
    assert torch.equal(loaded.mapping.coefficients, MAPPING.coefficients)
    assert loaded.provenance == LOOK.provenance
    assert loaded.scene == LOOK.scene
    assert loaded.coverage == 0.5
    assert loaded.table is None
    assert loaded.categories["sky"].space == "ycbcr"
    content = json.loads((tmp_path / "look.json").read_text(encoding="utf-8"))
    assert sum(map(len, content["mapping"]["coefficients"])) == 27
    pixels = colourful(9, 9)
    assert torch.equal(loaded.render(pixels), LOOK.render(pixels))


def test_json_keeps_the_table_of_pair_mode(tmp_path: Path) -> None:
    look = Look(MAPPING, table=MAPPING.lut(9))
    save_look(look, tmp_path / "look.json")
    loaded = load_look(tmp_path / "look.json")
    assert loaded.table is not None
    torch.testing.assert_close(loaded.table, look.table, atol=1e-6, rtol=0)
    big = Look(MAPPING, table=MAPPING.lut(65))
    save_look(big, tmp_path / "big.json")
    again = load_look(tmp_path / "big.json")
    assert again.table is not None
    assert again.table.shape == (3, 33, 33, 33)


@pytest.mark.parametrize(
    ("name", "size", "bits"),
    [("x.cube", 17, 8), ("x.cube", 65, 8), ("x.png", 33, 8), ("x.png", 33, 16)],
)
def test_other_programs_get_the_same_look(tmp_path: Path, name: str, size: int, bits: int) -> None:
    save_look(LOOK, tmp_path / name, size, bits)
    table = load_lut(tmp_path / name)
    assert table.shape[-1] == (size if name.endswith("cube") else 64)
    pixels = colourful(32, 32)
    ours, theirs = LOOK.render(pixels).int(), load_look(tmp_path / name).render(pixels).int()
    assert (ours - theirs).abs().max() <= 5  # where a coarse table cuts the corner of a clamp
    assert (ours - theirs).abs().float().mean() < 0.6


def test_a_table_has_27_numbers_too(tmp_path: Path) -> None:
    save_look(LOOK, tmp_path / "x.cube")
    look = load_look(tmp_path / "x.cube")
    natural = torch.rand(1, 3, 16, 16, dtype=torch.float64) * 0.6 + 0.2
    assert (look.mapping(natural) - MAPPING(natural)).abs().max() < 0.05


def good() -> dict:
    return {
        "schema": "defilter-look",
        "version": 1,
        "mapping": {"space": "rgb", "coefficients": identity_coefficients().tolist()},
    }


def test_the_least_file_is_enough(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps(good()))
    pixels = colourful(5, 5)
    assert torch.equal(load_look(tmp_path / "x.json").render(pixels), pixels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "other"}, "schema"),
        ({"version": 2}, "version"),
        ({"mapping": {"space": "lab", "coefficients": identity_coefficients().tolist()}}, "space"),
        ({"mapping": {"space": "rgb", "coefficients": [[1, 2], [3, 4], [5, 6]]}}, "coefficients"),
        ({"mapping": {"space": "rgb", "coefficients": [1, 2, 3]}}, "rows"),
        ({"mapping": {"space": "rgb"}}, "coefficients"),
        ({"mapping": None}, "look file"),
        ({"lut": {"size": 1000, "red_fastest": []}}, "2 to 33"),
        ({"lut": {"size": 2, "red_fastest": [0.5]}}, "look file"),
    ],
)
def test_broken_look_files(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(good() | change))
    with pytest.raises(LookFileError, match=message) as caught:
        load_look(path)
    assert "broken.json" in str(caught.value)


def test_files_that_are_no_looks(tmp_path: Path) -> None:
    for name, content in (("a.json", "{"), ("b.json", "[]"), ("c.json", '{"schema": 1}')):
        (tmp_path / name).write_text(content)
        with pytest.raises(LookFileError, match=name):
            load_look(tmp_path / name)
    with pytest.raises(LookFileError, match=r"missing\.json"):
        load_look(tmp_path / "missing.json")
    with pytest.raises(LutFileError, match=r"missing\.cube"):
        load_look(tmp_path / "missing.cube")


def test_only_known_extensions_are_written(tmp_path: Path) -> None:
    with pytest.raises(LookFileError, match=r"\.cube"):
        save_look(LOOK, tmp_path / "look.3dl")
    with pytest.raises(ValueError, match="17, 33, 65"):
        save_look(LOOK, tmp_path / "look.cube", size=16)
    assert not list(tmp_path.iterdir())


def test_curves_before_a_table_are_rendered_exactly_and_saved(tmp_path: Path) -> None:
    levels = [f"{(i / 1023) ** 0.45:.6f}" for i in range(1024)]
    rows = "".join(f"{level} {level} {level}\n" for level in levels)
    (tmp_path / "gamma.cube").write_text(f"LUT_1D_SIZE 1024\n{rows}")
    look = load_look(tmp_path / "gamma.cube")
    ramp = torch.arange(256, dtype=torch.uint8).expand(3, 1, 256)
    expected = ((ramp.double() / 255) ** 0.45 * 255).round()
    assert (look.render(ramp).double() - expected).abs().max() <= 1
    assert look.lut(5)[0, 0, 0, 1] == pytest.approx(0.25**0.45, abs=1e-3)
    save_look(look, tmp_path / "look.json")
    again = load_look(tmp_path / "look.json")
    bright = ramp[:, :, 32:]  # a table of 33 points is too coarse for what is darker
    assert (again.render(bright).double() - look.render(bright).double()).abs().max() <= 1
