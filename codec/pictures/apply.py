"""Rendering of 8 and 16-bit pictures with a colour mapping or a LUT.

Pictures are (3, H, W) uint8 or uint16, RGB; H W pixels, K points of a curve, N colours. Everything
here gives what the float rendering gives, rounded; 8 bits take the fast ways.
"""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from codec.pictures.lut import (
    apply_curves,
    apply_tetrahedral,
    apply_trilinear,
    identity_lut,
    resample,
)
from codec.pictures.mapping import ColourMapping, channel_tables
from codec.pictures.picture_files import to_dtype

_TILE = 1 << 15  # pixels whose intermediate sums stay in the processor's cache
_PILLOW_SIZE = 65  # the most grid points that Pillow takes
_PILLOW_RANGE = 2.0  # Pillow's tables hold values from -2 to 2
_STRIP = 1 << 20  # pixels rendered as floats at a time
_INDEX_STRIP = 1 << 15  # pixels whose 64-bit indices stay in the processor's cache
_COLOURS = 1 << 24
# Below a megapixel, or where there are more colours than a quarter of the pixels, marking and
# searching 2^24 colours costs as much as it saves (measured from 1 to 12 megapixels; camera
# pictures of 6 megapixels have 3 to 4 %).
_FEW_PIXELS = 1 << 20
_MOST_DISTINCT = 0.25


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


def render_lut(
    pixels: Tensor,
    table: Tensor,
    strength: float | Tensor = 1.0,
    shaper: Tensor | None = None,
) -> Tensor:
    """Render a picture with a LUT: 8 bits with a number trilinearly, the rest tetrahedrally.

    Large 8-bit pictures are rendered a colour at a time instead of a pixel at a time, with the same
    result; that takes 80 MiB and 12 bytes a colour. What Pillow's integers can hold goes through
    Pillow, everything else is float64.

    Args:
        pixels: (3, H, W) uint8 or uint16.
        table: (3, D, D, D) as in `codec.pictures.lut`.
        strength: rendering degree in [0, 1], a number or a map (H, W).
        shaper: (3, K) curves that colours pass before the table, or None.
    """
    by_number = pixels.dtype == torch.uint8 and isinstance(strength, float | int)
    interpolate = apply_trilinear if by_number else apply_tetrahedral

    def look(x: Tensor, degree: float | Tensor) -> Tensor:
        shaped = x if shaper is None else apply_curves(x, shaper).clamp(0, 1)
        return x + degree * (interpolate(shaped, table.to(x)) - x)

    if not by_number:
        return _in_strips(pixels, strength, look)
    if shaper is not None or bool(table.abs().amax() > _PILLOW_RANGE):
        return _each_colour_once(pixels, lambda part: _in_strips(part, strength, look))
    table = resample(table, _PILLOW_SIZE) if table.shape[-1] > _PILLOW_SIZE else table
    identity = identity_lut(table.shape[-1])
    blended = identity + strength * (table.float() - identity)
    if torch.equal(blended, identity):
        return pixels.clone()
    lut = ImageFilter.Color3DLUT(table.shape[-1], blended.flatten(1).T.contiguous().numpy())
    return _each_colour_once(pixels, lambda part: _render_by_pillow(part, lut))


def _render_by_pillow(pixels: Tensor, lut: ImageFilter.Color3DLUT) -> Tensor:
    rendered = Image.fromarray(_interleaved(pixels)).filter(lut)
    return _planar(np.array(rendered))  # a writable copy


def _each_colour_once(pixels: Tensor, render: Callable[[Tensor], Tensor]) -> Tensor:
    """What `render` makes of a uint8 picture, if it goes by the colour of a pixel alone.

    A photo of 12 megapixels has half a million colours: they are rendered as a picture of one row,
    and each pixel looks its colour up.
    """
    count = pixels[0].numel()
    if count < _FEW_PIXELS:
        return render(pixels)
    source = _interleaved(pixels).reshape(1, -1, 3)
    strips = range(0, count, _INDEX_STRIP)
    present = np.zeros(_COLOURS, np.bool_)
    for start in strips:
        present[_colour_index(source[:, start : start + _INDEX_STRIP])] = True
    colours = np.flatnonzero(present)
    if len(colours) > _MOST_DISTINCT * count:
        return render(pixels)
    table = np.empty(_COLOURS, np.uint32)
    table[colours] = _render_colours(colours.astype(np.uint32), render)
    target = np.empty_like(source)
    for start in strips:
        part = source[:, start : start + _INDEX_STRIP]
        found = table.take(_colour_index(part)).view(np.uint8).reshape(1, -1, 4)
        cv2.cvtColor(found, cv2.COLOR_RGBA2RGB, dst=target[:, start : start + _INDEX_STRIP])
    return _planar(target.reshape(*pixels.shape[1:], 3))


def _colour_index(part: np.ndarray) -> np.ndarray:
    """(1, N, 3) uint8 -> (N,) int64: red, green and blue as the lowest three bytes of a number.

    The opaque alpha that OpenCV adds makes it negative: it counts from the end of a table of 2^24,
    where the same entry lies.
    """
    return cv2.cvtColor(part, cv2.COLOR_RGB2RGBA).view("<i4").reshape(-1).astype(np.int64)


def _render_colours(colours: np.ndarray, render: Callable[[Tensor], Tensor]) -> np.ndarray:
    """(N,) uint32 colours, red in the lowest byte -> the same after rendering."""
    done = np.empty_like(colours)
    for start in range(0, len(colours), _STRIP):
        part = colours[start : start + _STRIP].astype("<u4").view(np.uint8).reshape(1, -1, 4)
        rendered = render(_planar(cv2.cvtColor(part, cv2.COLOR_RGBA2RGB)))
        packed = cv2.cvtColor(_interleaved(rendered), cv2.COLOR_RGB2RGBA)
        done[start : start + _STRIP] = packed.view("<u4").reshape(-1)
    return done


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
