"""Training tasks: what a network is trained for, and how well it does it.

A task's `forward(batch)` is its training loss, so that DDP wraps it directly; `evaluate(batch)`
gives one number a look and figure; `preview(batch)` gives pictures to look at.

Axes: L look, M template of that look, N = L M, C channel, H W pixels.
"""

import torch
from torch import Tensor, nn

from codec.pictures.fit import RIDGE_ESTIMATES, RIDGE_FORWARD, solve_coefficients
from codec.pictures.lut import apply_trilinear
from codec.pictures.mapping import evaluate
from codec.pictures.metrics import psnr
from defilter.global_look import GlobalLook
from defilter.learn.pairs import PairBatch
from defilter.natural_colours import natural_pairs

# Errors well below this floor, 27 dB, hardly change the loss; chosen by hand.
MSE_FLOOR = 2e-3


def log_mse(x: Tensor, y: Tensor) -> Tensor:
    """(N,): natural logarithm of the mean squared error, which is what a mean PSNR averages.

    A low floor would keep clean photos clean and leave strong looks half removed.
    """
    return ((x - y).square().flatten(1).mean(1) + MSE_FLOOR).log()


def _scored(figures: dict[str, Tensor], *counted: str) -> dict[str, Tensor]:
    """PSNR figures (L,), at most 60 dB, and as `score` the mean of those that count."""
    figures = {name: value.clamp(max=60) for name, value in figures.items()}
    score = torch.stack([figures[name] for name in counted]).mean(0)
    return figures | {"score": score}


class GlobalLookTask(nn.Module):
    """De-filter templates, and render other photos with their look, from one and from M templates.

    Args:
        network: the network to train.
        render_weight: weight of rendering against de-filtering.
        pooled_weight: weight of M pooled templates against single ones.
    """

    def __init__(self, network: GlobalLook, render_weight: float, pooled_weight: float):
        super().__init__()
        self.network = network
        self.render_weight, self.pooled_weight = render_weight, pooled_weight

    def forward(self, batch: PairBatch) -> tuple[Tensor, dict[str, Tensor]]:
        looks, count = batch.filtered.shape[:2]
        filtered, clean = batch.filtered.flatten(0, 1), batch.clean.flatten(0, 1)
        encoded = self.network.encode(filtered)
        single = self.network.estimate(encoded)
        removed = log_mse(self.network.remove(filtered, single), clean).mean()
        photos, rendered_photos = (
            x.repeat_interleave(count, 0) for x in (batch.photo, batch.rendered)
        )
        rendered = log_mse(apply_trilinear(photos, single.forward), rendered_photos).mean()
        loss = removed + self.render_weight * rendered
        logs = {"removed": removed, "rendered": rendered}
        if count > 1 and self.pooled_weight:
            pooled = self.network.estimate(encoded.unflatten(0, (looks, count)).mean(1))
            pooled_rendered = log_mse(apply_trilinear(batch.photo, pooled.forward), batch.rendered)
            logs["pooled_rendered"] = pooled_rendered.mean()
            loss = loss + self.pooled_weight * logs["pooled_rendered"]
        return loss, logs | {"loss": loss}

    @torch.no_grad()
    def evaluate(self, batch: PairBatch) -> dict[str, Tensor]:
        """PSNR in dB, (L,) each, from the first template alone unless pooled."""
        template, truth = batch.filtered[:, 0], batch.clean[:, 0]
        estimate = self.network.estimate(self.network.encode(template))
        every = self.network.encode(batch.filtered.flatten(0, 1))
        pooled = self.network.estimate(every.unflatten(0, batch.filtered.shape[:2]).mean(1))
        clean = self.network.estimate(self.network.encode(truth))

        def rendered27(forward: Tensor) -> Tensor:
            coefficients = solve_coefficients(*natural_pairs(forward), 4, RIDGE_FORWARD)
            result = evaluate(coefficients.to(batch.photo), batch.photo).clamp(0, 1)
            return psnr(result, batch.rendered)

        figures = {
            "template": psnr(template, truth),
            "removed": psnr(self.network.remove(template, estimate).clamp(0, 1), truth),
            "removed_map_only": psnr(
                apply_trilinear(template, estimate.inverse).clamp(0, 1), truth
            ),
            "photo": psnr(batch.photo, batch.rendered),
            "rendered": psnr(
                apply_trilinear(batch.photo, estimate.forward).clamp(0, 1), batch.rendered
            ),
            "rendered27": rendered27(estimate.forward),
            "pooled_rendered27": rendered27(pooled.forward),
            "clean_kept": psnr(self.network.remove(truth, clean).clamp(0, 1), truth),
        }
        return _scored(figures, "removed", "rendered27", "pooled_rendered27")

    @torch.no_grad()
    def preview(self, batch: PairBatch) -> Tensor:
        """(L, 3, H, 5 W): template, de-filtered, truth | photo rendered, truth."""
        template = batch.filtered[:, 0]
        estimate = self.network.estimate(self.network.encode(template))
        removed = self.network.remove(template, estimate)
        rendered = apply_trilinear(batch.photo, estimate.forward)
        row = (template, removed, batch.clean[:, 0], rendered, batch.rendered)
        return torch.cat(row, 3).clamp(0, 1)


class PictureToPictureTask(nn.Module):
    """De-filter picture by picture, as US 2025/0252542 trains Fig. 2; a look is fitted afterwards.

    Args:
        network: (N, 3, H, W) -> (N, 3, H, W).
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, batch: PairBatch) -> tuple[Tensor, dict[str, Tensor]]:
        removed = self.network(batch.filtered.flatten(0, 1)).float()
        loss = log_mse(removed, batch.clean.flatten(0, 1)).mean()
        return loss, {"loss": loss, "removed": loss}

    @torch.no_grad()
    def evaluate(self, batch: PairBatch) -> dict[str, Tensor]:
        """PSNR in dB, (L,) each, from the first template."""
        template, truth = batch.filtered[:, 0], batch.clean[:, 0]
        removed = self.network(template).float().clamp(0, 1)
        before, after = (x.flatten(2).mT for x in (removed, template))
        coefficients = solve_coefficients(before, after, 4, RIDGE_ESTIMATES)
        rendered = evaluate(coefficients.to(batch.photo), batch.photo).clamp(0, 1)
        figures = {
            "template": psnr(template, truth),
            "removed": psnr(removed, truth),
            "photo": psnr(batch.photo, batch.rendered),
            "rendered27": psnr(rendered, batch.rendered),
            "clean_kept": psnr(self.network(truth).float().clamp(0, 1), truth),
        }
        return _scored(figures, "removed", "rendered27")

    @torch.no_grad()
    def preview(self, batch: PairBatch) -> Tensor:
        """(L, 3, H, 3 W): template, de-filtered, truth."""
        template = batch.filtered[:, 0]
        row = (template, self.network(template).float(), batch.clean[:, 0])
        return torch.cat(row, 3).clamp(0, 1)
