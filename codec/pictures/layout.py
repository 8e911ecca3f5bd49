"""Pictures as tensors (C, H, W), as arrays (H, W, C) and as Pillow's images."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_array(pixels: Tensor) -> np.ndarray:
    """(C, H, W) on any device -> (H, W, C), contiguous."""
    return np.ascontiguousarray(pixels.cpu().permute(1, 2, 0).numpy())


def from_array(array: np.ndarray) -> Tensor:
    """(H, W, C), or (H, W) of one channel -> (C, H, W)."""
    array = array[..., None] if array.ndim == 2 else array
    return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)


def to_image(pixels: Tensor) -> Image.Image:
    """(1, 3 or 4, H, W) uint8 -> grey, RGB or RGBA."""
    array = to_array(pixels)
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def to_dtype(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Floats in [0, 1] rounded to a full-range integer type; integers of that type unchanged."""
    if x.dtype == dtype:
        return x
    return (x.clamp(0, 1) * torch.iinfo(dtype).max).round().to(dtype)
