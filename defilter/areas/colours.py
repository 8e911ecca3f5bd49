"""Colours that stand for categories in pictures for people.

Axes: N picture, H W pixels.
"""

import torch
from torch import Tensor

CATEGORY_COLOURS = torch.tensor(
    [
        [0.5, 0.7, 1.0],
        [0.65, 0.35, 0.2],
        [0.2, 0.6, 0.2],
        [0.5, 0.5, 0.5],
        [1.0, 0.2, 0.3],
        [0.3, 0.2, 0.7],
        [0.9, 0.8, 0.3],
        [0.0, 0.7, 0.7],
        [0.9, 0.5, 0.9],
        [0.0, 0.0, 0.0],
    ]
)


def colour_of(category: int) -> Tensor:
    """(3,) in [0, 1]; all beyond the listed colours are black."""
    return CATEGORY_COLOURS[min(category, len(CATEGORY_COLOURS) - 1)]


def paint(labels: Tensor) -> Tensor:
    """(N, H, W) categories -> (N, 3, H, W) in [0, 1]; see `colour_of`."""
    index = labels.long().clamp(max=len(CATEGORY_COLOURS) - 1)
    return CATEGORY_COLOURS.to(labels.device)[index].movedim(-1, 1)
