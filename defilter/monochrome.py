"""Black-and-white and toned looks: colour that follows from brightness alone.

A picture is monochrome if its chroma is a function of its luma: zero (grey), or a tint such as
sepia or a split toning. Its look takes all colour away and gives each luma one colour back.

Axes: C channel, H W pixels, P colour sample, K knot of the tint, D grid size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from codec.pictures.colour import luma, rgb_to_ycbcr, ycbcr_to_rgb
from codec.pictures.fit import RIDGE_FORWARD, fit_least_squares
from codec.pictures.lut import identity_lut
from codec.pictures.picture_files import to_dtype
from codec.pictures.resize import squash
from defilter.sampling import CLIPPED_HIGH, CLIPPED_LOW

# Chroma is the length of (Cb, Cr). Of the 974 web photos and 500 BSDS photos of the training set,
# squashed to 64 x 64, the 24 grey ones and one with a coloured watermark have 99 % of their pixels
# below 0.0064, the next, a white toaster, 0.0235. Around the tint of their luma, four sepia and
# toned photos have 99 % below 0.0109, the next, a colour photo, 0.0124.
NOISE = 3 / 255
_MOST = 0.99  # share of the pixels that must agree: a red rose on grey is no black and white
_SIDE = 64
_KNOTS = 17
_SMOOTHNESS = 1e-4  # of the tint: it follows the toned photos above, and bridges empty lumas
_LEAST_UNCLIPPED = 0.1  # share of a picture that a tint can be told from
_ROWS_AT_ONCE = 256
_DEGREE = 4  # as the 27 numbers have it


@dataclass(frozen=True)
class Tint:
    """The colour that a monochrome picture has at each luma.

    Attributes:
        chroma: (K, 2) float64 Cb and Cr at K even steps of luma from 0 to 1; all 0 is grey.
    """

    chroma: Tensor

    @property
    def is_grey(self) -> bool:
        return not bool(self.chroma.any())

    def __call__(self, y: Tensor) -> Tensor:
        """Luma (P,) in [0, 1] -> colours (P, 3) float64 in [0, 1]."""
        if self.is_grey:
            return y.double().clamp(0, 1)[:, None].expand(-1, 3)
        chroma = _hats(y.double().clamp(0, 1)) @ self.chroma
        return ycbcr_to_rgb(torch.cat((y.double()[:, None], chroma), 1), axis=-1).clamp(0, 1)

    def project(self, table: Tensor) -> Tensor:
        """A LUT (3, D, D, D) whose colours keep their luma alone and take the tint."""
        colours = self(luma(table.double().flatten(1), axis=-2)[0])
        return colours.T.reshape(table.shape).to(table.dtype)


def tone_samples(template: Tensor) -> Tensor:
    """What `tint_of` needs of a picture (3, H, W) in [0, 1]: (P, 4) Y, Cb, Cr and clipped share.

    The picture may be on any device, the samples are on the CPU.

    A clipped channel bends a tint sharply, and averages over the bend lie beside it: the share of
    clipped pixels says which samples to leave out.
    """
    samples = rgb_to_ycbcr(squash(template[None], _SIDE).cpu().double())[0].flatten(1).T
    clipped = torch.zeros(len(samples), dtype=samples.dtype)
    if float(_around(samples).median()) < NOISE:  # seldom; the others are not monochrome anyway
        outside = ((template > CLIPPED_HIGH) | (template < CLIPPED_LOW)).any(0)
        clipped = squash(outside[None, None].float(), _SIDE).cpu().flatten().double()
    return torch.cat((samples, clipped[:, None]), 1)


def tint_of(samples: Sequence[Tensor]) -> Tint | None:
    """The tint that monochrome pictures share; None if they have colours.

    Args:
        samples: `tone_samples` of each.
    """
    pooled = torch.cat(list(samples))
    if _most(_length(pooled[:, 1:3])) < NOISE:
        return Tint(torch.zeros(_KNOTS, 2, dtype=torch.float64))
    pure = pooled[pooled[:, 3] < 1 / _SIDE, :3]
    if len(pure) < _LEAST_UNCLIPPED * len(pooled) or _most(_around(pure)) >= NOISE:
        return None
    return Tint(_fit_chroma(pure))


def _length(chroma: Tensor) -> Tensor:
    return torch.linalg.vector_norm(chroma, dim=1)


def _most(values: Tensor) -> float:
    return float(values.kthvalue(max(1, round(_MOST * len(values)))).values)


def _around(ycbcr: Tensor) -> Tensor:
    """(P,) distance of each pixel's chroma from the tint of all."""
    return _length(ycbcr[:, 1:] - _hats(ycbcr[:, 0]) @ _fit_chroma(ycbcr))


