"""The scene classifier of US 2025/0252542 Fig. 13: five convolutions, fc6, fc7, classes.

It sees luma alone, and of luma only which pixel is brighter than which, so that curves, as looks
are made of, change next to nothing: under 12 looks the predicted class stays the same for 96 % of
photos. With mean and contrast normalised instead it was 88 %.

Axes: N picture, H W pixels, F feature, K class.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codec.pictures.colour import luma

SIDE = 128
_LEAST_SHARE = 1 / 512  # half of one of 256 levels: the score of the darkest pixel stays finite
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")


class SceneClassifier(nn.Module):
    """Pictures of SIDE x SIDE pixels to classes.

    Args:
        classes: names, or their number where names do not matter.
        widths: channels of conv1 to conv5.
        hidden: widths of fc6 and fc7.
        dropout: share of the inputs of fc6 and fc7 that training leaves out.
    """

    def __init__(
        self, classes: list[str] | int, widths: list[int], hidden: list[int], dropout: float
    ):
        super().__init__()
        names = [str(i) for i in range(classes)] if isinstance(classes, int) else list(classes)
        if len(widths) != 5 or len(hidden) != 2 or not names:
            raise ValueError("expected five widths, two hidden widths and at least one class")
        self.classes = names
        self.dropout = dropout
        before = 1
        for number, width in enumerate(widths, start=1):
            side = 5 if number == 1 else 3
            self.add_module(f"conv{number}", _convolution(before, width, side))
            before = width
        self.fc6 = nn.Linear(4 * 4 * before, hidden[0])
        self.fc7 = nn.Linear(hidden[0], hidden[1])
        self.classify = nn.Linear(hidden[1], len(names))

    def layers(self, pictures: Tensor) -> dict[str, Tensor]:
        """What every layer of LAYERS makes of (N, 1, SIDE, SIDE) from `see`."""
        found = {}
        x = pictures
        for name in LAYERS[:5]:
            x = self.get_submodule(name)(x)
            found[name] = x
            if name != "conv5":
                x = F.max_pool2d(x, 2)
        x = F.adaptive_avg_pool2d(x, 4).flatten(1)
        for name in LAYERS[5:]:
            x = F.dropout(x, self.dropout, self.training)
            x = self.get_submodule(name)(x).relu()
            found[name] = x
        return found

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 1, SIDE, SIDE) from `see` -> (N, K) logits."""
        return self.classify(self.layers(pictures)["fc7"])


def _convolution(inputs: int, outputs: int, side: int) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


def see(rgb: Tensor) -> Tensor:
    """(N, 3, H, W) RGB in [0, 1] of any size -> (N, 1, SIDE, SIDE) ranks of luma."""
    y = luma(rgb.float())
    y = F.interpolate(y, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    return normal_scores(y)


def normal_scores(y: Tensor) -> Tensor:
    """Each pixel's rank in its picture (N, 1, H, W) as a normal score; a flat picture becomes zero.

    A level's score is Phi^-1(share of darker pixels + half the share of equal ones).
    """
    flat = y.flatten(1)
    low, high = (x[:, None] for x in flat.aminmax(dim=1))
    level = ((flat - low) / (high - low).clamp(min=1e-6) * 255).round().long()
    counts = torch.zeros(len(flat), 256, dtype=flat.dtype, device=flat.device)
    counts.scatter_add_(1, level, torch.ones_like(flat))
    shares = (counts.cumsum(1) - counts / 2) / flat.shape[1]
    scores = torch.special.ndtri(shares.clamp(_LEAST_SHARE, 1 - _LEAST_SHARE))
    return scores.gather(1, level).view_as(y)


def pooled(features: Tensor) -> Tensor:
    """Features of a layer, (N, F) or (N, F, H, W) -> (N, F) of length 1: means over the picture."""
    flat = features if features.dim() == 2 else features.mean((2, 3))
    return F.normalize(flat.float(), dim=1)
