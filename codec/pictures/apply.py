"""Rendering of 8 and 16-bit pictures with a colour mapping or a LUT.

Pictures are (3, H, W) uint8 or uint16, RGB; H W pixels. Everything here gives what the float
rendering gives, rounded; 8 bits take the fast ways.
"""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from codec.pictures.lut import apply_tetrahedral, identity_lut, resample
from codec.pictures.mapping import ColourMapping, channel_tables
from codec.pictures.picture_files import to_dtype

_TILE = 1 << 15  # pixels whose intermediate sums stay in the processor's cache
_PILLOW_SIZE = 65  # the most grid points that Pillow takes
_STRIP = 1 << 20  # pixels rendered as floats at a time


def render_mapping(
    pixels: Tensor, mapping: ColourMapping, strength: float | Tensor = 1.0
) -> Tensor:
    """Render a picture with a colour mapping.

    Args:
        pixels: (3, H, W) uint8 or uint16.
        mapping: of any space and degree.
        strength: rendering degree in [0, 1], a number or a map (H, W).

    Returns:
        (3, H, W) of the type of `pixels`; within 1 of the rounded float64 rendering, and equal to
        it in all but one of 10,000 values.
    """
    if pixels.dtype == torch.uint8 and mapping.space == "rgb" and isinstance(strength, float | int):
        return _render_tables(pixels, mapping, float(strength))
    return _in_strips(pixels, strength, mapping)


def render_lut(pixels: Tensor, table: Tensor, strength: float | Tensor = 1.0) -> Tensor:
    """Render a picture with a LUT: 8 bits by Pillow (trilinear), the rest tetrahedrally in float.

    Args:
        pixels: (3, H, W) uint8 or uint16.
        table: (3, D, D, D) as in `codec.pictures.lut`.
        strength: rendering degree in [0, 1], a number or a map (H, W).
    """
    if pixels.dtype == torch.uint8 and isinstance(strength, float | int):
        table = resample(table, _PILLOW_SIZE) if table.shape[-1] > _PILLOW_SIZE else table
        identity = identity_lut(table.shape[-1])
        blended = identity + strength * (table.float() - identity)
        if torch.equal(blended, identity):
            return pixels.clone()
        values = blended.flatten(1).T.reshape(-1).tolist()
        image = Image.fromarray(_interleaved(pixels))
        rendered = image.filter(ImageFilter.Color3DLUT(table.shape[-1], values))
        return _planar(np.array(rendered))  # a writable copy

    def look(x: Tensor, degree: float | Tensor) -> Tensor:
        return x + degree * (apply_tetrahedral(x, table.to(x)) - x)

    return _in_strips(pixels, strength, look)


def _in_strips(
    pixels: Tensor, strength: float | Tensor, look: Callable[[Tensor, float | Tensor], Tensor]
) -> Tensor:
    """Float rendering, a strip of rows at a time, so that memory stays small."""
    peak = torch.iinfo(pixels.dtype).max
    rows = max(1, _STRIP // pixels.shape[2])
    done = []
    for top in range(0, pixels.shape[1], rows):
        x = pixels[None, :, top : top + rows].double() / peak
        part = strength
        if isinstance(strength, Tensor):
            part = strength[top : top + rows].to(x)
        done.append(to_dtype(look(x, part)[0], pixels.dtype))
    return torch.cat(done, 1)


def _render_tables(pixels: Tensor, mapping: ColourMapping, strength: float) -> Tensor:
    """Six tables of 256 entries, looked up once for each input channel.

    An input channel adds to all three output channels. Its entries for red and green are stored as
    two float32 in the eight bytes of one float64, so that one look-up fetches both; the last
    addition rounds and clamps to 8 bits.
    """
    own, others = channel_tables(mapping)
    if strength != 1:
        value = torch.arange(256, dtype=torch.float64) / 255
        own, others = value + strength * (own - value), strength * others
    red_green, blue = [], []
    for channel in range(3):
        to_red, to_green, to_blue = (
            ((own if channel == c else others)[c] * 255).numpy().astype(np.float32)
            for c in range(3)
        )
        red_green.append(np.stack((to_red, to_green), -1).view(np.float64).reshape(1, 256))
        blue.append(to_blue.reshape(1, 256))
    source = _interleaved(pixels).reshape(1, -1, 3)
    target = np.empty_like(source)
    for start in range(0, source.shape[1], _TILE):
        red, green, blue_in = cv2.split(source[:, start : start + _TILE])
        first = _sum_rounded(red_green, red, green, blue_in)
        second = _sum_rounded(blue, red, green, blue_in)
        tile = target[:, start : start + _TILE]
        cv2.mixChannels(
            [first.reshape(1, -1, 2), second.reshape(1, -1, 1)], [tile], [0, 0, 1, 1, 2, 2]
        )
    return _planar(target.reshape(*pixels.shape[1:], 3))


def _sum_rounded(
    tables: list[np.ndarray], red: np.ndarray, green: np.ndarray, blue: np.ndarray
) -> np.ndarray:
    total = cv2.LUT(red, tables[0]).view(np.float32)
    total += cv2.LUT(green, tables[1]).view(np.float32)
    return cv2.add(total, cv2.LUT(blue, tables[2]).view(np.float32), dtype=cv2.CV_8U)


def _interleaved(pixels: Tensor) -> np.ndarray:
    """(3, H, W) -> contiguous (H, W, 3), without a copy where it already lies so."""
    return np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())


def _planar(array: np.ndarray) -> Tensor:
    """(H, W, 3) -> a (3, H, W) view."""
    return torch.from_numpy(array).permute(2, 0, 1)
