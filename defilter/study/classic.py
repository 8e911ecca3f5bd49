"""Classic colour transfer from one picture to another, for comparison.

Both make the photo's colour distribution like the template's. P pixel.
"""

import warnings

import numpy as np
import torch
from skimage.color import lab2rgb, rgb2lab
from torch import Tensor


def reinhard(photo: Tensor, template: Tensor) -> Tensor:
    """Mean and deviation of L*a*b* (after Reinhard 2001); (3, H, W) twice -> (3, H, W)."""
    source, target = (
        rgb2lab(x.permute(1, 2, 0).numpy().astype(np.float32)) for x in (photo, template)
    )
    moved = (source - source.mean((0, 1))) / (source.std((0, 1)) + 1e-6)
    moved = moved * target.std((0, 1)) + target.mean((0, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # colours out of gamut: the method makes them
        rgb = lab2rgb(moved)
    return torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1).clamp(0, 1)


def monge_kantorovich(photo: Tensor, template: Tensor) -> Tensor:
    """The linear map between Gaussian colours (Pitie 2007); (3, H, W) twice -> (3, H, W)."""
    source, target = photo.flatten(1).double(), template.flatten(1).double()
    cov_source, cov_target = (torch.cov(x) + 1e-6 * torch.eye(3) for x in (source, target))
    root = _power(cov_source, 0.5)
    inverse_root = _power(cov_source, -0.5)
    matrix = inverse_root @ _power(root @ cov_target @ root, 0.5) @ inverse_root
    moved = matrix @ (source - source.mean(1, keepdim=True)) + target.mean(1, keepdim=True)
    return moved.view_as(photo).clamp(0, 1).to(photo)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=1e-12) ** exponent) @ vectors.T
