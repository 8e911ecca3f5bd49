"""The look of the demonstration: what `python evaluate.py` takes from a photo it made itself."""

import torch
from torch import Tensor

from codec.pictures.colour import luma


def demonstration_look(x: Tensor) -> Tensor:
    """A faded evening: warm lights, teal shadows, lifted blacks, a little less colour.

    Args:
        x: (N, 3, H, W) in [0, 1].

    Returns:
        (N, 3, H, W): highlights + (0.20, 0.06, -0.24) and shadows + (-0.10, 0.05, 0.18), each
        weighted with the squared distance from the other end; saturation 0.75; blacks at 0.10 and
        whites at 0.94.
    """
    light = luma(x)
    tints = torch.tensor([[0.20, 0.06, -0.24], [-0.10, 0.05, 0.18]], device=x.device, dtype=x.dtype)
    high, low = tints.view(2, 1, 3, 1, 1)
    x = x + high * light**2 + low * (1 - light) ** 2
    light = luma(x)
    return (0.10 + 0.84 * (light + 0.75 * (x - light))).clamp(0, 1)
