"""The residual coder: signed integer planes to entropy-coded data and back.

It knows nothing of files, of colours or of what the planes mean: photos come as luma and chroma,
residuals as what a prediction left over. Two streams a picture: the means of the 8 x 8 cells, from
which alone a thumbnail can be made, and everything else.

Axes: N picture, C plane, H W pixels, I J cells, K frequency.
"""

import math
import zlib
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from codec.residual import analyse as analysis
from codec.residual import pyramid
from codec.residual.adaptive_quantisation import code_adaptive
from codec.residual.analyse import ROUND, Given, Symbols, cells_of, steps_of
from codec.residual.context import picture_features
from codec.residual.context_sets import Contexts
from codec.residual.exact import exact_arithmetic
from codec.residual.passes import CHROMA, LUMA, DecodedLuma, code_cells
from codec.residual.pyramid import code_plane, shape_of
from codec.residual.quantise import AQ_LARGEST, FRACTION, Steps, Weighting, quantise, steps
from codec.residual.rans import BYTES_PER_LANE, RansReader, RansWriter
from codec.residual.rdoq import distortion, weigh
from codec.residual.sources import CellReader, CellWriter, PlaneReader, PlaneWriter
from codec.residual.transform import CELL, REGION, forward
from codec.residual.transform_sizes import code_sizes, split_flags

Stream = tuple[int, bytes]  # lanes and words
Shape = tuple[int, int, int]  # C, H, W
MEAN_DEAD_ZONES = (ROUND, 11, 7)  # of 32, that residuals choose from


class Terms(NamedTuple):
    """What the reader of coded planes must have in common with their writer.

    Attributes:
        step_index: see `quantise.steps`.
        weighting: number of the weighting.
        networks: fingerprint of the context networks.
        bits: of a sample, its sign included.
        hints: CRC-32 of the hints of the prediction, 0 without any.
    """

    step_index: int
    weighting: int
    networks: int
    bits: int
    hints: int = 0


class Coded(NamedTuple):
    """The two streams of one picture and their terms."""

    means: Stream
    cells: Stream
    terms: Terms


class CodedLossless(NamedTuple):
    """The stream of the planes of one picture, and bits of a sample."""

    planes: Stream
    bits: int


class TermsDiffer(ValueError):
    """Coded planes given to a reader that has other networks, weighting, bits or hints."""


