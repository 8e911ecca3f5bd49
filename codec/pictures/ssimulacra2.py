"""SSIMULACRA2: a score of compressed pictures, fitted to what people saw. It is differentiable.

Jon Sneyers, Cloudinary 2022; the constants are those of the reference program, version 2.1.

Axes: N picture, C channel (0 X, 1 Y, 2 B - Y of the opsin space), H W pixels.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.pictures.metrics import SSIM_RADIUS, blur

_SMALLEST = 8
_C2 = 0.0009
_TINY = 1e-6
_OPSIN = torch.tensor(
    [
        [0.30, 0.622, 0.078],
        [0.23, 0.692, 0.078],
        [0.24342268924547819, 0.20476744424496821, 0.55180986650955360],
    ],
    dtype=torch.float64,
)
_BIAS = 0.0037930732552754493
# By scale from fine to coarse, then channel: SSIM, artefacts, lost detail as means, the same three
# in the 4-norm. The program's other weights are below 0.002 and change no score by more than 0.01.
_WEIGHTS: tuple[dict[int, tuple[float, ...]], ...] = (
    {1: (0, 0, 0, 7.46689, 0, 17.4458)},
    {0: (0, 0, 0, 1.10417, 0, 0), 1: (0, 0, 0, 6.68368, 0, 1.02789)},
    {0: (0, 0, 0, 1.84225, 11.4412, 0), 1: (225.205, 0, 0, 19.2132, 0, 0)},
    {
        0: (0, 0, 0, 1.87876, 10.9491, 0),
        1: (176.393, 0, 0, 24.4330, 0.285208, 0),
        2: (0, 0, 0, 8.82698, 23.1924, 0),
    },
    {
        0: (0, 0.967794, 0, 0, 0.998177, 0),
        1: (0, 0, 0, 34.7791, 44.8356, 0),
        2: (95.1080, 0.986398, 0.983438, 0, 171.267, 0.980786),
    },
)


def ssimulacra2(original: Tensor, decoded: Tensor) -> Tensor:
    """The score, (N,): 100 is equal, 90 hardly differs, 70 is good, 50 medium; no lower end.

    Pictures below 225 pixels an axis have fewer scales. Each keeps its own weights here; the
    reference program gives them those of others.

    Args:
        original, decoded: (N, 3, H, W) sRGB in [0, 1]; sides below 8 pixels are made 8 of.
    """
    total = distance(original, decoded) * 0.9562382616834844
    total = (
        2.326765642916932 * total
        - 0.020884521182843837 * total**2
        + 6.248496625763138e-05 * total**3
    )
    return 100 - 10 * total.clamp(min=1e-12) ** 0.6276336467831387


def distance(original: Tensor, decoded: Tensor) -> Tensor:
    """(N,) the weighted sum that the score is a falling map of, from 0 for equal pictures.

    1 where the score is 84, 5 at 56, 20 at 3. Losses want it: the map is nearly flat at about -60.
    """
    total = original.new_zeros(len(original))
    with torch.autocast(original.device.type, enabled=False):  # bfloat16 loses what SSIM compares
        for weights, (x, y) in zip(_WEIGHTS, _pyramid(original, decoded), strict=False):
            channels = list(weights)
            maps = _differences(x[:, channels], y[:, channels])
            means = [m.mean((2, 3)) for m in maps] + [_norm4(m) for m in maps]
            weight = torch.tensor(list(weights.values()), device=x.device, dtype=x.dtype)  # C, 6
            total = total + (weight * torch.stack(means, -1)).sum((1, 2))
    return total


def _norm4(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C) 4-norm mean, with a finite gradient where pictures are equal."""
    return ((x**4).mean((2, 3)) + _TINY**4) ** 0.25 - _TINY


def _pyramid(original: Tensor, decoded: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """XYB of both at every scale; the scales are made of linear light."""
    linear = _to_linear(torch.cat((original, decoded)))
    down, right = (max(0, _SMALLEST - n) for n in linear.shape[2:])
    linear = F.pad(linear, (0, right, 0, down), mode="replicate")
    while min(linear.shape[2:]) >= _SMALLEST:
        x, y = _to_xyb(linear).chunk(2)
        yield x, y
        linear = F.avg_pool2d(linear, 2, ceil_mode=True)


def _to_linear(rgb: Tensor) -> Tensor:
    high = ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(rgb <= 0.04045, rgb / 12.92, high)


def _to_xyb(linear: Tensor) -> Tensor:
    """Opsin space, shifted so that all channels are positive and of similar range."""
    mixed = torch.einsum("kc,nchw->nkhw", _OPSIN.to(linear), linear) + _BIAS
    red, green, blue = (mixed.clamp(min=1e-9) ** (1 / 3) - _BIAS ** (1 / 3)).unbind(1)
    x, y = (red - green) / 2, (red + green) / 2
    return torch.stack((14 * x + 0.42, y + 0.01, blue - y + 0.55), 1)


def _differences(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Maps (N, C, H, W) >= 0: 1 - SSIM without a luminance denominator, edges added, edges lost."""
    mean_x, mean_y, xx, yy, xy = _blur(torch.cat((x, y, x * x, y * y, x * y))).chunk(5)
    closeness = 1 - (mean_x - mean_y) ** 2
    covariance = 2 * (xy - mean_x * mean_y) + _C2
    variance = xx - mean_x**2 + yy - mean_y**2 + _C2
    edges = (1 + (y - mean_y).abs()) / (1 + (x - mean_x).abs()) - 1
    return (1 - closeness * covariance / variance).relu(), edges.relu(), (-edges).relu()


def _blur(x: Tensor) -> Tensor:
    """As the Python package has it: mirrored above and below, zeros left and right."""
    r = SSIM_RADIUS
    mirrored = torch.cat((x[:, :, :r].flip(2), x, x[:, :, -r:].flip(2)), 2)
    return blur(F.pad(mirrored, (r, r)))
