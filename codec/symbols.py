"""Planes and symbols: what is coded of pictures under a profile, and what decoders make of it.

Axes: N picture of one shape, C plane, H W pixels (multiples of 32), I J cells.
"""

import torch
from torch import Tensor

from codec.container import Filter
from codec.planes import from_planes, pad, to_planes
from codec.prediction.interpolation import LIMIT
from codec.profile import Profile
from codec.residual.adaptive_quantisation import choose_adaptive
from codec.residual.analyse import Symbols, hints_of, is_coded, uniform_sizes
from codec.residual.edge_filter import smooth
from codec.residual.quantise import FRACTION, plane_steps
from codec.residual.transform import CELL, forward


def symbols_of(
    pictures: Tensor, step_indices: list[int], profile: Profile, guess: Tensor | None = None
) -> Symbols:
    """What would be coded of pictures (N, C, H, W) uint8, each with a step index of its own.

    Args:
        guess: (N, C, H, W) padded planes that a prediction says, or None.
    """
    planes = to_planes(pad(pictures))
    sizes = uniform_sizes(planes) if profile.uniform else None
    steps = torch.tensor(step_indices, device=pictures.device)
    coder = profile.coder
    if guess is None:
        return coder.analyse(planes, steps, sizes)
    # What a step may hide in depends on the picture, not on what a prediction missed of it.
    adaptive = choose_adaptive(forward(planes[:, 0], CELL)) if coder.weighting.slope else None
    rest = (planes - guess)[:, : profile.planes]
    zone = coder.choose_mean_dead_zone(rest, steps)
    return coder.analyse(rest, steps, sizes, hints_for(profile, guess, steps), adaptive, zone)


def hints_for(profile: Profile, guess: Tensor | None, steps: Tensor) -> Tensor | None:
    """What contexts see of padded predicted planes, where the profile lets them."""
    return hints_of(guess[:, 0], steps) if profile.hints and guess is not None else None


def exact_planes(symbols: Symbols, profile: Profile, guess: Tensor | None = None) -> Tensor:
    """(N, C, H, W) int32 padded planes that others may be predicted from."""
    return _filtered(symbols, profile, guess)[-1].clamp(-LIMIT, LIMIT)


def to_pixels(symbols: Symbols, profile: Profile, guess: Tensor | None = None) -> Tensor:
    """(N, C, H, W) uint8 padded pictures, as a decoder shows them."""
    planes, smoothed = _filtered(symbols, profile, guess)
    if profile.postfilter is None:
        return from_planes(smoothed)
    step = plane_steps(symbols.steps, planes.shape[1], symbols.sizes)[:, :1].float() / 2**FRACTION
    restored = profile.postfilter.restore(planes, smoothed, step, symbols.sizes).round().int()
    return from_planes(_where_coded(symbols, restored, planes, guess))


def _filtered(symbols: Symbols, profile: Profile, guess: Tensor | None) -> tuple[Tensor, Tensor]:
    """The decoded planes, and what the edge filter makes of them."""
    planes = profile.coder.reconstruct(symbols)
    count = planes.shape[1]
    if guess is not None:
        rest, planes = planes, guess.clone()
        planes[:, :count] += rest
    if profile.filter == Filter.NONE:
        return planes, planes
    smoothed = smooth(planes[:, :count], plane_steps(symbols.steps, count, symbols.sizes))
    smoothed = torch.cat((smoothed, planes[:, count:]), 1)
    return planes, _where_coded(symbols, smoothed, planes, guess)


def _where_coded(
    symbols: Symbols, filtered: Tensor, planes: Tensor, guess: Tensor | None
) -> Tensor:
    """Filtered planes; a prediction that nothing was added to stays as it is: it was filtered."""
    if guess is None:
        return filtered
    coded = is_coded(symbols).repeat_interleave(CELL, 1).repeat_interleave(CELL, 2)
    return torch.where(coded[:, None], filtered, planes)
