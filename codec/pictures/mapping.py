"""The 27-number colour mapping: each channel as a polynomial of itself and of the other two.

US 2025/0252542, equation sets 1-3: with degree 4 a channel of the result is

    k1 + k2 c + k3 c^2 + k4 c^3 + k5 c^4 + k6 (a+b)/2 + k7 (a^2+b^2)/2 + ... + k9 (a^4+b^4)/2

where c is the channel itself and a, b the other two. There are no cross products, so the mapping is
a sum of curves of one channel each: it extrapolates tamely, and six tables render it exactly.

Axes: N picture, C channel, K coefficient (1 + 2 degree), P colour sample, H W pixels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from codec.pictures.colour import rgb_to_ycbcr, ycbcr_to_rgb
from codec.pictures.lut import identity_lut

SPACES = ("rgb", "ycbcr")
MAX_DEGREE = 8


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
        check_space(self.space)

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


def check_space(space: str) -> None:
    if space not in SPACES:
        raise ValueError(f"expected a space out of {', '.join(SPACES)}, got {space!r}")
