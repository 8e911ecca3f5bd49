"""The default network: from whole templates to the look and its inverse.

A global encoder sees how the colours of the templates are spread; features are averaged over the
templates of one look. Two heads turn them into colour maps: the inverse look, which de-filters the
template, and the forward look, which renders other photos. A small U-Net adds what no colour map
can: vignettes, light leaks.

Axes: L look, M template of that look, N = L M picture, C channel, H W pixels, F feature,
K basis look, D grid size of a table.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codec.pictures.lut import apply_trilinear, identity_lut
from codec.pictures.resize import squash
from defilter.unet import DefilterUNet, Reading

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
TABLE_SIZE = 9


class LookEstimate(NamedTuple):
    """What the network says of L looks: two colour maps as tables (L, 3, D, D, D), laid out as in
    `codec.pictures.lut`, and the features (L, F) behind them."""

    inverse: Tensor
    forward: Tensor
    features: Tensor


def colour_statistics(x: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, 35): means, deviations, quantiles, covariances, extremes of channels."""
    pixels = x.flatten(2)
    mean = pixels.mean(2)
    centred = pixels - mean[..., None]
    covariance = centred @ centred.mT / pixels.shape[2]
    ranked = pixels.sort(dim=2).values
    # Slices and not lists of indices, which would be uploaded, and waited for, in every call.
    quantiles = [ranked[..., round(q * (pixels.shape[2] - 1))] for q in QUANTILES]
    between = torch.cat((covariance[:, 0, 1:], covariance[:, 1, 2:]), 1)
    high, low = pixels.amax(1), pixels.amin(1)
    return torch.cat(
        (
            mean,
            covariance.diagonal(dim1=1, dim2=2).clamp(min=1e-8).sqrt(),
            torch.stack(quantiles, 2).flatten(1),
            between * 10,  # to the size of the other statistics
            torch.stack((high.mean(1), low.mean(1), (high - low).mean(1)), 1),
            (high - low).square().mean(1, keepdim=True).sqrt(),
            (high > 0.98).to(x).mean(1, keepdim=True),
        ),
        1,
    )


STATISTICS = 3 + 3 + 21 + 3 + 3 + 1 + 1


def soft_histogram(x: Tensor, bins: int) -> Tensor:
    """(N, 3, H, W) -> (N, bins^3): square root of the share of pixels near each grid colour."""
    axis = torch.linspace(0, 1, bins, device=x.device, dtype=x.dtype)
    hats = (1 - (x.flatten(2)[..., None] - axis).abs() * (bins - 1)).clamp(min=0)
    red, green, blue = hats.unbind(1)  # N, P, bins
    red_green = (red[..., :, None] * green[..., None, :]).flatten(2)
    return (red_green.mT @ blue / x[0, 0].numel()).flatten(1).clamp(min=1e-8).sqrt()


class LookHead(nn.Module):
    """Features (L, F) -> tables (L, 3, D, D, D): a mixture of K learned basis looks.

    The basis starts as the 20 monomials up to degree 3 on each of the three channels, so that the
    head begins as a full cubic; the mixture starts at nothing, the identity.
    """

    def __init__(self, features: int):
        super().__init__()
        red, green, blue = identity_lut(TABLE_SIZE) - 0.5
        monomials = torch.stack(
            [
                red**r * green**g * blue**b
                for r in range(4)
                for g in range(4 - r)
                for b in range(4 - r - g)
            ]
        )
        channels = torch.eye(3).view(3, 1, 3, 1, 1, 1)
        self.basis = nn.Parameter((channels * monomials[:, None]).flatten(0, 1).flatten(1))
        self.mixture = nn.Linear(features, len(self.basis))
        nn.init.zeros_(self.mixture.weight)
        nn.init.zeros_(self.mixture.bias)

    def forward(self, features: Tensor) -> Tensor:
        change = self.mixture(features) @ self.basis
        identity = identity_lut(TABLE_SIZE, features.device)
        return identity + change.view(-1, *identity.shape)


