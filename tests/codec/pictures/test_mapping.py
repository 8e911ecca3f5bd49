import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.pictures.fit import fit_lbfgs, fit_least_squares, solve_coefficients
from codec.pictures.mapping import ColourMapping, channel_tables, evaluate, identity_coefficients

# US 2025/0252542, table 1: constant, own powers, powers of the others.
TABLE_1 = [
    [-0.03, 0.62, 0.86, -0.46, -0.08, 0.46, -2.33, 4.90, -3.21],
    [-0.02, -0.33, 5.50, -8.19, 3.84, 0.79, -2.83, 3.86, -1.73],
    [-0.02, 0.12, 3.30, -5.80, 3.31, 0.26, -0.37, 0.52, -0.30],
]


def brute_force(coefficients: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """Equation sets 1-3, term by term."""
    result = []
    degree = (coefficients.shape[1] - 1) // 2
    for c in range(3):
        a, b = (rgb[i] for i in range(3) if i != c)
        value = coefficients[c, 0]
        for k in range(1, degree + 1):
            value += coefficients[c, k] * rgb[c] ** k
            value += coefficients[c, degree + k] * (a**k + b**k) / 2
        result.append(value)
    return np.array(result)


def colours(count: int = 500, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_golden_table_1(device: torch.device) -> None:
    mapping = ColourMapping(torch.tensor(TABLE_1, dtype=torch.float64))
    x = torch.tensor([0.73, 0.76, 0.81], device=device, dtype=torch.float64).view(1, 3, 1, 1)
    expected = torch.tensor([0.7542, 0.6762, 0.6957], dtype=torch.float64)
    torch.testing.assert_close(mapping(x).flatten().cpu(), expected, atol=1e-4, rtol=0)


@settings(max_examples=50, deadline=None)
@given(degree=st.integers(1, 8), seed=st.integers(0, 2**31))
def test_evaluate_is_the_equations(degree: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    k = torch.randn(3, 1 + 2 * degree, dtype=torch.float64, generator=generator)
    rgb = torch.rand(3, dtype=torch.float64, generator=generator)
    expected = brute_force(k.numpy(), rgb.numpy())
    np.testing.assert_allclose(evaluate(k, rgb.view(1, 3, 1, 1)).flatten(), expected, atol=1e-10)


@pytest.mark.parametrize("space", ["rgb", "ycbcr"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_identity_is_bit_exact(space: str, dtype: torch.dtype, device: torch.device) -> None:
    x = torch.rand(2, 3, 5, 1, device=device).to(dtype)
    assert torch.equal(ColourMapping(identity_coefficients(), space)(x), x)


def test_strength_zero_is_bit_exact_and_maps_are_per_pixel() -> None:
    mapping = ColourMapping(torch.tensor(TABLE_1, dtype=torch.float64))
    x = torch.rand(1, 3, 4, 4)
    assert torch.equal(mapping(x, 0.0), x)
    degree = torch.zeros(4, 4)
    degree[0, 0] = 1
    blended = mapping(x, degree)
    assert torch.equal(blended[..., 1:, :], x[..., 1:, :])
    torch.testing.assert_close(blended[..., 0, 0], mapping(x)[..., 0, 0])


@pytest.mark.parametrize("space", ["rgb", "ycbcr"])
@pytest.mark.parametrize("degree", [1, 2, 4, 6])
def test_fit_finds_what_made_the_pairs(space: str, degree: int) -> None:
    noise = 0.05 * torch.randn(3, 1 + 2 * degree, dtype=torch.float64)
    truth = ColourMapping(identity_coefficients(degree) + noise, space)
    before = colours()
    x = before.T[None, :, None]
    after = truth(x)[0, :, 0].T
    inside = ((after > 0) & (after < 1)).all(1)  # where the mapping did not clamp
    fitted = fit_least_squares(before[inside], after[inside], degree, space, ridge=0)
    torch.testing.assert_close(fitted(x), truth(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize("ridge", [1e-6, 1e-3])
def test_lbfgs_equals_least_squares(ridge: float) -> None:
    before = colours()
    after = (before**1.3 * 0.9 + 0.05 + 0.02 * torch.randn_like(before)).clamp(0, 1)
    expected = fit_least_squares(before, after, ridge=ridge).coefficients
    fitted = fit_lbfgs(before, after, ridge=ridge).coefficients
    torch.testing.assert_close(fitted, expected, atol=1e-5, rtol=1e-4)


def test_numpy_is_the_oracle_of_least_squares() -> None:
    before = colours(200)
    after = before.flip(1) * 0.5 + 0.2
    fitted = fit_least_squares(before, after, degree=2, ridge=0)
    for c in range(3):
        a, b = (before[:, i] for i in range(3) if i != c)
        own = before[:, c]
        design = torch.stack(
            (torch.ones(200, dtype=torch.float64), own, own**2, (a + b) / 2, (a**2 + b**2) / 2), 1
        )
        expected, *_ = np.linalg.lstsq(design.numpy(), after[:, c].numpy(), rcond=None)
        np.testing.assert_allclose(fitted.coefficients[c], expected, atol=1e-6)


def test_huber_bears_outliers() -> None:
    before = colours(2000)
    clean = before * 0.8 + 0.1
    after = clean.clone()
    after[:200] = colours(200, seed=1)  # a tenth of the pairs do not match
    x = before.T[None, :, None]
    truth = clean.T[None, :, None]
    plain, robust = (
        float((fit(x) - truth).abs().mean())
        for fit in (fit_least_squares(before, after), fit_lbfgs(before, after, huber=0.02))
    )
    assert robust < plain / 4


def test_ridge_pulls_toward_the_identity() -> None:
    before = colours()
    after = before * 0.5
    far, near = (
        (fit_least_squares(before, after, ridge=r).coefficients - identity_coefficients()).norm()
        for r in (1e-6, 1e3)
    )
    assert near < 0.01 < far


def test_batched_solution_equals_single_ones() -> None:
    before, after = torch.rand(2, 4, 100, 3, dtype=torch.float64)
    together = solve_coefficients(before, after, 4, 1e-3)
    for k in range(4):
        alone = fit_least_squares(before[k], after[k], ridge=1e-3).coefficients
        torch.testing.assert_close(together[k], alone)


def test_weights_are_repetitions() -> None:
    before, after = colours(50), colours(50, 1)
    twice = fit_least_squares(torch.cat((before, before[:10])), torch.cat((after, after[:10])))
    weights = torch.ones(50)
    weights[:10] = 2
    weighted = fit_least_squares(before, after, weights=weights)
    torch.testing.assert_close(weighted.coefficients, twice.coefficients)


def test_tables_add_up_to_the_mapping() -> None:
    mapping = ColourMapping(torch.tensor(TABLE_1, dtype=torch.float64))
    own, others = channel_tables(mapping)
    pixel = torch.tensor([12, 200, 99])
    summed = [own[c, pixel[c]] + sum(others[c, pixel[i]] for i in range(3) if i != c)
              for c in range(3)]  # fmt: skip
    expected = brute_force(mapping.coefficients.numpy(), pixel.numpy() / 255)
    np.testing.assert_allclose(summed, expected, atol=1e-12)
    with pytest.raises(ValueError, match="rgb"):
        channel_tables(ColourMapping(identity_coefficients(), "ycbcr"))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (colours(5), colours(5), "at least 9"),
        (colours(50), colours(49), r"\(P, 3\)"),
        (colours(50), colours(50) * torch.nan, "finite"),
    ],
)
def test_unusable_pairs(before: torch.Tensor, after: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_least_squares(before, after)


@pytest.mark.parametrize("shape", [(2, 9), (3, 8), (3, 1), (3, 19)])
def test_wrong_coefficients_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="coefficients"):
        ColourMapping(torch.zeros(shape))
    with pytest.raises(ValueError, match="space"):
        ColourMapping(identity_coefficients(), "lab")
