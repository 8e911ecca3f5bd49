"""How much fine detail a picture has: what a search may know of it before the first probe."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from codec.pictures.colour import luma

_WINDOW = 8
_STABILISER = 0.03**2  # C2 of SSIM
_LEVELS = (1e-4, 1e-3, 1e-2)  # variances, of luma in [0, 1]
_FINE_LEVELS = (1e-5, 1e-4, 1e-3)


def detail(picture: Tensor) -> np.ndarray:
    """Eight numbers about the luma of a picture (C, H, W) uint8.

    A codec loses what is finer than its step, and SSIM counts that loss against the variance of a
    window. So these are logarithms of the mean loss if all variance up to a level goes, for three
    levels, the same for the finest frequencies alone, and the mean logarithms of both variances.
    """
    y = luma(picture.expand(3, -1, -1)[None].float() / 255)
    bottom, right = (max(0, _WINDOW + 1 - n) for n in y.shape[2:])
    y = F.pad(y, (0, right, 0, bottom), mode="replicate")
    mean = _windows(y)
    variance = (_windows(y.square()) - mean.square()).clamp(min=0)
    corner = y[..., 1:, 1:] - y[..., 1:, :-1] - y[..., :-1, 1:] + y[..., :-1, :-1]
    finest = _windows(corner.square() / 4)
    stable = 2 * variance + _STABILISER
    nearby = stable[..., : finest.shape[2], : finest.shape[3]]
    found = [_log_mean(variance.clamp(max=level) / stable) for level in _LEVELS]
    found += [_log_mean(finest.clamp(max=level) / nearby) for level in _FINE_LEVELS]
    found += [(finest + 1e-6).log().mean(), (variance + 1e-5).log().mean()]
    return torch.stack(found).double().cpu().numpy()


def _windows(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, _WINDOW, _WINDOW // 2)


def _log_mean(x: Tensor) -> Tensor:
    return (x.mean() + 1e-8).log()
