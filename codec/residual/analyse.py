"""From planes to the integers that are coded, and back: everything between pixels and entropy.

Axes: N picture, C plane, H W pixels (multiples of 32), I J cells, K frequency, S T regions.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from codec.residual.adaptive_quantisation import choose_adaptive, spread_over_cells
from codec.residual.alphabet import COST_UNIT
from codec.residual.chroma import predict, slopes
from codec.residual.context import ONE, Cells, log_size, octave_steps
from codec.residual.passes import CHROMA, LUMA, DecodedLuma, Kind, Networks, code_cells
from codec.residual.quantise import (
    AQ_PER_OCTAVE,
    STEP_COUNT,
    WEIGHTINGS,
    Weighting,
    dequantise,
    quantise,
    step_map,
)
from codec.residual.rdoq import COST_WEIGHT, RdoQuantiser, classes_of
from codec.residual.transform import CELL, REGION, SIZES, forward, inverse
from codec.residual.transform_sizes import choose_sizes

LARGEST_SAMPLE = 1 << 19  # in 1/16: 16 bits with their sign
_ROUND = 16  # of 32: means are rounded to the nearest


class Symbols(NamedTuple):
    """All that is coded of a batch of pictures of one shape.

    Attributes:
        step: (N,) step index.
        adaptive: (N, S, T) int32, or None.
        sizes: (N, I, J) int32 index into transform.SIZES.
        means: C of (N, I, J) int32.
        classes: luma's and, with three planes, chroma's (N, I, J) int32.
        values: luma's (N, I, J, 1, K) and, with three planes, chroma's (N, I, J, 2, K) int32.
    """

    step: Tensor
    adaptive: Tensor | None
    sizes: Tensor
    means: list[Tensor]
    classes: list[Tensor]
    values: list[Tensor]


def cells_of(
    step: Tensor,
    adaptive: Tensor | None,
    sizes: Tensor,
    matrix: Weighting,
    hints: Tensor | None = None,
) -> Cells:
    """What the contexts know of the cells."""
    index = step.int()[:, None, None].expand(sizes.shape)
    if adaptive is not None:
        index = index + octave_steps(spread_over_cells(adaptive), AQ_PER_OCTAVE)
    return Cells(sizes, index, torch.full_like(step, matrix.number, dtype=torch.int32), hints)


def analyse(
    planes: Tensor,
    step: Tensor,
    matrix: Weighting,
    networks: Networks | None,
    sizes: Tensor | None = None,
    hints: Tensor | None = None,
) -> Symbols:
    """Choose sizes and values.

    Args:
        planes: (N, C, H, W) integers in 1/16 grey level, at most LARGEST_SAMPLE in size, C 1 or 3.
        step: (N,) int64 step index.
        matrix: see `quantise.WEIGHTINGS`.
        networks: the context networks; None quantises plainly, for their first training.
        sizes: (N, I, J) if they are given; None chooses them by the cost of luma.
        hints: (N, I, J, HINTS) int8 of a prediction, see `hints_of`, or None.
    """
    _check_planes(planes, step)
    every = SIZES if sizes is None else [n for n in SIZES if bool((sizes == SIZES.index(n)).any())]
    every = sorted({*every, CELL}) if matrix.slope else every
    luma = {n: forward(planes[:, 0], n) for n in every}
    adaptive = choose_adaptive(luma[CELL]) if matrix.slope else None
    spread = spread_over_cells(adaptive) if adaptive is not None else None
    if sizes is None:
        weights = [
            _weight(x, index, step, matrix, adaptive, spread, networks, hints)
            for index, x in enumerate(luma.values())
        ]
        sizes = choose_sizes(weights)
    chosen = _select(luma, sizes)[..., None, :]
    del luma
    cells = cells_of(step, adaptive, sizes, matrix, hints)
    luma_step = step_map(step, matrix, False, sizes, spread)[..., None, :]
    mean = quantise(chosen[..., 0, 0], luma_step[..., 0, 0], _ROUND)
    classes, values = _choose(LUMA, networks, chosen, luma_step, cells, [mean], None)
    means, all_classes, all_values = [mean], [classes], [values]
    if planes.shape[1] == 3:
        chroma_step = step_map(step, matrix, True, sizes, spread)
        colour = [
            _select({n: forward(p, n) for n in every}, sizes) for p in planes[:, 1:].unbind(1)
        ]
        colour_means = [quantise(c[..., 0], chroma_step[..., 0], _ROUND) for c in colour]
        guesses = _follow_luma(mean, colour_means, values, luma_step, chroma_step, sizes)
        rest = torch.stack([c - g for c, g in zip(colour, guesses, strict=True)], -2)
        before = DecodedLuma(classes, values[..., 0, :], mean)
        chroma = _choose(
            CHROMA, networks, rest, chroma_step[..., None, :], cells, colour_means, before
        )
        means += colour_means
        all_classes.append(chroma[0])
        all_values.append(chroma[1])
    return Symbols(step, adaptive, sizes, means, all_classes, all_values)


def _check_planes(planes: Tensor, step: Tensor) -> None:
    shape = tuple(planes.shape)
    if len(shape) != 4 or shape[1] not in (1, 3) or shape[2] % REGION or shape[3] % REGION:
        raise ValueError(
            f"expected planes (N, 1 or 3, H, W) with sides in multiples of {REGION}, got {shape}"
        )
    if planes.dtype not in (torch.int16, torch.int32, torch.int64):
        raise ValueError(f"expected planes of signed integers, got {planes.dtype}")
    if not len(planes):
        raise ValueError("expected at least one picture, got none")
    low, high = (int(x) for x in planes.aminmax())
    if max(-low, high) > LARGEST_SAMPLE:
        raise ValueError(f"expected samples within +-{LARGEST_SAMPLE}, got {low} to {high}")
    if bool(((step < 0) | (step >= STEP_COUNT)).any()):
        raise ValueError(f"expected step indices from 0 to {STEP_COUNT - 1}, got {step.tolist()}")


def uniform_sizes(planes: Tensor) -> Tensor:
    """(N, I, J) int32 for planes (N, C, H, W): all blocks of 16 pixels, for the fast effort."""
    shape = (len(planes), planes.shape[2] // CELL, planes.shape[3] // CELL)
    return torch.full(shape, SIZES.index(16), dtype=torch.int32, device=planes.device)


def hints_of(prediction: Tensor, step: Tensor) -> Tensor:
    """What a prediction says about how much is left over: where it is busy, more is.

    Args:
        prediction: (N, H, W) int32 luma in 1/16 grey level, exactly as the decoder has it.
        step: (N,) step index.

    Returns:
        (N, I, J, HINTS) int8: a flag, and the size of each group of its frequencies in steps.
    """
    frequencies = forward(prediction, CELL)
    sizes = torch.zeros(frequencies.shape[:3], dtype=torch.int32, device=step.device)
    stepped = step_map(step, WEIGHTINGS["mse"], False, sizes, None)
    values = quantise(frequencies, stepped, _ROUND).abs()
    found = [log_size(values[..., a:b].sum(-1)) for a, b in LUMA.spans]
    return torch.stack((torch.full_like(found[0], ONE), *found), -1)


def reconstruct(symbols: Symbols, matrix: Weighting) -> Tensor:
    """(N, C, H, W) int32 planes in 1/16 grey level."""
    spread = None if symbols.adaptive is None else spread_over_cells(symbols.adaptive)
    sizes = symbols.sizes
    luma_step = step_map(symbols.step, matrix, False, sizes, spread)
    luma = dequantise(symbols.values[0][..., 0, :], luma_step)
    luma[..., 0] = dequantise(symbols.means[0], luma_step[..., 0])
    planes = [inverse(luma, sizes)]
    if len(symbols.means) > 1:
        chroma_step = step_map(symbols.step, matrix, True, sizes, spread)
        guesses = _follow_luma(
            symbols.means[0], symbols.means[1:], symbols.values[0], luma_step[..., None, :],
            chroma_step, sizes,
        )  # fmt: skip
        for number, guess in enumerate(guesses):
            x = dequantise(symbols.values[1][..., number, :], chroma_step) + guess
            x[..., 0] = dequantise(symbols.means[1 + number], chroma_step[..., 0])
            planes.append(inverse(x, sizes))
    return torch.stack(planes, 1).int()


def _weight(
    coefficients: Tensor, index: int, step: Tensor, matrix: Weighting, adaptive: Tensor | None,
    spread: Tensor | None, networks: Networks | None, hints: Tensor | None,
) -> Tensor:  # fmt: skip
    """J (N, I, J) of luma if every block has this size."""
    sizes = torch.full(coefficients.shape[:3], index, dtype=torch.int32, device=coefficients.device)
    stepped = step_map(step, matrix, False, sizes, spread)
    if networks is None:
        ratio = (coefficients / stepped)[..., 1:]
        return (1 + ratio.square()).log2().sum(-1) * (COST_UNIT * COST_WEIGHT)
    mean = quantise(coefficients[..., 0], stepped[..., 0], _ROUND)
    cells = cells_of(step, adaptive, sizes, matrix, hints)
    chooser = RdoQuantiser(LUMA, coefficients[..., None, :], stepped[..., None, :], optimise=False)
    classes, values = code_cells(LUMA, networks, chooser, cells, [mean])
    return chooser.trim(classes, values)[2]


def _choose(
    kind: Kind,
    networks: Networks | None,
    coefficients: Tensor,
    step: Tensor,
    cells: Cells,
    means: list[Tensor],
    before: DecodedLuma | None,
) -> tuple[Tensor, Tensor]:
    """Classes and values: quantised plainly, or as the networks' costs suggest."""
    if networks is None:
        values = quantise(coefficients, step)
        values[..., 0] = 0
        return classes_of(values, kind), values
    chooser = RdoQuantiser(kind, coefficients, step, optimise=True)
    classes, values = code_cells(kind, networks, chooser, cells, means, before)
    classes, values, _ = chooser.trim(classes, values)
    return classes, values


def _select(every: dict[int, Tensor], sizes: Tensor) -> Tensor:
    """Coefficients of the chosen sizes from those of uniform ones."""
    chosen, *others = every.items()
    result = chosen[1]
    for n, coefficients in others:
        result = torch.where(sizes[..., None] == SIZES.index(n), coefficients, result)
    return result


def _follow_luma(
    luma_mean: Tensor, chroma_means: list[Tensor], luma_values: Tensor, luma_step: Tensor,
    chroma_step: Tensor, sizes: Tensor,
) -> list[Tensor]:  # fmt: skip
    """What each chroma plane's frequencies are guessed to be, float64 integers (N, I, J, K)."""
    luma = dequantise(luma_values[..., 0, :], luma_step[..., 0, :])
    base = dequantise(luma_mean, luma_step[..., 0, 0])
    step = chroma_step[..., 0]
    return [
        predict(slopes(base, dequantise(mean, step), step, sizes), luma) for mean in chroma_means
    ]
