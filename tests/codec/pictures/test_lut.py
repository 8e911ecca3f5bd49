import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator

from codec.pictures.fit import fit_residual_lut
from codec.pictures.lut import (
    apply_curves,
    apply_tetrahedral,
    apply_trilinear,
    compose,
    identity_lut,
    resample,
)


def wavy_table(size: int) -> torch.Tensor:
    grid = identity_lut(size, dtype=torch.float64)
    return (grid + 0.1 * torch.sin(6 * grid.flip(0))).clamp(0, 1)


@pytest.mark.parametrize("apply", [apply_trilinear, apply_tetrahedral])
@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (2, 3, 7, 1), (1, 3, 5, 9)])
def test_identity_is_bit_exact(apply, shape: tuple[int, ...], device: torch.device) -> None:
    x = torch.rand(shape, device=device)
    x[..., 0, 0] = 1
    assert torch.equal(apply(x, identity_lut(17, device)), x)


def test_trilinear_agrees_with_scipy() -> None:
    table = wavy_table(9)
    x = torch.rand(1, 3, 6, 7, dtype=torch.float64)
    axis = np.linspace(0, 1, 9)
    for c in range(3):
        oracle = RegularGridInterpolator((axis,) * 3, table[c].numpy())  # blue, green, red
        expected = oracle(x[0].flip(0).flatten(1).T.numpy()).reshape(6, 7)
        np.testing.assert_allclose(apply_trilinear(x, table)[0, c], expected, atol=1e-12)


def test_tetrahedral_by_brute_force() -> None:
    table = wavy_table(5)
    for colour in torch.rand(50, 3, dtype=torch.float64):
        position = colour * 4
        cell = position.floor().clamp(max=3).long()
        fraction = position - cell
        corner = cell.clone()
        r, g, b = corner.tolist()
        expected = table[:, b, g, r].clone()
        for axis in fraction.argsort(descending=True).tolist():  # walk along the edges
            r, g, b = corner.tolist()
            here = table[:, b, g, r]
            corner[axis] += 1
            r, g, b = corner.tolist()
            expected += fraction[axis] * (table[:, b, g, r] - here)
        ours = apply_tetrahedral(colour.view(1, 3, 1, 1), table).flatten()
        torch.testing.assert_close(ours, expected, atol=1e-12, rtol=0)


def test_curves_agree_with_numpy(device: torch.device) -> None:
    curves = torch.rand(3, 11, dtype=torch.float64)
    x = torch.rand(2, 3, 4, 5, dtype=torch.float64) * 1.4 - 0.2
    x[0, :, 0, 0], x[0, :, 0, 1] = 0, 1
    ours = apply_curves(x.to(device), curves.to(device)).cpu()
    for c in range(3):
        expected = np.interp(x[:, c].numpy(), np.linspace(0, 1, 11), curves[c].numpy())
        np.testing.assert_allclose(ours[:, c], expected, atol=1e-12)


def test_resampling_takes_the_curves_along() -> None:
    curves = torch.linspace(0, 1, 65, dtype=torch.float64).expand(3, -1) ** 2
    both = resample(identity_lut(2, dtype=torch.float64), 33, curves)
    torch.testing.assert_close(both, identity_lut(33, dtype=torch.float64) ** 2)


def test_one_table_a_picture() -> None:
    tables = torch.stack((wavy_table(5), identity_lut(5, dtype=torch.float64)))
    x = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    both = apply_trilinear(x, tables)
    torch.testing.assert_close(both[:1], apply_trilinear(x[:1], tables[0]))
    assert torch.equal(both[1], x[1])


def test_compose_and_resample() -> None:
    table = wavy_table(17)
    identity = identity_lut(17, dtype=torch.float64)[None]
    torch.testing.assert_close(compose(identity, table[None])[0], table)
    torch.testing.assert_close(compose(table[None], identity)[0], table)
    finer = resample(table, 33)
    torch.testing.assert_close(finer[:, ::2, ::2, ::2], table)


def test_residual_lut_reproduces_a_smooth_look_and_extrapolates_its_slope() -> None:
    before = torch.rand(4096, 3) * 0.6 + 0.2  # nothing dark, nothing bright
    after = before * 0.7 + 0.1
    table = fit_residual_lut(before, after)
    everywhere = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    error = (apply_trilinear(everywhere, table) - (everywhere * 0.7 + 0.1)).abs().max()
    assert error < 0.03  # the weak pull toward the identity remains


def test_residual_lut_of_equal_colours_is_the_identity() -> None:
    before = torch.rand(500, 3)
    table = fit_residual_lut(before, before)
    torch.testing.assert_close(table, identity_lut(9, dtype=torch.float64), atol=1e-9, rtol=0)
