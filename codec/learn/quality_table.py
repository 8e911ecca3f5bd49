"""What step a quality stands for: the one at which photos score as a JPEG of that quality does.

`mse` is matched by PSNR-RGB, `perceptual` by SSIMULACRA2. The table is fitted on photos that no
benchmark uses and ships as qualities.json.
"""

import json
import math
import statistics

import numpy as np
from torch import Tensor
from tqdm import tqdm

from codec import picture as picture_codec
from codec.pictures.sample_photos import load_pictures
from codec.pictures.storage import output_path, write_atomically
from codec.report import Report
from codec.residual.quantise import STEP_COUNT
from codec.search.encoders import encoder
from codec.search.scores import SCORES, Score
from codec.settings import QUALITIES, QUALITY_TABLE, Settings

MATCHED_BY = {"mse": "psnr", "perceptual": "ssimulacra2"}


def run(photos: str | None, out: str, most: int, steps: list[int]) -> Report:
    """Fit the table.

    Args:
        photos: picture or folder; None is the embedded photos.
        out: JSON to write; `shipped` is the codec's own.
        most: pictures to use, evenly spread.
        steps: step indices to measure; those between are interpolated.
    """
    pictures, failures = load_pictures(photos)
    chosen = list(pictures.values())[:: max(1, -(-len(pictures) // most))]
    jpeg = encoder("jpeg_baseline")
    qualities = [1, 5, 10, 15, *range(20, 100, 10), 95, 100]
    table = {}
    for mode, score_name in MATCHED_BY.items():
        score = SCORES[score_name]
        wanted = [
            _mean([score.measure(p, jpeg.decode(jpeg.encode(p, q))) for p in chosen])
            for q in tqdm(qualities, desc=f"JPEG, {score_name}", disable=None)
        ]
        reached = [
            _mean(_scores(chosen, step, mode, score))
            for step in tqdm(steps, desc=f"{mode}, {score_name}", disable=None)
        ]
        table[mode] = _match(qualities, wanted, steps, reached)
    path = output_path(out, QUALITY_TABLE)
    write_atomically(path, (json.dumps(table) + "\n").encode())
    return Report(f"{len(chosen)} pictures, {path}", failures)


def _scores(pictures: list[Tensor], step: int, mode: str, score: Score) -> list[float]:
    return [
        score.measure(
            picture, picture_codec.preview_steps([picture], [step], [Settings(mode=mode)])[0]
        )
        for picture in pictures
    ]


def _mean(scores: list[float]) -> float:
    return statistics.mean(min(s, 100.0) for s in scores if not math.isnan(s))


def _match(
    qualities: list[int], wanted: list[float], steps: list[int], reached: list[float]
) -> list[int]:
    """Step index of every quality, never rising; neighbours may share one."""
    every = np.interp(list(QUALITIES), qualities, np.maximum.accumulate(wanted))
    order = np.argsort(steps)[::-1]
    rising = np.maximum.accumulate(np.array(reached)[order])
    raw = np.interp(every, rising, np.array(steps)[order])
    table = np.minimum.accumulate(np.round(raw)).clip(0, STEP_COUNT - 1)
    return [int(step) for step in table]
