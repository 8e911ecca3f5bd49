from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from codec.image_io import Picture, write_picture
from defilter.areas.data import (
    IGNORED,
    NOT_THE_MASK,
    AreaBatch,
    CroppedAreas,
    Labelled,
    load_people,
    load_street,
    recoloured,
)
from defilter.areas.looks import area_looks, palette
from defilter.areas.network import SegmentNet
from defilter.areas.segmenter import AreaMap, Segmenter
from defilter.areas.task import SegmentTask
from defilter.weights import default_network
from tests.conftest import colourful


def small(categories: int = 3) -> SegmentNet:
    torch.manual_seed(0)
    names = ["sky", "person", "ground"][:categories]
    return SegmentNet(names, [8, 8, 8, 8], [1, 1, 1], 8).eval()


class Halves(nn.Module):
    """Says class 0 above, 1 below."""

    def forward(self, x: Tensor) -> Tensor:
        logits = torch.zeros(len(x), 4, *x.shape[2:])
        half = x.shape[2] // 2
        logits[:, 0, :half], logits[:, 1, half:] = 20, 20
        return logits


def test_the_network_is_small_enough_and_keeps_the_size() -> None:
    network = SegmentNet([str(i) for i in range(7)], [24, 48, 96, 128], [1, 2, 2], 64).eval()
    assert 4 * sum(p.numel() for p in network.parameters()) <= 5_000_000
    assert network(torch.zeros(2, 3, 64, 96)).shape == (2, 7, 64, 96)
    with pytest.raises(ValueError, match="four widths"):
        SegmentNet(["a"], [8], [1, 1, 1], 8)


