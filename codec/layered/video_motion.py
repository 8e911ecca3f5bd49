"""What the frames around a frame say of it, by the vectors of the base, which cost nothing more.

US 2018/0007375, paragraph 121: coding differences follows the base's frame types and motion. Each
block of 16 x 16 takes the enlarged base, that plus the moved difference of other frames, or those
frames themselves, moved.

Axes: H W pixels of a plane, h w of a base, R S blocks of 16 x 16, K way to predict.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from codec.container import FormatError
from codec.layered.geometry import Size
from codec.prediction.motion import BLOCK, LARGEST_VECTOR, VECTOR_ONE, Motion

PAST, FUTURE = -1, 1
_CELL = 4  # pixels of the smallest block with a vector
_OTHER_WAY = 2.5  # bits of a block that is predicted otherwise than its neighbours, about
_ROUNDS = 3

Planes = Sequence[Tensor]  # Y, U, V, (1, H, W) int32 in 1/16 grey level


class Standing(NamedTuple):
    """A frame that others may stand on.

    Attributes:
        enlarged: planes of the base at the size of the video.
        exact: planes with the difference.
    """

    enlarged: Planes
    exact: Planes

    def differences(self) -> list[Tensor]:
        return [whole - part for whole, part in zip(self.exact, self.enlarged, strict=True)]


class Vectors(NamedTuple):
    """Where the blocks of a base's frame come from, in one direction.

    Attributes:
        size: of the base, h and w.
        known: (h/4, w/4) bool, whether a vector is there.
        field: (2, h/4, w/4) int64, right and down in 1/4 pixel of the base.
    """

    size: Size
    known: np.ndarray
    field: np.ndarray

    def at(self, plane: Size) -> tuple[Tensor, Motion]:
        """For a plane of any size: (R, S) bool where there are vectors, and those in its pixels."""
        rows, columns = (
            np.minimum((np.arange(-(-n // BLOCK)) * BLOCK + BLOCK // 2) * small // n, small - 1)
            // _CELL
            for n, small in zip(plane, self.size, strict=True)
        )
        across, down = (
            (2 * part[rows][:, columns] * n + small) // (2 * small)
            for part, n, small in zip(
                self.field, (plane.width, plane.height), self.size[::-1], strict=True
            )
        )
        vectors = np.stack((across, down)).clip(-LARGEST_VECTOR, LARGEST_VECTOR).astype(np.int16)
        return torch.from_numpy(self.known[rows][:, columns]), Motion(torch.from_numpy(vectors))


def keep_vectors(stream: Any) -> None:
    """Ask a decoder for vectors before it starts."""
    from av.codec.context import Flags2

    stream.codec_context.flags2 |= Flags2.export_mvs


def read_vectors(frame: Any) -> dict[int, Vectors]:
    """The vectors of a decoded frame by direction, PAST or FUTURE; none of a frame of its own."""
    found = frame.side_data.get("MOTION_VECTORS")
    if found is None:
        return {}
    every = found.to_ndarray()
    size = Size(frame.height, frame.width)
    directions = np.sign(every["source"].astype(np.int64))
    return {
        direction: _painted(every[directions == direction], size)
        for direction in (PAST, FUTURE)
        if (directions == direction).any()
    }


def _painted(vectors: np.ndarray, size: Size) -> Vectors:
    """Vectors of blocks of several sizes as one field."""
    shape = tuple(-(-n // _CELL) for n in size)
    known, field = np.zeros(shape, bool), np.zeros((2, *shape), np.int64)
    one = vectors["motion_scale"].astype(np.int64)
    moved = [
        (2 * VECTOR_ONE * vectors[name].astype(np.int64) + one) // (2 * one)
        for name in ("motion_x", "motion_y")
    ]
    tops, lefts = (
        (vectors[middle].astype(np.int64) - vectors[side] // 2) // _CELL
        for middle, side in (("dst_y", "h"), ("dst_x", "w"))
    )
    for height, width in {(int(v["h"]), int(v["w"])) for v in vectors}:
        here = (vectors["h"] == height) & (vectors["w"] == width)
        for i in range(max(1, height // _CELL)):
            for j in range(max(1, width // _CELL)):
                rows, columns = tops[here] + i, lefts[here] + j
                inside = (rows >= 0) & (columns >= 0) & (rows < shape[0]) & (columns < shape[1])
                place = rows[inside], columns[inside]
                known[place] = True
                for axis in (0, 1):
                    field[axis][place] = moved[axis][here][inside]
    return Vectors(size, known, field)


class Ways(NamedTuple):
    """How a frame may be predicted: first from its base alone, then from others, too.

    Attributes:
        planes: of each way.
        known: (R, S) bool of luma's blocks, where the other ways are open.
    """

    planes: list[Planes]
    known: Tensor


def ways_for(
    enlarged: Planes, vectors: Mapping[int, Vectors], around: Mapping[int, Standing]
) -> Ways:
    """What a frame may be predicted from.

    Args:
        enlarged: its base at its size.
        vectors: of its base.
        around: the frames that the base's vectors point to, by direction.
    """
    directions = [d for d in (PAST, FUTURE) if d in vectors and d in around]
    blocks = [-(-n // BLOCK) for n in enlarged[0].shape[1:]]
    if not directions:
        return Ways([enlarged], torch.zeros(*blocks, dtype=torch.bool))
    luma = Size(*enlarged[0].shape[1:])
    every = [vectors[d].at(luma)[0] for d in directions]
    differences = [around[d].differences() for d in directions]
    added, replaced = [], []
    for number, plane in enumerate(enlarged):
        size = Size(plane.shape[1], plane.shape[2])
        motions = [vectors[d].at(size)[1] for d in directions]
        block = BLOCK * size.width // luma.width, BLOCK * size.height // luma.height
        masks = [_spread(known, block, size) for known in every]
        moved = [m(x[number], size) for m, x in zip(motions, differences, strict=True)]
        added.append(plane + _mean(moved, masks))
        moved = [m(around[d].exact[number], size) for m, d in zip(motions, directions, strict=True)]
        replaced.append(_mean(moved, masks))
    return Ways([enlarged, added, replaced], torch.stack(every).any(0))


def _spread(blocks: Tensor, block: tuple[int, int], size: Size) -> Tensor:
    """(R, S) -> (H, W): the value of each pixel's block of width and height."""
    wide = blocks.repeat_interleave(block[1], 0).repeat_interleave(block[0], 1)
    return wide[: size.height, : size.width]


