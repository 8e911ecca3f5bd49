"""Fit what the quality search expects of photos before it probes: the table prior.json."""

import json
import random
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from codec.pictures.sample_photos import load_pictures
from codec.pictures.storage import write_atomically
from codec.report import Report
from codec.search.detail import detail
from codec.search.encoders import encoder
from codec.search.methods import log_gap
from codec.search.prior import SHIPPED, fit
from codec.search.scores import SCORES
from codec.search.sweep import sweep_pictures

_LARGEST = (448, 640)  # of a crop
_SCALES = (1.0, 0.75, 0.6, 0.85, 0.7, 0.5)


def run(
    photos: str | None, out: str | None, encoders: list[str], scores: list[str],
    crops: int, every: int,
) -> Report:  # fmt: skip
    """Add a row for every encoder and score.

    Args:
        photos: photos that no benchmark uses; None is the embedded ones.
        out: JSON to write; None is the one that ships.
        encoders, scores: names.
        crops: pieces of each photo, whole and reduced.
        every: measure every so many-th quality; those between are interpolated.
    """
    whole, failures = load_pictures(photos)
    rng = random.Random(0)
    pictures = {
        f"{name} {number}": _piece(picture, _SCALES[number % len(_SCALES)], rng)
        for name, picture in whole.items()
        for number in range(crops)
    }
    details = np.stack([detail(picture) for picture in pictures.values()])
    path = SHIPPED if out is None else Path(out)
    table = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name in encoders:
        one = encoder(name)
        sweeps = sweep_pictures(pictures, one, [SCORES[s] for s in scores], every)
        for score_name, found in sweeps.items():
            to_unit = SCORES[score_name].to_unit
            known = sorted(next(iter(found.values())).entries)
            curves = [
                np.interp(
                    one.qualities, known, [log_gap(to_unit(s.entries[q].score)) for q in known]
                )
                for s in found.values()
            ]
            row = fit(np.stack(curves), details)._asdict()
            table[f"{name} {score_name}"] = {k: v.round(4).tolist() for k, v in row.items()}
        text = json.dumps(table, separators=(",", ":")).replace('},"', '},\n"')
        write_atomically(path, (text + "\n").encode())
    return Report(f"{len(pictures)} pictures, {len(table)} rows in {path}", failures)


def _piece(picture: Tensor, scale: float, rng: random.Random) -> Tensor:
    """A random crop of a picture (3, H, W) uint8, after reducing it."""
    if scale < 1:
        size = [max(1, round(n * scale)) for n in picture.shape[1:]]
        x = F.interpolate(picture[None].float(), size, mode="bicubic", antialias=True)
        picture = x[0].round().clamp(0, 255).to(picture.dtype)
    height, width = (min(n, m) for n, m in zip(picture.shape[1:], _LARGEST, strict=True))
    top = rng.randint(0, picture.shape[1] - height)
    left = rng.randint(0, picture.shape[2] - width)
    return picture[:, top : top + height, left : left + width].contiguous()
