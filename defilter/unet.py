"""The de-filter U-Net of US 2025/0252542: Fig. 2, Fig. 3, and the small local residual.

Axes: N picture, C channel, H W pixels, multiples of 4.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Reading(NamedTuple):
    """What a network says of M templates that share a look.

    Attributes:
        removed: (M, 3, H, W) the templates without it, not clamped.
        forward: (3, D, D, D) what the look does to other photos; None: the network only de-filters.
        features: (F,) of the look, that looks can be compared by, or None.
    """

    removed: Tensor
    forward: Tensor | None = None
    features: Tensor | None = None


def conv_unit(channels: Sequence[int], kernels: Sequence[int], norm: bool) -> nn.Sequential:
    """Convolutions of stride 1 with replicate padding, each with instance norm and ReLU."""
    layers: list[nn.Module] = []
    for (in_channels, out_channels), kernel in zip(pairwise(channels), kernels, strict=True):
        layers.append(_convolution(in_channels, out_channels, kernel))
        if norm:
            layers.append(nn.InstanceNorm2d(out_channels, affine=True))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class ResidualUnit(nn.Module):
    """Convolutions whose sum with the unit's input is activated: A = f(Z_l + u Z_{l-1}), eq. 1."""

    def __init__(self, in_channels: int, out_channels: int, convolutions: int, norm: bool):
        super().__init__()
        channels = [in_channels] + [out_channels] * convolutions
        self.convolutions = conv_unit(channels, [3] * convolutions, norm)[:-1]  # ReLU after the sum
        self.match = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.convolutions(x) + self.match(x))


class DefilterUNet(nn.Module):
    """Encoder of three units, decoder of two, 2x2 max pooling and nearest-neighbour upsampling.

    The defaults are Fig. 2 (paragraphs 63-69). Fig. 3 (paragraphs 74-84) adds channels to the
    input, has one convolution in encoder unit 2, and concatenates the encoder's features before
    pooling into the decoder, which then convolves once and twice.

    Args:
        in_channels: of the picture and what is concatenated to it, such as a class map.
        widths: channels at full, half and quarter size.
        encoder: convolutions of the three encoder units.
        decoder: convolutions of the two decoder units, the last layer included.
        skips: whether encoder features before pooling are concatenated into the decoder.
        norm: whether instance norm follows each convolution but the last.
        context: length of a vector that scales and shifts each unit's features; 0 for none.
        zero_init: whether the last layer starts at zero, for use as a residual.
    """

    samples_pairs: ClassVar[bool] = True  # looks are fitted to pairs of colours
    categories: ClassVar[int] = 0  # that it has to be told

    def __init__(  # noqa: PLR0913 - weights files name these arguments
        self,
        in_channels: int = 3,
        widths: Sequence[int] = (48, 96, 192),
        encoder: Sequence[int] = (2, 2, 3),
        decoder: Sequence[int] = (2, 3),
        skips: bool = False,
        norm: bool = True,
        context: int = 0,
        zero_init: bool = False,
    ):
        super().__init__()
        full, half, quarter = widths
        self.encode1 = conv_unit(
            [in_channels] + [full] * encoder[0], [7] + [3] * (encoder[0] - 1), norm
        )
        self.encode2 = conv_unit([full] + [half] * encoder[1], [3] * encoder[1], norm)
        self.encode3 = ResidualUnit(half, quarter, encoder[2], norm)
        first_in = quarter + (half if skips else 0)
        second_in = half + (full if skips else 0)
        self.decode1 = conv_unit([first_in] + [half] * decoder[0], [3] * decoder[0], norm)
        self.decode2 = conv_unit(
            [second_in] + [full] * (decoder[1] - 1), [3] * (decoder[1] - 1), norm
        )
        self.last = _convolution(full, 3, 3)
        self.modulate = nn.ModuleList(
            nn.Linear(context, 2 * width) for width in (half, quarter, half) if context
        )
        for parameter in (
            *self.modulate.parameters(),
            *(self.last.parameters() if zero_init else ()),
        ):
            nn.init.zeros_(parameter)
        self.skips = skips

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(N, in_channels, H, W), and (N, context) where it has one, -> (N, 3, H, W)."""
        if x.shape[-2] % 4 or x.shape[-1] % 4:
            raise ValueError(
                f"expected a height and width divisible by 4, got {tuple(x.shape[-2:])}"
            )
        full = self.encode1(x)
        half = self._modulated(0, self.encode2(F.max_pool2d(full, 2)), context)
        deep = self._modulated(1, self.encode3(F.max_pool2d(half, 2)), context)
        up = F.interpolate(deep, scale_factor=2, mode="nearest")
        up = self.decode1(torch.cat((up, half), 1) if self.skips else up)
        up = F.interpolate(self._modulated(2, up, context), scale_factor=2, mode="nearest")
        return self.last(self.decode2(torch.cat((up, full), 1) if self.skips else up))

    def defilter(self, x: Tensor, labels: Tensor) -> Tensor:
        """`forward` as Fig. 3 is called: this network does not look at the labels."""
        return self(x)

    def read(self, templates: Tensor, areas: Tensor | None = None) -> Reading:
        """Of (M, 3, H, W); this network needs no areas."""
        return Reading(self(templates))

    def _modulated(self, unit: int, features: Tensor, context: Tensor | None) -> Tensor:
        if context is None:
            return features
        scale, shift = self.modulate[unit](context)[..., None, None].chunk(2, 1)
        return features * (1 + scale) + shift


class AreaDefilterUNet(nn.Module):
    """Fig. 3: the U-Net that is told which category each pixel belongs to.

    Args:
        categories: K, how many there are.
        one_hot: K channels instead of one of class index / (K - 1).
        widths: as in DefilterUNet.
    """

    samples_pairs: ClassVar[bool] = True

    def __init__(self, categories: int, one_hot: bool, widths: Sequence[int] = (48, 96, 192)):
        super().__init__()
        if categories < 2:
            raise ValueError(f"expected at least 2 categories, got {categories}")
        self.categories, self.one_hot = categories, one_hot
        self.unet = DefilterUNet(
            in_channels=3 + (categories if one_hot else 1),
            widths=widths,
            encoder=(2, 1, 3),
            decoder=(1, 2),
            skips=True,
        )

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) and class indices (N, H, W) int64 below K -> (N, 3, H, W)."""
        if self.one_hot:
            extra = F.one_hot(labels, self.categories).movedim(-1, 1).to(x)
        else:
            extra = labels[:, None].to(x) / (self.categories - 1)
        return self.unet(torch.cat((x, extra), 1))

    def defilter(self, x: Tensor, labels: Tensor) -> Tensor:
        """`forward`, under a name that Fig. 2 has, too."""
        return self(x, labels)

    def read(self, templates: Tensor, areas: Tensor | None = None) -> Reading:
        """Of (M, 3, H, W) and how much each pixel is of each category, (M, K, H, W).

        Raises:
            ValueError: the areas are not known, or are of other categories.
        """
        if areas is None:
            raise ValueError(
                "expected areas: this network (Fig. 3) de-filters only where it is told them"
            )
        if areas.shape[1] != self.categories:
            raise ValueError(
                f"expected the {self.categories} categories that the network was trained with, "
                f"got {areas.shape[1]}"
            )
        return Reading(self(templates, areas.max(1).indices))


def _convolution(in_channels: int, out_channels: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(
        in_channels, out_channels, kernel, padding=kernel // 2, padding_mode="replicate"
    )
