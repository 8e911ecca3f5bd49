"""Which photos to train and measure on: any folder, or the ones that scikit-image ships."""

import importlib.util
from pathlib import Path

import torch
from torch import Tensor

from codec.pictures.folders import list_pictures
from codec.pictures.picture_files import PictureError, read_picture

EMBEDDED_NAMES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
VALIDATION_EVERY = 10


def embedded_photos() -> list[Path]:
    """The colour photographs inside scikit-image: public domain, CC0 and free to use."""
    package = importlib.util.find_spec("skimage")
    if package is None or package.origin is None:
        raise ValueError("expected scikit-image, whose photos are the default; install it")
    folder = Path(package.origin).parent / "data"
    return [folder / name for name in EMBEDDED_NAMES if (folder / name).exists()]


def list_photos(folder: str | Path | None, split: str) -> list[Path]:
    """Photos of one split: every tenth for validation, the others for training.

    Args:
        folder: searched with its subfolders; None is the embedded photos.
        split: `train`, `val` or `all`.
    """
    found = embedded_photos() if folder is None else [path for path, _ in list_pictures([folder])]
    held_out = range(VALIDATION_EVERY // 2, len(found), VALIDATION_EVERY) or [len(found) - 1]
    if split == "all" or len(found) == 1:
        return found
    if split not in ("train", "val"):
        raise ValueError(f"expected a split out of train, val, all, got {split!r}")
    return [path for i, path in enumerate(found) if (i in held_out) == (split == "val")]


def load_pictures(photos: str | None) -> tuple[dict[str, Tensor], list[str]]:
    """8-bit pictures by file name, and a sentence for each that cannot be used."""
    if photos is None:
        found = [(path, Path(path.name)) for path in embedded_photos()]
    else:
        found = list_pictures([photos])
    pictures: dict[str, Tensor] = {}
    failures = []
    for path, name in found:
        try:
            pixels = read_picture(path).pixels
            if pixels.dtype != torch.uint8:
                raise PictureError(f"{path}: expected 8 bits a channel")
            pictures[str(name)] = pixels
        except PictureError as error:
            failures.append(str(error))
    if not pictures:
        raise ValueError(f"expected at least one picture in {photos}")
    return pictures, failures
