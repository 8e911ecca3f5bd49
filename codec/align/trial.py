"""What a prediction would save, from one transform and no coding: orders variants as bytes do.

Axes: C plane, I J cells of 8 x 8, K frequency, S T regions of 32 x 32.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.planes import pad
from codec.prediction.alpha import QUARTERS, Alpha
from codec.residual.quantise import Weighting, step_map
from codec.residual.transform import CELL, REGION, SIZES, forward

_BLOCK = 16
_BITS = 1.8  # of a stream for one of these units: 1.6 to 1.9 at qualities that people use
_CHANGED = 4.0  # units that a region's alpha has to save


class Trial(NamedTuple):
    """A picture as frequencies in steps, (C, I, J, K) float32, and those steps."""

    wanted: Tensor
    steps: Tensor

    def alone(self) -> float:
        """About how many bytes the picture takes without a prediction."""
        return _bytes(_detail(self.wanted).sum(), self.wanted)

    def rest(self, planes: Tensor) -> float:
        """The same of what a prediction (C, H, W) leaves over."""
        left = self.wanted - frequencies(planes) / self.steps
        return _bytes(_detail(left).sum(), left)

    def choose_alpha(self, planes: Tensor) -> Alpha:
        """The share of a prediction's detail that is cheapest in each region."""
        given = frequencies(planes) / self.steps
        found = []
        for number, quarters in enumerate(QUARTERS):
            detail = _detail(self.wanted - given * (quarters / 4))
            region = F.avg_pool2d(detail[None], REGION // CELL, divisor_override=1)[0]
            found.append(region + _CHANGED * (number > 0))
        return Alpha(torch.stack(found).argmin(0).to(torch.int8))


def trial_of(picture: Tensor, step_index: int, weighting: Weighting) -> Trial:
    """The trial of a picture (C, H, W) int32 in 1/16 grey level at a step."""
    wanted = frequencies(picture)
    sizes = torch.full((1, *wanted.shape[1:3]), SIZES.index(_BLOCK), device=picture.device)
    index = torch.tensor([step_index], device=picture.device)
    maps = [step_map(index, weighting, plane > 0, sizes)[0].float() for plane in range(len(wanted))]
    steps = torch.stack([m.expand_as(wanted[0]) for m in maps])
    return Trial(wanted / steps, steps)


def frequencies(planes: Tensor) -> Tensor:
    """(C, H, W) int32 -> (C, I, J, K) float32, all blocks of 16."""
    every = pad(planes[None])[0]
    return torch.cat([forward(plane[None], _BLOCK).float() for plane in every])


def _detail(x: Tensor) -> Tensor:
    """(I, J): what the frequencies of a cell but its means take, all planes together."""
    return x[..., 1:].square().add_(1).log2_().sum((0, 3))


def _bytes(detail: Tensor, x: Tensor) -> float:
    means = x[..., 0]
    padded = F.pad(means, (1, 1, 1, 1), mode="replicate")
    around = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    bent = (means - around / 4).square().add(1).log2().sum()
    return float(detail + bent) * _BITS / 8