class LookEncoder(nn.Module):
    """Features of pictures (N, 3, H, W): statistics, soft 3D histogram and pooled convolutions."""

    def __init__(self, bins: int, channels: Sequence[int]):
        super().__init__()
        self.bins = bins
        layers: list[nn.Module] = []
        for in_channels, out_channels in zip((3, *channels), channels, strict=False):
            layers += [nn.Conv2d(in_channels, out_channels, 3, 2, 1), nn.ReLU(inplace=True)]
            layers += [nn.Conv2d(out_channels, out_channels, 3, 1, 1), nn.ReLU(inplace=True)]
        self.convolutions = nn.Sequential(*layers)
        self.width = STATISTICS + bins**3 + 2 * channels[-1]

    def forward(self, x: Tensor) -> Tensor:
        deep = self.convolutions(x - 0.5).float()
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            statistics, histogram = colour_statistics(x), soft_histogram(x, self.bins)
        pooled = (deep.mean((2, 3)), deep.amax((2, 3)))
        return torch.cat((statistics, histogram * 4, *pooled), 1)  # 4: to their size


class GlobalLook(nn.Module):
    """Encoder, two heads and the local residual.

    Args:
        encoder: features of a picture.
        hidden: width of the two hidden layers between features and heads.
        local: U-Net of 9 input channels (template, its inverse-mapped colours, position and
            distance from the centre) with a context of `hidden`, or None for colour maps alone.
        size: side that templates are squashed to for the encoder and the U-Net.
    """

    samples_pairs: ClassVar[bool] = False  # it says itself what the look does to other photos
    categories: ClassVar[int] = 0  # that it has to be told

    def __init__(
        self,
        encoder: LookEncoder,
        hidden: int,
        local: DefilterUNet | None,
        size: int,
    ):
        super().__init__()
        self.encoder, self.local, self.size = encoder, local, size
        self.trunk = nn.Sequential(
            nn.LayerNorm(encoder.width),
            nn.Linear(encoder.width, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
        )
        self.inverse_head, self.forward_head = LookHead(hidden), LookHead(hidden)

    def encode(self, templates: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, F); average these over the templates of one look."""
        return self.encoder(squash(templates, self.size))

    def estimate(self, encoded: Tensor) -> LookEstimate:
        """(L, F) averaged features -> the colour maps."""
        features = self.trunk(encoded)
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            return LookEstimate(self.inverse_head(features), self.forward_head(features), features)

    def remove(self, templates: Tensor, estimate: LookEstimate) -> Tensor:
        """De-filter (N, 3, H, W) with one estimate a picture; not clamped."""
        base = apply_trilinear(templates, estimate.inverse)
        return base if self.local is None else base + self._residual(templates, estimate)

    def _residual(self, templates: Tensor, estimate: LookEstimate) -> Tensor:
        """What the U-Net adds: computed at `size`, since vignettes and leaks are smooth."""
        assert self.local is not None
        small = squash(templates, self.size)
        base = apply_trilinear(small, estimate.inverse)
        axis = torch.linspace(-1, 1, self.size, device=small.device, dtype=small.dtype)
        across, down = axis.expand(self.size, -1), axis[:, None].expand(-1, self.size)
        position = torch.stack((across, down, across**2 + down**2))
        inputs = (small - 0.5, base - 0.5, position.expand(len(small), -1, -1, -1))
        residual = self.local(torch.cat(inputs, 1), estimate.features).float()
        if residual.shape[-2:] == templates.shape[-2:]:
            return residual
        return F.interpolate(residual, templates.shape[-2:], mode="bilinear", align_corners=False)

    def read(self, templates: Tensor, areas: Tensor | None = None) -> Reading:
        """Of (M, 3, H, W) that share one look; this network needs no areas."""
        encoded = self.encode(templates).mean(0, keepdim=True)
        estimate = self.estimate(encoded)
        shared = LookEstimate(*(x.expand(len(templates), *x.shape[1:]) for x in estimate))
        return Reading(self.remove(templates, shared), estimate.forward[0], encoded[0])

    def forward(self, templates: Tensor) -> Tensor:
        """De-filtered pictures, each estimated by itself: (N, 3, H, W) -> the same, clamped."""
        estimate = self.estimate(self.encode(templates))
        return self.remove(templates, estimate).clamp(0, 1)
