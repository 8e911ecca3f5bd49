"""Three-dimensional look-up tables (LUTs).

Axes: C output channel (red, green, blue), then B G R grid positions of the input, so that red runs
fastest, as it does in .cube files and HALD pictures; N picture, P colour sample, D grid size, K
points of a curve.
A table is (3, D, D, D) over [0, 1]^3. All rendering interpolates what the table *adds* to its
input, so that an identity table gives back its input bit for bit.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def identity_lut(
    size: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Tensor:
    """(3, size, size, size): the table that changes nothing."""
    axis = torch.linspace(0, 1, size, device=device, dtype=dtype)
    blue, green, red = torch.meshgrid(axis, axis, axis, indexing="ij")
    return torch.stack((red, green, blue))


def apply_curves(x: Tensor, curves: Tensor) -> Tensor:
    """Send each channel through a curve of its own, with linear interpolation.

    Args:
        x: (N, 3, H, W) in [0, 1]; values outside are looked up at the nearest end of the curve.
        curves: (3, K), values at K evenly spaced points from 0 to 1.

    Returns:
        (N, 3, H, W), of the type of `x`, not clamped.
    """
    curves = curves.to(x)
    position = x.clamp(0, 1) * (curves.shape[-1] - 1)
    lower = position.floor().clamp(max=curves.shape[-1] - 2)
    index, weight = lower.long(), position - lower
    channel = torch.arange(3, device=x.device).view(3, 1, 1)
    return torch.lerp(curves[channel, index], curves[channel, index + 1], weight)


def apply_trilinear(x: Tensor, table: Tensor) -> Tensor:
    """Render with trilinear interpolation.

    Args:
        x: (N, 3, H, W) in [0, 1]; values outside are looked up at the nearest edge of the table.
        table: (3, D, D, D), or (N, 3, D, D, D) with one table a picture.

    Returns:
        (N, 3, H, W), not clamped.
    """
    tables = table if table.dim() == 5 else table.expand(x.shape[0], *table.shape)
    delta = tables - identity_lut(table.shape[-1], table.device, table.dtype)
    grid = x.to(table.dtype).movedim(1, -1).unsqueeze(1) * 2 - 1
    change = F.grid_sample(
        delta, grid, mode="bilinear", padding_mode="border", align_corners=True
    ).squeeze(2)
    return x + change.to(x.dtype)


def apply_tetrahedral(x: Tensor, table: Tensor) -> Tensor:
    """Render with tetrahedral interpolation, the graphics standard for look-up tables.

    The cell around a colour is cut into six tetrahedra by the order of the three fractions; the
    path from the cell's dark corner to its bright one goes along the largest fraction first.

    Args:
        x: (N, 3, H, W) in [0, 1]; values outside are looked up at the nearest edge of the table.
        table: (3, D, D, D).

    Returns:
        (N, 3, H, W), not clamped.
    """
    size = table.shape[-1]
    delta = (table - identity_lut(size, table.device, table.dtype)).flatten(1)
    position = x.to(table.dtype).clamp(0, 1).movedim(1, 0).flatten(1) * (size - 1)
    cell = position.floor().clamp(max=size - 2)
    fraction, order = (position - cell).sort(dim=0, descending=True)
    step = torch.tensor([1, size, size * size], device=x.device)  # red, green, blue
    corner = (cell.long() * step[:, None]).sum(0)
    change = delta[:, corner] * (1 - fraction[0])
    weights = torch.cat((fraction[:2] - fraction[1:], fraction[2:]))
    for axis in range(3):
        corner = corner + step[order[axis]]
        change = change + delta[:, corner] * weights[axis]
    return x + change.reshape(3, x.shape[0], *x.shape[2:]).movedim(0, 1).to(x.dtype)


def compose(first: Tensor, second: Tensor) -> Tensor:
    """The table that renders with `first`, then with `second`.

    Args:
        first: (N, 3, D, D, D).
        second: (N, 3, E, E, E), or (3, E, E, E) for all.
    """
    size = first.shape[-1]
    colours = first.reshape(first.shape[0], 3, size, size * size)
    return apply_trilinear(colours, second).reshape(first.shape)


def resample(table: Tensor, size: int, shaper: Tensor | None = None) -> Tensor:
    """The same look on another grid: (3, D, D, D) -> (3, size, size, size).

    Args:
        shaper: (3, K) curves that colours pass before the table; the result holds them too.
    """
    colours = identity_lut(size, table.device, table.dtype)[None]
    if shaper is not None:
        flat = colours.reshape(1, 3, size, size * size)
        colours = apply_curves(flat, shaper).clamp(0, 1).reshape(colours.shape)
    return compose(colours, table)[0]
