"""Colour spaces, on pictures (..., 3, H, W) or colour lists (..., 3, P): the channel axis is -3 or
-2 and is named by `axis`. RGB is sRGB-encoded in [0, 1].
"""

import torch
from torch import Tensor

# ITU-R BT.601, full range, as JPEG (JFIF) uses it.
LUMA_WEIGHTS = (0.299, 0.587, 0.114)
YCBCR = torch.tensor(
    [
        LUMA_WEIGHTS,
        [-0.299 / 1.772, -0.587 / 1.772, 0.5],
        [0.5, -0.587 / 1.402, -0.114 / 1.402],
    ],
    dtype=torch.float64,
)
# IEC 61966-2-1: linear sRGB to CIE XYZ, D65.
_XYZ = torch.tensor(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ],
    dtype=torch.float64,
)
_WHITE = torch.tensor([0.95047, 1.0, 1.08883], dtype=torch.float64)


def _multiply(matrix: Tensor, x: Tensor, axis: int) -> Tensor:
    return (x.movedim(axis, -1) @ matrix.to(x).T).movedim(-1, axis)


def rgb_to_ycbcr(rgb: Tensor, axis: int = -3) -> Tensor:
    """Y in [0, 1], Cb and Cr in [-0.5, 0.5]."""
    return _multiply(YCBCR, rgb, axis)


def ycbcr_to_rgb(ycbcr: Tensor, axis: int = -3) -> Tensor:
    """Inverse of `rgb_to_ycbcr`; a linear map, so it also carries differences back."""
    return _multiply(torch.linalg.inv(YCBCR), ycbcr, axis)


def luma(rgb: Tensor, axis: int = -3) -> Tensor:
    """Y of `rgb_to_ycbcr`, with the channel axis kept as size 1."""
    weights = torch.tensor(LUMA_WEIGHTS, device=rgb.device, dtype=rgb.dtype)
    return (rgb.movedim(axis, -1) * weights).sum(-1, keepdim=True).movedim(-1, axis)


def rgb_to_lab(rgb: Tensor, axis: int = -3) -> Tensor:
    """CIE L*a*b* (D65, 2 degrees): L* in [0, 100]. Agrees with scikit-image's rgb2lab."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp(min=0) + 0.055) / 1.055) ** 2.4)
    relative = _multiply(_XYZ / _WHITE[:, None], linear, axis)
    cube_root = relative.clamp(min=0.008856) ** (1 / 3)
    x, y, z = torch.where(relative > 0.008856, cube_root, 7.787 * relative + 16 / 116).unbind(axis)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), axis)
