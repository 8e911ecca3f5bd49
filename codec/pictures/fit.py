"""Colour maps fitted to matching colours: the 27 numbers, and a smooth table.

Axes: C channel, K coefficient (1 + 2 degree), P colour sample, D grid size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.pictures.colour import rgb_to_ycbcr
from codec.pictures.lut import identity_lut
from codec.pictures.mapping import MAX_DEGREE, ColourMapping, check_space, identity_coefficients

# Chosen on validation looks. True pairs: 1e-6 gives 31.3 dB on another photo, 1e-5 31.5 dB, 1e-4
# 31.1 dB. A network's own colour map: 1e-3 gives 22.60 dB, 1e-4 22.64 dB, 1e-6 22.67 dB.
RIDGE_PAIRS, RIDGE_ESTIMATES, RIDGE_FORWARD = 1e-5, 1e-3, 1e-6
_DEGREE = 4  # 27 numbers


def fit_least_squares(
    before: Tensor,
    after: Tensor,
    degree: int = _DEGREE,
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
    ridge: float = RIDGE_PAIRS,
    huber: float | None = None,
    iterations: int = 500,
) -> ColourMapping:
    """The same fit, of degree 4 in RGB, by L-BFGS (torch.optim), optionally with a robust loss.

    Args:
        before, after, ridge: as in `fit_least_squares`.
        huber: errors beyond this many units of [0, 1] count linearly, so that pairs which do not
            match (moved objects, retouching) pull less; None is least squares.
        iterations: most iterations.
    """
    before, after = _in_space(before, after, _DEGREE, "rgb")
    design = _design(before, _DEGREE)
    target = (after - before).T.unsqueeze(-1)
    scale = design.square().mean(-2, keepdim=True).sqrt().clamp(min=1e-12)
    # In the eigenvectors of the normal matrix every direction bends alike: L-BFGS then converges
    # in a few steps, where on raw powers of [0, 1] it would crawl.
    scaled = design / scale
    curvature, directions = torch.linalg.eigh(scaled.mT @ scaled / scaled.shape[-2])
    curvature = curvature.clamp(min=0) + max(ridge, 1e-12)
    whiten = directions / curvature.sqrt().unsqueeze(-2)
    white = scaled @ whiten
    change = torch.zeros_like(white[:, 0, :, None]).requires_grad_()  # (C, K, 1)

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
    return ColourMapping(identity_coefficients(_DEGREE) + step.cpu())


def _design(colours: Tensor, degree: int) -> Tensor:
    """(..., P, 3) -> (..., C, P, K): the columns of equation sets 1-3 for each channel."""
    x = colours.movedim(-1, -2)
    powers = torch.stack([x**k for k in range(1, degree + 1)], -1)  # ..., C, P, degree
    others = (powers.sum(-3, keepdim=True) - powers) / 2
    return torch.cat((torch.ones_like(powers[..., :1]), powers, others), -1)


def _in_space(before: Tensor, after: Tensor, degree: int, space: str) -> tuple[Tensor, Tensor]:
    """Checked float64 copies of the colours, in the space of the fit."""
    check_space(space)
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


def fit_residual_lut(
    before: Tensor,
    after: Tensor,
    size: int = 9,
    smoothness: float = 1e-6,
    identity: float = 1e-8,
) -> Tensor:
    """Least-squares table from matching colours.

    Minimises the mean squared error of the trilinear rendering, plus `smoothness` times the summed
    squared second differences of what the table adds (so that cells without samples continue the
    slope of their neighbours), plus `identity` times the summed squares themselves.

    Args:
        before: (P, 3) colours in [0, 1].
        after: (P, 3) the same colours with the look.
        size: grid points an axis.
        smoothness, identity: chosen on validation looks, where smoothness 1e-4 gives 36.6 dB on
            another photo, 1e-5 38.4 dB, 1e-6 39.0 dB and 1e-7 38.0 dB.

    Returns:
        (3, size, size, size) float64.
    """
    before, after = before.double(), after.double()
    design = _trilinear_weights(before, size)
    normal = design.T @ design / len(before)
    normal += smoothness * _second_differences(size).to(normal)
    normal.diagonal().add_(identity)
    change = torch.linalg.solve(normal, design.T @ (after - before) / len(before))
    grid = identity_lut(size, before.device, before.dtype)
    return grid + change.T.reshape(3, size, size, size)


def _trilinear_weights(colours: Tensor, size: int) -> Tensor:
    """(P, 3) -> (P, size^3): the weight of each grid point for each colour."""
    axis = torch.arange(size, device=colours.device, dtype=colours.dtype)
    position = colours.clamp(0, 1) * (size - 1)
    hats = (1 - (position[..., None] - axis).abs()).clamp(min=0)  # P, channel, D
    red, green, blue = hats.unbind(1)
    return torch.einsum("pb,pg,pr->pbgr", blue, green, red).flatten(1)


def _second_differences(size: int) -> Tensor:
    """(size^3, size^3): sum over the three axes of the squared second difference, as a matrix."""
    eye = torch.eye(size, dtype=torch.float64)
    bend = eye[:-2] - 2 * eye[1:-1] + eye[2:]
    along = bend.T @ bend
    return (
        torch.kron(torch.kron(along, eye), eye)
        + torch.kron(torch.kron(eye, along), eye)
        + torch.kron(torch.kron(eye, eye), along)
    )