def _mean(every: list[Tensor], masks: list[Tensor]) -> Tensor:
    """The mean of planes where they are known, upwards; 0 where none is."""
    total = torch.stack([x * mask for x, mask in zip(every, masks, strict=True)]).sum(0)
    return torch.where(torch.stack(masks).sum(0) == 2, total + 1 >> 1, total).int()


def choose_ways(luma: Tensor, ways: Ways, worth: float) -> Tensor:
    """(R, S) int16: the way of each block with the least squared error and what its bits are worth.

    Args:
        luma: (1, H, W) int32, what is to be predicted.
        ways: see `ways_for`.
        worth: squared grey levels that a bit is worth.
    """
    errors = torch.stack([_block_errors(luma - planes[0]) for planes in ways.planes])
    errors[1:, ~ways.known] = torch.inf
    numbers = torch.arange(len(errors))[:, None, None]
    chosen = errors.argmin(0)
    for _ in range(_ROUNDS):
        padded = F.pad(chosen, (1, 1, 1, 0))
        near = torch.stack((padded[1:, :-2], padded[:-1, 1:-1], padded[:-1, 2:])).median(0).values
        chosen = (errors + worth * _OTHER_WAY * (numbers != near)).argmin(0)
    return chosen.to(torch.int16)


def _block_errors(wrong: Tensor) -> Tensor:
    """(1, H, W) in 1/16 grey level -> (R, S): sums of squares in grey levels."""
    height, width = wrong.shape[1:]
    squares = F.pad((wrong[0].float() / 16).square(), (0, -width % BLOCK, 0, -height % BLOCK))
    return squares.unflatten(1, (-1, BLOCK)).unflatten(0, (-1, BLOCK)).sum((1, 3))


def predicted_planes(ways: Ways, chosen: Tensor) -> list[Tensor]:
    """The planes that the chosen ways make.

    Raises:
        FormatError: a choice that there is not.
    """
    shape = tuple(ways.known.shape)
    if tuple(chosen.shape) != shape or not 0 <= chosen.min() <= chosen.max() < len(ways.planes):
        raise FormatError(f"frame: expected {shape} choices out of {len(ways.planes)}")
    return list(_put_together(ways, chosen))


def _put_together(ways: Ways, chosen: Tensor) -> Iterator[Tensor]:
    luma = ways.planes[0][0]
    for number, plane in enumerate(ways.planes[0]):
        size = Size(plane.shape[1], plane.shape[2])
        block = BLOCK * size.width // luma.shape[2], BLOCK * size.height // luma.shape[1]
        way = _spread(chosen, block, size)
        found = plane
        for k in range(1, len(ways.planes)):
            found = torch.where(way == k, ways.planes[k][number], found)
        yield found
