"""Three-dimensional look-up tables (LUTs).

Axes: C output channel (red, green, blue), then B G R grid positions of the input, so that red runs
fastest, as it does in .cube files and HALD pictures; N picture, P colour sample, D grid size.
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


def resample(table: Tensor, size: int) -> Tensor:
    """The same look on another grid: (3, D, D, D) -> (3, size, size, size)."""
    return compose(identity_lut(size, table.device, table.dtype)[None], table)[0]


def fit_residual_lut(
    before: Tensor,
    after: Tensor,
    size: int = 9,
    smoothness: float = 1e-6,
    identity: float = 1e-8,
) -> Tensor:
    """Least-squares table from matching colours.

    Minimises the mean squared error of the trilinear rendering, plus `smoothness` times the summed
    squared second differences of what the table adds (so that cells without samples continue the
    slope of their neighbours), plus `identity` times the summed squares themselves.

    Args:
        before: (P, 3) colours in [0, 1].
        after: (P, 3) the same colours with the look.
        size: grid points an axis.
        smoothness, identity: chosen on validation looks, where smoothness 1e-4 gives 36.6 dB on
            another photo, 1e-5 38.4 dB, 1e-6 39.0 dB and 1e-7 38.0 dB.

    Returns:
        (3, size, size, size) float64.
    """
    before, after = before.double(), after.double()
    design = _trilinear_weights(before, size)
    normal = design.T @ design / len(before)
    normal += smoothness * _second_differences(size).to(normal)
    normal.diagonal().add_(identity)
    change = torch.linalg.solve(normal, design.T @ (after - before) / len(before))
    grid = identity_lut(size, before.device, before.dtype)
    return grid + change.T.reshape(3, size, size, size)


def _trilinear_weights(colours: Tensor, size: int) -> Tensor:
    """(P, 3) -> (P, size^3): the weight of each grid point for each colour."""
    axis = torch.arange(size, device=colours.device, dtype=colours.dtype)
    position = colours.clamp(0, 1) * (size - 1)
    hats = (1 - (position[..., None] - axis).abs()).clamp(min=0)  # P, channel, D
    red, green, blue = hats.unbind(1)
    return torch.einsum("pb,pg,pr->pbgr", blue, green, red).flatten(1)


def _second_differences(size: int) -> Tensor:
    """(size^3, size^3): sum over the three axes of the squared second difference, as a matrix."""
    eye = torch.eye(size, dtype=torch.float64)
    bend = eye[:-2] - 2 * eye[1:-1] + eye[2:]
    along = bend.T @ bend
    return (
        torch.kron(torch.kron(along, eye), eye)
        + torch.kron(torch.kron(eye, along), eye)
        + torch.kron(torch.kron(eye, eye), along)
    )
