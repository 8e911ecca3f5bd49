"""Pixels in other colour profiles to sRGB, through Little CMS."""

import io

import numpy as np
import torch
from PIL import Image, ImageCms
from torch import Tensor

from codec.pictures.layout import from_array, to_dtype
from codec.pictures.lut import apply_tetrahedral


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """An image with 8 bits a channel; unchanged where the profile does not fit it."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, target, outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError):
        return image  # viewers ignore such a profile, too


def deep_to_srgb(pixels: Tensor, profile: bytes | None) -> Tensor:
    """(3, H, W) uint16: through a table, since Pillow's converter takes 8 bits only."""
    if profile is None:
        return pixels
    levels = np.arange(0, 256, 15, dtype=np.uint8)  # 18 grid points, exact in 8 bits
    blue, green, red = np.meshgrid(levels, levels, levels, indexing="ij")
    grid = np.stack((red, green, blue), -1).reshape(len(levels), -1, 3)
    converted = to_srgb(Image.fromarray(grid), profile)
    table = (from_array(np.array(converted)).float() / 255).reshape(3, *[len(levels)] * 3)
    return to_dtype(apply_tetrahedral(pixels[None].float() / 65535, table)[0], torch.uint16)


def name_of(profile: bytes) -> str:
    """What a profile calls itself, such as `Display P3`."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.getProfileDescription(source).strip() or "unnamed"
    except (ImageCms.PyCMSError, OSError):
        return "unreadable"
