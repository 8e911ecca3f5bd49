"""A small segmentation network: residual blocks down to a sixteenth, and back up to a quarter.

Axes: N picture, H W pixels, multiples of STRIDE, K category.
"""

import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 16
_MEAN, _DEVIATION = 0.45, 0.25  # of photos in [0, 1], about; ImageNet has 0.45 and 0.23


class SegmentNet(nn.Module):
    """Pictures to logits of categories.

    Args:
        categories: names, in the order of the logits.
        widths: channels at a half, a quarter, an eighth and a sixteenth.
        blocks: residual blocks at a quarter, an eighth and a sixteenth.
        decoder: channels on the way back.
    """

    def __init__(self, categories: list[str], widths: list[int], blocks: list[int], decoder: int):
        super().__init__()
        if len(widths) != 4 or len(blocks) != 3 or not categories:
            raise ValueError("expected four widths, three numbers of blocks and a category")
        self.categories = list(categories)
        self.stem = _unit(3, widths[0], 5, 2)
        self.down = nn.ModuleList(
            nn.Sequential(_unit(a, b, 3, 2), *(ResidualBlock(b) for _ in range(count)))
            for a, b, count in zip(widths, widths[1:], blocks, strict=False)
        )
        self.whole = nn.Linear(widths[3], decoder)
        self.side = nn.ModuleList(nn.Conv2d(width, decoder, 1) for width in widths[1:])
        self.up = nn.ModuleList(_unit(decoder, decoder, 3, 1) for _ in range(2))
        self.last = nn.Conv2d(decoder, len(self.categories), 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) RGB in [0, 1] -> (N, K, H, W) logits."""
        features = [self.stem((x - _MEAN) / _DEVIATION)]
        for unit in self.down:
            features.append(unit(features[-1]))
        quarter, eighth, sixteenth = features[1:]
        y = self.side[2](sixteenth)
        y = y + self.whole(sixteenth.mean((2, 3)))[..., None, None]
        for up, side, found in zip(
            self.up, (self.side[1], self.side[0]), (eighth, quarter), strict=True
        ):
            y = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
            y = up(y + side(found))
        return F.interpolate(self.last(y), scale_factor=4, mode="bilinear", align_corners=False)


class ResidualBlock(nn.Module):
    """Two convolutions, added to their input."""

    def __init__(self, width: int):
        super().__init__()
        self.first = _unit(width, width, 3, 1)
        self.second = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


def _unit(inputs: int, outputs: int, side: int, stride: int) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())
