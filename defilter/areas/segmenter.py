"""Pictures of any size to a soft map of categories.

Axes: K category, H W pixels of the picture, h w pixels of the map.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from defilter.areas.network import STRIDE
from defilter.sampling import LEAST_AREA_PIXELS, LEAST_AREA_SHARE


class AreaMap(NamedTuple):
    """What each part of a picture shows.

    Attributes:
        categories: names.
        weights: (K, h, w) float32, how much of a pixel each category has; they sum to 1.
    """

    categories: tuple[str, ...]
    weights: Tensor

    def labels(self, height: int, width: int) -> Tensor:
        """(H, W) int64: the category of each pixel."""
        return self.enlarged(height, width, slice(0, height)).argmax(0)

    def enlarged(self, height: int, width: int, rows: slice) -> Tensor:
        """(K, rows, W): some rows of the weights at the picture's size; borders are soft."""
        h = self.weights.shape[1]
        place = (torch.arange(rows.start, rows.stop) + 0.5) / height * h - 0.5
        above = place.clamp(min=0).floor().long().clamp(max=h - 1)
        below = (above + 1).clamp(max=h - 1)
        share = (place - above).clamp(0, 1)[:, None]
        found = self.weights[:, above] * (1 - share) + self.weights[:, below] * share
        return F.interpolate(found[None], (len(place), width), mode="bilinear")[0]

    def shares(self) -> dict[str, float]:
        """Share of the picture that each category has, of those that are large enough to count."""
        counts = torch.bincount(self.weights.argmax(0).flatten(), minlength=len(self.categories))
        total = int(counts.sum())
        least = max(LEAST_AREA_SHARE * total, min(LEAST_AREA_PIXELS, total / 4))
        return {
            name: count / total
            for name, count in zip(self.categories, counts.tolist(), strict=True)
            if count >= least
        }


class Segmenter:
    """A segmentation network, whatever sizes it likes, as a map of pictures.

    Args:
        network: (N, 3, H, W) -> (N, C, H, W) logits; of torchvision's models the `out`.
        categories: C names, what the logits stand for.
        merge: name -> name of the category that it counts as; others keep their names.
        side: longest side that the network sees.
        mean, deviation: of the channels, as the network was trained; ours wants [0, 1] as it is.
    """

    def __init__(
        self,
        network: nn.Module,
        categories: Sequence[str],
        merge: dict[str, str] | None = None,
        side: int = 480,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        deviation: Sequence[float] = (1.0, 1.0, 1.0),
    ):
        self.network, self.side = network.eval(), side
        self.mean, self.deviation = (torch.tensor(x)[:, None, None] for x in (mean, deviation))
        kept = [(merge or {}).get(name, name) for name in categories]
        self.categories = tuple(dict.fromkeys(kept))
        self.rows = [self.categories.index(name) for name in kept]

    @torch.no_grad()
    def __call__(self, picture: Tensor) -> AreaMap:
        """Of a picture (3, H, W) in [0, 1]."""
        height, width = picture.shape[1:]
        scale = self.side / max(height, width)
        h, w = (max(1, round(n * scale)) for n in (height, width))
        x = F.interpolate(picture[None].float(), (h, w), mode="bilinear", antialias=True)
        x = F.pad((x - self.mean) / self.deviation, (0, -w % STRIDE, 0, -h % STRIDE), "replicate")
        found = self.network(x.to(next(self.network.parameters(), x).device))
        logits = (found["out"] if isinstance(found, dict) else found)[0, :, :h, :w].float()
        chances = logits.softmax(0)
        weights = torch.zeros(len(self.categories), h, w, device=chances.device)
        weights.index_add_(0, torch.tensor(self.rows, device=chances.device), chances)
        return AreaMap(self.categories, weights.cpu())
