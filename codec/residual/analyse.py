"""From planes to the integers that are coded, and back: everything between pixels and entropy.

Axes: N picture, C plane, H W pixels (multiples of 32), I J cells, K frequency, S T regions.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.residual.adaptive_quantisation import choose_adaptive, spread_over_cells
from codec.residual.alphabet import COST_UNIT
from codec.residual.chroma import predict, slopes
from codec.residual.context import ONE, Cells, log_size
from codec.residual.passes import CHROMA, LUMA, DecodedLuma, Networks, PlaneGroup, code_cells
from codec.residual.quantise import (
    STEP_COUNT,
    WEIGHTINGS,
    Steps,
    Weighting,
    dequantise,
    quantise,
    step_map,
)
from codec.residual.rdoq import COST_WEIGHT, RdoQuantiser, classes_of
from codec.residual.transform import CELL, REGION, SIZES, forward, inverse
from codec.residual.transform_sizes import choose_sizes

LARGEST_SAMPLE = 1 << 19  # in 1/16: 16 bits with their sign
ROUND = 16  # of 32: a dead zone that rounds to the nearest


class Symbols(NamedTuple):
    """All that is coded of a batch of pictures of one shape, and what it was made with.

    Attributes:
        step_index: (N,) int64.
        weighting: see `quantise.Weighting`.
        hints: (N, I, J, HINTS) int8 of a prediction, see `hints_of`, or None.
        adaptive: (N, S, T) int32, or None.
        sizes: (N, I, J) int32 index into transform.SIZES.
        means: C of (N, I, J) int32.
        classes: luma's and, with three planes, chroma's (N, I, J) int32.
        values: luma's (N, I, J, 1, K) and, with three planes, chroma's (N, I, J, 2, K) int32.
    """

    step_index: Tensor
    weighting: Weighting
    hints: Tensor | None
    adaptive: Tensor | None
    sizes: Tensor
    means: list[Tensor]
    classes: list[Tensor]
    values: list[Tensor]

    @property
    def steps(self) -> Steps:
        return steps_of(self.step_index, self.weighting, self.adaptive)


class Given(NamedTuple):
    """What is settled before `analyse`, which chooses the rest.

    Attributes:
        sizes: (N, I, J) int32 size index; None chooses them by the cost of luma.
        hints: (N, I, J, HINTS) int8 of a prediction, see `hints_of`, or None.
        adaptive: (N, S, T) int32; None lets it follow the planes, where the weighting has it.
        mean_dead_zone: (N,) int64 of 32, as for `quantise`; None rounds means to the nearest.
    """

    sizes: Tensor | None = None
    hints: Tensor | None = None
    adaptive: Tensor | None = None
    mean_dead_zone: Tensor | None = None


NOTHING_GIVEN = Given()


def steps_of(step_index: Tensor, weighting: Weighting, adaptive: Tensor | None) -> Steps:
    """The steps of pictures whose adaptive quantisation is given by region, (N, S, T)."""
    cells = None if adaptive is None else spread_over_cells(adaptive)
    return Steps(step_index, weighting, cells)


def cells_of(steps: Steps, sizes: Tensor, hints: Tensor | None) -> Cells:
    """What the contexts know of the cells."""
    number = torch.full_like(steps.step_index, steps.weighting.number, dtype=torch.int32)
    return Cells(sizes, steps.cell_index(sizes), number, hints)


def analyse(
    planes: Tensor,
    step_index: Tensor,
    weighting: Weighting,
    networks: Networks | None,
    given: Given = NOTHING_GIVEN,
) -> Symbols:
    """Choose sizes and values.

    Args:
        planes: (N, C, H, W) integers in 1/16 grey level, at most LARGEST_SAMPLE in size, C 1 or 3.
        step_index: (N,) int64.
        weighting: see `quantise.WEIGHTINGS`.
        networks: the context networks; None quantises plainly, for their first training.
        given: what is settled already.

    Raises:
        ValueError: planes or step indices out of range.
    """
    _check_planes(planes, step_index)
    sizes, hints, adaptive, _ = given
    zone = _mean_dead_zone(given, step_index)
    every = SIZES if sizes is None else [n for n in SIZES if bool((sizes == SIZES.index(n)).any())]
    follows = bool(weighting.slope) and adaptive is None
    every = sorted({*every, CELL}) if follows else every
    luma = {n: forward(planes[:, 0], n) for n in every}
    if follows:
        adaptive = choose_adaptive(luma[CELL])
    steps = steps_of(step_index, weighting, adaptive)
    if sizes is None:
        sizes = choose_sizes(
            [_cost_of_size(x, n, steps, networks, given) for n, x in enumerate(luma.values())]
        )
    cells = cells_of(steps, sizes, hints)
    chosen, luma_step = _select(luma, sizes)[..., None, :], steps.of(sizes)[..., None, :]
    del luma
    means = [quantise(chosen[..., 0, 0], luma_step[..., 0, 0], zone)]
    choice = _Choice(networks, cells, means, None)
    classes, values = choice.of(LUMA, chosen, luma_step)
    all_classes, all_values = [classes], [values]
    if planes.shape[1] == 3:
        chroma_step = steps.of(sizes, chroma=True)
        colour = [
            _select({n: forward(p, n) for n in every}, sizes) for p in planes[:, 1:].unbind(1)
        ]
        means += [quantise(c[..., 0], chroma_step[..., 0], zone) for c in colour]
        guesses = _follow_luma(means, values, luma_step, chroma_step, sizes)
        rest = torch.stack([c - g for c, g in zip(colour, guesses, strict=True)], -2)
        decoded = DecodedLuma(classes, values[..., 0, :], means[0])
        choice = _Choice(networks, cells, means[1:], decoded)
        classes, values = choice.of(CHROMA, rest, chroma_step[..., None, :])
        all_classes.append(classes)
        all_values.append(values)
    return Symbols(step_index, weighting, hints, adaptive, sizes, means, all_classes, all_values)


def _mean_dead_zone(given: Given, step_index: Tensor) -> Tensor:
    """(N, 1, 1): as given, or rounding to the nearest."""
    zone = given.mean_dead_zone
    return (torch.full_like(step_index, ROUND) if zone is None else zone)[:, None, None]


def _check_planes(planes: Tensor, step_index: Tensor) -> None:
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
    if bool(((step_index < 0) | (step_index >= STEP_COUNT)).any()):
        last = STEP_COUNT - 1
        raise ValueError(f"expected step indices from 0 to {last}, got {step_index.tolist()}")


def uniform_sizes(planes: Tensor) -> Tensor:
    """(N, I, J) int32 for planes (N, C, H, W): all blocks of 16 pixels, for the fast effort."""
    shape = (len(planes), planes.shape[2] // CELL, planes.shape[3] // CELL)
    return torch.full(shape, SIZES.index(16), dtype=torch.int32, device=planes.device)


def hints_of(prediction: Tensor, step_index: Tensor) -> Tensor:
    """What a prediction says about how much is left over: where it is busy, more is.

    Args:
        prediction: (N, H, W) int32 luma in 1/16 grey level, exactly as the decoder has it.
        step_index: (N,).

    Returns:
        (N, I, J, HINTS) int8: a flag, and the size of each group of its frequencies in steps.
    """
    frequencies = forward(prediction, CELL)
    sizes = torch.zeros(frequencies.shape[:3], dtype=torch.int32, device=step_index.device)
    stepped = step_map(step_index, WEIGHTINGS["mse"], False, sizes)
    values = quantise(frequencies, stepped, ROUND).abs()
    found = [log_size(values[..., a:b].sum(-1)) for a, b in LUMA.spans]
    return torch.stack((torch.full_like(found[0], ONE), *found), -1)


def reconstruct(symbols: Symbols) -> Tensor:
    """(N, C, H, W) int32 planes in 1/16 grey level."""
    sizes, steps, means = symbols.sizes, symbols.steps, symbols.means
    luma_step = steps.of(sizes)
    luma = dequantise(symbols.values[0][..., 0, :], luma_step)
    luma[..., 0] = dequantise(means[0], luma_step[..., 0])
    planes = [inverse(luma, sizes)]
    if len(means) > 1:
        chroma_step = steps.of(sizes, chroma=True)
        guesses = _follow_luma(
            means, symbols.values[0], luma_step[..., None, :], chroma_step, sizes
        )
        for number, guess in enumerate(guesses):
            x = dequantise(symbols.values[1][..., number, :], chroma_step) + guess
            x[..., 0] = dequantise(means[1 + number], chroma_step[..., 0])
            planes.append(inverse(x, sizes))
    return torch.stack(planes, 1).int()


def is_coded(symbols: Symbols) -> Tensor:
    """(N, I, J) bool: the cells of blocks of which any coefficient of any plane is not zero."""
    found = torch.stack([mean != 0 for mean in symbols.means]).any(0)
    for values in symbols.values:
        found |= (values != 0).flatten(3).any(-1)
    every = found
    for index, n in enumerate(SIZES[1:], start=1):
        r = n // CELL
        block = F.max_pool2d(found[:, None].float(), r)[:, 0] > 0
        block = block.repeat_interleave(r, 1).repeat_interleave(r, 2)
        every = torch.where(symbols.sizes == index, block, every)
    return every


def _cost_of_size(
    coefficients: Tensor,
    index: int,
    steps: Steps,
    networks: Networks | None,
    given: Given,
) -> Tensor:
    """J (N, I, J) of luma if every block has the size with this index."""
    sizes = torch.full(coefficients.shape[:3], index, dtype=torch.int32, device=coefficients.device)
    stepped = steps.of(sizes)
    if networks is None:
        ratio = (coefficients / stepped)[..., 1:]
        return (1 + ratio.square()).log2().sum(-1) * (COST_UNIT * COST_WEIGHT)
    zone = _mean_dead_zone(given, steps.step_index)
    mean = quantise(coefficients[..., 0], stepped[..., 0], zone)
    cells = cells_of(steps, sizes, given.hints)
    quantiser = RdoQuantiser(LUMA, coefficients[..., None, :], stepped[..., None, :], False)
    classes, values = code_cells(LUMA, networks, quantiser, cells, [mean])
    return quantiser.trim(classes, values)[2]


class _Choice(NamedTuple):
    """How values are chosen: quantised plainly, or as the networks' costs suggest."""

    networks: Networks | None
    cells: Cells
    means: list[Tensor]
    luma: DecodedLuma | None

    def of(self, group: PlaneGroup, coefficients: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """Classes and values of coefficients (N, I, J, planes, K)."""
        if self.networks is None:
            values = quantise(coefficients, step)
            values[..., 0] = 0
            return classes_of(values, group), values
        quantiser = RdoQuantiser(group, coefficients, step, optimise=True)
        found = code_cells(group, self.networks, quantiser, self.cells, self.means, self.luma)
        return quantiser.trim(*found)[:2]


def _select(every: dict[int, Tensor], sizes: Tensor) -> Tensor:
    """Coefficients of the chosen sizes from those of uniform ones."""
    chosen, *others = every.items()
    result = chosen[1]
    for n, coefficients in others:
        result = torch.where(sizes[..., None] == SIZES.index(n), coefficients, result)
    return result


def _follow_luma(
    means: list[Tensor], luma_values: Tensor, luma_step: Tensor, chroma_step: Tensor, sizes: Tensor
) -> list[Tensor]:
    """What each chroma plane's frequencies are guessed to be, float64 integers (N, I, J, K).

    Args:
        means: of luma and of the chroma planes.
        luma_values, luma_step: (N, I, J, 1, K), or steps that broadcast to it.
        chroma_step: (N, I, J, K), or what broadcasts to it.
    """
    luma = dequantise(luma_values[..., 0, :], luma_step[..., 0, :])
    base = dequantise(means[0], luma_step[..., 0, 0])
    step = chroma_step[..., 0]
    return [predict(slopes(base, dequantise(mean, step), step, sizes), luma) for mean in means[1:]]
