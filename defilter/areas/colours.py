"""Colours that stand for categories in pictures for people.

Axes: N picture, H W pixels.
"""

import torch
from torch import Tensor

PALETTE = torch.tensor(
    [[0.5, 0.7, 1.0], [0.65, 0.35, 0.2], [0.2, 0.6, 0.2], [0.5, 0.5, 0.5], [1.0, 0.2, 0.3],
     [0.3, 0.2, 0.7], [0.9, 0.8, 0.3], [0.0, 0.7, 0.7], [0.9, 0.5, 0.9], [0.0, 0.0, 0.0]]
)  # fmt: skip


def paint(labels: Tensor) -> Tensor:
    """(N, H, W) categories -> (N, 3, H, W) in [0, 1]; all beyond the palette are black."""
    index = labels.long().clamp(max=len(PALETTE) - 1)
    return PALETTE.to(labels.device)[index].movedim(-1, 1)
