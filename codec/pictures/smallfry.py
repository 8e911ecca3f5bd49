"""SmallFry, a score of JPEG-like pictures. Axes: C channel, H W pixels."""

import math

import torch
from torch import Tensor

from codec.pictures.colour import luma

_EDGE_WEIGHT, _PSNR_WEIGHT = 78.5328607296973, 37.1891885161239


SMALLFRY_MOST = _EDGE_WEIGHT + _PSNR_WEIGHT


def smallfry(original: Tensor, decoded: Tensor) -> float:
    """Derek Buitenhuis' SmallFry: PSNR and the edges that 8 x 8 blocks add. 0 to 115.722.

    The formula is that of smallfry.c; the term of it that is always 1 is left out, and so is the
    column whose right neighbour lies outside the picture. Both pictures (C, H, W) uint8.
    """
    x, y = (luma(p.expand(3, -1, -1).double())[0].round() for p in (original, decoded))
    peak = float(x.max())
    error = float((x - y).square().mean())
    fidelity = 10 * math.log10(65025 / error) if error else math.inf
    divisor = 50 if peak > 128 else 0.0016 * peak**2 - 0.38 * peak + 72.5
    fidelity = min(max(fidelity / divisor, 0.0), 1.0)
    difference = (x - y).abs()
    along = _added_edges(difference, difference.shape[1] - 2)
    down = _added_edges(difference.T, difference.shape[0] - 2)
    scores = torch.cat((along, down))
    smooth = 1 - float(scores.mean()) if len(scores) else 1.0
    return _PSNR_WEIGHT * fidelity + _EDGE_WEIGHT * smooth


def _added_edges(difference: Tensor, end: int) -> Tensor:
    """Scores 0 to 1 of how the error jumps at columns 7, 15, ... before `end`."""
    at = torch.arange(7, max(end, 7), 8)
    d0, d1, d2, d3 = (difference[:, at + offset] for offset in (-1, 0, 1, 2))
    around = ((d0 - d1).abs() + (d2 - d3).abs() + 1e-4) / 2
    ratio = (d1 - d2).abs() / around
    score = torch.where(ratio > 5, 1.0, ((ratio - 2) / 3).clamp(0, 1))
    return score.flatten().double()
