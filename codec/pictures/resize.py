"""Pictures at other sizes. Axes: N picture, H W pixels."""

import torch.nn.functional as F
from torch import Tensor

PRESET_SIZE = 256


def squash(x: Tensor, size: int) -> Tensor:
    """The pre-processing layer (paragraph 71): (N, 3, H, W) -> (N, 3, size, size), antialiased.

    Raises:
        ValueError: the size is not a positive multiple of 4.
    """
    if size < 4 or size % 4:
        raise ValueError(f"expected a size that is a multiple of 4, got {size}")
    if x.shape[-2:] == (size, size):
        return x
    return F.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)
