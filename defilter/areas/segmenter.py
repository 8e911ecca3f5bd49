"""Pictures of any size to a soft map of categories: the network that ships, or one of torchvision.

Axes: K category, H W pixels of the picture, h w pixels of the map.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from defilter.areas.network import STRIDE, SegmentNet
from defilter.sampling import LEAST_AREA_PIXELS, LEAST_AREA_SHARE
from defilter.weights import WeightsError, load_network

SHARPNESS = 2.0  # factor of the logits, by eye: borders are narrower, and looks mix less
SHIPPED = Path(__file__).with_name("areas.safetensors")
SHIPPED_SALIENCY = Path(__file__).with_name("saliency.safetensors")


class AreaMap(NamedTuple):
    """What each part of a picture shows.

    Attributes:
        categories: names.
        weights: (K, h, w) float32 or float16, how much of a pixel each category has; they sum to 1.
    """

    categories: tuple[str, ...]
    weights: Tensor

    def labels(self, height: int, width: int, least: float = 0.0) -> Tensor:
        """(H, W) int64: the category of each pixel; -1: no weight is at least `least`."""
        weight, category = self.enlarged(height, width, slice(0, height)).max(0)
        return torch.where(weight >= least, category, -1)

    def inside(self, name: str, height: int, width: int, least: float = 0.0) -> Tensor:
        """(H, W) bool: where the category is; see `labels`."""
        return self.labels(height, width, least) == self.categories.index(name)

    def compact(self, side: int) -> "AreaMap":
        """The same in (K, side, side) float16, to be kept."""
        size = (side, side)
        weights = F.interpolate(self.weights[None], size, mode="bilinear", antialias=True)[0]
        return AreaMap(self.categories, weights.half())

    def enlarged(self, height: int, width: int, rows: slice) -> Tensor:
        """(K, rows, W): some rows of the weights at the picture's size; borders are soft."""
        h = self.weights.shape[1]
        place = (torch.arange(rows.start, rows.stop) + 0.5) / height * h - 0.5
        above = place.clamp(min=0).floor().long().clamp(max=h - 1)
        below = (above + 1).clamp(max=h - 1)
        share = (place - above).clamp(0, 1)[:, None]
        weights = self.weights.float()
        found = weights[:, above] * (1 - share) + weights[:, below] * share
        return F.interpolate(found[None], (len(place), width), mode="bilinear")[0]

    def shares(self) -> dict[str, float]:
        """Share of the picture that each category has, of those that are large enough to count."""
        weight, category = self.weights.max(0)
        counts = torch.bincount(category[weight > 0], minlength=len(self.categories))
        total = weight.numel()
        least = max(LEAST_AREA_SHARE * total, min(LEAST_AREA_PIXELS, total / 4))
        return {
            name: count / total
            for name, count in zip(self.categories, counts.tolist(), strict=True)
            if count >= least
        }


class Segmenter:
    """Wraps a segmentation network: any picture in, a soft map of categories out.

    Args:
        network: (N, 3, H, W) -> (N, C, H, W) logits; of torchvision's models the `out`.
        categories: C names, what the logits stand for.
        merge: name -> name of the category that it counts as; others keep their names.
        side: longest side that the network sees.
        normalise: what the network wants of (N, 3, H, W) in [0, 1]; ours takes it as it is.
    """

    def __init__(
        self,
        network: nn.Module,
        categories: Sequence[str],
        merge: dict[str, str] | None = None,
        side: int = 400,
        normalise: Callable[[Tensor], Tensor] | None = None,
    ):
        self.network, self.side, self.normalise = network.eval(), side, normalise
        kept = [(merge or {}).get(name, name) for name in categories]
        self.categories = tuple(dict.fromkeys(kept))
        self.rows = [self.categories.index(name) for name in kept]

    @torch.no_grad()
    def __call__(self, picture: Tensor) -> AreaMap:
        """Of a picture (3, H, W) in [0, 1], on any device; the map is on the CPU."""
        # A network without weights of its own works where the picture is.
        picture = picture.to(next(self.network.parameters(), picture).device)
        height, width = picture.shape[1:]
        scale = self.side / max(height, width)
        h, w = (max(1, round(n * scale)) for n in (height, width))
        x = F.interpolate(picture[None].float(), (h, w), mode="bilinear", antialias=True)
        x = x if self.normalise is None else self.normalise(x)
        x = F.pad(x, (0, -w % STRIDE, 0, -h % STRIDE), "replicate")
        x = torch.cat((x, x.flip(3)))  # mirrored, too: a little surer
        found = self.network(x)
        logits = (found["out"] if isinstance(found, dict) else found).float()
        probabilities = (SHARPNESS * logits).softmax(1)
        probabilities = (probabilities[0] + probabilities[1].flip(2))[:, :h, :w] / 2
        weights = torch.zeros(len(self.categories), h, w, device=probabilities.device)
        weights.index_add_(0, torch.tensor(self.rows, device=probabilities.device), probabilities)
        return AreaMap(self.categories, weights.cpu())


def load_segmenter(weights: Path | str | None = None, side: int = 400) -> Segmenter:
    """The segmentation that ships, or one from `train.py experiment=segment`.

    Raises:
        WeightsError: not such a file.
    """
    path = SHIPPED if weights is None else Path(weights)
    network = load_network(path, SegmentNet)
    return Segmenter(network, network.categories, side=side)


def load_saliency(weights: Path | str | None = None, side: int = 320) -> Segmenter:
    """What stands out and what does not, as the network that ships or one of your own sees it.

    Raises:
        WeightsError: not such a file, or a network of other categories.
    """
    path = SHIPPED_SALIENCY if weights is None else Path(weights)
    segmenter = load_segmenter(path, side)
    if "salient" not in segmenter.categories:
        raise WeightsError(f"{path}: expected a network with the category salient")
    return segmenter


def torchvision_segmenter(
    model: str, merge: dict[str, str], weights: str | None = None, side: int = 520
) -> Segmenter:
    """A segmentation model of torchvision, with a table from its categories to yours.

    Args:
        model: its name, such as deeplabv3_mobilenet_v3_large.
        merge: name of its category -> name of yours; all others are `other`.
        weights: a .safetensors file of its state; None downloads torchvision's own once.
        side: longest side that it sees.

    Raises:
        ValueError: no such model or category; weights that do not fit.
    """
    # They pull in half of what a command loads, and few ask for them.
    import torchvision.models
    from torchvision.transforms.functional import normalize

    known = torchvision.models.list_models(torchvision.models.segmentation)
    if model not in known:
        raise ValueError(f"{model}: expected one of {', '.join(known)}")
    choice = torchvision.models.get_model_weights(model)["DEFAULT"]
    names = choice.meta["categories"]
    if set(merge) - set(names):
        raise ValueError(
            f"{', '.join(sorted(set(merge) - set(names)))}: expected categories out of "
            f"{', '.join(names)}"
        )
    network = torchvision.models.get_model(model, weights=None, weights_backbone=None)
    try:
        state = load_file(weights) if weights else choice.get_state_dict(check_hash=True)
        needed = {k: v for k, v in state.items() if not k.startswith("aux_classifier")}
        network.load_state_dict(needed)
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{weights or model}: expected weights of {model} ({reason})") from error
    preset = choice.transforms()
    table = {name: merge.get(name, "other") for name in names}
    normalise = partial(normalize, mean=preset.mean, std=preset.std)
    return Segmenter(network, names, table, side, normalise)
