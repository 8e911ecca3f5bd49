"""Clean photos to train on, as one tensor of small crops.

Any folder of pictures will do; without one, the photographs that scikit-image ships are used.
"""

import importlib.util
import logging
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from codec.image_io import PictureError, list_pictures, quantise, read_picture
from defilter.unet import squash

logger = logging.getLogger(__name__)

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


def load_photos(
    folder: str | Path | None,
    split: str,
    size: int,
    crops: int,
    smallest_crop: float = 1.0,
) -> Tensor:
    """Random crops of all photos of a split, squashed to squares.

    Args:
        folder: of any pictures, with subfolders; None is the embedded photos.
        split: see `list_photos`.
        size: side of the squares.
        crops: of each photo; the first is the whole photo.
        smallest_crop: least side of a crop relative to the photo's.

    Returns:
        (N crops, 3, size, size) uint8.

    Raises:
        ValueError: no photo can be read. A single broken one is reported in the log only.
    """
    paths = list_photos(folder, split)

    def read(path: Path) -> Tensor | PictureError:
        try:
            return _random_crops(read_picture(path).floats(), size, crops, smallest_crop, path.name)
        except PictureError as error:
            return error

    with ThreadPoolExecutor() as pool:
        results = list(
            tqdm(pool.map(read, paths), total=len(paths), desc=f"{split} photos", disable=None)
        )
    for result in results:
        if isinstance(result, PictureError):
            logger.warning("left out: %s", result)
    usable = [result for result in results if isinstance(result, Tensor)]
    if not usable:
        raise ValueError(f"expected at least one photo of the {split} split in {folder}")
    return torch.cat(usable)


def _random_crops(photo: Tensor, size: int, crops: int, smallest_crop: float, seed: str) -> Tensor:
    """(crops, 3, size, size) uint8 of a (3, H, W) float picture; the same for the same seed."""
    chance = random.Random(seed)
    height, width = photo.shape[1:]
    squares = []
    for number in range(crops):
        side = 1.0 if number == 0 else chance.uniform(smallest_crop, 1.0)
        rows, columns = max(1, round(side * height)), max(1, round(side * width))
        top, left = chance.randint(0, height - rows), chance.randint(0, width - columns)
        crop = photo[:, top : top + rows, left : left + columns]
        squares.append(squash(crop[None], size)[0])
    return quantise(torch.stack(squares), torch.uint8)
