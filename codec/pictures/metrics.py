"""How far two pictures are apart: PSNR, SSIM and CIEDE2000, one number a picture.

Pictures are (N, 3, H, W), RGB in [0, 1]; N picture, H W pixels.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.pictures.colour import luma, rgb_to_lab

SSIM_SIGMA, SSIM_RADIUS = 1.5, 5
_BLURRED_AT_ONCE = 32  # pixels in one product


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Peak signal-to-noise ratio over all channels in dB, (N,); infinite for equal pictures."""
    return -10 * (x - y).square().flatten(1).mean(1).log10()


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Structural similarity of the luma, (N,), in [-1, 1]. Wang 2004 eq. 13.

    Gaussian window of 11x11, sigma 1.5; the mean leaves out a border of 5 pixels, as scikit-image
    does. Pictures smaller than 11 pixels an axis give the statistic of the whole picture.
    """
    return _similarity(luma(x), luma(y))[0].flatten(1).mean(1)


def _similarity(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM of every window of (N, 1, H, W), and its part without the means."""
    maps = torch.cat((x, y, x * x, y * y, x * y))
    small = min(x.shape[-2:]) < 2 * SSIM_RADIUS + 1
    blurred = maps.mean((-2, -1), keepdim=True) if small else blur(maps)
    mean_x, mean_y, xx, yy, xy = blurred.chunk(5)
    covariance = xy - mean_x * mean_y
    variance = xx + yy - mean_x**2 - mean_y**2
    c1, c2 = 0.01**2, 0.03**2
    contrast = (2 * covariance + c2) / (variance + c2)
    return (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1) * contrast, contrast


def blur(x: Tensor) -> Tensor:
    """Gaussian mean of windows of 11x11, sigma 1.5: (..., H, W) -> (..., H - 10, W - 10)."""
    with torch.autocast(x.device.type, enabled=False):  # half precision loses what SSIM compares
        return _blur_rows(_blur_rows(x.mT).mT)


def _blur_rows(x: Tensor) -> Tensor:
    """Products with a banded matrix: several times as fast as a convolution with one channel."""
    width = x.shape[-1] - 2 * SSIM_RADIUS
    offset = torch.arange(_BLURRED_AT_ONCE + 2 * SSIM_RADIUS, device=x.device)[:, None]
    offset = offset - SSIM_RADIUS - torch.arange(_BLURRED_AT_ONCE, device=x.device)
    band = torch.exp(-0.5 * (offset.to(x.dtype) / SSIM_SIGMA) ** 2) * (offset.abs() <= SSIM_RADIUS)
    band = band / band[:, 0].sum()
    blocks = F.pad(x, (0, -width % _BLURRED_AT_ONCE)).unfold(-1, len(band), _BLURRED_AT_ONCE)
    return (blocks @ band).flatten(-2)[..., :width]


def delta_e2000(x: Tensor, y: Tensor) -> Tensor:
    """Mean CIEDE2000 difference of two pictures, (N,)."""
    return ciede2000(rgb_to_lab(x), rgb_to_lab(y)).flatten(1).mean(1)


def ciede2000(lab1: Tensor, lab2: Tensor, axis: int = -3) -> Tensor:
    """Colour difference CIEDE2000 of L*a*b* values, the channel axis removed.

    Sharma, Wu, Dalal 2005, "The CIEDE2000 color-difference formula", eqs. 2-22, kL = kC = kH = 1.
    """
    lightness1, a1, b1 = lab1.unbind(axis)
    lightness2, a2, b2 = lab2.unbind(axis)
    mean_chroma = (torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * _chroma_ratio(mean_chroma)  # eqs. 3-4: 1 + G
    a1, a2 = stretch * a1, stretch * a2
    chroma1, chroma2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    hue1, hue2 = (torch.atan2(b, a) % math.tau for a, b in ((a1, b1), (a2, b2)))
    colourless = chroma1 * chroma2 == 0

    turn = (hue2 - hue1 + math.pi) % math.tau - math.pi  # eq. 10
    turn = torch.where(colourless, 0.0, turn)
    d_lightness, d_chroma = lightness2 - lightness1, chroma2 - chroma1
    d_hue = 2 * (chroma1 * chroma2).sqrt() * torch.sin(turn / 2)

    mean_lightness, mean_chroma = (lightness1 + lightness2) / 2, (chroma1 + chroma2) / 2
    hue = (hue1 + hue2) / 2  # eq. 14
    far = (hue1 - hue2).abs() > math.pi
    hue = torch.where(far, torch.where(hue1 + hue2 < math.tau, hue + math.pi, hue - math.pi), hue)
    hue = torch.where(colourless, hue1 + hue2, hue)
    degrees = torch.rad2deg(hue)
    weight = (
        1
        - 0.17 * torch.cos(hue - math.radians(30))
        + 0.24 * torch.cos(2 * hue)
        + 0.32 * torch.cos(3 * hue + math.radians(6))
        - 0.20 * torch.cos(4 * hue - math.radians(63))
    )
    offset = (mean_lightness - 50) ** 2
    scale_lightness = 1 + 0.015 * offset / (20 + offset).sqrt()
    scale_chroma = 1 + 0.045 * mean_chroma
    scale_hue = 1 + 0.015 * mean_chroma * weight
    angle = math.radians(60) * torch.exp(-(((degrees - 275) / 25) ** 2))
    rotation = -2 * _chroma_ratio(mean_chroma) * torch.sin(angle)
    chroma_term, hue_term = d_chroma / scale_chroma, d_hue / scale_hue
    total = (
        (d_lightness / scale_lightness) ** 2
        + chroma_term**2
        + hue_term**2
        + rotation * chroma_term * hue_term
    )
    return total.clamp(min=0).sqrt()


def _chroma_ratio(chroma: Tensor) -> Tensor:
    seventh = chroma**7
    return (seventh / (seventh + 25.0**7)).sqrt()


_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang 2003, section 3.2


def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """Multi-scale structural similarity of the luma, (N,). Wang, Simoncelli, Bovik 2003, eq. 7.

    Pictures below 161 pixels an axis have fewer scales, whose weights are enlarged to sum to 1.
    """
    x, y = luma(x), luma(y)
    scales = 1
    while scales < len(_SCALE_WEIGHTS) and min(x.shape[-2:]) >> scales > 2 * SSIM_RADIUS:
        scales += 1
    weights = torch.tensor(_SCALE_WEIGHTS[:scales], device=x.device, dtype=x.dtype)
    weights = weights / weights.sum()
    result = torch.ones(len(x), device=x.device, dtype=x.dtype)
    for number, weight in enumerate(weights):
        similarity, contrast = _similarity(x, y)
        part = similarity if number == scales - 1 else contrast
        result = result * part.flatten(1).mean(1).clamp(min=0) ** weight
        if number < scales - 1:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return result
