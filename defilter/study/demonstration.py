"""The look of the demonstration: what `python evaluate.py` takes from a photo it made itself."""

import torch
from torch import Tensor

from codec.pictures.colour import luma


def demonstration_look(x: Tensor) -> Tensor:
    """Golden hour: lights like gold, shadows deep blue, blacks a little lifted.

    Args:
        x: (N, 3, H, W) in [0, 1].

    Returns:
        (N, 3, H, W): highlights + (0.30, 0.10, -0.36) and shadows + (-0.22, 0.02, 0.30), each
        weighted with the squared distance from the other end; saturation 0.88; blacks at 0.07.
        Strong enough that the look which is taken from one photo changes each of the embedded
        photos by more than dE2000 5.
    """
    light = luma(x)
    tints = torch.tensor([[0.30, 0.10, -0.36], [-0.22, 0.02, 0.30]], device=x.device, dtype=x.dtype)
    high, low = tints.view(2, 1, 3, 1, 1)
    x = x + high * light**2 + low * (1 - light) ** 2
    light = luma(x)
    return (0.07 + 0.93 * (light + 0.88 * (x - light))).clamp(0, 1)
