"""The list of (template, look, photo) that the look benchmark runs over, fixed once and for all.

`look_pairs.json` was written by this file; a test holds its SHA-256.

    python -m defilter.study.look_pairs
"""

import json
import random
from pathlib import Path
from typing import NamedTuple

from defilter.learn.instagram import INSTAFILTER_COLOUR, PILGRAM
from defilter.learn.look_split import FILM_MAKER, split_table

FILE = Path(__file__).with_name("look_pairs.json")
PHOTOS = tuple(f"kodim{number:02d}" for number in range(1, 25))
PAIRS_A_LOOK = {"film": 3, "creative": 3, "instafilter": 3, "pilgram2": 6}
TEMPLATES = 5


class LookPair(NamedTuple):
    """One row of the benchmark.

    Attributes:
        group: film, creative, instafilter or pilgram2.
        look: name within the group.
        templates: five photos; the first is the single template.
        photo: the photo to render, none of the templates.
    """

    group: str
    look: str
    templates: list[str]
    photo: str


def load_pairs() -> list[LookPair]:
    return [LookPair(**row) for row in json.loads(FILE.read_text(encoding="utf-8"))]


def write_pairs() -> None:
    rng = random.Random(0)
    test = split_table()["test"]
    looks = {
        "film": [name for name in test if FILM_MAKER.match(name)],
        "creative": [name for name in test if not FILM_MAKER.match(name)],
        "instafilter": list(INSTAFILTER_COLOUR),
        "pilgram2": list(PILGRAM),
    }
    rows = []
    for group, names in looks.items():
        for name in names:
            for _ in range(PAIRS_A_LOOK[group]):
                *templates, photo = rng.sample(PHOTOS, TEMPLATES + 1)
                rows.append(LookPair(group, name, templates, photo)._asdict())
    text = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    FILE.write_text(f"[\n{text}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    write_pairs()
