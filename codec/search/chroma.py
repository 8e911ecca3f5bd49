"""How much of a picture's chroma is lost when it is halved, as 4:2:0 files do."""

import torch.nn.functional as F
from torch import Tensor

from codec.pictures.colour import rgb_to_ycbcr


def chroma_loss(picture: Tensor) -> float:
    """Logarithm of the mean squared error of chroma in [0, 1] that is averaged over 2 x 2 pixels
    and interpolated again, of a picture (C, H, W) uint8."""
    height, width = picture.shape[1:]
    chroma = rgb_to_ycbcr(picture.expand(3, -1, -1)[None].float() / 255)[:, 1:]
    half = F.avg_pool2d(F.pad(chroma, (0, width % 2, 0, height % 2), mode="replicate"), 2)
    back = F.interpolate(half, scale_factor=2, mode="bilinear")[:, :, :height, :width]
    return float(((back - chroma).square().mean() + 1e-6).log())
