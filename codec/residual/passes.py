"""The order in which a plane's frequencies are coded, written once for all who follow it.

First the class of every cell: how many leading groups of frequencies are not all zero. Then the
groups, from low to high, in those cells only. A `Source` answers with the values: the writer's
knows them, the reader's reads them, the encoder's chooses them, the trainer's sums their cost.

Axes: N picture, I J cells, K frequency, P cell of one phase, planes coded together.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from codec.residual.alphabet import LOGITS
from codec.residual.context import (
    CHROMA_GROUPS,
    HINTS,
    LUMA_GROUPS,
    Cells,
    FeatureGrid,
    fixed_features,
    luma_features,
)

Networks = Mapping[str, Callable[[Tensor], Tensor]]


class PlaneGroup(NamedTuple):
    """What planes are coded together, and how: luma alone, or two chroma planes after luma."""

    name: str
    planes: int
    starts: tuple[int, ...]  # first frequency of each group

    @property
    def classes(self) -> int:
        return len(self.starts)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """First frequency of each group, and the first one after it."""
        return list(pairwise(self.starts))


LUMA = PlaneGroup("luma", 1, LUMA_GROUPS)
CHROMA = PlaneGroup("chroma", 2, CHROMA_GROUPS)


class Source(Protocol):
    """Where classes and values come from, or go to."""

    def classes(self, logits: Tensor, chosen: Tensor) -> Tensor:
        """(P,) int32 classes of the chosen cells, from (P, classes - 1) logits."""

    def values(self, logits: Tensor, chosen: Tensor, span: tuple[int, int]) -> Tensor:
        """(P, planes, k) int32 values of the chosen cells, from (P, planes, k, LOGITS) logits."""


class DecodedLuma(NamedTuple):
    """What chroma knows of luma: its classes (N, I, J), values (N, I, J, K) and means (N, I, J)."""

    classes: Tensor
    values: Tensor
    means: Tensor


def code_cells(
    group: PlaneGroup,
    networks: Networks,
    source: Source,
    cells: Cells,
    means: list[Tensor],
    luma: DecodedLuma | None = None,
) -> tuple[Tensor, Tensor]:
    """Run through the frequencies of one group of planes.

    Args:
        group: LUMA or CHROMA.
        networks: by name: `luma_class`, `luma1` ... `luma7`, `chroma_class`, `chroma1` ...
        source: see `Source`.
        cells: see `Cells`.
        means: quantised means of the planes, (N, I, J) each.
        luma: for CHROMA, what is known of luma.

    Returns:
        classes (N, I, J) int32 and values (N, I, J, planes, K) int32, frequency 0 left zero.
    """
    seen = [*means, luma.means] if luma else means
    none = cells.sizes[..., None][..., :0]
    above = luma.classes[..., None] if luma else none
    classes = _code_classes(networks[f"{group.name}_class"], source, cells, above, seen)
    own = torch.cat((classes[..., None], above), -1)
    fixed = fixed_features(cells, own, seen)
    if luma:
        fixed = torch.cat((fixed, luma_features(luma.values)), -1)
    last = group.starts[-1]
    grid = FeatureGrid(fixed, group.planes, last - group.starts[0])
    values = torch.zeros(
        *classes.shape, group.planes, last, dtype=torch.int32, device=classes.device
    )
    for number, (start, stop) in enumerate(group.spans, start=1):
        network = networks[f"{group.name}{number}"]
        for phase in (0, 1):
            chosen = (classes >= number) & (grid.black == (phase == 0))
            rows = grid.rows(chosen, stop - group.starts[0], phase)
            logits = network(rows).reshape(len(rows), group.planes, stop - start, LOGITS)
            found = source.values(logits, chosen, (start, stop))
            grid.write(found, chosen, start - group.starts[0])
            values[..., start:stop][chosen] = found
    return classes, values


def _code_classes(
    network: Callable[[Tensor], Tensor],
    source: Source,
    cells: Cells,
    above: Tensor,
    means: list[Tensor],
) -> Tensor:
    grid = FeatureGrid(fixed_features(cells, above, means), 1, 1)
    classes = torch.zeros(cells.sizes.shape, dtype=torch.int32, device=cells.sizes.device)
    for phase in (0, 1):
        chosen = (grid.black == (phase == 0)).expand_as(classes)
        rows = grid.rows(chosen, 1, phase)
        found = source.classes(network(rows), chosen)
        grid.write(found[:, None, None] * 2 + 1, chosen, 0)
        classes[chosen] = found
    return classes


def network_shapes() -> dict[str, tuple[int, int]]:
    """Inputs and outputs of every network of cells, by name."""
    shapes = {}
    for group, above, gradients, extra in ((LUMA, 0, 10, 0), (CHROMA, 1, 30, 55)):
        basic = 3 + 3 + 4 + above + HINTS + gradients
        shapes[f"{group.name}_class"] = (9 * (basic + 1 + 2), group.classes - 1)
        for number, (start, stop) in enumerate(group.spans, start=1):
            known = 2 * group.planes * (stop - group.starts[0])
            columns = basic + 1 + extra + 1 + known
            shapes[f"{group.name}{number}"] = (9 * columns, LOGITS * group.planes * (stop - start))
    return shapes
