"""Rows of a benchmark: figures averaged over pairs, with their standard error over looks."""

from collections import defaultdict
from typing import NamedTuple

import torch
from torch import Tensor

from codec.metrics import delta_e2000, psnr, ssim
from defilter.study.look_pairs import LookPair
from defilter.study.record import markdown_table


class Figures(NamedTuple):
    """PSNR in dB, SSIM and mean CIEDE2000 of one picture."""

    psnr: float
    ssim: float
    delta_e: float


class Rows:
    """Figures by row name, each with the look it belongs to."""

    def __init__(self) -> None:
        self.figures: dict[str, list[tuple[str, str, Figures]]] = defaultdict(list)

    def add(self, row: str, pair: LookPair, result: Tensor, truth: Tensor) -> None:
        self.figures[row].append((pair.group, pair.look, compare(result, truth)))

    def summary(self, group: str | None = None) -> dict[str, dict[str, float]]:
        """Means over pairs, p10 of PSNR over pairs, standard error of PSNR over looks."""
        table = {}
        for row, entries in self.figures.items():
            chosen = [entry for entry in entries if group in (None, entry[0])]
            if not chosen:
                continue
            values = torch.tensor([figures for _, _, figures in chosen], dtype=torch.float64)
            looks: dict[str, list[float]] = defaultdict(list)
            for name, look, figures in chosen:
                looks[f"{name}/{look}"].append(figures.psnr)
            means = torch.tensor([sum(v) / len(v) for v in looks.values()], dtype=torch.float64)
            table[row] = {
                "pairs": len(chosen),
                "psnr": float(values[:, 0].mean()),
                "psnr_se": float(means.std() / len(means) ** 0.5) if len(means) > 1 else 0.0,
                "psnr_p10": float(values[:, 0].quantile(0.1)),
                "ssim": float(values[:, 1].mean()),
                "delta_e": float(values[:, 2].mean()),
            }
        return table


def compare(result: Tensor, truth: Tensor) -> Figures:
    """Figures of (3, H, W) uint8 or float pictures."""
    x, y = (picture.float() / 255 if picture.dtype == torch.uint8 else picture.float()
            for picture in (result, truth))  # fmt: skip
    x, y = x[None], y[None]
    return Figures(min(float(psnr(x, y)), 60.0), float(ssim(x, y)), float(delta_e2000(x, y)))


def rows_table(table: dict[str, dict[str, float]]) -> str:
    """A summary as a Markdown table."""
    header = ["row", "pairs", "PSNR dB", "s.e.", "p10 dB", "SSIM", "dE2000"]
    cells = [
        [
            row,
            f"{v['pairs']}",
            f"{v['psnr']:.2f}",
            f"{v['psnr_se']:.2f}",
            f"{v['psnr_p10']:.2f}",
            f"{v['ssim']:.3f}",
            f"{v['delta_e']:.2f}",
        ]
        for row, v in table.items()
    ]
    return markdown_table(header, cells)
