"""Rows of a benchmark: figures averaged over pairs, with their standard error over looks."""

from collections import defaultdict
from typing import NamedTuple

import torch
from torch import Tensor

from codec.pictures.metrics import delta_e2000, psnr, ssim
from defilter.study.look_pairs import LookPair


class Figures(NamedTuple):
    """PSNR in dB, SSIM and mean CIEDE2000 of one picture."""

    psnr: float
    ssim: float
    delta_e: float


class ScoreTable:
    """Figures by row name; each row has one entry a pair, in the order of the pairs."""

    def __init__(self) -> None:
        self.entries: dict[str, list[tuple[LookPair, Figures]]] = defaultdict(list)

    def add(self, row: str, pair: LookPair, result: Tensor, truth: Tensor) -> None:
        self.entries[row].append((pair, compare(result, truth)))

    def of_group(self, group: str) -> "ScoreTable":
        """The rows of one group of looks alone."""
        part = ScoreTable()
        for row, entries in self.entries.items():
            kept = [entry for entry in entries if entry[0].group == group]
            if kept:
                part.entries[row] = kept
        return part

    def summary(self) -> dict[str, dict[str, float]]:
        """Means over pairs, p10 of PSNR, and the gain in PSNR over the first row.

        Standard errors are over looks: pairs with one look are not independent.
        """
        table: dict[str, dict[str, float]] = {}
        first = next(iter(self.entries.values()), [])
        for row, entries in self.entries.items():
            values = torch.tensor([figures for _, figures in entries], dtype=torch.float64)
            gains = [f.psnr - b.psnr for (_, f), (_, b) in zip(entries, first, strict=True)]
            table[row] = {
                "pairs": len(entries),
                "psnr": float(values[:, 0].mean()),
                "psnr_se": _error_over_looks(entries, values[:, 0].tolist()),
                "psnr_p10": float(values[:, 0].quantile(0.1)),
                "gain": sum(gains) / len(gains),
                "gain_se": _error_over_looks(entries, gains),
                "ssim": float(values[:, 1].mean()),
                "delta_e": float(values[:, 2].mean()),
            }
        return table

    def per_pair(self) -> dict[str, list[list[object]]]:
        """Every entry: group, look, first template, photo, PSNR, SSIM, CIEDE2000."""
        return {
            row: [[p.group, p.look, p.templates[0], p.photo, *figures] for p, figures in entries]
            for row, entries in self.entries.items()
        }


def _error_over_looks(entries: list[tuple[LookPair, Figures]], values: list[float]) -> float:
    looks: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (pair, _), value in zip(entries, values, strict=True):
        looks[pair.group, pair.look].append(value)
    means = torch.tensor([sum(v) / len(v) for v in looks.values()], dtype=torch.float64)
    return float(means.std() / len(means) ** 0.5) if len(means) > 1 else 0.0


def compare(result: Tensor, truth: Tensor) -> Figures:
    """Figures of (3, H, W) uint8 or float pictures."""
    x, y = (
        picture.float() / 255 if picture.dtype == torch.uint8 else picture.float()
        for picture in (result, truth)
    )
    x, y = x[None], y[None]
    return Figures(min(float(psnr(x, y)), 60.0), float(ssim(x, y)), float(delta_e2000(x, y)))


def score_rows(table: dict[str, dict[str, float]]) -> list[dict[str, str]]:
    """A summary as cells by column."""
    return [
        {
            "row": row,
            "pairs": f"{v['pairs']}",
            "PSNR dB": f"{v['psnr']:.2f} ± {v['psnr_se']:.2f}",
            "gain dB": f"{v['gain']:+.2f} ± {v['gain_se']:.2f}",
            "p10 dB": f"{v['psnr_p10']:.2f}",
            "SSIM": f"{v['ssim']:.3f}",
            "dE2000": f"{v['delta_e']:.2f}",
        }
        for row, v in table.items()
    ]
