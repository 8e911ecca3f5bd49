"""What is usual: the score that photos have at each quality of each encoder, from prior.json.

The table is fitted by `python evaluate.py study=search_prior` on photos that no benchmark uses. An
encoder or score without a row gets a plain axis, which costs a probe or two.
"""

import json
import math
from functools import cache
from pathlib import Path

_SAME_PIXELS = {"jpeg": "jpeg_baseline"}  # their files differ in size alone
SHIPPED = Path(__file__).with_name("prior.json")


def axis_of(encoder: str, score: str, qualities: range) -> list[float]:
    """For every quality, the usual -log(1 - unit score): rising."""
    row = _table().get(f"{_SAME_PIXELS.get(encoder, encoder)} {score}")
    if row is None or len(row) != len(qualities):
        return [0.5 + 4 * math.log(1 + (i + 1) / 25) for i in range(len(qualities))]
    return row


@cache
def _table() -> dict[str, list[float]]:
    return json.loads(SHIPPED.read_text(encoding="utf-8")) if SHIPPED.exists() else {}
