"""Studies of what a picture shows: areas, faces, and what whole transfers cost."""

import json
from pathlib import Path

import pytest
import skimage.data
import torch
from torch import Tensor

from codec.pictures.lut import identity_lut
from codec.pictures.lut_files import save_hald
from codec.pictures.metrics import psnr
from codec.pictures.picture_files import Picture, write_picture
from codec.pictures.resize import squash
from defilter.areas.segmenter import AreaMap
from defilter.faces import Face
from defilter.learn.area_pictures import IGNORED, NOT_THE_MASK, Labelled
from defilter.learn.look_split import split_table
from defilter.study import areas, degree, faces, transfer_speed
from defilter.unet import AreaDefilterUNet, DefilterUNet
from tests.conftest import colourful

CATEGORIES = ("ground", "person", "sky")


class Knowing:
    """Says what a picture's red says: thirds of the range are the categories."""

    categories = CATEGORIES

    def __call__(self, picture: Tensor) -> AreaMap:
        labels = (picture[0] * 2.999).long()
        return AreaMap(CATEGORIES, torch.stack([labels == k for k in range(3)]).float())


def labelled(seed: int, wrong: int = 0) -> Labelled:
    pixels = torch.randint(0, 256, (3, 64, 80), generator=torch.Generator().manual_seed(seed))
    labels = (pixels[0] / 255 * 2.999).to(torch.uint8)
    labels[:wrong] = (labels[:wrong] + 1) % 3
    labels[-4:] = IGNORED
    return Labelled(pixels.to(torch.uint8), labels)


def test_confusions_are_summed() -> None:
    segment = Knowing()
    right = areas._segmentation(segment, [labelled(0), labelled(1)], [])  # type: ignore[arg-type]
    assert [row["street"] for row in right] == ["100.0"] * 4
    wrong = areas._segmentation(segment, [labelled(0, wrong=30)], [])  # type: ignore[arg-type]
    expected = 100 * 30 / 90  # 30 of 60 rows are right, and each wrong pixel counts for two
    assert float(wrong[0]["street"]) == pytest.approx(expected, abs=2)
    masks = labelled(2)
    masks = masks._replace(
        labels=torch.where(masks.labels == 1, masks.labels, NOT_THE_MASK).to(torch.uint8)
    )
    (person,) = (
        row["people"]
        for row in areas._segmentation(segment, [labelled(0)], [masks])  # type: ignore[arg-type]
        if row["what"] == "person"
    )
    assert float(person) > 90  # all but the rows that are ignored elsewhere


def test_looks_by_category_against_one() -> None:
    tables = torch.stack([identity_lut(5) * factor for factor in (0.3, 0.6, 0.9)])
    drawn = areas._draw([labelled(0), labelled(1), labelled(2)], tables, 3, 3, 2)
    assert len(drawn) == 2 and drawn[0].tables.shape == (3, 3, 5, 5, 5)
    told = AreaDefilterUNet(3, True, (4, 8, 8)).eval()
    rows = areas._render_rows(Knowing(), told, drawn)  # type: ignore[arg-type]
    assert all(len(values) == 2 for values in rows.values())
    assert min(rows["by category, oracle"]) > 35 > max(rows["photo"])
    one = areas._draw([labelled(0), labelled(1)], tables, 3, 1, 4)
    assert all(torch.equal(pair.tables[0], pair.tables[2]) for pair in one)
    (summary, other) = areas._summary({"a": [1.0, 2.0], "b": [2.0, 4.0]}, "a")
    assert summary["over a"] == "+0.00 ± 0.00" and other["over a"] == "+1.50 ± 0.50"


def test_figure_3_against_figure_2() -> None:
    torch.manual_seed(0)
    told = AreaDefilterUNet(3, True, (4, 8, 8)).eval()
    untold = DefilterUNet(widths=(4, 8, 8)).eval()
    tables = torch.stack([identity_lut(5) * factor for factor in (0.3, 0.6, 0.9)])
    drawn = areas._draw([labelled(0), labelled(1)], tables, 3, 3, 2)
    rows = areas._remove_rows(Knowing(), told, untold, drawn)  # type: ignore[arg-type]
    filtered = areas._graded(drawn[0].template, drawn[0].tables)[None] / 255
    clean = drawn[0].template.pixels[None] / 255
    assert rows["template"][0] == pytest.approx(
        float(psnr(squash(filtered, 64), squash(clean, 64)))
    )
    assert rows["Fig. 3"] != rows["Fig. 2"] != rows["default network"]
    assert set(rows) == {"template", "default network", "Fig. 2", "Fig. 3", "Fig. 3, true areas"}


