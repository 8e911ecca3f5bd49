"""What a prediction's light differs by: curves and looks by least squares.

Axes: C plane, H W pixels, P pixel, K node or coefficient.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.container import FormatError
from codec.pictures.fit import fit_least_squares
from codec.prediction.grade import COEFFICIENT_BITS, WHITE, Grade
from codec.prediction.interpolation import LIMIT
from codec.prediction.tone import NODES, SLOPE_ONE, Tone, straight
from codec.residual.colour import ycbcr_to_fine_rgb

_PIXELS = 1 << 15  # about how many a fit looks at
_ROUNDS = 3  # of weights that leave out what does not match
_OUTLIER = 6.0  # grey levels
_BENT = 1e-3  # what a bend between nodes weighs against a picture's pixels
_MOVED = 1e-5  # and what any change does


def find_tone(picture: Tensor, prediction: Tensor) -> Tone:
    """The curve that takes a prediction's light to a picture's.

    Args:
        picture, prediction: (C, H, W) int32 in 1/16 grey level.
    """
    wanted, given = _samples(picture, prediction)
    nodes = NODES[-1]
    hats = _hats(given[0], nodes)
    line = torch.tensor(straight(nodes), dtype=torch.float64) / 16
    luma = line + _robust(hats, wanted[0] - hats @ line, _penalty(nodes))
    slopes, offsets = [], []
    for chroma, seen in zip(wanted[1:], given[1:], strict=True):
        # The last column is the offset, in units that weigh as much as a slope.
        design = torch.cat((hats * seen[:, None], torch.full_like(seen, 16)[:, None]), 1)
        change = _robust(design, chroma - seen, F.pad(_penalty(nodes), (0, 1, 0, 1)) * 256)
        slopes.append(_whole((1 + change[:-1]) * SLOPE_ONE))
        offsets.append(_whole(change[-1:] * 16 * 16)[0])
    if not slopes:
        return Tone(_whole(luma * 16))
    return Tone(_whole(luma * 16), (slopes[0], slopes[1]), (offsets[0], offsets[1]))


def find_grade(picture: Tensor, prediction: Tensor) -> Grade | None:
    """The 27 numbers that take a prediction's colours to a picture's.

    Returns:
        None for grey pictures, and where the numbers would be too large to be a look.
    """
    if len(picture) != 3 or len(prediction) != 3:
        return None
    after, before = (
        (ycbcr_to_fine_rgb((x * 16).round().int().T[..., None, None])[..., 0, 0] / WHITE)
        .double()
        .clamp(0, 1)
        for x in _samples(picture, prediction)
    )
    weights = torch.ones(len(before), dtype=torch.float64)
    for _ in range(_ROUNDS):
        mapping = fit_least_squares(before, after, weights=weights)
        wrong = (mapping(before.T[None, :, :, None])[0, :, :, 0].T - after).norm(dim=1) * 255
        weights = 1 / (1 + (wrong / _OUTLIER).square())
    try:
        return Grade(_whole(mapping.coefficients.flatten() * 2**COEFFICIENT_BITS, 1 << 30))
    except FormatError:
        return None


def _samples(picture: Tensor, prediction: Tensor) -> tuple[Tensor, Tensor]:
    """(C, P) float64 of both in grey levels, evenly over the picture."""
    planes = min(len(picture), len(prediction))
    every = max(1, round((picture[0].numel() / _PIXELS) ** 0.5))
    wanted, given = (
        x[:planes, every // 2 :: every, every // 2 :: every].flatten(1).double().cpu() / 16
        for x in (picture, prediction)
    )
    return wanted, given


def _hats(luma: Tensor, nodes: int) -> Tensor:
    """(P, K) float64: how much of each node a luma takes."""
    place = ((luma + 128) / 256 * (nodes - 1)).clamp(0, nodes - 1)
    return (1 - (place[:, None] - torch.arange(nodes, dtype=torch.float64)).abs()).clamp(min=0)


def _penalty(nodes: int) -> Tensor:
    """(K, K): what bends and changes weigh."""
    eye = torch.eye(nodes, dtype=torch.float64)
    bend = eye[:-2] - 2 * eye[1:-1] + eye[2:]
    return _BENT * bend.T @ bend + _MOVED * eye


def _robust(design: Tensor, target: Tensor, penalty: Tensor) -> Tensor:
    """(K,) least squares in which pixels that are far off count little."""
    weights = torch.ones_like(target)
    for _ in range(_ROUNDS):
        weighted = design * weights[:, None]
        normal = weighted.T @ design / len(target) + penalty
        found = torch.linalg.solve(normal, weighted.T @ target / len(target))
        weights = 1 / (1 + ((design @ found - target) / _OUTLIER).square())
    return found


def _whole(numbers: Iterable[float] | Tensor, limit: int = LIMIT) -> tuple[int, ...]:
    return tuple(max(-limit, min(limit, round(float(x)))) for x in numbers)