def test_labels_of_files(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    write_picture(Picture(colourful(8, 12), file_format="JPEG"), tmp_path / "train/a.jpg")
    index = torch.arange(96, dtype=torch.uint8).reshape(1, 8, 12) % 12
    write_picture(Picture(index), tmp_path / "train/a.png")
    (one,) = load_street(tmp_path, "train", {0: 0, 3: 1, 4: 1})
    assert one.labels[0, [0, 3, 4]].tolist() == [0, 1, 1]
    assert one.labels[0, 1] == IGNORED and one.pixels.shape == (3, 8, 12)
    with pytest.raises(ValueError, match=r"expected pictures NAME\.jpg"):
        load_street(tmp_path, "val", {0: 0})


def test_the_last_people_are_test_only(tmp_path: Path) -> None:
    for number in range(70):
        write_picture(Picture(colourful(6, 6), file_format="JPEG"), tmp_path / f"{number}.jpg")
        mask = torch.full((1, 6, 6), 255 * (number % 2), dtype=torch.uint8)
        write_picture(Picture(mask), tmp_path / f"{number}.png")
    parts = {s: load_people(tmp_path, s, 4) for s in ("train", "val", "test")}
    assert {s: len(p) for s, p in parts.items()} == {"train": 11, "val": 1, "test": 58}
    assert parts["test"][-1].labels.unique().tolist() == [4]  # 9.jpg
    assert parts["test"][-2].labels.unique().tolist() == [NOT_THE_MASK]  # 8.jpg
    assert load_people(None, "train", 4) == []


def test_crops_keep_pixels_and_labels_together() -> None:
    x = torch.zeros(3, 90, 120, dtype=torch.uint8)
    labels = torch.zeros(90, 120, dtype=torch.uint8)
    x[:, 30:60, 40:80], labels[30:60, 40:80] = 255, 1
    data = CroppedAreas(
        [[Labelled(x, labels)], []], [[Labelled(x, labels)]], [0.5, 0.5], 64, 0.9, 2
    )
    batch = data.batch(8, torch.Generator().manual_seed(3))
    again = data.batch(8, torch.Generator().manual_seed(3))
    assert torch.equal(batch.pixels, again.pixels) and batch.pixels.shape == (8, 3, 64, 64)
    for pixels, found in zip(batch.pixels, batch.labels, strict=True):
        if (found == 1).any() and (found == 0).any():
            assert pixels[:, found == 1].mean() > pixels[:, found == 0].mean() + 0.2
    (checked,) = data.validation(4)
    assert checked.labels.shape == (1, 64, 64)


def test_other_colours_stay_in_range_and_differ() -> None:
    x = torch.rand(4, 3, 16, 16)
    y = recoloured(x, torch.Generator().manual_seed(1))
    assert y.min() >= 0 and y.max() <= 1 and (x - y).abs().mean() > 0.02


def test_the_loss_leaves_out_what_is_unknown() -> None:
    task = SegmentTask(small(), "person", {"person": 2.0})
    pixels = torch.rand(2, 3, 32, 32)
    labels = torch.full((2, 32, 32), IGNORED, dtype=torch.uint8)
    loss, _ = task(AreaBatch(pixels, labels))
    assert loss == 0
    _, logs = task(AreaBatch(pixels, torch.full_like(labels, NOT_THE_MASK)))
    assert logs["absent"] > 0 and logs["labelled"] == 0
    figures = task.evaluate(AreaBatch(pixels, torch.full_like(labels, 1)))
    found = task.network(pixels).argmax(1)
    expected = 100 * (found == 1).float().flatten(1).mean(1)
    torch.testing.assert_close(figures["right"], expected)
    said = [c for c in range(3) if (found[0] == c).any() or c == 1]
    ious = [float((found[0] == 1).float().mean()) if c == 1 else 0.0 for c in said]
    assert float(figures["iou"][0]) == pytest.approx(100 * sum(ious) / len(ious), abs=1e-3)
    with pytest.raises(ValueError, match="expected categories out of"):
        SegmentTask(small(), "dog", {})


def test_a_map_of_a_picture_of_any_size() -> None:
    segment = Segmenter(Halves(), ["sky", "road", "pavement", "tree"],
                        {"road": "ground", "pavement": "ground"}, side=100)  # fmt: skip
    for shape in ((3, 40, 60), (3, 301, 90), (3, 1, 1), (3, 5, 700)):
        found = segment(torch.rand(shape))
        assert found.categories == ("sky", "ground", "tree")
        torch.testing.assert_close(found.weights.sum(0), torch.ones(found.weights.shape[1:]))
        assert found.labels(*shape[1:]).shape == shape[1:]
    found = segment(torch.rand(3, 200, 300))
    assert found.shares() == pytest.approx({"sky": 0.5, "ground": 0.5}, abs=0.1)
    whole = found.enlarged(200, 300, slice(0, 200))
    strips = [found.enlarged(200, 300, slice(a, a + 50)) for a in range(0, 200, 50)]
    torch.testing.assert_close(torch.cat(strips, 1), whole)
    steps = whole[0].diff(dim=0).abs().max()
    assert 0 < steps < 0.7  # a soft border


def test_few_pixels_are_no_area() -> None:
    weights = torch.zeros(2, 50, 60)
    weights[0] = 1
    weights[:, :3, :3] = torch.tensor([0.0, 1.0])[:, None, None]
    assert AreaMap(("a", "b"), weights).shares() == {"a": pytest.approx(1, abs=0.01)}


def test_every_area_gets_the_look_of_its_own_pixels() -> None:
    template = colourful(80, 80).float() / 255
    weights = torch.zeros(2, 80, 80)
    weights[0, :40], weights[1, 40:] = 1, 1
    found = AreaMap(("upper", "lower"), weights)
    looks = area_looks(default_network(), [template], [found])
    assert set(looks) == {"upper", "lower"}
    other = template.clone()
    other[:, 40:] = other[:, 40:].flip(0) * 0.5
    changed = area_looks(default_network(), [other], [found])
    assert torch.equal(looks["upper"].coefficients, changed["upper"].coefficients)
    assert not torch.equal(looks["lower"].coefficients, changed["lower"].coefficients)
    flat = template.clone()
    flat[:, 40:] = 0.5
    assert set(area_looks(default_network(), [flat], [found])) == {"upper"}


def test_a_palette_is_in_order_and_of_the_area_alone() -> None:
    picture = torch.zeros(3, 30, 30)
    picture[:, 10:20] = torch.rand(3, 10, 30) * 0.5 + 0.5
    inside = torch.zeros(30, 30, dtype=torch.bool)
    inside[10:20] = True
    found = palette(picture, inside)
    assert found.min() >= 0.5 and found.shape == (3, 64, 64)
    assert (found.mean(0).flatten().diff() >= 0).all()