def test_boxes_change_and_protection() -> None:
    face = Face(10, 20, 20, 30, 0.9)
    tight = faces._inside([face], 1.0, torch.Size((100, 100)))
    wide = faces._inside([face], 1.2, torch.Size((100, 100)))
    assert int(tight.sum()) == 600 and int(wide.sum()) == 24 * 36 and bool(wide[tight].all())
    photo = colourful(40, 40)
    where = torch.zeros(40, 40, dtype=torch.bool)
    where[:10] = True
    other = photo.clone()
    other[:, 20:] = 0
    assert faces._change(photo, other, where) == 0
    assert faces._change(photo, other, ~where) > 5
    portrait = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)
    rows = faces._protection({"astronaut": portrait}, identity_lut(9)[None] * 0.6)
    plain, kept, literal = (float(row["dE2000 in face boxes"]) for row in rows)
    assert kept < 0.5 * plain and literal < 0.6 * plain
    assert float(rows[1]["largest step"]) <= 0.05 < float(rows[2]["largest step"])


@pytest.mark.slow
def test_areas_from_folders(tmp_path: Path) -> None:
    for number in range(2):
        one = labelled(number)
        base = tmp_path / "street" / "test" / f"{number}"
        write_picture(Picture(one.pixels, file_format="JPEG"), base.with_suffix(".jpg"))
        write_picture(Picture(one.labels[None].expand(3, -1, -1)), base.with_suffix(".png"))
    for number in range(68):
        base = tmp_path / "people" / f"{number}"
        write_picture(Picture(colourful(32, 48), file_format="JPEG"), base.with_suffix(".jpg"))
        mask = torch.zeros(3, 32, 48, dtype=torch.uint8)
        mask[:, 8:24, 8:40] = 255
        write_picture(Picture(mask), base.with_suffix(".png"))
    for name in split_table()["test"][:8]:
        save_hald(identity_lut(16) * 0.7, tmp_path / "looks" / f"{name}.png", 8)
    result = areas.run(
        {name: str(tmp_path / name) for name in ("street", "people")}
        | {"looks": [str(tmp_path / "looks")]},
        "test", 2, {"segmentation": None, "fig3": None, "fig2": None}, str(tmp_path / "out"),
    )  # fmt: skip
    assert "person" in result.summary
    record = json.loads((tmp_path / "out/areas.json").read_text())
    assert len(record["sections"]) == 3 and record["split"] == "test"


@pytest.mark.slow
def test_speed_of_small_transfers(tmp_path: Path) -> None:
    result = transfer_speed.run(None, 1, 1, 0.2, str(tmp_path))
    assert "frames/s" in result.summary
    record = json.loads((tmp_path / "transfer_speed.json").read_text())
    assert len(record["measured"]) == 6
    for ((seconds, peak, imports),) in record["measured"].values():
        assert seconds > 0 and peak >= imports > 0.1


def test_degrees_and_grey_templates(tmp_path: Path) -> None:
    for number in range(4):
        pixels = colourful(40 + number, 56)
        grey = pixels.float().mean(0, keepdim=True).byte().expand(3, -1, -1)
        for name, picture in (("photos", pixels), ("kodak", pixels), ("photos", grey)):
            kind = "grey" if picture is grey else "colour"
            write_picture(Picture(picture), tmp_path / name / f"{kind}{number}.png")
    film = identity_lut(16).mean(0, keepdim=True).expand(3, -1, -1, -1) ** 1.5
    save_hald(film, tmp_path / "looks" / "bw-film.png")
    folders = {"photos": str(tmp_path / "photos"), "kodak": str(tmp_path / "kodak")}
    degree.run(folders | {"looks": [str(tmp_path / "looks")]}, 3, str(tmp_path / "out"))
    record = json.loads((tmp_path / "out/degree.json").read_text())
    assert sorted(record["monochrome"]) == [f"grey{number}.png" for number in range(4)]
    for row in record["sections"]["Grey templates"]:
        assert row["recognised"] == "4 of 4" and row["chroma left, of 255"] == "0.00 (most 0)"
        assert row["smallest degree"] == "1.00"
    default, literal = record["sections"]["Degrees of 3 pairs of unrelated photos"]
    assert float(default["smallest"]) >= 0.5 and literal["degree"] == "literal"
    with pytest.raises(ValueError, match="expected 20 photos, found 8"):
        degree.run(folders | {"looks": []}, 10, str(tmp_path / "out"))
