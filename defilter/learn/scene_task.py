"""Training of the scene classifier."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from defilter.learn.scene_pictures import SceneBatch
from defilter.scene.network import SceneClassifier


class SceneTask(nn.Module):
    """Tell scenes apart.

    Args:
        network: the network to train.
        smoothing: share of the target that all classes get alike.
    """

    def __init__(self, network: SceneClassifier, smoothing: float):
        super().__init__()
        self.network, self.smoothing = network, smoothing

    def forward(self, batch: SceneBatch) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self.network(batch.luma).float()
        loss = F.cross_entropy(logits, batch.target, label_smoothing=self.smoothing)
        return loss, {"loss": loss.detach()}

    @torch.no_grad()
    def evaluate(self, batch: SceneBatch) -> dict[str, Tensor]:
        """Per cent right and nats of the true class, (N,) each."""
        logits = self.network(batch.luma).float()
        truth = batch.target.argmax(1)
        right = 100.0 * (logits.argmax(1) == truth)
        return {"right": right, "nats": F.cross_entropy(logits, truth, reduction="none")}

    @torch.no_grad()
    def preview(self, batch: SceneBatch) -> Tensor:
        """(N, 3, H, W): what the network saw."""
        return (batch.luma / 4 + 0.5).clamp(0, 1).expand(-1, 3, -1, -1)
