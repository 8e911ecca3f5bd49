import numpy as np
import pytest
import torch

from codec.pictures.apply import render_lut, render_mapping
from codec.pictures.lut import apply_tetrahedral, identity_lut
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
