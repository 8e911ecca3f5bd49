"""The residual coder: signed integer planes to entropy-coded data and back.

It knows nothing of files, of colours or of what the planes mean: photos come as luma and chroma,
residuals as what a prediction left over. Two streams a picture: the means of the 8 x 8 cells, from
which alone a thumbnail can be made, and everything else.

Axes: N picture, C plane, H W pixels, I J cells, K frequency.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from codec.residual import pyramid
from codec.residual.adaptive_quantisation import code_adaptive
from codec.residual.analyse import Symbols, cells_of
from codec.residual.context import picture_features
from codec.residual.passes import CHROMA, LUMA, DecodedLuma, Networks, code_cells
from codec.residual.pyramid import code_plane, shape_of
from codec.residual.quantise import AQ_LARGEST, FRACTION, Weighting, steps
from codec.residual.rans import BYTES_PER_LANE, RansReader, RansWriter
from codec.residual.sources import CellReader, CellWriter, PlaneReader, PlaneWriter
from codec.residual.transform import CELL, REGION
from codec.residual.transform_sizes import code_sizes, split_flags

Stream = tuple[int, bytes]  # lanes and words


class Coded(NamedTuple):
    """The two streams of one picture."""

    means: Stream
    cells: Stream


def write(
    symbols: Symbols, matrix: Weighting, networks: Networks, bits: int, hints: Tensor | None = None,
    bytes_per_lane: int = BYTES_PER_LANE,
) -> list[Coded]:  # fmt: skip
    """Entropy-code symbols.

    Args:
        symbols: see `analyse.Symbols`.
        matrix: the quantisation matrix they were made with.
        networks: integer networks by name.
        bits: of a sample of the planes, its sign included.
        hints: of the prediction that the planes are the residual of, or None.
        bytes_per_lane: fewer are faster to decode and cost three bytes a lane.
    """
    writers = _fill(symbols, matrix, networks, bits, hints, bytes_per_lane)
    finished = (writer.finish() for writer in writers)
    return [Coded(*streams) for streams in zip(*finished, strict=True)]


def entropy(symbols: Symbols, matrix: Weighting, networks: Networks, bits: int) -> Tensor:
    """(N,) float64: bits that the symbols take in theory."""
    means, cells = _fill(symbols, matrix, networks, bits, None, BYTES_PER_LANE)
    return means.bits() + cells.bits()


def _fill(
    symbols: Symbols, matrix: Weighting, networks: Networks, bits: int, hints: Tensor | None,
    bytes_per_lane: int,
) -> tuple[RansWriter, RansWriter]:  # fmt: skip
    """Writers that hold all symbols of the means and of the cells."""
    pictures, device = len(symbols.step), symbols.sizes.device
    largest = _largest(symbols.step, bits)
    _check_values(symbols, largest, bits)
    cells_count = symbols.sizes[0].numel() * len(symbols.means)
    means_writer = RansWriter(pictures, device, cells_count, bytes_per_lane)
    writer = RansWriter(pictures, device, cells_count * CELL * CELL, bytes_per_lane)
    for plane_number, plane in enumerate(symbols.means):
        source = PlaneWriter(means_writer, plane, largest)
        _means(source, plane_number, symbols.means, symbols.step, matrix, networks)
    step, mean = symbols.step, symbols.means[0]
    number = torch.full_like(step, matrix.number)
    if symbols.adaptive is not None:
        spread = CellWriter(writer, symbols.adaptive + AQ_LARGEST)
        code_adaptive(networks, spread, mean, step)
    regions, quarters = (CellWriter(writer, flags) for flags in split_flags(symbols.sizes))
    code_sizes(networks, regions, quarters, mean, step, number)
    cells = cells_of(step, symbols.adaptive, symbols.sizes, matrix, hints)
    luma = CellWriter(writer, symbols.classes[0], symbols.values[0])
    code_cells(LUMA, networks, luma, cells, symbols.means[:1])
    if len(symbols.means) > 1:
        before = DecodedLuma(symbols.classes[0], symbols.values[0][..., 0, :], mean)
        chroma = CellWriter(writer, symbols.classes[1], symbols.values[1])
        code_cells(CHROMA, networks, chroma, cells, symbols.means[1:], before)
    return means_writer, writer


def _check_values(symbols: Symbols, largest: list[int], bits: int) -> None:
    planes = (*symbols.means, *symbols.values)
    found = torch.stack([plane.flatten(1).abs().amax(1) for plane in planes]).amax(0)
    if bool((found > torch.tensor(largest, device=found.device)).any()):
        raise ValueError(f"expected samples of {bits} bits with their sign, got larger ones")


def read_means(
    streams: list[Stream], shape: tuple[int, int, int], step: Tensor, matrix: Weighting,
    networks: Networks, bits: int,
) -> list[Tensor]:  # fmt: skip
    """The quantised means of the cells: C of (N, I, J) int32, from their streams alone.

    Args:
        streams: of N pictures.
        shape: C, H and W, multiples of 32.
        step: (N,) step index.

    Raises:
        CorruptStream: not what `write` made.
    """
    planes, height, width = shape
    reader = RansReader(streams, step.device, planes * height * width // (CELL * CELL))
    largest = _largest(step, bits)
    cells = (len(streams), height // CELL, width // CELL)
    means: list[Tensor] = []
    for number in range(planes):
        source = PlaneReader(reader, largest)
        means.append(_means(source, number, means, step, matrix, networks, cells))
    reader.close()
    return means


def read(
    streams: list[Coded], shape: tuple[int, int, int], step: Tensor, matrix: Weighting,
    networks: Networks, bits: int, hints: Tensor | None = None,
) -> Symbols:  # fmt: skip
    """Inverse of `write`; arguments and errors as for `read_means`."""
    means = read_means([s.means for s in streams], shape, step, matrix, networks, bits)
    reader = RansReader([s.cells for s in streams], step.device, math.prod(shape))
    source = CellReader(reader, max(_largest(step, bits)))
    adaptive = None
    if matrix.slope:
        adaptive = code_adaptive(networks, source, means[0], step)
    number = torch.full_like(step, matrix.number)
    sizes = code_sizes(networks, source, source, means[0], step, number)
    cells = cells_of(step, adaptive, sizes, matrix, hints)
    classes, values = code_cells(LUMA, networks, source, cells, means[:1])
    all_classes, all_values = [classes], [values]
    if shape[0] > 1:
        before = DecodedLuma(classes, values[..., 0, :], means[0])
        chroma = code_cells(CHROMA, networks, source, cells, means[1:], before)
        all_classes.append(chroma[0])
        all_values.append(chroma[1])
    reader.close()
    return Symbols(step, adaptive, sizes, means, all_classes, all_values)


def _means(
    source: pyramid.Source,
    number: int,
    means: list[Tensor],
    step: Tensor,
    matrix: Weighting,
    networks: Networks,
    shape: tuple[int, int, int] | None = None,
) -> Tensor:
    """One plane of means; `means` holds at least those before it."""
    known = means[:number][::-1]
    single = picture_features(step, torch.full_like(step, matrix.number))
    shape = shape_of(means[0]) if shape is None else shape
    return code_plane(networks["means"], source, shape, known, single)


def _largest(step: Tensor, bits: int) -> list[int]:
    """The largest coefficient of such samples, with room to spare, picture by picture."""
    smallest = (max(steps()[index] // 2, 1) for index in step.tolist())
    return [(REGION << bits + FRACTION) // least + 1 for least in smallest]


def write_lossless(planes: Tensor, networks: Networks, bits: int) -> list[Stream]:
    """Code planes (N, C, H, W) int32 without loss.

    Raises:
        ValueError: a sample beyond +-2^bits.
    """
    if not len(planes):
        return []
    low, high = (int(x) for x in planes.aminmax())
    if max(-low, high) > 1 << bits:
        raise ValueError(f"expected samples within +-{1 << bits}, got {low} to {high}")
    writer = RansWriter(len(planes), planes.device, planes[0].numel())
    none = torch.zeros(len(planes), 2, dtype=torch.int8, device=planes.device)
    parts = list(planes.unbind(1))
    for number, plane in enumerate(parts):
        source = PlaneWriter(writer, plane, [1 << bits] * len(planes))
        known = parts[:number][::-1][:2]
        code_plane(networks["lossless"], source, shape_of(plane), known, none)
    return writer.finish()


def read_lossless(
    streams: list[Stream], shape: tuple[int, int, int], networks: Networks, bits: int,
    device: torch.device,
) -> Tensor:  # fmt: skip
    """Inverse of `write_lossless`: (N, C, H, W) int32 for a shape of C, H, W."""
    reader = RansReader(streams, device, math.prod(shape))
    none = torch.zeros(len(streams), 2, dtype=torch.int8, device=device)
    parts: list[Tensor] = []
    for _ in range(shape[0]):
        source = PlaneReader(reader, [1 << bits] * len(streams))
        size = (len(streams), *shape[1:])
        parts.append(code_plane(networks["lossless"], source, size, parts[::-1][:2], none))
    reader.close()
    return torch.stack(parts, 1)
