"""How much of a prediction's detail counts, region by region: where it is wrong, its means alone.

Axes: C plane, H W pixels, S T regions of 32 x 32.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from codec.container import FormatError
from codec.planes import pad
from codec.prediction.fields import pack_field, unpack_field
from codec.residual.transform import REGION, forward_blocks, from_blocks, inverse_blocks, to_blocks

QUARTERS = (4, 3, 2, 0)  # the values of a map, the commonest first: all, 3/4, half, none
_BLOCK = 16


@dataclass(frozen=True)
class Alpha:
    """Scales the frequencies of a prediction above the means of its 8 x 8 cells.

    Attributes:
        kept: (S, T) int8 index into QUARTERS.
    """

    TAG: ClassVar[int] = 6
    kept: Tensor

    def __call__(self, planes: Tensor, size: tuple[int, int]) -> Tensor:
        """(C, H, W) int32 -> the same."""
        regions = tuple(-(-n // REGION) for n in size)
        if tuple(self.kept.shape) != regions or tuple(planes.shape[1:]) != size:
            raise FormatError(f"expected {regions} regions, got {tuple(self.kept.shape)}")
        index = self.kept.to(planes.device).flatten()
        changed = (index > 0).nonzero()[:, 0]
        if not len(changed):
            return planes
        # One at a time: frequencies take several times the room of pixels.
        return torch.cat([self._scaled(plane[None], index, changed) for plane in planes])

    def _scaled(self, plane: Tensor, index: Tensor, changed: Tensor) -> Tensor:
        """(1, H, W) int32 -> the same."""
        size = plane.shape[1:]
        padded = pad(plane[None])[0]
        blocks = to_blocks(padded, REGION)  # (S T, 32, 32)
        parts = to_blocks(blocks[changed], _BLOCK)
        quarters = torch.tensor(QUARTERS, dtype=torch.float64, device=plane.device)
        share = quarters[index[changed].long()].repeat_interleave((REGION // _BLOCK) ** 2)
        found = forward_blocks(parts, _BLOCK)
        scaled = torch.floor(found * share[:, None, None, None] / 4 + 0.5)
        scaled[..., 0] = found[..., 0]
        blocks[changed] = from_blocks(inverse_blocks(scaled, _BLOCK).int(), REGION, REGION)
        whole = from_blocks(blocks, *padded.shape[1:])
        return whole[:, : size[0], : size[1]].contiguous()

    def pack(self) -> bytes:
        return pack_field(self.kept[None])

    @classmethod
    def unpack(cls, data: bytes) -> "Alpha":
        field = unpack_field(data)
        if len(field) != 1 or bool(((field < 0) | (field >= len(QUARTERS))).any()):
            raise FormatError("prediction: expected how much of each region is kept")
        return cls(field[0])
