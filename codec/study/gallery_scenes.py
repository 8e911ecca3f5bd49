"""Pictures of one scene from several standpoints, looked for among many photos."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from codec.gallery.descriptors import Descriptor, describe
from codec.gallery.gallery import LOOKED_AT, Code
from codec.gallery.index import NEAREST, Scan
from codec.gallery.matching import agreement
from codec.pictures.folders import list_pictures
from codec.pictures.picture_files import read_picture

NEAR = 300  # frames, ten seconds of a film, by which pictures of one scene may differ
_NUMBER = re.compile(r"(\d+)\D*$")
_MOST = 80  # pictures of a folder that are looked for


class View(NamedTuple):
    """A picture of a scene.

    Attributes:
        scene: its name without the last number.
        number: that number.
        descriptor: what it is known by.
    """

    scene: str
    number: int
    descriptor: Descriptor

    def is_like(self, other: "View") -> bool:
        """Whether both show the same scene."""
        return self.scene == other.scene and 0 < abs(self.number - other.number) <= NEAR


def scene_views(photos: Sequence[Descriptor], folders: Sequence[str]) -> list[dict[str, str]]:
    """Recall at 1 before and after points are matched.

    Args:
        photos: descriptors of pictures of other scenes.
        folders: or patterns, of pictures called by their scene and a number; those of one scene
            whose numbers differ by at most NEAR show the same.

    Raises:
        ValueError: no two show the same.
    """
    return [_row(photos, folder) for folder in folders]


def _row(photos: Sequence[Descriptor], folder: str) -> dict[str, str]:
    name = "/".join(Path(folder).parts[-2:])
    views = list(_views(folder, name))
    wanted = [one for one in views if any(one.is_like(other) for other in views)]
    if not wanted:
        raise ValueError(f"{folder}: expected pictures called by scene and number, two of a scene")
    wanted = wanted[:: -(-len(wanted) // _MOST)]
    every = [*(one.descriptor for one in views), *photos]
    row = {"scenes": name, "queries": str(len(wanted)), "among": str(len(every) - 1)}
    for code in Code:
        scan = Scan(np.stack([getattr(one, code.value) for one in every]))
        first, again, near = 0, 0, 0
        for one in tqdm(wanted, desc=f"{name} by {code.value}", disable=None):
            found = scan.search(getattr(one.descriptor, code.value), NEAREST).numbers.tolist()
            found = [n for n in found if n >= len(views) or views[n] is not one]
            right = [n < len(views) and one.is_like(views[n]) for n in found]
            inliers = [agreement(one.descriptor, every[n]).inliers for n in found[:LOOKED_AT]]
            first += right[0]
            again += right[int(np.argmax(inliers))]
            near += any(right[:LOOKED_AT])
        bits = 8 * code.size
        row[f"{bits} bits"] = f"{first / len(wanted):.3f}"
        row[f"{bits} bits, points"] = f"{again / len(wanted):.3f}"
        row[f"{bits} bits, in {LOOKED_AT}"] = f"{near / len(wanted):.3f}"
    return row


def _views(folder: str, name: str) -> Iterator[View]:
    for path, _ in tqdm(list_pictures([folder]), desc=name, disable=None):
        number = _NUMBER.search(path.stem)
        found = None if number is None else describe(read_picture(path).pixels)
        if number is not None and found is not None:
            yield View(path.stem[: number.start()], int(number.group(1)), found)
