"""Taking a look: from before and after, or from filtered templates alone.

Axes: M template of one look, C channel, P colour sample, H W pixels.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
from defilter.global_look import GlobalLook, LookEstimate
from defilter.look import Look
from defilter.natural_colours import natural_pairs
from defilter.sampling import (
    DEFAULT_COUNT,
    UnusableTemplate,
    sample_balanced,
    sample_masked,
    usable_pixels,
)
from defilter.unet import remove_look

FIT_SIZE = 64
PAIR_MODE_SIDE = 512
HUBER = 0.02

PairFit = Callable[[Tensor, Tensor], tuple[ColourMapping, Tensor]]


class Extraction(NamedTuple):
    """A look and the evidence for it.

    Attributes:
        look: the look.
        removed: (M, 3, S, S) the de-filtered templates, squashed.
        before, after: (P, 3) sampled colours of the de-filtered templates and of the templates.
    """

    look: Look
    removed: Tensor
    before: Tensor
    after: Tensor


def look_from_templates(
    network: nn.Module,
    templates: Sequence[Tensor],
    degree: int = 4,
    space: str = "rgb",
    ridge: float | None = None,
    masks: Sequence[Tensor] | None = None,
    labels: Sequence[Tensor] | None = None,
    count: int = DEFAULT_COUNT,
    provenance: dict[str, Any] | None = None,
) -> Extraction:
    """The look that templates share.

    A `GlobalLook` network says itself what the look does to other photos: the 27 numbers are
    fitted to that on the colours that photos have. Any other network only de-filters: the numbers
    are fitted to the pairs of de-filtered template and template, as the seed does.

    Args:
        network: (N, 3, H, W) -> (N, 3, H, W) de-filtered.
        templates: (3, H, W) pictures in [0, 1] of any size, all with one look.
        degree, space: of the mapping.
        ridge: None is what validation looks chose: 1e-6 for a `GlobalLook`, 1e-3 for pairs.
        masks: salient targets, (H, W) bool for each template, that get more of the pairs that
            numbers are fitted to; a `GlobalLook` needs none.
        labels: categories, (S, S) int64 for each template with S = FIT_SIZE, for Fig. 3.
        count: samples over all templates.

    Raises:
        UnusableTemplate: a template is flat or clipped all over.
    """
    if not templates:
        raise UnusableTemplate("expected at least one template, got none")
    device = next(network.parameters()).device
    squashed = torch.cat([squash(template[None], FIT_SIZE) for template in templates]).to(device)
    usable = [usable_pixels(template) for template in squashed.cpu()]
    with torch.no_grad():
        estimate = None
        if isinstance(network, GlobalLook):
            encoded = network.encode(squashed).mean(0, keepdim=True)
            estimate = network.estimate(encoded)
            shared = LookEstimate(*(x.expand(len(squashed), *x.shape[1:]) for x in estimate))
            removed = network.remove(squashed, shared)
        else:
            told = None if labels is None else torch.stack(list(labels)).to(device)
            removed = remove_look(network, squashed, told)
    removed = removed.float().clamp(0, 1).cpu()
    before, after = _sample_pairs(removed, squashed.cpu(), usable, None, count)
    coverage = look_coverage(before)
    if estimate is None:
        if masks is not None:
            before, after = _sample_pairs(removed, squashed.cpu(), usable, masks, count)
        ridge = RIDGE_ESTIMATES if ridge is None else ridge
        mapping = fit_least_squares(before, after, degree, space, ridge)
    else:
        ridge = RIDGE_FORWARD if ridge is None else ridge
        colours, rendered = (x[0].cpu() for x in natural_pairs(estimate.forward))
        mapping = fit_least_squares(colours, rendered, degree, space, ridge)
    look = Look(mapping, coverage=coverage, provenance=provenance or {})
    return Extraction(look, removed, before, after)


def _sample_pairs(
    removed: Tensor,
    templates: Tensor,
    usable: Sequence[Tensor],
    masks: Sequence[Tensor] | None,
    count: int,
) -> tuple[Tensor, Tensor]:
    """Pooled samples of all templates: (P, 3) before, (P, 3) after."""
    generator = torch.Generator().manual_seed(0)
    each = -(-count // len(templates))
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
    agree = (mapped - after).abs().amax(1) < 4 * HUBER
    if int(agree.sum()) < len(before) // 4:
        agree[:] = True
    return fit_pair(before[agree], after[agree])


def look_from_pair(
    before: Tensor,
    after: Tensor,
    fit: PairFit = fit_pair,
    count: int = DEFAULT_COUNT,
    provenance: dict[str, Any] | None = None,
) -> Extraction:
    """The look between one picture before and after (pair mode).

    Args:
        before, after: (3, H, W) in [0, 1] on any device, the same picture, of one aspect ratio.
        fit: `fit_pair` or `fit_rough_pair`.
        count: samples.

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
    scale = min(1.0, PAIR_MODE_SIDE / max(height, width))
    side = (max(1, round(height * scale)), max(1, round(width * scale)))
    before, after = (
        (x if x.shape[1:] == side else F.interpolate(x[None], side, mode="area")[0]).cpu()
        for x in (before, after)
    )
    usable_pixels(before)  # a flat picture is no picture before
    colours, filtered = sample_pair(before, after, count)
    mapping, table = fit(colours, filtered)
    look = Look(mapping, table, look_coverage(colours), provenance or {})
    return Extraction(look, before[None], colours, filtered)


def sample_pair(before: Tensor, after: Tensor, count: int = DEFAULT_COUNT) -> tuple[Tensor, Tensor]:
    """Colour-balanced pairs of two matching (3, H, W) pictures, (P, 3) each."""
    generator = torch.Generator().manual_seed(0)
    chosen = sample_balanced(before, usable_pixels(after), count, generator)
    return before.flatten(1)[:, chosen].T, after.flatten(1)[:, chosen].T


def inverse_mapping(
    network: nn.Module, template: Tensor, degree: int = 4, labels: Tensor | None = None
) -> ColourMapping:
    """The mapping that de-filters a picture at full resolution, fitted on its squashed copy.

    Args:
        template: (3, H, W) in [0, 1].
        degree: of the mapping.
        labels: categories, (S, S) int64 with S = FIT_SIZE, for Fig. 3.
    """
    device = next(network.parameters()).device
    small = squash(template[None], FIT_SIZE).to(device)
    told = None if labels is None else labels[None].to(device)
    with torch.no_grad():
        removed = remove_look(network, small, told).float().clamp(0, 1)[0].cpu()
    pixels = small[0].cpu().flatten(1).T
    return fit_least_squares(pixels, removed.flatten(1).T, degree, "rgb", RIDGE_ESTIMATES)