@dataclass(frozen=True)
class ResidualCoder:
    """Codes planes with loss.

    Attributes:
        networks: the context networks, see `context_sets`.
        weighting: see `quantise.WEIGHTINGS`.
        bits: of a sample of the planes, its sign included; 9 for pictures of 8 bits, 10 for what a
            prediction leaves over of them.
    """

    networks: Contexts
    weighting: Weighting
    bits: int

    @exact_arithmetic()
    def analyse(
        self,
        planes: Tensor,
        step_index: Tensor,
        sizes: Tensor | None = None,
        hints: Tensor | None = None,
        adaptive: Tensor | None = None,
        mean_dead_zone: Tensor | None = None,
    ) -> Symbols:
        """What is coded of planes; arguments as for `analyse.analyse` and `analyse.Given`."""
        given = Given(sizes, hints, adaptive, mean_dead_zone)
        return analysis.analyse(planes, step_index, self.weighting, self.networks, given)

    @exact_arithmetic()
    def choose_mean_dead_zone(self, planes: Tensor, step_index: Tensor) -> Tensor:
        """The dead zone of the means that is cheapest in bits and errors together.

        Residuals have means of which most are noise: dropping the small ones took a quarter off
        pictures of a burst. Where a prediction is poor it costs more than it saves.

        Args:
            planes: (N, C, H, W) as for `analyse`.
            step_index: (N,) int64.

        Returns:
            (N,) int64 of 32.
        """
        pictures, count = planes.shape[:2]
        largest = self._largest(step_index)
        every = Steps(step_index, self.weighting, None)
        coefficients = [forward(plane, CELL)[..., 0] for plane in planes.unbind(1)]
        flat = torch.zeros(coefficients[0].shape, dtype=torch.int32, device=planes.device)
        steps_of_planes = [every.of(flat, plane > 0)[..., 0] for plane in range(count)]
        weights = []
        for zone in MEAN_DEAD_ZONES:
            writer = RansWriter(pictures, planes.device)
            means: list[Tensor] = []
            error = torch.zeros(pictures, dtype=torch.int64, device=planes.device)
            for wanted, step in zip(coefficients, steps_of_planes, strict=True):
                mean = quantise(wanted, step, zone)
                self._code_means(
                    PlaneWriter(writer, mean, largest), means[::-1], step_index, shape_of(mean)
                )
                means.append(mean)
                error += distortion(wanted.float(), mean, step.float()).flatten(1).sum(1)
            cost = torch.tensor(writer.costs(), device=planes.device)
            weights.append(weigh(error, cost))
        zones = torch.tensor(MEAN_DEAD_ZONES, device=planes.device)
        # Of equal ones the first, which rounds to the nearest.
        number = torch.arange(len(zones), device=planes.device)[:, None]
        return zones[(torch.stack(weights) * len(zones) + number).argmin(0)]

    @exact_arithmetic()
    def reconstruct(self, symbols: Symbols) -> Tensor:
        """(N, C, H, W) int32 planes in 1/16 grey level."""
        self._check(symbols)
        return analysis.reconstruct(symbols)

    @exact_arithmetic()
    def write(self, symbols: Symbols, bytes_per_lane: int = BYTES_PER_LANE) -> list[Coded]:
        """Entropy-code symbols.

        Args:
            symbols: see `analyse`.
            bytes_per_lane: fewer are faster to decode and cost three bytes a lane.

        Raises:
            ValueError: samples of more bits, or symbols of another weighting.
        """
        finished = (writer.finish() for writer in self._fill(symbols, bytes_per_lane))
        terms = self.terms(symbols.step_index.tolist(), symbols.hints)
        return [Coded(*streams) for streams in zip(*finished, terms, strict=True)]

    @exact_arithmetic()
    def entropy(self, symbols: Symbols) -> Tensor:
        """(N,) float64: bits that the symbols take in theory."""
        means, cells = self._fill(symbols, BYTES_PER_LANE)
        return means.bits() + cells.bits()

    @exact_arithmetic()
    def read_means(self, streams: list[Stream], shape: Shape, step_index: Tensor) -> list[Tensor]:
        """The quantised means of the cells: C of (N, I, J) int32, from their streams alone.

        Args:
            streams: of N pictures.
            shape: C, H and W, multiples of 32.
            step_index: (N,).

        Raises:
            CorruptStream: not what `write` made.
        """
        planes, height, width = shape
        reader = RansReader(streams, step_index.device, planes * height * width // (CELL * CELL))
        largest = self._largest(step_index)
        cells = (len(streams), height // CELL, width // CELL)
        means: list[Tensor] = []
        for _ in range(planes):
            source = PlaneReader(reader, largest)
            means.append(self._code_means(source, means[::-1], step_index, cells))
        reader.close()
        return means

    @exact_arithmetic()
    def read(
        self,
        coded: list[Coded],
        shape: Shape,
        device: torch.device | str = "cpu",
        hints: Tensor | None = None,
    ) -> Symbols:
        """Inverse of `write`.

        Args:
            coded: of N pictures of one shape.
            shape: C, H and W, multiples of 32.
            device: where the symbols are wanted.
            hints: those that the symbols were made with.

        Raises:
            TermsDiffer: it was written with other networks, weighting, bits or hints.
            CorruptStream: not what `write` made.
        """
        indices = [one.terms.step_index for one in coded]
        for one, own in zip(coded, self.terms(indices, hints), strict=True):
            if one.terms != own:
                raise TermsDiffer(f"expected planes coded with {own}, got {one.terms}")
        step_index = torch.tensor(indices, device=device)
        means = self.read_means([one.means for one in coded], shape, step_index)
        reader = RansReader([one.cells for one in coded], step_index.device, math.prod(shape))
        source = CellReader(reader, max(self._largest(step_index)))
        adaptive = None
        if self.weighting.slope:
            adaptive = code_adaptive(self.networks, source, means[0], step_index)
        single = self._features(step_index)
        sizes = code_sizes(self.networks, source, source, means[0], single)
        cells = cells_of(steps_of(step_index, self.weighting, adaptive), sizes, hints)
        classes, values = code_cells(LUMA, self.networks, source, cells, means[:1])
        all_classes, all_values = [classes], [values]
        if shape[0] > 1:
            luma = DecodedLuma(classes, values[..., 0, :], means[0])
            classes, values = code_cells(CHROMA, self.networks, source, cells, means[1:], luma)
            all_classes.append(classes)
            all_values.append(values)
        reader.close()
        return Symbols(
            step_index, self.weighting, hints, adaptive, sizes, means, all_classes, all_values
        )

    def terms(self, step_indices: list[int], hints: Tensor | None) -> list[Terms]:
        """The terms of each of N pictures, coded by this coder."""
        checksums = [0] * len(step_indices)
        if hints is not None:
            checksums = [zlib.crc32(one.cpu().contiguous().numpy().tobytes()) for one in hints]
        return [
            Terms(index, self.weighting.number, self.networks.fingerprint, self.bits, checksum)
            for index, checksum in zip(step_indices, checksums, strict=True)
        ]

    def _fill(self, symbols: Symbols, bytes_per_lane: int) -> tuple[RansWriter, RansWriter]:
        """Writers that hold all symbols of the means and of the cells."""
        self._check(symbols)
        index, sizes, means = symbols.step_index, symbols.sizes, symbols.means
        pictures, device = len(index), sizes.device
        largest = self._largest(index)
        self._check_values(symbols, largest)
        values = sizes[0].numel() * len(means)
        means_writer = RansWriter(pictures, device, values, bytes_per_lane)
        writer = RansWriter(pictures, device, values * CELL * CELL, bytes_per_lane)
        for number, plane in enumerate(means):
            source = PlaneWriter(means_writer, plane, largest)
            self._code_means(source, means[:number][::-1], index, shape_of(plane))
        if symbols.adaptive is not None:
            spread = CellWriter(writer, symbols.adaptive + AQ_LARGEST)
            code_adaptive(self.networks, spread, means[0], index)
        regions, quarters = (CellWriter(writer, flags) for flags in split_flags(sizes))
        code_sizes(self.networks, regions, quarters, means[0], self._features(index))
        cells = cells_of(symbols.steps, sizes, symbols.hints)
        source_of = [
            CellWriter(writer, *x) for x in zip(symbols.classes, symbols.values, strict=True)
        ]
        code_cells(LUMA, self.networks, source_of[0], cells, means[:1])
        if len(means) > 1:
            luma = DecodedLuma(symbols.classes[0], symbols.values[0][..., 0, :], means[0])
            code_cells(CHROMA, self.networks, source_of[1], cells, means[1:], luma)
        return means_writer, writer

    def _check(self, symbols: Symbols) -> None:
        if symbols.weighting != self.weighting:
            raise TermsDiffer(f"expected symbols of {self.weighting}, got {symbols.weighting}")

    def _check_values(self, symbols: Symbols, largest: list[int]) -> None:
        planes = (*symbols.means, *symbols.values)
        found = torch.stack([plane.flatten(1).abs().amax(1) for plane in planes]).amax(0)
        if bool((found > torch.tensor(largest, device=found.device)).any()):
            raise ValueError(
                f"expected samples of {self.bits} bits with their sign, got larger ones"
            )

    def _code_means(
        self,
        source: pyramid.Source,
        known: list[Tensor],
        step_index: Tensor,
        shape: tuple[int, int, int],
    ) -> Tensor:
        """One plane of means; `known` are those before it, the latest first."""
        single = self._features(step_index)
        return code_plane(self.networks["means"], source, shape, known, single)

    def _features(self, step_index: Tensor) -> Tensor:
        return picture_features(step_index, torch.full_like(step_index, self.weighting.number))

    def _largest(self, step_index: Tensor) -> list[int]:
        """The largest coefficient of such samples, with room to spare, picture by picture."""
        smallest = (max(steps()[index] // 2, 1) for index in step_index.tolist())
        return [(REGION << self.bits + FRACTION) // least + 1 for least in smallest]


@dataclass(frozen=True)
class LosslessCoder:
    """Codes planes without loss, from coarse to fine.

    Attributes:
        networks: the context networks, see `context_sets`.
        bits: of a sample of the planes, its sign included.
    """

    networks: Contexts
    bits: int

    @exact_arithmetic()
    def write(self, planes: Tensor) -> list[CodedLossless]:
        """Code planes (N, C, H, W) int32.

        Raises:
            ValueError: a sample beyond +-2^bits.
        """
        if not len(planes):
            return []
        low, high = (int(x) for x in planes.aminmax())
        if max(-low, high) > 1 << self.bits:
            raise ValueError(f"expected samples within +-{1 << self.bits}, got {low} to {high}")
        writer = RansWriter(len(planes), planes.device, planes[0].numel())
        parts = list(planes.unbind(1))
        for number, plane in enumerate(parts):
            source = PlaneWriter(writer, plane, [1 << self.bits] * len(planes))
            self._code(source, parts[:number][::-1], shape_of(plane), planes.device)
        return [CodedLossless(stream, self.bits) for stream in writer.finish()]

    @exact_arithmetic()
    def read(
        self, coded: list[CodedLossless], shape: Shape, device: torch.device | str = "cpu"
    ) -> Tensor:
        """Inverse of `write`: (N, C, H, W) int32 for a shape of C, H, W.

        Raises:
            TermsDiffer: it was written with other bits.
            CorruptStream: not what `write` made.
        """
        for one in coded:
            if one.bits != self.bits:
                raise TermsDiffer(f"expected samples of {self.bits} bits, got {one.bits}")
        reader = RansReader([one.planes for one in coded], torch.device(device), math.prod(shape))
        parts: list[Tensor] = []
        for _ in range(shape[0]):
            source = PlaneReader(reader, [1 << self.bits] * len(coded))
            size = (len(coded), *shape[1:])
            parts.append(self._code(source, parts[::-1], size, reader.device))
        reader.close()
        return torch.stack(parts, 1)

    def _code(
        self,
        source: pyramid.Source,
        known: list[Tensor],
        shape: tuple[int, int, int],
        device: torch.device,
    ) -> Tensor:
        none = torch.zeros(shape[0], 2, dtype=torch.int8, device=device)
        known = known[: pyramid.PLANES - 1]
        return code_plane(self.networks["lossless"], source, shape, known, none)
