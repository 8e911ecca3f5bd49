from pathlib import Path

import pytest
import torch
from torch import nn

from codec.pictures.lut import apply_trilinear
from codec.pictures.mapping import ColourMapping, identity_coefficients
from codec.pictures.metrics import psnr
from codec.pictures.picture_files import read_picture
from codec.pictures.sample_photos import embedded_photos
from defilter.extraction import (
    fit_pair,
    fit_rough_pair,
    inverse_mapping,
    look_from_pair,
    look_from_templates,
)
from defilter.global_look import GlobalLook
from defilter.networks import DEFAULT_WEIGHTS, default_network, load_look_network
from defilter.sampling import UnusableTemplate
from defilter.study.demonstration import demonstration_look
from defilter.unet import DefilterUNet, Reading
from defilter.weights import WeightsError, load_network, save_weights
from tests.conftest import faded_look, small_network


def photo(number: int) -> torch.Tensor:
    return read_picture(embedded_photos()[number]).floats()


class Perfect(nn.Module):
    """A network that knows the look and undoes it."""

    def __init__(self, gain: float):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def read(self, templates: torch.Tensor, areas: torch.Tensor | None = None) -> Reading:
        return Reading(templates / self.gain)


def test_a_network_that_knows_the_look_gives_the_look() -> None:
    extraction = look_from_templates(Perfect(0.8), [photo(0) * 0.8])
    other = photo(1)[None]
    assert psnr(extraction.look.mapping(other), other * 0.8).item() > 40
    assert extraction.before.shape == extraction.after.shape == (4096, 3)
    torch.testing.assert_close(extraction.after, extraction.before * 0.8, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shapes", [[(30, 50)], [(64, 64), (200, 11), (17, 90)]])
def test_templates_of_any_shape_pool(shapes: list[tuple[int, int]]) -> None:
    templates = [torch.rand(3, *shape) * 0.8 + 0.1 for shape in shapes]
    extraction = look_from_templates(small_network(), templates)
    assert len(extraction.removed) == len(shapes)
    assert len(extraction.before) >= 4000
    assert 0 < extraction.look.coverage <= 1


def test_masks_steer_the_samples() -> None:
    template = torch.rand(3, 64, 64) * 0.4 + 0.1
    template[:, :8] += 0.4  # bright salient target
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[:8] = True
    plain, masked = (
        look_from_templates(Perfect(1.0), [template], masks=m).after.mean() for m in (None, [mask])
    )
    assert masked > plain


def test_pair_mode_finds_the_look() -> None:
    before = photo(0)
    after = faded_look(before[None])[0]
    other, truth = photo(2)[None], faded_look(photo(2)[None])
    extraction = look_from_pair(before, after)
    assert extraction.look.table is not None
    assert psnr(extraction.look.mapping(other), truth).item() > 30
    small = look_from_pair(before[:, ::2, ::2], after)  # another size of the same picture
    assert psnr(small.look.mapping(other), truth).item() > 28
    with pytest.raises(ValueError, match="one shape"):
        look_from_pair(before[:, :, :100], after)


def test_robust_pairs_bear_a_sticker() -> None:
    before = photo(0)
    after = before * 0.8 + 0.1
    after[:, :150, :200] = torch.tensor([0.2, 0.9, 0.3])[:, None, None]
    truth = photo(1)[None] * 0.8 + 0.1
    plain, robust = (
        psnr(look_from_pair(before, after, fit).look.mapping(photo(1)[None]), truth).item()
        for fit in (fit_pair, fit_rough_pair)
    )
    assert robust > plain + 3
    table = look_from_pair(before, after, fit_rough_pair).look.table
    assert table is not None
    assert psnr(apply_trilinear(photo(1)[None], table), truth).item() > plain + 3


def test_a_template_without_colour_is_refused() -> None:
    with pytest.raises(UnusableTemplate):
        look_from_templates(small_network(), [torch.zeros(3, 40, 40)])
    with pytest.raises(UnusableTemplate):
        look_from_templates(small_network(), [])


def test_inverse_mapping_undoes_what_the_network_undoes() -> None:
    mapping = inverse_mapping(Perfect(0.8), photo(0) * 0.8)
    assert psnr(mapping(photo(0)[None] * 0.8), photo(0)[None]).item() > 35


def test_the_network_that_ships() -> None:
    network = default_network()
    numbers = sum(p.numel() for p in network.parameters())
    assert numbers <= 1_600_000
    gains, kept = [], []
    for number in range(5):
        clean, other = photo(number)[None], photo((number + 1) % 5)[None]
        look = look_from_templates(network, [demonstration_look(clean)[0]]).look
        truth = demonstration_look(other)
        gains.append((psnr(look.mapping(other), truth) - psnr(other, truth)).item())
        with torch.no_grad():
            kept.append(psnr(network(clean), clean).item())
    assert sum(gains) / 5 > 1.5
    assert sum(kept) / 5 > 27


def test_weights_files_say_how_to_build_the_network(tmp_path: Path) -> None:
    architecture = {
        "_target_": "defilter.unet.DefilterUNet", "in_channels": 3, "widths": [4, 8, 8]
    }  # fmt: skip
    network = DefilterUNet(widths=(4, 8, 8))
    path = tmp_path / "x.safetensors"
    save_weights(network.state_dict(), architecture, path, note="trained for a test")
    loaded = load_network(path, DefilterUNet)
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(loaded(x), network.eval()(x))

    save_weights(network.state_dict(), architecture | {"widths": [4, 8, 12]}, path)
    with pytest.raises(WeightsError, match=r"x\.safetensors"):
        load_look_network(path)
    save_weights(network.state_dict(), {"_target_": "os.system", "command": "true"}, path)
    with pytest.raises(WeightsError):
        load_look_network(path)
    path.write_bytes(b"not weights")
    with pytest.raises(WeightsError):
        load_look_network(path)
    with pytest.raises(WeightsError, match="no such"):
        load_look_network(tmp_path / "missing.safetensors")


def test_only_the_classes_that_are_asked_for_are_built(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"expected DefilterUNet, found defilter\.global_look"):
        load_network(DEFAULT_WEIGHTS, DefilterUNet)
    with pytest.raises(WeightsError, match="LookEncoder"):
        load_network(DEFAULT_WEIGHTS, GlobalLook)  # and its parts
    assert type(load_look_network()) is GlobalLook


def test_identity_mapping_stays_in_the_look() -> None:
    mapping = ColourMapping(identity_coefficients())
    extraction = look_from_templates(small_network(), [torch.rand(3, 32, 32) * 0.9 + 0.05])
    torch.testing.assert_close(
        extraction.look.mapping.coefficients, mapping.coefficients, atol=1e-6, rtol=0
    )
