"""Taking a look: from before and after, or from filtered templates alone.

Axes: M template of one look, C channel, P colour sample, H W pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.pictures.fit import (
    RIDGE_ESTIMATES,
    RIDGE_FORWARD,
    fit_lbfgs,
    fit_least_squares,
    fit_residual_lut,
)
from codec.pictures.mapping import ColourMapping
from codec.pictures.resize import squash
from defilter.coverage import look_coverage
from defilter.look import Look
from defilter.monochrome import Tint, fit_tone, tint_of, tone_samples
from defilter.natural_colours import natural_colours, natural_pairs
from defilter.networks import LookNetwork
from defilter.sampling import (
    DEFAULT_COUNT,
    UnusableTemplate,
    sample_balanced,
    sample_masked,
    usable_pixels,
)

FIT_SIZE = 64  # side that networks see templates at, the one that they were trained at
PAIR_MODE_SIDE = 512  # pixels: sampling 4,096 colours needs no more, and JPEG noise averages out
HUBER = 0.02  # five grey levels: what 8 bits and JPEG do to a colour

PairFit = Callable[[Tensor, Tensor], tuple[ColourMapping, Tensor]]


class Extraction(NamedTuple):
    """A look and the evidence for it.

    Attributes:
        look: the look.
        removed: (M, 3, S, S) the de-filtered templates, squashed.
        before, after: (P, 3) sampled colours of the de-filtered templates and of the templates.
        features: (F,) of the look, or None; see `defilter.unet.Reading`.
        templates: the M files that it was taken from, where they are files.
    """

    look: Look
    removed: Tensor
    before: Tensor
    after: Tensor
    features: Tensor | None = None
    templates: tuple[Path, ...] = ()


def look_from_templates(
    network: LookNetwork,
    templates: Sequence[Tensor],
    areas: Sequence[Tensor] | None = None,
    masks: Sequence[Tensor] | None = None,
    tint: Tint | None = None,
) -> Extraction:
    """The look that templates share.

    Where the network says itself what the look does to other photos, the 27 numbers are fitted to
    that on the colours that photos have. Where it only de-filters, they are fitted to pairs of
    de-filtered template and template, as US 2025/0252542 does. Of monochrome templates, the look
    keeps how it changes luma, and takes the tint.

    Args:
        network: says what the templates are without their look.
        templates: (3, H, W) pictures in [0, 1] of any size, on any device, all with one look.
        areas: how much each pixel is of each category, (K, S, S) for each template with
            S = FIT_SIZE, for Fig. 3.
        masks: salient targets, (H, W) bool for each template, that get more of the pairs that
            numbers are fitted to; a network that says the look itself needs none.
        tint: of monochrome templates, see `tint_of`; None: they have colours.

    Raises:
        UnusableTemplate: a template is flat or clipped all over.
    """
    if not templates:
        raise UnusableTemplate("expected at least one template, got none")
    device = next(network.parameters()).device
    squashed = torch.cat([squash(template[None], FIT_SIZE).cpu() for template in templates])
    usable = [usable_pixels(template) for template in squashed]
    weights = None if areas is None else torch.stack(list(areas)).to(device)
    with torch.no_grad():
        reading = network.read(squashed.to(device), weights)
    removed = reading.removed.float().clamp(0, 1).cpu()
    before, after = _sample_pairs(removed, squashed, usable, None)
    coverage = look_coverage(before)
    if reading.forward is not None:
        colours, rendered = (x[0].cpu() for x in natural_pairs(reading.forward[None]))
        ridge = RIDGE_FORWARD
    else:
        if masks is not None:
            before, after = _sample_pairs(removed, squashed, usable, masks)
        colours, rendered = before, after
        ridge = RIDGE_ESTIMATES
    look = replace(_fitted(colours, rendered, tint, ridge), coverage=coverage)
    features = None if reading.features is None else reading.features.cpu()
    return Extraction(look, removed, before, after, features)


def _fitted(before: Tensor, after: Tensor, tint: Tint | None, ridge: float) -> Look:
    """A look of 27 numbers, or of a tone curve, whose 27 numbers are the nearest ones."""
    if tint is None:
        return Look(fit_least_squares(before, after, ridge=ridge))
    tone = fit_tone(before, after, tint)
    natural = natural_colours().colours
    # In YCbCr, where a constant chroma is among the 27 numbers.
    nearest = fit_least_squares(natural, tone(natural.T).T, space="ycbcr", ridge=RIDGE_FORWARD)
    return Look(nearest, tone=tone)


def _sample_pairs(
    removed: Tensor,
    templates: Tensor,
    usable: Sequence[Tensor],
    masks: Sequence[Tensor] | None,
) -> tuple[Tensor, Tensor]:
    """Pooled samples of all templates: (P, 3) before, (P, 3) after."""
    generator = torch.Generator().manual_seed(0)
    each = -(-DEFAULT_COUNT // len(templates))
    before, after = [], []
    for number, (clean, template, index) in enumerate(zip(removed, templates, usable, strict=True)):
        if masks is None:
            chosen = sample_balanced(clean, index, each, generator)
        else:
            mask = F.interpolate(masks[number][None, None].float(), template.shape[1:])[0, 0] > 0.5
            chosen = sample_masked(mask, clean, index, each, generator)
        before.append(clean.flatten(1)[:, chosen].T)
        after.append(template.flatten(1)[:, chosen].T)
    return torch.cat(before), torch.cat(after)


def fit_pair(before: Tensor, after: Tensor) -> tuple[ColourMapping, Tensor]:
    """27 numbers and the smooth 9^3 table of matching colours (P, 3); the table is closer.

    The numbers are fitted to the table on the colours that photos have. Fitted to the pairs
    themselves they are right on this one picture only: on another photo of the validation set
    that gives 31.5 dB, this 33.8 dB.
    """
    table = fit_residual_lut(before, after).float()
    natural_before, natural_after = (x[0] for x in natural_pairs(table[None]))
    return fit_least_squares(natural_before, natural_after, ridge=RIDGE_FORWARD), table


def fit_rough_pair(before: Tensor, after: Tensor) -> tuple[ColourMapping, Tensor]:
    """`fit_pair` for pictures that were also retouched or moved.

    A mapping fitted with a Huber loss finds the pairs that agree; the others are left out.
    """
    mapping = fit_lbfgs(before, after, huber=HUBER)
    mapped = mapping(before.T[None, :, None])[0, :, 0].T
    agree = (mapped - after).abs().amax(1) < 4 * HUBER  # 27 numbers miss strong looks by this much
    if int(agree.sum()) < len(before) // 4:  # no mapping explains them: better all than these few
        agree[:] = True
    return fit_pair(before[agree], after[agree])


def look_from_pair(
    before: Tensor,
    after: Tensor,
    fit: PairFit = fit_pair,
    provenance: dict[str, Any] | None = None,
) -> Extraction:
    """The look between one picture before and after (pair mode).

    Args:
        before, after: (3, H, W) in [0, 1] on any device, the same picture, of one aspect ratio.
        fit: `fit_pair` or `fit_rough_pair`.
        provenance: of the look.

    Raises:
        ValueError: the two do not have one shape.
        UnusableTemplate: one of the two is flat or clipped all over.
    """
    height, width = after.shape[1:]
    ratio = before.shape[2] / before.shape[1] / (width / height)
    if not 0.98 < ratio < 1.02:
        raise ValueError(
            f"expected before and after of one shape, got {before.shape[2]} x {before.shape[1]} "
            f"and {width} x {height}"
        )
    tint = tint_of([tone_samples(after)])
    scale = min(1.0, PAIR_MODE_SIDE / max(height, width))
    side = (max(1, round(height * scale)), max(1, round(width * scale)))
    before, after = (
        (x if x.shape[1:] == side else F.interpolate(x[None], side, mode="area")[0]).cpu()
        for x in (before, after)
    )
    usable_pixels(before)  # a flat picture is no picture before
    sampled, filtered = sample_pair(before, after)
    mapping, table = fit(sampled, filtered)
    if tint is not None:
        table = tint.project(table)
        colours, grey = (x[0] for x in natural_pairs(table[None]))
        mapping = fit_least_squares(colours, grey, space="ycbcr", ridge=RIDGE_FORWARD)
    look = Look(mapping, table, look_coverage(sampled), provenance or {})
    return Extraction(look, before[None], sampled, filtered)


def sample_pair(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Colour-balanced pairs of two matching (3, H, W) pictures, (P, 3) each."""
    generator = torch.Generator().manual_seed(0)
    chosen = sample_balanced(before, usable_pixels(after), DEFAULT_COUNT, generator)
    return before.flatten(1)[:, chosen].T, after.flatten(1)[:, chosen].T


def inverse_mapping(
    network: LookNetwork, template: Tensor, areas: Tensor | None = None
) -> ColourMapping:
    """The mapping that de-filters a picture at full resolution, fitted on its squashed copy.

    Args:
        template: (3, H, W) in [0, 1].
        areas: how much each pixel is of each category, (K, S, S) with S = FIT_SIZE, for Fig. 3.
    """
    small = squash(template[None], FIT_SIZE)
    device = next(network.parameters()).device
    with torch.no_grad():
        reading = network.read(small.to(device), None if areas is None else areas[None].to(device))
    return inverse_of(small[0], reading.removed[0].float().clamp(0, 1).cpu())


def inverse_of(template: Tensor, removed: Tensor) -> ColourMapping:
    """The mapping from a template (3, H, W) to what a network made of it, in [0, 1]."""
    pixels, clean = (x.flatten(1).T for x in (template, removed))
    return fit_least_squares(pixels, clean, ridge=RIDGE_ESTIMATES)
