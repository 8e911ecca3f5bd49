"""Below which distance of codes pictures may resemble each other; strictly smaller counts.

The default lets one of a hundred strangers through, and was set with the model. The application on
coding with a cloud gallery (S2, claim 5) takes a test set of similar pictures: of each the largest
distance to the others, and of those the largest. One pair of views from far apart, and it lets
everything through; a quantile is less easily misled.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codec.gallery.descriptors import Descriptor, describe, shipped_model
from codec.gallery.index import distances_to
from codec.pictures.folders import list_pictures
from codec.pictures.picture_files import read_picture

CODES = ("whole", "key")


def of_strangers(code: str) -> int:
    """The default, in bits.

    Args:
        code: `whole` or `key`.
    """
    return int(shipped_model().limits[CODES.index(code)])


def of_similar(sets: Sequence[Sequence[Descriptor]], code: str, quantile: float = 1.0) -> int:
    """A threshold in bits from pictures that resemble each other.

    Args:
        sets: descriptors of each set, of at least two pictures.
        code: `whole` or `key`.
        quantile: of the largest distances of all pictures; 1, the largest, is the application's.

    Raises:
        ValueError: there is nothing to compare.
    """
    largest = []
    for every in sets:
        codes = np.stack([getattr(one, code) for one in every]) if every else np.zeros((0, 8))
        if len(codes) > 1:
            largest += [int(distances_to(one, codes).max()) for one in codes]
    if not largest:
        raise ValueError("expected sets of two or more similar pictures")
    return int(np.quantile(largest, quantile, method="higher"))


def similar_sets(folder: Path | str) -> list[list[Descriptor]]:
    """Descriptors of pictures called SET-NUMBER.

    Raises:
        PictureError: nothing is there.
    """
    found: dict[str, list[Descriptor]] = {}
    for path, _ in list_pictures([folder]):
        name, dash, _ = path.stem.rpartition("-")
        one = describe(read_picture(path).pixels) if dash else None
        if one is not None:
            found.setdefault(name, []).append(one)
    return list(found.values())
