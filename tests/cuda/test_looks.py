"""On CUDA looks are taken and rendered, and pictures analysed, as on the CPU."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms.functional import normalize

from codec.pictures.fit import fit_lbfgs, fit_least_squares, fit_residual_lut
from codec.pictures.lut import apply_tetrahedral, apply_trilinear, identity_lut
from codec.pictures.mapping import ColourMapping, identity_coefficients
from defilter.areas.looks import area_looks
from defilter.areas.network import SegmentNet
from defilter.areas.segmenter import Segmenter
from defilter.extraction import (
    fit_pair,
    fit_rough_pair,
    inverse_mapping,
    look_from_pair,
    look_from_templates,
)
from defilter.global_look import colour_statistics
from defilter.natural_colours import natural_pairs
from defilter.scene.network import SceneClassifier
from defilter.scene.similarity import SceneComparer, SceneSpace
from defilter.unet import DefilterUNet
from tests.conftest import small_network
from tests.pretend_cuda import CUDA, pretend_cuda

NETWORKS: dict[str, Callable[[], torch.nn.Module]] = {
    "default": small_network,
    "Fig. 2": lambda: DefilterUNet(widths=(8, 16, 16), norm=True),
}


def picture(side: int = 80) -> Tensor:
    """(3, S, S) float of smooth colours that are nowhere clipped."""
    down, across = torch.linspace(0.1, 0.9, side)[:, None], torch.linspace(0.1, 0.9, side)
    grain = 0.05 * torch.rand(3, side, side, generator=torch.Generator().manual_seed(1))
    return torch.stack((down + 0 * across, across + 0 * down, (down + across) / 2)) + grain


def warm(x: Tensor) -> Tensor:
    return (x * torch.tensor([1.0, 0.9, 0.7])[:, None, None]).clamp(0, 1)


def mapping(space: str = "rgb") -> ColourMapping:
    generator = torch.Generator().manual_seed(0)
    change = 0.05 * torch.randn(3, 9, generator=generator, dtype=torch.float64)
    return ColourMapping(identity_coefficients() + change, space)


def assert_same_look(found: ColourMapping, expected: ColourMapping, atol: float = 2e-3) -> None:
    """Both look files hold CPU numbers, and render alike."""
    assert found.coefficients.device.type == "cpu"
    x = picture()[None]
    torch.testing.assert_close(found(x), expected(x), atol=atol, rtol=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_looks_of_templates(name: str, cuda: torch.device) -> None:
    network, templates = NETWORKS[name]().eval(), [picture(), picture(50).flip(2)]
    expected = look_from_templates(network, templates)
    back = inverse_mapping(network, templates[0])
    network.to(cuda)
    for given in (templates, [x.to(cuda) for x in templates]):
        found = look_from_templates(network, given)
        assert_same_look(found.look.mapping, expected.look.mapping)
        torch.testing.assert_close(found.before, expected.before, atol=2e-2, rtol=0)
    assert_same_look(inverse_mapping(network, templates[0]), back)


def test_looks_of_areas(cuda: torch.device) -> None:
    network, segmenter = small_network().eval(), Segmenter(segment_net(), ["a", "b", "c"], side=64)
    templates = [picture()]
    maps = [segmenter(x) for x in templates]
    expected = area_looks(network, look_from_templates(network, templates), templates, maps, True)
    network.to(cuda)
    extraction = look_from_templates(network, templates)
    found = area_looks(network, extraction, templates, maps, True)
    assert found.keys() == expected.keys()
    for name, look in expected.items():
        assert_same_look(found[name], look)


@pytest.mark.parametrize("fit", [fit_pair, fit_rough_pair])
def test_looks_of_pairs(fit: Any, cuda: torch.device) -> None:
    before, after = picture(), warm(picture())
    expected = look_from_pair(before, after, fit)
    found = look_from_pair(before.to(cuda), after.to(cuda), fit)
    assert_same_look(found.look.mapping, expected.look.mapping)
    assert found.look.table is not None and expected.look.table is not None
    torch.testing.assert_close(found.look.table.cpu(), expected.look.table, atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    "fit", [fit_lbfgs, fit_least_squares, partial(fit_least_squares, space="ycbcr")]
)
def test_fits(fit: Any, cuda: torch.device) -> None:
    before, after = (x.flatten(1).T for x in (picture(), warm(picture())))
    expected = fit(before, after)
    assert_same_look(fit(before.to(cuda), after.to(cuda)), expected, atol=1e-4)


def test_the_residual_table(cuda: torch.device) -> None:
    before, after = (x.flatten(1).T for x in (picture(40), warm(picture(40))))
    found = fit_residual_lut(before.to(cuda), after.to(cuda), size=5)
    torch.testing.assert_close(found.cpu(), fit_residual_lut(before, after, size=5))


@pytest.mark.parametrize("space", ["rgb", "ycbcr"])
@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_rendering_with_a_mapping(space: str, strength: float, cuda: torch.device) -> None:
    x, look = picture()[None], mapping(space)
    found = look(x.to(cuda), strength)
    torch.testing.assert_close(found.cpu(), look(x, strength), atol=1e-5, rtol=0)
    degree = torch.linspace(0, 1, x.shape[-1]).expand(1, 1, x.shape[-1], -1)
    found = look(x.to(cuda), degree.to(cuda))
    torch.testing.assert_close(found.cpu(), look(x, degree), atol=1e-5, rtol=0)


@pytest.mark.parametrize("apply", [apply_trilinear, apply_tetrahedral])
def test_rendering_with_a_table(apply: Any, cuda: torch.device) -> None:
    x = picture()[None]
    table = (identity_lut(9) + 0.1 * torch.rand(3, 9, 9, 9))[None]
    table = table if apply is apply_trilinear else table[0]
    found = apply(x.to(cuda), table.to(cuda))
    torch.testing.assert_close(found.cpu(), apply(x, table), atol=1e-4, rtol=0)


def segment_net() -> SegmentNet:
    torch.manual_seed(0)
    return SegmentNet(["a", "b", "c"], [8, 8, 8, 8], [1, 1, 1], 8).eval()


@pytest.mark.parametrize("place", ["cpu", "cuda"])
def test_areas_wherever_the_picture_is(place: str, cuda: torch.device) -> None:
    x, network = picture(), segment_net()
    normalise = partial(normalize, mean=[0.4, 0.5, 0.6], std=[0.2, 0.2, 0.3])
    segmenter = Segmenter(network, ["a", "b", "c"], None, 64, normalise)
    expected = segmenter(x)
    network.to(cuda)
    found = segmenter(x.to(place))
    assert found.weights.device.type == "cpu"
    torch.testing.assert_close(found.weights, expected.weights, atol=5e-3, rtol=0)


@pytest.mark.parametrize("place", ["cpu", "cuda"])
def test_scenes_wherever_the_picture_is(place: str, cuda: torch.device) -> None:
    torch.manual_seed(0)
    network = SceneClassifier(["a", "b"], [8, 8, 8, 8, 8], [16, 16], 0.0)
    comparer = SceneComparer(network, SceneSpace("conv5", torch.eye(8), torch.rand(33).sort()[0]))
    x = torch.stack((picture(), picture().flip(1)))
    expected = comparer.descriptors(x)
    network.to(cuda)
    found = comparer.descriptors(x.to(place))
    for a, b in zip(found, expected, strict=True):
        assert (a.name, a.network) == (b.name, b.network)
        assert a.features == pytest.approx(b.features, abs=5e-3)
    one = comparer.similarity(*found)
    assert one == pytest.approx(comparer.similarity(*expected), abs=2e-2)


def test_what_training_calls_in_every_step_never_waits() -> None:
    with pretend_cuda() as costs:
        x, tables = torch.rand(2, 3, 8, 8, device=CUDA), identity_lut(9, CUDA)[None]
        natural_pairs(tables)
        costs.reset()
        colour_statistics(x)
        natural_pairs(tables)
        assert costs.launched > 0
        assert costs.waits == {}
