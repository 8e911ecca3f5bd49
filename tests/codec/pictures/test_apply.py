import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from codec.pictures import apply
from codec.pictures.apply import render_lut, render_mapping
from codec.pictures.lut import apply_curves, apply_tetrahedral, apply_trilinear, identity_lut
from codec.pictures.mapping import ColourMapping, identity_coefficients
from codec.pictures.picture_files import to_dtype
from tests.codec.pictures.test_mapping import TABLE_1
from tests.conftest import colourful

LOOK = ColourMapping(torch.tensor(TABLE_1, dtype=torch.float64))


def exact(pixels: torch.Tensor, mapping: ColourMapping, strength: float = 1.0) -> torch.Tensor:
    peak = torch.iinfo(pixels.dtype).max
    return to_dtype(mapping(pixels[None].double() / peak, strength)[0], pixels.dtype)


def assert_nearly_equal(ours: torch.Tensor, expected: torch.Tensor) -> None:
    difference = (ours.int() - expected.int()).abs()
    assert difference.max() <= 1
    assert (difference > 0).double().mean() < 1e-4


@pytest.mark.parametrize("strength", [1.0, 0.4, 0.0])
@pytest.mark.parametrize("size", [(1, 1), (1, 97), (301, 1), (256, 301)])
def test_eight_bit_tables_equal_float64(size: tuple[int, int], strength: float) -> None:
    pixels = colourful(*size)
    assert_nearly_equal(render_mapping(pixels, LOOK, strength), exact(pixels, LOOK, strength))


def test_every_grey_and_primary_survives_the_identity() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    zero = torch.zeros_like(values)
    pixels = torch.stack(
        [
            torch.stack(t)
            for t in ((values, values, values), (values, zero, zero), (zero, values, zero))
        ],
        1,
    )
    identity = ColourMapping(identity_coefficients())
    assert torch.equal(render_mapping(pixels, identity), pixels)
    assert torch.equal(render_lut(pixels, identity_lut(33)), pixels)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("space", ["rgb", "ycbcr"])
def test_degree_maps_and_sixteen_bits(dtype: torch.dtype, space: str) -> None:
    pixels = colourful(20, 31, dtype)
    mapping = ColourMapping(LOOK.coefficients, space)
    degree = torch.linspace(0, 1, 20)[:, None].expand(20, 31)
    rendered = render_mapping(pixels, mapping, degree)
    assert rendered.dtype == dtype
    assert torch.equal(rendered[:, 0], pixels[:, 0])
    assert torch.equal(rendered[:, -1], exact(pixels, mapping)[:, -1])


def test_lut_backends_agree() -> None:
    table = LOOK.lut(33)
    pixels = colourful(64, 64)
    fast = render_lut(pixels, table)
    slow = to_dtype(apply_tetrahedral(pixels[None].float() / 255, table)[0], torch.uint8)
    assert (fast.int() - slow.int()).abs().max() <= 3  # trilinear against tetrahedral
    assert (fast.int() - slow.int()).abs().float().mean() < 0.5
    half = render_lut(pixels, table, 0.5).float()
    np.testing.assert_allclose(half, (pixels.float() + fast.float()) / 2, atol=1.01)


def test_non_contiguous_pixels() -> None:
    pixels = colourful(40, 40)
    assert torch.equal(
        render_mapping(pixels[:, ::2, 1:], LOOK), render_mapping(pixels[:, ::2, 1:].clone(), LOOK)
    )


def photo_like(height: int, width: int, noise: float) -> torch.Tensor:
    """(3, H, W) uint8: smooth colours, four pixels each, and some noise on each pixel."""
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(
        torch.rand(1, 3, 5, 7, generator=generator),
        (height // 2 + 1, width // 2 + 1),
        mode="bilinear",
    )
    wide = smooth.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., :height, :width]
    grain = noise * torch.randn(1, 3, height, width, generator=generator)
    return to_dtype((wide + grain)[0], torch.uint8)


@pytest.mark.parametrize("strength", [1.0, 0.3])
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_each_colour_once_gives_the_bytes_of_each_pixel(noise: float, strength: float) -> None:
    pixels = photo_like(1031, 1021, noise)
    assert pixels[0].numel() > apply._FEW_PIXELS
    table = LOOK.lut(33)
    identity = identity_lut(33)
    blended = identity + strength * (table - identity)
    by_pillow = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()).filter(
        ImageFilter.Color3DLUT(33, blended.flatten(1).T.flatten().tolist())
    )
    expected = torch.from_numpy(np.array(by_pillow)).permute(2, 0, 1)
    assert torch.equal(render_lut(pixels, table, strength), expected)
    assert torch.equal(render_lut(pixels.contiguous(), table, strength), expected)


def test_each_colour_is_rendered_once() -> None:
    rendered = []

    def invert(part: torch.Tensor) -> torch.Tensor:
        rendered.append(part[0].numel())
        return 255 - part

    pixels = photo_like(1031, 1021, 0.0)
    assert torch.equal(apply._each_colour_once(pixels, invert), 255 - pixels)
    packed = (pixels.int() * torch.tensor([1, 256, 65536]).view(3, 1, 1)).sum(0)
    colours = len(packed.unique())
    assert rendered == [colours]
    assert colours < apply._MOST_DISTINCT * pixels[0].numel()
    noisy = photo_like(1031, 1021, 0.2)
    assert torch.equal(apply._each_colour_once(noisy, invert), 255 - noisy)
    assert rendered[1:] == [noisy[0].numel()]


def test_black_and_white_are_colours_too() -> None:
    pixels = torch.zeros(3, 1024, 1025, dtype=torch.uint8)
    pixels[:, :, 1:] = 255
    rendered = render_lut(pixels, 1 - identity_lut(2))
    assert torch.equal(rendered, 255 - pixels)


def test_curves_come_before_the_table() -> None:
    curves = torch.linspace(0, 1, 1025).sqrt().expand(3, -1)
    table = identity_lut(9) ** 2
    ways = {torch.uint8: apply_trilinear, torch.uint16: apply_tetrahedral}
    for dtype, interpolate in ways.items():
        pixels = colourful(40, 50, dtype)
        peak = torch.iinfo(dtype).max
        shaped = pixels[None].double() / peak
        expected = to_dtype(interpolate(apply_curves(shaped, curves), table.double())[0], dtype)
        assert torch.equal(render_lut(pixels, table, shaper=curves), expected)
        half = render_lut(pixels, table, 0.5, curves).double()
        middle = (pixels.double() + expected.double()) / 2
        assert (half - middle).abs().max() <= 1


def test_values_far_above_white_are_not_cut_off_before_interpolation() -> None:
    """Pillow's own tables end at 2; a colour half way to 8 is above white all the same."""
    table = identity_lut(2) * 8
    pixels = torch.tensor([32, 64, 16], dtype=torch.uint8).view(3, 1, 1)
    assert render_lut(pixels, table).flatten().tolist() == [255, 255, 128]
