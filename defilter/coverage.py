"""How much of a photo's colours a look has really seen; elsewhere it extrapolates.

P colour sample, H W pixels.
"""

import torch
from torch import Tensor

from defilter.natural_colours import CELLS, cell_index, natural_colours

NEAR = 0.06  # distance in RGB
_MOST_PIXELS = 20_000


def photo_coverage(photo: Tensor, samples: Tensor) -> float:
    """Share of a photo's pixels with a sample within 0.06 in RGB.

    Args:
        photo: (3, H, W) in [0, 1]; of more than 20,000 pixels, 20,000 are drawn.
        samples: (P, 3) colours of the de-filtered templates.
    """
    from scipy.spatial import cKDTree  # slow to import; reports alone need it

    pixels = photo.flatten(1).T
    if len(pixels) > _MOST_PIXELS:
        generator = torch.Generator().manual_seed(0)
        pixels = pixels[torch.randint(len(pixels), (_MOST_PIXELS,), generator=generator)]
    distance, _ = cKDTree(samples.numpy()).query(pixels.numpy(), distance_upper_bound=NEAR)
    return float((torch.from_numpy(distance) <= NEAR).double().mean())


def look_coverage(samples: Tensor) -> float:
    """Share of the 16^3 colour cells that natural photos occupy with a sample in them."""
    occupied = natural_colours().occupied
    seen = torch.zeros(CELLS**3, dtype=torch.bool)
    seen[cell_index(samples)] = True
    return float((seen & occupied).sum() / occupied.sum())
