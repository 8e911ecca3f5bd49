import pytest
import torch

from defilter.coverage import look_coverage, photo_coverage
from defilter.natural_colours import CELLS, cell_index, natural_colours
from defilter.sampling import (
    UnusableTemplate,
    sample_areas,
    sample_balanced,
    sample_masked,
    sample_uniform,
    usable_pixels,
)

COLOURS = torch.rand(3, 100, 100)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_clipped_pixels_are_left_out() -> None:
    template = torch.full((3, 20, 20), 0.5) + 0.2 * torch.rand(3, 20, 20)
    template[0, 0, 0], template[1, 0, 1], template[2, 0, 2] = 1 / 255, 254 / 255, 2 / 255
    usable = usable_pixels(template).tolist()
    assert 0 not in usable
    assert 1 not in usable
    assert 2 in usable
    assert len(usable) == 398


@pytest.mark.parametrize(
    "template",
    [
        torch.zeros(3, 50, 50),
        torch.ones(3, 50, 50),
        torch.full((3, 50, 50), 0.4),
        torch.full((3, 1, 1), 0.4),
        torch.rand(3, 50, 50).round(),
    ],
    ids=["black", "white", "flat", "one pixel", "fully clipped"],
)
def test_unusable_templates(template: torch.Tensor) -> None:
    with pytest.raises(UnusableTemplate, match="expected"):
        usable_pixels(template)


def test_uniform_has_no_repeats_while_it_can() -> None:
    usable = torch.arange(100, 5100)
    assert len(sample_uniform(usable, 4096, generator()).unique()) == 4096
    few = sample_uniform(usable[:10], 4096, generator())
    assert len(few) == 4096
    assert set(few.tolist()) == set(range(100, 110))


@pytest.mark.parametrize("share", [None, 0.6, 0.9, 1.0])
def test_masks_get_n_t_samples(share: float | None) -> None:
    mask = torch.zeros(100, 100, dtype=torch.bool)
    mask[:, :20] = True  # t = 0.2
    chosen = sample_masked(mask, COLOURS, torch.arange(10_000), 4000, generator(), share)
    inside = int(mask.flatten()[chosen].sum())
    assert len(chosen) == 4000
    assert inside == round(4000 * (0.6 if share is None else share))


def test_masks_refuse_small_weights_and_bear_empty_ones() -> None:
    mask = torch.zeros(10, 10, dtype=torch.bool)
    usable = torch.arange(100)
    assert len(sample_masked(mask, torch.rand(3, 10, 10), usable, 4000, generator())) == 4000
    mask[0] = True
    with pytest.raises(ValueError, match=r"above 0\.5"):
        sample_masked(mask, torch.rand(3, 10, 10), usable, 4000, generator(), share=0.5)


def test_areas_get_at_least_a_tenth_and_small_ones_nothing() -> None:
    labels = torch.zeros(200, 200, dtype=torch.long)
    labels[:, 100:] = 1  # 50 %
    labels[:10, :] = 2  # 5 %, 2000 pixels
    labels[-1, :] = 3  # 0.5 %
    samples = sample_areas(labels, torch.arange(40_000), 4000, generator())
    assert set(samples) == {0, 1, 2}
    assert len(samples[2]) == 400
    share = float((labels == 1).double().mean())
    assert len(samples[1]) == round(4000 * share)
    for category, chosen in samples.items():
        assert (labels.flatten()[chosen] == category).all()
    tiny = torch.zeros(30, 30, dtype=torch.long)
    tiny[:, :10] = 1  # a third, but 300 pixels
    assert set(sample_areas(tiny, torch.arange(900), 4000, generator())) == {0}


def test_balance_brings_rare_colours() -> None:
    colours = torch.full((3, 100, 100), 0.2)
    colours[:, 0, :] = 0.8  # 1 %
    chosen = sample_balanced(colours, torch.arange(10_000), 20_000, generator())
    rare = float((colours.flatten(1)[0, chosen] > 0.5).float().mean())
    expected = 100**0.5 / (100**0.5 + 9900**0.5)
    assert rare == pytest.approx(expected, abs=0.01)


def test_coverage_by_brute_force() -> None:
    photo, samples = torch.rand(3, 20, 20), torch.rand(40, 3)
    distance = torch.cdist(photo.flatten(1).T, samples).amin(1)
    expected = float((distance <= 0.06).double().mean())
    assert photo_coverage(photo, samples) == pytest.approx(expected)
    assert photo_coverage(photo, photo.flatten(1).T) == 1


def test_look_coverage_counts_natural_cells_only() -> None:
    occupied = natural_colours().occupied
    assert look_coverage(natural_colours().colours) > 0.3
    assert look_coverage(torch.tensor([[0.5, 0.5, 0.5]])) == pytest.approx(1 / int(occupied.sum()))
    unnatural = (~occupied).nonzero()[0, 0].item()
    corner = torch.tensor([[unnatural % CELLS, unnatural // CELLS % CELLS, unnatural // CELLS**2]])
    colour = (corner + 0.5) / CELLS
    assert cell_index(colour).item() == unnatural
    assert look_coverage(colour) == 0
