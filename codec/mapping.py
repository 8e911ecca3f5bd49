"""The 27-number colour mapping: each channel as a polynomial of itself and of the other two.

US 2025/0252542, equation sets 1-3: with degree 4 a channel of the result is

    k1 + k2 c + k3 c^2 + k4 c^3 + k5 c^4 + k6 (a+b)/2 + k7 (a^2+b^2)/2 + ... + k9 (a^4+b^4)/2

where c is the channel itself and a, b the other two. There are no cross products, so the mapping is
a sum of curves of one channel each: it extrapolates tamely, and six tables render it exactly.

Axes: N picture, C channel, K coefficient (1 + 2 degree), P colour sample, H W pixels.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.colour import rgb_to_ycbcr, ycbcr_to_rgb
from codec.lut import identity_lut

SPACES = ("rgb", "ycbcr")
MAX_DEGREE = 8
# Chosen on validation looks. True pairs: 1e-6 gives 31.3 dB on another photo, 1e-5 31.5 dB, 1e-4
# 31.1 dB. A network's own colour map: 1e-3 gives 22.60 dB, 1e-4 22.64 dB, 1e-6 22.67 dB.
RIDGE_PAIRS, RIDGE_ESTIMATES, RIDGE_FORWARD = 1e-5, 1e-3, 1e-6


@dataclass(frozen=True)
class ColourMapping:
    """A colour mapping; call it on (N, 3, H, W) RGB pictures in [0, 1].

    Attributes:
        coefficients: (3, K) float64: the constant, the channel's own powers in rising order, then
            the mean of the other two channels' powers in rising order.
        space: `rgb` or `ycbcr`, where the polynomial is evaluated.
    """

    coefficients: Tensor
    space: str = "rgb"

    def __post_init__(self) -> None:
        rows, columns = self.coefficients.shape
        if rows != 3 or columns % 2 == 0 or not 3 <= columns <= 1 + 2 * MAX_DEGREE:
            raise ValueError(
                f"expected 3 x (1 + 2 degree) coefficients, degree 1 to {MAX_DEGREE}, "
                f"got {rows} x {columns}"
            )
        if not bool(self.coefficients.isfinite().all()):
            raise ValueError("expected finite coefficients, got NaN or infinity")
        _check_space(self.space)

    @property
    def degree(self) -> int:
        return (self.coefficients.shape[1] - 1) // 2

    def __call__(self, x: Tensor, strength: float | Tensor = 1.0) -> Tensor:
        """Render by direct calculation.

        Args:
            x: (N, 3, H, W) in [0, 1], any float type and device.
            strength: rendering degree in [0, 1], a number or a map that broadcasts to (N, 1, H, W).

        Returns:
            (N, 3, H, W) clamped to [0, 1]; the identity mapping gives back x bit for bit.
        """
        if self.space == "rgb":
            change = evaluate(self.coefficients.to(x), x) - x
        else:
            ycbcr = rgb_to_ycbcr(x)
            change = ycbcr_to_rgb(evaluate(self.coefficients.to(x), ycbcr) - ycbcr)
        return (x + strength * change).clamp(0, 1)

    def lut(self, size: int = 33) -> Tensor:
        """(3, size, size, size) float32 table of the mapping, clamped to [0, 1]."""
        grid = identity_lut(size, dtype=torch.float64)
        return self(grid.reshape(1, 3, size, -1)).reshape(3, size, size, size).float()


def identity_coefficients(degree: int = 4) -> Tensor:
    """(3, 1 + 2 degree) float64 coefficients that change nothing."""
    if not 1 <= degree <= MAX_DEGREE:
        raise ValueError(f"expected a degree of 1 to {MAX_DEGREE}, got {degree}")
    coefficients = torch.zeros(3, 1 + 2 * degree, dtype=torch.float64)
    coefficients[:, 1] = 1
    return coefficients


def evaluate(coefficients: Tensor, x: Tensor) -> Tensor:
    """Equation sets 1-3, not clamped.

    Args:
        coefficients: (3, K), or (N, 3, K) with one mapping a picture.
        x: (N, 3, H, W).
    """
    k = coefficients.movedim(-1, 0)[..., None, None]  # K, (N,) C, 1, 1
    degree = (len(k) - 1) // 2
    result, power = k[0], torch.ones_like(x)
    for own, others in zip(k[1 : 1 + degree], k[1 + degree :], strict=True):
        power = power * x
        mean_of_others = (power.sum(-3, keepdim=True) - power) / 2
        result = result + own * power + others * mean_of_others
    return result


def fit_least_squares(
    before: Tensor,
    after: Tensor,
    degree: int = 4,
    space: str = "rgb",
    ridge: float = RIDGE_PAIRS,
    weights: Tensor | None = None,
) -> ColourMapping:
    """The mapping that takes `before` to `after` with the least squared error.

    Args:
        before: (P, 3) RGB colours in [0, 1].
        after: (P, 3) the same colours with the look.
        degree: highest power.
        space: `rgb` or `ycbcr`.
        ridge: weight of the pull toward the identity, relative to the mean squared error, on
            columns scaled to unit root mean square.
        weights: (P,) weight of each pair; equal if None.

    Raises:
        ValueError: fewer pairs than coefficients of a channel, or colours that are not finite.
    """
    before, after = _in_space(before, after, degree, space)
    return ColourMapping(solve_coefficients(before, after, degree, ridge, weights).cpu(), space)


def solve_coefficients(
    before: Tensor, after: Tensor, degree: int, ridge: float, weights: Tensor | None = None
) -> Tensor:
    """Least squares of `fit_least_squares` for whole batches, all in the space of the colours.

    Args:
        before, after: (..., P, 3).
        weights: (..., P) or None.

    Returns:
        (..., 3, K) float64.
    """
    design = _design(before.double(), degree)  # ..., C, P, K
    target = (after - before).double().movedim(-1, -2).unsqueeze(-1)  # ..., C, P, 1
    share = torch.full_like(target, 1 / target.shape[-2])
    if weights is not None:
        share = (weights / weights.sum(-1, keepdim=True)).to(target)[..., None, :, None]
    scale = (share * design.square()).sum(-2, keepdim=True).sqrt().clamp(min=1e-12)
    scaled = design / scale
    normal = scaled.mT @ (share * scaled)
    normal.diagonal(dim1=-2, dim2=-1).add_(max(ridge, 1e-12))
    change = torch.linalg.solve(normal, scaled.mT @ (share * target)).squeeze(-1)
    return identity_coefficients(degree).to(change) + change / scale.squeeze(-2)


def fit_lbfgs(
    before: Tensor,
    after: Tensor,
    degree: int = 4,
    space: str = "rgb",
    ridge: float = RIDGE_PAIRS,
    huber: float | None = None,
    iterations: int = 500,
) -> ColourMapping:
    """The same fit by L-BFGS (torch.optim), optionally with a robust loss.

    Args:
        before, after, degree, space, ridge: as in `fit_least_squares`.
        huber: errors beyond this many units of [0, 1] count linearly, so that pairs which do not
            match (moved objects, retouching) pull less; None is least squares.
        iterations: most iterations.
    """
    before, after = _in_space(before, after, degree, space)
    design = _design(before, degree)
    target = (after - before).T.unsqueeze(-1)
    scale = design.square().mean(-2, keepdim=True).sqrt().clamp(min=1e-12)
    # In the eigenvectors of the normal matrix every direction bends alike: L-BFGS then converges
    # in a few steps, where on raw powers of [0, 1] it would crawl.
    scaled = design / scale
    curvature, directions = torch.linalg.eigh(scaled.mT @ scaled / scaled.shape[-2])
    curvature = curvature.clamp(min=0) + max(ridge, 1e-12)
    whiten = directions / curvature.sqrt().unsqueeze(-2)
    white = scaled @ whiten
    change = torch.zeros(3, design.shape[-1], 1, dtype=torch.float64, requires_grad=True)

    def loss() -> Tensor:
        error = white @ change - target
        if huber is None:
            misfit = error.square().mean((-2, -1))
        else:
            misfit = 2 * F.huber_loss(error, torch.zeros_like(error), "none", huber).mean((-2, -1))
        return (misfit + ridge * (whiten @ change).square().sum((-2, -1))).sum()

    optimiser = torch.optim.LBFGS(
        [change],
        max_iter=iterations,
        tolerance_grad=1e-12,
        tolerance_change=1e-15,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value

    optimiser.step(closure)
    step = (whiten @ change.detach()).squeeze(-1) / scale.squeeze(-2)
    return ColourMapping(identity_coefficients(degree) + step, space)


def channel_tables(mapping: ColourMapping) -> tuple[Tensor, Tensor]:
    """The mapping as six tables of 256 entries, for 8-bit pictures.

    Returns:
        (own, others), each (3, 256) float64 in units of [0, 1]: channel c of the result is
        own[c][value of c] + others[c][value of a] + others[c][value of b].

    Raises:
        ValueError: the mapping is not in RGB.
    """
    if mapping.space != "rgb":
        raise ValueError("expected a mapping in rgb: in ycbcr the channels do not separate")
    value = torch.arange(256, dtype=torch.float64) / 255
    powers = value ** torch.arange(mapping.degree + 1, dtype=torch.float64)[:, None]
    k, d = mapping.coefficients, mapping.degree
    return k[:, : d + 1] @ powers, k[:, d + 1 :] @ powers[1:] / 2


def _design(colours: Tensor, degree: int) -> Tensor:
    """(..., P, 3) -> (..., C, P, K): the columns of equation sets 1-3 for each channel."""
    x = colours.movedim(-1, -2)
    powers = torch.stack([x**k for k in range(1, degree + 1)], -1)  # ..., C, P, degree
    others = (powers.sum(-3, keepdim=True) - powers) / 2
    return torch.cat((torch.ones_like(powers[..., :1]), powers, others), -1)


def _in_space(before: Tensor, after: Tensor, degree: int, space: str) -> tuple[Tensor, Tensor]:
    """Checked float64 copies of the colours, in the space of the fit."""
    _check_space(space)
    if before.shape != after.shape or before.dim() != 2 or before.shape[1] != 3:
        raise ValueError(
            f"expected two (P, 3) lists, got {tuple(before.shape)}, {tuple(after.shape)}"
        )
    if not 1 <= degree <= MAX_DEGREE:
        raise ValueError(f"expected a degree of 1 to {MAX_DEGREE}, got {degree}")
    if len(before) < 1 + 2 * degree:
        raise ValueError(f"expected at least {1 + 2 * degree} colour pairs, got {len(before)}")
    before, after = before.double(), after.double()
    if not bool(before.isfinite().all() & after.isfinite().all()):
        raise ValueError("expected finite colours, got NaN or infinity")
    if space == "ycbcr":
        before, after = (rgb_to_ycbcr(colours, axis=-1) for colours in (before, after))
    return before, after


def _check_space(space: str) -> None:
    if space not in SPACES:
        raise ValueError(f"expected a space out of {', '.join(SPACES)}, got {space!r}")
