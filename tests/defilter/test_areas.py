from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from codec.pictures.picture_files import Picture, read_picture, write_picture
from codec.pictures.resize import squash
from codec.pictures.sample_photos import embedded_photos
from defilter.areas.looks import _trust, area_looks, sorted_pixels
from defilter.areas.network import SegmentNet
from defilter.areas.segmenter import AreaMap, Segmenter
from defilter.extraction import look_from_templates
from defilter.learn.area_pictures import (
    IGNORED,
    NOT_THE_MASK,
    AreaBatch,
    Composites,
    CroppedAreas,
    Labelled,
    load_people,
    load_street,
    recoloured,
)
from defilter.learn.area_tasks import SegmentTask
from defilter.networks import default_network
from defilter.unet import Reading
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
        [[Labelled(x, labels)], []], [[Labelled(x, labels)]], [0.5, 0.5], 64, 0.9, 2, 0
    )
    batch = data.batch(8, torch.Generator().manual_seed(3))
    again = data.batch(8, torch.Generator().manual_seed(3))
    assert torch.equal(batch.pixels, again.pixels) and batch.pixels.shape == (8, 3, 64, 64)
    for pixels, found in zip(batch.pixels, batch.labels, strict=True):
        if (found == 1).any() and (found == 0).any():
            assert pixels[:, found == 1].mean() > pixels[:, found == 0].mean() + 0.2
    (checked,) = data.validation(4)
    assert checked.labels.shape == (1, 64, 64)


def test_figures_are_put_on_other_pictures() -> None:
    white = torch.full((3, 40, 30), 255, dtype=torch.uint8)
    mask = torch.full((40, 30), NOT_THE_MASK, dtype=torch.uint8)
    mask[10:30, 10:20] = 4
    ground = torch.full((60, 80), 2, dtype=torch.uint8)
    ground[:5] = IGNORED
    made = Composites([Labelled(white, mask)], [Labelled(white.new_zeros(3, 60, 80), ground)], 4, 9)
    assert len(made) == 9 and len(Composites([], [], 4, 9)) == 0
    for one, again in zip(made, made, strict=True):
        assert torch.equal(one.pixels, again.pixels)
        assert set(one.labels.unique().tolist()) == {2, 4, IGNORED}
        assert one.pixels[0][one.labels == 4].float().mean() > 200
        assert one.pixels[0][one.labels != 4].float().mean() < 20
    assert not torch.equal(made[0].labels, made[1].labels)


def test_some_crops_are_graded_in_parts() -> None:
    grey = torch.full((3, 64, 64), 128, dtype=torch.uint8)
    labels = torch.zeros(64, 64, dtype=torch.uint8)
    labels[:, 32:] = 1
    colours = {}
    for split in (0, 1):
        data = CroppedAreas([[Labelled(grey, labels)]], [], [1.0], 64, 1, 1, split)
        batch = data.batch(32, torch.Generator().manual_seed(0))
        colours[split] = sum(len(x.flatten(1).unique(dim=1).T) for x in batch.pixels) / 32
    assert colours[0] == 1 and 1.3 < colours[1] < 1.7  # half of the pairs differ


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
    weights[:, 25:] = 0  # where nothing is known
    assert AreaMap(("b", "a"), weights.flip(0)).shares() == {"a": pytest.approx(0.5, abs=0.01)}


def halves(side: int) -> AreaMap:
    weights = torch.zeros(2, side, side)
    weights[0, : side // 2], weights[1, side // 2 :] = 1, 1
    return AreaMap(("upper", "lower"), weights)


def graded(picture: Tensor, tint: tuple[float, float, float]) -> Tensor:
    return (picture * torch.tensor(tint)[:, None, None] + 0.05).clamp(0, 1)


def test_areas_of_a_template_that_was_graded_in_parts_get_looks_of_their_own() -> None:
    network = default_network()
    photo = squash(read_picture(embedded_photos()[1]).floats()[None], 256)[0]
    warm, cold = graded(photo, (1.0, 0.6, 0.15)), graded(photo, (0.15, 0.5, 1.0))
    parts = torch.cat((warm[:, :128], cold[:, 128:]), 1)
    whole = look_from_templates(network, [parts])
    looks = area_looks(network, whole, [parts], [halves(60)], graded_in_parts=True)
    grey = torch.full((1, 3, 1, 1), 0.5)
    upper, lower = (looks[name](grey)[0, :, 0, 0] for name in ("upper", "lower"))
    warmth = [float(x[0] - x[2]) for x in (upper, lower)]
    assert warmth[0] > warmth[1] + 0.05
    for one in (photo, warm):
        whole = look_from_templates(network, [one])
        assert area_looks(network, whole, [one], [halves(60)]) == {}
        told = area_looks(network, whole, [one], [halves(60)], graded_in_parts=False)
        assert told == {}
    flat = parts.clone()
    flat[:, 128:] = 0.5
    looks = area_looks(network, whole, [flat], [halves(60)], graded_in_parts=True)
    assert set(looks) == {"upper"}


def test_areas_count_the_more_the_more_they_differ() -> None:
    shares = {"sky": 0.5, "sea": 0.3, "town": 0.2}

    def trust(distance: float) -> float:
        return _trust({n: torch.full((9,), k * distance) for k, n in enumerate(shares)}, shares)

    found = [trust(distance) for distance in (0, 0.1, 0.15, 0.16, 1)]
    assert found[0] == found[1] == 0 < found[2] < found[3] < found[4] == 1
    assert _trust({"sky": torch.ones(9)}, shares) == 0  # nothing to differ from


def test_the_seed_fits_pairs_of_each_area() -> None:
    class Brighter(nn.Module):
        samples_pairs = True

        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            y = x.clone()
            y[:, :, :32], y[:, :, 32:] = x[:, :, :32] / 0.5, x[:, :, 32:] / 0.8
            return y

        def read(self, templates: Tensor, areas: Tensor | None = None) -> Reading:
            return Reading(self(templates))

    template = colourful(256, 256).float() / 255 * 0.5
    extraction = look_from_templates(Brighter(), [template])
    looks = area_looks(Brighter(), extraction, [template], [halves(40)])
    colour = torch.full((1, 3, 1, 1), 0.4)
    torch.testing.assert_close(looks["upper"](colour), 0.5 * colour, atol=0.02, rtol=0)
    torch.testing.assert_close(looks["lower"](colour), 0.8 * colour, atol=0.02, rtol=0)


def test_a_palette_is_in_order_and_of_the_area_alone() -> None:
    picture = torch.zeros(3, 30, 30)
    picture[:, 10:20] = torch.rand(3, 10, 30) * 0.5 + 0.5
    inside = torch.zeros(30, 30, dtype=torch.bool)
    inside[10:20] = True
    found = sorted_pixels(picture, inside)
    assert found.min() >= 0.5 and found.shape == (3, 64, 64)
    assert (found.mean(0).flatten().diff() >= 0).all()
