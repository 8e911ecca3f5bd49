"""Clean photos to train on, as one tensor of small crops.

Any folder of pictures will do; without one, the photographs that scikit-image ships are used.
"""

import logging
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from codec.pictures.picture_files import PictureError, read_picture, to_dtype
from codec.pictures.resize import squash
from codec.pictures.sample_photos import list_photos

logger = logging.getLogger(__name__)


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
    rng = random.Random(seed)
    height, width = photo.shape[1:]
    squares = []
    for number in range(crops):
        side = 1.0 if number == 0 else rng.uniform(smallest_crop, 1.0)
        rows, columns = max(1, round(side * height)), max(1, round(side * width))
        top, left = rng.randint(0, height - rows), rng.randint(0, width - columns)
        crop = photo[:, top : top + rows, left : left + columns]
        squares.append(squash(crop[None], size)[0])
    return to_dtype(torch.stack(squares), torch.uint8)
