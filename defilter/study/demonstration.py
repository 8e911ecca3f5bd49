"""The look of the demonstration: what `python evaluate.py` takes from a photo it made itself."""

import torch
from torch import Tensor

from codec.colour import luma


def demonstration_look(x: Tensor) -> Tensor:
    """A faded evening: warm lights, teal shadows, lifted blacks, a little less colour.

    Args:
        x: (N, 3, H, W) in [0, 1].

    Returns:
        (N, 3, H, W): contrast curve 0.25, then highlights + (0.10, 0.03, -0.10) and shadows
        + (-0.06, 0.02, 0.07), saturation 0.85, blacks at 0.06 and whites at 0.96.
    """
    x = x + 0.25 * (2 * x - 1) * x * (1 - x) * 4
    light = luma(x)
    tints = torch.tensor([[0.10, 0.03, -0.10], [-0.06, 0.02, 0.07]], device=x.device, dtype=x.dtype)
    high, low = tints.view(2, 1, 3, 1, 1)
    x = x + high * light**2 + low * (1 - light) ** 2
    light = luma(x)
    return (0.06 + 0.90 * (light + 0.85 * (x - light))).clamp(0, 1)
