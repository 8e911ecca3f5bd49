"""Position-matched colour pairs from a template and its de-filtered version.

US 2025/0252542 paragraphs 89-102. Every function returns indices into the H W pixels of the
template; P sample, H W pixels. Numbers are drawn where the generator is, so that a CPU generator
gives the same samples of a picture on any device.
"""

from collections.abc import Collection

import torch
from torch import Tensor

from defilter.natural_colours import CELLS, cell_index

DEFAULT_COUNT = 4096
LEAST_AREA_PIXELS, LEAST_AREA_SHARE = 400, 0.01
LEAST_SHARE_OF_SAMPLES = 0.1
CLIPPED_LOW, CLIPPED_HIGH = 1.5 / 255, 253.5 / 255


class UnusableTemplate(ValueError):
    """A template that no look can be taken from; the message says why."""


def usable_pixels(template: Tensor) -> Tensor:
    """Indices of the pixels where no channel is clipped (at most 1 or at least 254 of 255).

    Args:
        template: (3, H, W) in [0, 1].

    Raises:
        UnusableTemplate: hardly any pixel is left, or all have one colour.
    """
    flat = template.flatten(1)
    clipped = ((flat < CLIPPED_LOW) | (flat > CLIPPED_HIGH)).any(0)
    index = (~clipped).nonzero().squeeze(1)
    if len(index) < min(64, flat.shape[1]) or len(index) < 16:
        raise UnusableTemplate(
            f"expected at least 64 pixels that are not clipped, got {len(index)} of {flat.shape[1]}"
        )
    if float(flat[:, index].std(1).max()) < 0.01:
        raise UnusableTemplate("expected a picture with more than one colour, got a flat one")
    return index


def sample_uniform(usable: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` indices, each pixel alike; without repeats while there are enough pixels."""
    device = generator.device
    if count <= len(usable):
        drawn = torch.randperm(len(usable), device=device, generator=generator)[:count]
    else:
        drawn = torch.randint(len(usable), (count,), device=device, generator=generator)
    return usable[drawn.to(usable.device)]


def sample_balanced(
    colours: Tensor, usable: Tensor, count: int, generator: torch.Generator
) -> Tensor:
    """`count` indices, rare colours more often: weight 1 / sqrt(pixels in the colour's cell).

    Args:
        colours: (3, H, W) in [0, 1], of the picture whose colours are to be balanced.
    """
    cells = cell_index(colours.flatten(1)[:, usable].T)
    weight = torch.bincount(cells, minlength=CELLS**3)[cells].double() ** -0.5
    weight = weight.to(generator.device)
    drawn = torch.multinomial(weight, count, replacement=True, generator=generator)
    return usable[drawn.to(usable.device)]


def sample_masked(
    mask: Tensor,
    colours: Tensor,
    usable: Tensor,
    count: int,
    generator: torch.Generator,
    share: float | None = None,
) -> Tensor:
    """N T indices inside a mask and N (1 - T) outside (paragraph 92), balanced within each.

    Args:
        mask: (H, W) bool, the salient target.
        colours: (3, H, W), see `sample_balanced`.
        share: T, above 0.5; None is 0.5 + 0.5 t, where t is the target's share of the picture.

    Raises:
        ValueError: T is not in (0.5, 1].
    """
    inside = mask.flatten()[usable]
    share = 0.5 + 0.5 * float(mask.double().mean()) if share is None else share
    if not 0.5 < share <= 1 and bool(inside.any()):
        raise ValueError(f"expected a sampling weight T above 0.5 and at most 1, got {share}")
    if not bool(inside.any()) or bool(inside.all()):
        return sample_balanced(colours, usable, count, generator)
    number = round(count * share)
    parts = (usable[inside], number), (usable[~inside], count - number)
    return torch.cat([sample_balanced(colours, *part, generator) for part in parts if part[1]])


def sample_areas(
    labels: Tensor,
    usable: Tensor,
    count: int,
    generator: torch.Generator,
    large: Collection[int] | None = None,
) -> dict[int, Tensor]:
    """N max(share, 0.1) indices for each area of a segmentation (paragraph 97).

    Args:
        labels: (H, W) int64 category of each pixel.
        large: categories that are large enough in the full-size picture; None: computed here.

    Returns:
        Category -> indices. Areas under 400 pixels or 1 % of the picture have no entry: they get
        no look of their own.
    """
    flat = labels.flatten()
    samples = {}
    for category in flat.unique().tolist():
        inside = flat == category
        pixels, share = int(inside.sum()), float(inside.double().mean())
        members = usable[inside[usable]]
        enough = (
            pixels >= LEAST_AREA_PIXELS and share >= LEAST_AREA_SHARE
            if large is None
            else category in large
        )
        if not enough or not len(members):
            continue
        number = round(count * max(share, LEAST_SHARE_OF_SAMPLES))
        samples[category] = sample_uniform(members, number, generator)
    return samples
