"""Vectors between two pictures that show nearly the same: dense flow, then few bits.

Axes: H W pixels, R S blocks of 16 x 16.
"""

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch import Tensor

from codec.align.features import as_grey
from codec.prediction.motion import BLOCK, LARGEST_VECTOR, VECTOR_ONE, Motion
from codec.residual.rdoq import LAMBDA

_ROUNDS = 3
_AROUND = ((-1, 0), (1, 0), (0, -1), (0, 1))


def find_motion(picture: Tensor, prediction: Tensor, step: float, every: int = 1) -> Motion:
    """Vectors that take a prediction to a picture.

    Each block takes the vector with the least squared error plus what its bits are worth, out of
    the flow's, its neighbours' and those a quarter of a pixel beside.

    Args:
        picture, prediction: luma (H, W) int32 in 1/16 grey level.
        step: of quantisation, in grey levels: a bit is worth LAMBDA of its square.
        every: one of so many pixels across and down is looked at.
    """
    wanted, given = (x.cpu().numpy().astype(np.float32) / 16 for x in (picture, prediction))
    dense = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = dense.calc(as_grey(picture), as_grey(prediction), None)  # type: ignore[call-overload]
    field = _medians(flow)
    matcher = _Matcher(wanted, given, every)
    worth = LAMBDA * step * step
    least = np.full(field.shape[:2], np.inf)
    best = field
    for _ in range(_ROUNDS):
        middle = _median_around(best)
        least = matcher.error(best) + worth * _bits(best - middle)
        for other in _candidates(best, middle):
            cost = matcher.error(other) + worth * _bits(other - middle)
            better = cost < least
            best = np.where(better[..., None], other, best)
            least = np.minimum(cost, least)
    vectors = best.clip(-LARGEST_VECTOR, LARGEST_VECTOR).astype(np.int16)
    return Motion(torch.from_numpy(np.ascontiguousarray(vectors.transpose(2, 0, 1))))


def _candidates(field: np.ndarray, middle: np.ndarray) -> Iterator[np.ndarray]:
    yield np.zeros_like(field)
    yield middle
    padded = np.pad(field, ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows, columns = field.shape[:2]
    for i, j in _AROUND:
        yield padded[1 + i : 1 + i + rows, 1 + j : 1 + j + columns]
    for shift in _AROUND:
        yield field + np.array(shift)


def _bits(difference: np.ndarray) -> np.ndarray:
    """(R, S): about what a vector takes whose neighbours' median is that far away."""
    size = np.abs(difference)
    return (1 + 2 * np.log2(1 + size)).sum(-1) * (size.sum(-1) > 0) + 0.5


def _medians(flow: np.ndarray) -> np.ndarray:
    """(R, S, 2) int: the median of the flow in each block, in 1/4 pixel."""
    rows, columns = (-(-n // BLOCK) for n in flow.shape[:2])
    pad = ((0, rows * BLOCK - flow.shape[0]), (0, columns * BLOCK - flow.shape[1]), (0, 0))
    blocks = np.pad(flow, pad, mode="edge").reshape(rows, BLOCK, columns, BLOCK, 2)
    return np.rint(np.median(blocks, (1, 3)) * VECTOR_ONE).astype(np.int64)


def _median_around(field: np.ndarray) -> np.ndarray:
    """(R, S, 2): the median of the three neighbours that a decoder knows: left, above, right."""
    padded = np.pad(field, ((1, 0), (1, 1), (0, 0)))
    left, above, right = padded[1:, :-2], padded[:-1, 1:-1], padded[:-1, 2:]
    return np.median(np.stack((left, above, right)), 0).astype(np.int64)


class _Matcher:
    """What blocks of a picture differ by from a prediction under vectors."""

    def __init__(self, wanted: np.ndarray, given: np.ndarray, every: int):
        self.wanted, self.given = wanted[::every, ::every], given
        rows, columns = (np.arange(0, n, every, dtype=np.float32) for n in wanted.shape)
        self.x, self.y = np.meshgrid(columns, rows)
        self._side, self._weight = BLOCK // every, every * every

    def error(self, field: np.ndarray) -> np.ndarray:
        """(R, S) sums of squares."""
        height, width = self.wanted.shape
        dense = np.repeat(np.repeat(field, self._side, 0), self._side, 1)[:height, :width]
        dense = dense.astype(np.float32) / VECTOR_ONE
        moved = cv2.remap(
            self.given,
            self.x + dense[..., 0],
            self.y + dense[..., 1],
            cv2.INTER_CUBIC,  # a = -0.75, as in `codec.prediction`
            borderMode=cv2.BORDER_REPLICATE,
        )
        wrong = np.square(self.wanted - moved)
        rows, columns = field.shape[:2]
        pad = ((0, rows * self._side - height), (0, columns * self._side - width))
        blocks = np.pad(wrong, pad).reshape(rows, self._side, columns, self._side)
        return blocks.sum((1, 3)) * self._weight
