"""Training of the segmentation network, and of a de-filter network that is told the areas."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codec.pictures.metrics import psnr
from defilter.areas.colours import paint
from defilter.areas.network import SegmentNet
from defilter.learn.area_pairs import GradedAreas
from defilter.learn.area_pictures import IGNORED, NOT_THE_MASK, AreaBatch
from defilter.learn.look_tasks import log_mse
from defilter.unet import AreaDefilterUNet, DefilterUNet

_SMOOTHING = 0.05  # of the labels, chosen by hand: borders are drawn a pixel or two off


class SegmentTask(nn.Module):
    """Tell the categories of pixels.

    Args:
        network: the network to train.
        masked: name of the category whose masks say elsewhere only that it is not there.
        weights: of the categories in the loss.
    """

    weights: Tensor

    def __init__(self, network: SegmentNet, masked: str, weights: dict[str, float]):
        super().__init__()
        self.network = network
        if masked not in network.categories or set(weights) - set(network.categories):
            raise ValueError(f"expected categories out of {', '.join(network.categories)}")
        self.masked = network.categories.index(masked)
        table = torch.tensor([weights.get(name, 1.0) for name in network.categories])
        self.register_buffer("weights", table, persistent=False)

    def forward(self, batch: AreaBatch) -> tuple[Tensor, dict[str, Tensor]]:
        # Weights in the loss shift what a network says by their logarithms. Put in here, they stay
        # out of the network, whose chances are then true to how often categories occur.
        logits = self.network(batch.pixels).float() + self.weights.log()[:, None, None]
        labels = batch.labels.long()
        known = labels < NOT_THE_MASK
        wanted = torch.where(known, labels, 0)
        losses = F.cross_entropy(
            logits, wanted, self.weights, reduction="none", label_smoothing=_SMOOTHING
        )
        right = (losses * known).sum() / known.sum().clamp(min=1)
        other = labels == NOT_THE_MASK
        present = logits.log_softmax(1)[:, self.masked].exp().clamp(max=1 - 1e-4)
        absent = (-torch.log1p(-present) * other).sum() / other.sum().clamp(min=1)
        loss = right + absent
        return loss, {"loss": loss.detach(), "labelled": right.detach(), "absent": absent.detach()}

    @torch.no_grad()
    def evaluate(self, batch: AreaBatch) -> dict[str, Tensor]:
        """Per cent of the labelled pixels that are right, (N,); masks count as there or not."""
        found = self.network(batch.pixels).argmax(1)
        labels = batch.labels.long()
        right = torch.where(labels == NOT_THE_MASK, found != self.masked, found == labels)
        counted = (labels != IGNORED).flatten(1)
        share = (right.flatten(1) & counted).sum(1) / counted.sum(1).clamp(min=1)
        return {"right": 100 * share} | self._overlaps(found, labels)

    def _overlaps(self, found: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Intersection over union in per cent, the mean over categories, for each picture."""
        ious = []
        for number in range(len(self.network.categories)):
            there, said = labels == number, (found == number) & (labels != IGNORED)
            said = said & ((labels != NOT_THE_MASK) | (number == self.masked))
            both, either = (x.flatten(1).sum(1) for x in (there & said, there | said))
            ious.append(torch.where(either > 0, both / either.clamp(min=1), torch.nan))
        # Nothing there and nothing said is right.
        return {"iou": 100 * torch.stack(ious).nanmean(0).nan_to_num(nan=1.0)}

    @torch.no_grad()
    def preview(self, batch: AreaBatch) -> Tensor:
        """(N, 3, H, 3 W): picture, what was found, what there is."""
        found = self.network(batch.pixels).argmax(1)
        maps = [paint(x).to(batch.pixels) for x in (found, batch.labels)]
        return torch.cat((batch.pixels, *maps), 3)


class AreaDefilterTask(nn.Module):
    """De-filter pictures whose categories have looks of their own.

    Args:
        network: Fig. 3, which is told the categories, or Fig. 2, which is not.
    """

    def __init__(self, network: AreaDefilterUNet | DefilterUNet):
        super().__init__()
        self.network = network

    def _removed(self, batch: GradedAreas) -> Tensor:
        return self.network.defilter(batch.filtered, batch.labels).float()

    def forward(self, batch: GradedAreas) -> tuple[Tensor, dict[str, Tensor]]:
        loss = log_mse(self._removed(batch), batch.clean).mean()
        return loss, {"loss": loss.detach()}

    @torch.no_grad()
    def evaluate(self, batch: GradedAreas) -> dict[str, Tensor]:
        """PSNR in dB, (N,) each."""
        removed = self._removed(batch).clamp(0, 1)
        return {
            "template": psnr(batch.filtered, batch.clean),
            "removed": psnr(removed, batch.clean),
        }

    @torch.no_grad()
    def preview(self, batch: GradedAreas) -> Tensor:
        """(N, 3, S, 4 S): template, de-filtered, truth, categories as greys."""
        grey = batch.labels[:, None] / max(1, int(batch.labels.max()))
        row = (batch.filtered, self._removed(batch), batch.clean, grey.expand(-1, 3, -1, -1))
        return torch.cat(row, 3).clamp(0, 1)
