"""What a homography leaves over: a vector for every block, blended from block to block.

Overlapped block motion compensation (Orchard and Sullivan 1994): each pixel is the mean of what the
vectors of the four nearest blocks say, weighted by how near their centres are.

Axes: C plane, H W pixels, R S blocks of 16 x 16, B square between four centres of blocks.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.container import FormatError
from codec.prediction.fields import pack_field, unpack_field
from codec.prediction.interpolation import WEIGHT_BITS, cubic_table

BLOCK = 16
VECTOR_ONE = 4  # vectors are in 1/4 of a pixel
LARGEST_VECTOR = 1 << 12  # a quarter of it in pixels
_SHARPNESS = -0.75
_TAPS = 3  # pixels that the kernel needs beside a square
_SQUARES_AT_ONCE = 128


@dataclass(frozen=True)
class Motion:
    """A picture moved block by block.

    Attributes:
        vectors: (2, R, S) int16, how much further right and down each block lies in the reference.
    """

    TAG: ClassVar[int] = 5
    vectors: Tensor

    def __call__(self, planes: Tensor, size: tuple[int, int]) -> Tensor:
        """(C, H, W) int32 -> the same."""
        return self.strips(planes, size, _SQUARES_AT_ONCE)

    def strips(self, planes: Tensor, size: tuple[int, int], squares: int) -> Tensor:
        """The same, that many squares at once: the result does not depend on it."""
        blocks = tuple(-(-n // BLOCK) for n in size)
        if tuple(planes.shape[1:]) != size or tuple(self.vectors.shape) != (2, *blocks):
            raise FormatError(f"expected {blocks} vectors, got {tuple(self.vectors.shape)}")
        # Squares lie between the centres of blocks, so those at the border begin half outside.
        vectors = F.pad(self.vectors.to(planes.device)[None].double(), (1,) * 4, mode="replicate")
        vectors = vectors[0].long()
        rows, columns = blocks[0] + 1, blocks[1] + 1
        around = torch.stack(
            [vectors[:, i : i + rows, j : j + columns] for i in (0, 1) for j in (0, 1)]
        ).flatten(2)  # (4, 2, B)
        out = torch.empty(
            len(planes), around.shape[2], BLOCK, BLOCK, dtype=torch.int32, device=planes.device
        )
        numbers = torch.arange(around.shape[2], device=planes.device)
        for here in numbers.split(squares):
            tops = (here // columns) * BLOCK - BLOCK // 2
            lefts = (here % columns) * BLOCK - BLOCK // 2
            out[:, here] = _blended(planes, tops, lefts, around[:, :, here])
        whole = out.reshape(len(planes), rows, columns, BLOCK, BLOCK).transpose(2, 3)
        whole = whole.reshape(len(planes), rows * BLOCK, columns * BLOCK)
        half = BLOCK // 2
        return whole[:, half : half + size[0], half : half + size[1]].contiguous()

    def pack(self) -> bytes:
        return pack_field(self.vectors)

    @classmethod
    def unpack(cls, data: bytes) -> "Motion":
        field = unpack_field(data)
        if len(field) != 2 or bool((field.abs() > LARGEST_VECTOR).any()):
            raise FormatError(f"prediction: expected vectors within {LARGEST_VECTOR}")
        return cls(field)


def _blended(planes: Tensor, tops: Tensor, lefts: Tensor, vectors: Tensor) -> Tensor:
    """(C, B, 16, 16) int32: squares whose corners are (tops, lefts) under their four vectors."""
    height, width = planes.shape[1:]
    flat = planes.flatten(1)
    kernels, window = _kernels(planes.device), _window(planes.device)
    reach = torch.arange(BLOCK + _TAPS, device=planes.device) - 1
    total = torch.zeros(
        len(planes), len(tops), BLOCK, BLOCK, dtype=torch.float64, device=planes.device
    )
    # Where all four vectors are one there is nothing to blend.
    same = (vectors == vectors[:1]).all(1).all(0)
    jobs = [(0, same, torch.full_like(window[0], WINDOW_ONE))]
    jobs += [(number, ~same, weight) for number, weight in enumerate(window)]
    for number, wanted, weight in jobs:
        chosen = wanted.nonzero()[:, 0]
        if not len(chosen):
            continue
        across, down = vectors[number][:, chosen]
        rows = (tops[chosen] + (down >> 2))[:, None] + reach
        columns = (lefts[chosen] + (across >> 2))[:, None] + reach
        place = rows.clamp(0, height - 1)[:, :, None] * width
        place = (place + columns.clamp(0, width - 1)[:, None]).flatten()
        vertical, horizontal = kernels[down & 3], kernels[across & 3].mT
        for plane, target in zip(flat, total, strict=True):
            windows = plane.index_select(0, place).double()
            windows = windows.reshape(-1, BLOCK + _TAPS, BLOCK + _TAPS)
            target[chosen] += vertical @ windows @ horizontal * weight
    return torch.floor(total / (WINDOW_ONE << 2 * WEIGHT_BITS) + 0.5).int()


WINDOW_ONE = 1024


@lru_cache
def _window(device: torch.device) -> Tensor:
    """(4, 16, 16) float64: weights of the vectors above left and right, below left and right."""
    far = torch.arange(1, 2 * BLOCK, 2, dtype=torch.float64)  # in halves of a pixel
    axis = torch.stack((2 * BLOCK - far, far))  # sums to 2 BLOCK
    return torch.stack([axis[i][:, None] * axis[j] for i in (0, 1) for j in (0, 1)]).to(device)


@lru_cache
def _kernels(device: torch.device) -> Tensor:
    """(4, 16, 19) float64: what makes a square's row of the pixels around it, by quarter."""
    kernels = torch.zeros(VECTOR_ONE, BLOCK, BLOCK + _TAPS, dtype=torch.float64)
    for phase, weights in enumerate(cubic_table(_SHARPNESS, VECTOR_ONE)):
        for pixel in range(BLOCK):
            kernels[phase, pixel, pixel : pixel + 4] = torch.tensor(weights, dtype=torch.float64)
    return kernels.to(device)
