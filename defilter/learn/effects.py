"""What cameras and apps do to a picture beside colour: vignettes, light leaks, grain, JPEG, 8 bits.

The ranges below were chosen by hand, from what apps offer.

Axes: N picture, C channel, H W pixels; pictures are RGB in [0, 1].
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# ITU-T T.81 Annex K.1, the luminance quantisation table.
_JPEG_STEPS = torch.tensor(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)


def _uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(*shape, device=generator.device, generator=generator)


def _chosen(generator: torch.Generator, share: float, count: int) -> Tensor:
    """(count, 1, 1, 1) of 0 and 1, a `share` of them 1."""
    return (_uniform(generator, 0, 1, count, 1, 1, 1) < share).float()


def _axes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Position from -1 to 1 down and across the pictures, (1, 1, H, 1) and (1, 1, 1, W)."""
    down, across = (torch.linspace(-1, 1, side, device=x.device) for side in x.shape[-2:])
    return down.view(1, 1, -1, 1), across.view(1, 1, 1, -1)


def add_vignettes(x: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """Darken (now and then brighten) the corners of a share of the pictures."""
    count = len(x)
    down, across = _axes(x)
    centre = _uniform(generator, -0.15, 0.15, 2, count, 1, 1, 1)
    radius = ((across - centre[0]) ** 2 + (down - centre[1]) ** 2) / 2
    bend = _uniform(generator, 0.8, 2.5, count, 1, 1, 1)
    depth = _uniform(generator, -0.1, 0.7, count, 1, 1, 1) * _chosen(generator, share, count)
    tint = _uniform(generator, 0.85, 1.0, count, 3, 1, 1)
    return x * (1 - depth * tint * radius.clamp(min=1e-6) ** bend).clamp(min=0)


def add_light_leaks(x: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """Screen a warm glow from one side over a share of the pictures."""
    count = len(x)
    down, across = _axes(x)
    angle = _uniform(generator, 0, math.tau, count, 1, 1, 1)
    along = across * torch.cos(angle) + down * torch.sin(angle)
    reach = _uniform(generator, 2, 6, count, 1, 1, 1)
    colour = torch.cat([_uniform(generator, low, 1, count, 1, 1, 1) for low in (0.6, 0.2, 0)], 1)
    strength = _uniform(generator, 0.1, 0.6, count, 1, 1, 1) * _chosen(generator, share, count)
    glow = strength * colour * torch.sigmoid(reach * (along - 0.6))
    return 1 - (1 - x) * (1 - glow)


def add_grain(x: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """Add luminance noise to a share of the pictures."""
    count, _, height, width = x.shape
    noise = torch.randn(count, 1, height, width, device=x.device, generator=generator)
    deviation = _uniform(generator, 0.005, 0.05, count, 1, 1, 1)
    return x + noise * deviation * _chosen(generator, share, count)


def add_jpeg_noise(x: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """Quantise the 8x8 cosine transform of a share of the pictures as JPEG of quality 40-95 does.

    All channels use the luminance table: what matters here is the look of the noise. The last
    rows and columns beyond a multiple of 8 stay as they are.
    """
    count, _, height, width = x.shape
    rows, columns = height // 8 * 8, width // 8 * 8
    if not rows or not columns:
        return x
    k = torch.arange(8, device=x.device, dtype=x.dtype)
    dct = torch.cos((2 * k + 1) * k[:, None] * math.pi / 16) / 2
    dct[0] /= math.sqrt(2)
    quality = _uniform(generator, 40, 95, count, 1, 1)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    steps = (_JPEG_STEPS.to(x) * scale).clamp(min=1)[:, None, None, None] / 255
    blocks = x[..., :rows, :columns].unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)
    quantised = ((dct @ (blocks - 0.5) @ dct.T) / steps).round() * steps
    decoded = (dct.T @ quantised @ dct + 0.5).transpose(3, 4).flatten(4, 5).flatten(2, 3)
    change = F.pad(decoded - x[..., :rows, :columns], (0, width - columns, 0, height - rows))
    return x + change * _chosen(generator, share, count)


def round_to_eight_bits(x: Tensor) -> Tensor:
    return (x.clamp(0, 1) * 255).round() / 255
