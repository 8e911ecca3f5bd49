"""Pixels and planes: uint8 pictures to the integers that are coded, and back.

Axes: N picture of one shape, C plane, H W pixels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from codec.container import FormatError, check_size
from codec.residual.colour import fixed_ycbcr_to_rgb, rgb_to_fixed_ycbcr, rgb_to_ycocg
from codec.residual.transform import REGION, SAMPLE_BITS


def check_picture(picture: Tensor) -> None:
    """Raise ValueError for what is no picture tensor, or too large."""
    if not isinstance(picture, torch.Tensor):
        raise ValueError(f"expected a picture as a torch tensor, got {type(picture).__name__}")
    shape = tuple(picture.shape)
    if picture.dtype != torch.uint8 or len(shape) != 3 or shape[0] not in (1, 3) or 0 in shape:
        raise ValueError(
            f"expected a uint8 picture (3, H, W) or (1, H, W), got {picture.dtype} {shape}"
        )
    try:
        check_size(*shape[1:])
    except FormatError as error:
        raise ValueError(str(error)) from error


def pad(pictures: Tensor) -> Tensor:
    """(N, C, H, W) with both sides a multiple of REGION, the last row and column repeated."""
    bottom, right = -pictures.shape[2] % REGION, -pictures.shape[3] % REGION
    if not bottom and not right:
        return pictures
    rows = torch.arange(pictures.shape[2] + bottom, device=pictures.device)
    columns = torch.arange(pictures.shape[3] + right, device=pictures.device)
    rows, columns = rows.clamp(max=pictures.shape[2] - 1), columns.clamp(max=pictures.shape[3] - 1)
    return pictures[:, :, rows][:, :, :, columns]


def to_planes(pixels: Tensor) -> Tensor:
    """(N, C, H, W) uint8 -> int32 in 1/16 grey level: luma about 0 and, of RGB, chroma."""
    if pixels.shape[1] == 3:
        return rgb_to_fixed_ycbcr(pixels)
    return (pixels.int() - 128) << SAMPLE_BITS


def from_planes(planes: Tensor) -> Tensor:
    """Inverse of `to_planes`, rounded and clamped to (N, C, H, W) uint8."""
    if planes.shape[1] == 3:
        return fixed_ycbcr_to_rgb(planes)
    half = 1 << SAMPLE_BITS - 1
    return ((planes + half >> SAMPLE_BITS) + 128).clamp(0, 255).to(torch.uint8)


def lossless_planes(pixels: Tensor) -> Tensor:
    """(N, C, H, W) uint8 -> int32: YCoCg-R of RGB."""
    return rgb_to_ycocg(pixels.int()) if pixels.shape[1] == 3 else pixels.int()


def padded(length: int) -> int:
    """Rows or columns that are coded of so many."""
    return length + -length % REGION


def padded_area(height: int, width: int) -> int:
    return padded(height) * padded(width)


def areas_of(pictures: Sequence[Tensor]) -> list[int]:
    """Pixels that are coded of each."""
    return [padded_area(*picture.shape[1:]) for picture in pictures]