def _fit_chroma(ycbcr: Tensor) -> Tensor:
    """(K, 2): a smooth chroma for each luma, by least squares."""
    hats = _hats(ycbcr[:, 0])
    bend = torch.eye(_KNOTS, dtype=torch.float64).diff(n=2, dim=0)
    normal = hats.T @ hats / len(hats) + _SMOOTHNESS * bend.T @ bend
    normal.diagonal().add_(1e-9)
    return torch.linalg.solve(normal, hats.T @ ycbcr[:, 1:] / len(hats))


def _hats(y: Tensor) -> Tensor:
    """(P, K): weight of each knot for each luma."""
    knots = torch.linspace(0, 1, _KNOTS, dtype=torch.float64)
    return (1 - (y[:, None] - knots).abs() * (_KNOTS - 1)).clamp(min=0)


@dataclass(frozen=True)
class ToneCurve:
    """A monochrome look: each channel of the result is a polynomial of the photo's luma.

    Attributes:
        coefficients: (3, 5) float64, constant first; three equal rows make exact greys.
    """

    coefficients: Tensor

    def __post_init__(self) -> None:
        if self.coefficients.shape != (3, _DEGREE + 1):
            raise ValueError(
                f"expected 3 x {_DEGREE + 1} coefficients, got {tuple(self.coefficients.shape)}"
            )
        if not bool(self.coefficients.isfinite().all()):
            raise ValueError("expected finite coefficients, got NaN or infinity")

    @property
    def is_grey(self) -> bool:
        rows = self.coefficients
        return torch.equal(rows[0], rows[1]) and torch.equal(rows[0], rows[2])

    def __call__(self, x: Tensor) -> Tensor:
        """(3, ...) float RGB in [0, 1] -> the same with the look, clamped."""
        y = luma(x.flatten(1), axis=-2)  # (1, P)
        rows = self.coefficients[:1] if self.is_grey else self.coefficients
        result = torch.zeros_like(y)
        for k in rows.to(x).T.flip(0):
            result = result * y + k[:, None]
        return result.clamp(0, 1).expand(3, -1).reshape(x.shape)

    def render(self, pixels: Tensor, strength: float | Tensor = 1.0) -> Tensor:
        """(3, H, W) uint8 or uint16 -> the same; `strength` in [0, 1], a number or (H, W)."""
        peak = torch.iinfo(pixels.dtype).max
        done = []
        for top in range(0, pixels.shape[1], _ROWS_AT_ONCE):
            rows = slice(top, top + _ROWS_AT_ONCE)
            x = pixels[:, rows].float() / peak
            degree = strength[rows].to(x) if isinstance(strength, Tensor) else strength
            done.append(to_dtype(torch.lerp(x, self(x), degree), pixels.dtype))  # at 1 exactly it
        return torch.cat(done, 1)

    def lut(self, size: int = 33) -> Tensor:
        """(3, size, size, size) float32 table of the look."""
        return self(identity_lut(size, dtype=torch.float64)).float()


def fit_tone(before: Tensor, after: Tensor, tint: Tint) -> ToneCurve:
    """The monochrome look between matching colours.

    Args:
        before, after: (P, 3) RGB in [0, 1]; of the second, only luma counts.
        tint: that the result has.
    """
    y = luma(before.double(), axis=-1).expand(-1, 3)
    target = tint(luma(after.double(), axis=-1)[:, 0])
    # On greys the columns of a channel and of the other two are equal: their sum is the curve.
    k = fit_least_squares(y, target, _DEGREE, ridge=RIDGE_FORWARD).coefficients
    curve = torch.cat((k[:, :1], k[:, 1 : _DEGREE + 1] + k[:, _DEGREE + 1 :]), 1)
    return ToneCurve(curve[:1].expand(3, -1).clone() if tint.is_grey else curve)
