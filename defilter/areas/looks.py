"""A look for each category of a template, beside the look of the whole (paragraphs 97-102).

Axes: M template, C channel, H W pixels, K category, S side of what the network sees.
"""

import contextlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from codec.pictures.fit import RIDGE_ESTIMATES, fit_least_squares
from codec.pictures.mapping import ColourMapping
from codec.pictures.resize import squash
from defilter.areas.segmenter import AreaMap
from defilter.extraction import FIT_SIZE, Extraction, look_from_templates
from defilter.networks import LookNetwork
from defilter.sampling import DEFAULT_COUNT, UnusableTemplate, sample_areas, usable_pixels

SHIPPED_FIG3 = Path(__file__).with_name("fig3.safetensors")
LEAST_PIXELS = 64  # of an area of a squashed template
SURE = 0.95  # weight of a category; pixels of less would mix the looks of two areas
# Spread of the network's features over the areas of a template: at or below the first, it has one
# look all over; at or above the second, each area has its own look.
ONE_LOOK, OWN_LOOKS = 0.110, 0.130


def area_looks(
    network: LookNetwork,
    extraction: Extraction,
    templates: Sequence[Tensor],
    maps: Sequence[AreaMap],
    graded_in_parts: bool | None = None,
) -> dict[str, ColourMapping]:
    """Looks by category; several templates are pooled.

    A network that says looks itself is asked about the pixels of each category alone. Most
    templates have one look all over, of which a part shows less than the whole: looks of areas
    would lose a dB. How far the network's features differ among the areas hints at templates that
    were graded in parts; areas begin to count where nine of ten photos with one look differ less.
    Any other network only de-filters, and each category's mapping is fitted to its pairs
    (paragraph 101).

    Args:
        network: that the look of the whole was taken with.
        extraction: the look of the whole.
        templates: (3, H, W) pictures in [0, 1].
        maps: of the templates; they have the same categories.
        graded_in_parts: whether the template was, where that is known; None: judged as above.

    Returns:
        Categories that are too small, flat or clipped everywhere are left out; none where the
        template has one look all over, or is monochrome.
    """
    if extraction.look.tone is not None:
        return {}
    if network.samples_pairs:
        return _looks_of_pairs(extraction, templates, maps)
    sure = None if graded_in_parts is None else float(graded_in_parts)
    return _looks_of_sorted_pixels(network, extraction.look.mapping, templates, maps, sure)


def _looks_of_sorted_pixels(
    network: LookNetwork,
    whole: ColourMapping,
    templates: Sequence[Tensor],
    maps: Sequence[AreaMap],
    trust: float | None,
) -> dict[str, ColourMapping]:
    gathered: dict[str, list[Tensor]] = defaultdict(list)
    shares: dict[str, float] = defaultdict(float)
    for template, found in zip(templates, maps, strict=True):
        height, width = template.shape[1:]
        labels = found.labels(height, width, SURE)
        for name, share in found.shares().items():
            inside = labels == found.categories.index(name)
            with contextlib.suppress(UnusableTemplate):
                own = sorted_pixels(template, inside)
                gathered[name].append(own)
                shares[name] += share
    taken = {name: look_from_templates(network, own) for name, own in gathered.items()}
    features = {name: one.features for name, one in taken.items() if one.features is not None}
    trust = _trust(features, shares) if trust is None else trust
    return (
        {}
        if trust == 0
        else {name: _between(whole, one.look.mapping, trust) for name, one in taken.items()}
    )


def _between(whole: ColourMapping, own: ColourMapping, trust: float) -> ColourMapping:
    return ColourMapping(torch.lerp(whole.coefficients, own.coefficients, trust), whole.space)


def _trust(features: dict[str, Tensor], shares: dict[str, float]) -> float:
    """0 where the areas have one look, 1 where each has its own."""
    if len(features) < 2:
        return 0.0
    weights = torch.tensor([shares[name] for name in features])
    weights = (weights / weights.sum())[:, None]
    stacked = torch.stack(list(features.values())).float()
    middle = (weights * stacked).sum(0)
    spread = float((weights * (stacked - middle).square()).sum(0).mean().sqrt())
    return min(1.0, max(0.0, (spread - ONE_LOOK) / (OWN_LOOKS - ONE_LOOK)))


def sorted_pixels(picture: Tensor, inside: Tensor) -> Tensor:
    """A picture (3, S, S) of an area's pixels alone, from dark to light.

    Where a pixel lies says nothing about the look; in order of brightness the network does better
    than with them in raster order or at random (22.8 against 22.6 and 22.7 dB on validation pairs,
    the whole look 21.0).

    Args:
        picture: (3, H, W).
        inside: (H, W) bool.

    Raises:
        UnusableTemplate: hardly any pixel, or all are clipped or of one colour.
    """
    index = inside.flatten().nonzero()[:, 0]
    if len(index) < LEAST_PIXELS:
        raise UnusableTemplate(f"expected at least {LEAST_PIXELS} pixels, got {len(index)}")
    even = torch.linspace(0, len(index) - 1, FIT_SIZE**2, dtype=torch.float64).long()
    colours = picture.flatten(1)[:, index[even]]
    ordered = colours[:, colours.mean(0).argsort(stable=True)].reshape(3, FIT_SIZE, FIT_SIZE)
    usable_pixels(ordered)
    return ordered


def _looks_of_pairs(
    extraction: Extraction, templates: Sequence[Tensor], maps: Sequence[AreaMap]
) -> dict[str, ColourMapping]:
    generator = torch.Generator().manual_seed(0)
    gathered: dict[str, list[tuple[Tensor, Tensor]]] = defaultdict(list)
    for clean, template, found in zip(extraction.removed, templates, maps, strict=True):
        filtered = squash(template[None], FIT_SIZE)[0]
        large = [found.categories.index(name) for name in found.shares()]
        samples = sample_areas(
            found.labels(FIT_SIZE, FIT_SIZE),
            usable_pixels(filtered),
            DEFAULT_COUNT,
            generator,
            large,
        )
        for number, index in samples.items():
            pair = (clean.flatten(1)[:, index].T, filtered.flatten(1)[:, index].T)
            gathered[found.categories[number]].append(pair)
    looks = {}
    for name, pairs in gathered.items():
        before, after = (torch.cat(x) for x in zip(*pairs, strict=True))
        looks[name] = fit_least_squares(before, after, ridge=RIDGE_ESTIMATES)
    return looks
