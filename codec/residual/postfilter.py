"""An optional small network after the decoder: what the picture probably looked like.

It works at half resolution on the decoded planes, on what the edge filter would change, on the
step and on where blocks meet, so one network serves all rates. Its output is not exact arithmetic
and nothing is ever predicted from it: pixels may differ by one grey level between devices.

Axes: N picture, C plane, H W pixels, I J cells.
"""

import hashlib
from functools import cache
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from codec.residual.transform import CELL, SAMPLE_BITS

GREY = 1 << SAMPLE_BITS
_INPUTS = 12 + 12 + 1 + 4
_LARGEST_STEP = 256.0
_ROWS_AT_ONCE = 512  # of pixels; bounds the memory
_OVERLAP = 32  # pixels of a region; the network sees twice depth + 1
SHIPPED = Path(__file__).with_name("postfilter.safetensors")


class PostFilter(nn.Module):
    """Convolutions at half resolution.

    Args:
        width: channels of the hidden layers.
        depth: hidden layers.
    """

    def __init__(self, width: int, depth: int):
        super().__init__()
        widths = [_INPUTS, *[width] * depth]
        self.hidden = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.last = nn.Conv2d(width + _INPUTS, 12, 3, padding=1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    #: first four bytes of the SHA-256 of the weights, which streams carry
    fingerprint: int = 0

    @torch.inference_mode()
    def restore(self, planes: Tensor, smoothed: Tensor, step: Tensor, sizes: Tensor) -> Tensor:
        """`forward` in strips and in bfloat16, without gradients."""
        step = step.expand(-1, -1, *sizes.shape[1:])
        height = planes.shape[2]
        strips = []
        for top in range(0, height, _ROWS_AT_ONCE):
            first, last = max(0, top - _OVERLAP), min(height, top + _ROWS_AT_ONCE + _OVERLAP)
            rows, cells = slice(first, last), slice(first // CELL, last // CELL)
            with torch.autocast(planes.device.type, torch.bfloat16):
                strip = self(
                    planes[:, :, rows], smoothed[:, :, rows], step[:, :, cells], sizes[:, cells]
                )
            strips.append(strip[:, :, top - first : top - first + _ROWS_AT_ONCE])
        return torch.cat(strips, 2)

    def forward(self, planes: Tensor, smoothed: Tensor, step: Tensor, sizes: Tensor) -> Tensor:
        """Restored planes.

        Args:
            planes: (N, 3, H, W) decoded, in 1/16 grey level.
            smoothed: the same after the edge filter.
            step: (N, 1, I, J) or (N, 1, 1, 1) luma step of each cell in grey levels.
            sizes: (N, I, J) size index of each cell.

        Returns:
            (N, 3, H, W) float32 in 1/16 grey level.
        """
        height, width = planes.shape[2:]
        step = step.float().clamp(0.25, _LARGEST_STEP).expand(-1, -1, *sizes.shape[1:])
        local = F.interpolate(step, (height // 2, width // 2))
        unit = local * GREY
        difference = F.pixel_unshuffle((smoothed - planes).float(), 2) / unit
        x = torch.cat(
            (
                F.pixel_unshuffle(planes.float() / (GREY * 64), 2),
                difference * 4,
                local.log2() / 4,
                _borders(sizes),
            ),
            1,
        ).contiguous(memory_format=torch.channels_last)
        y = x
        for layer in self.hidden:
            y = layer(y).relu()
        change = self.last(torch.cat((y, x.to(y.dtype)), 1)).float() * unit
        return planes + F.pixel_shuffle(change, 2)


def _borders(sizes: Tensor) -> Tensor:
    """(N, 4, H/2, W/2): 1 on the pixels above, below, left and right of which a block ends."""
    half = CELL // 2
    pictures, rows, columns = sizes.shape
    r = 1 << sizes.int()
    i = torch.arange(rows, device=sizes.device)[:, None] % r
    j = torch.arange(columns, device=sizes.device) % r
    out = torch.zeros(pictures, 4, rows, half, columns, half, device=sizes.device)
    out[:, 0, :, 0] = (i == 0).float()[..., None]
    out[:, 1, :, -1] = (i == r - 1).float()[..., None]
    out[:, 2, ..., 0] = (j == 0).float()[:, :, None]
    out[:, 3, ..., -1] = (j == r - 1).float()[:, :, None]
    return out.reshape(pictures, 4, rows * half, columns * half)


@cache
def shipped(device: torch.device) -> dict[str, PostFilter]:
    """The post-filters that ship, by quantisation matrix."""
    found: dict[str, PostFilter] = {}
    if not SHIPPED.exists():
        return found
    with safe_open(str(SHIPPED), "pt") as file:
        keys = sorted(file.keys())
        for mode in {key.split(".")[0] for key in keys}:
            own = [key for key in keys if key.startswith(f"{mode}.")]
            state = {key.removeprefix(f"{mode}."): file.get_tensor(key) for key in own}
            depth = sum(key.startswith("hidden") and key.endswith("weight") for key in state)
            network = PostFilter(state["last.weight"].shape[1] - _INPUTS, depth)
            network.load_state_dict({key: value.float() for key, value in state.items()})
            digest = hashlib.sha256(b"".join(state[k].numpy().tobytes() for k in sorted(state)))
            network.fingerprint = int.from_bytes(digest.digest()[:4], "big")
            network = network.to(device).to(memory_format=torch.channels_last).eval()
            found[mode] = network
    return found


def shipped_postfilter(mode: str, device: torch.device) -> PostFilter:
    """The post-filter that ships for `mse` or `perceptual`."""
    return shipped(device)[mode]


def postfilter_of(fingerprint: int, device: torch.device) -> PostFilter | None:
    """The shipped post-filter with this fingerprint, or None."""
    networks = shipped(device).values()
    return next((network for network in networks if network.fingerprint == fingerprint), None)
