"""The context networks of the codec as they are trained: one `RowNetwork` for everything coded."""

from collections.abc import Iterator

from torch import nn

from codec.residual import pyramid, sizes
from codec.residual.network import RowNetwork
from codec.residual.passes import network_shapes
from codec.residual.quantise import AQ_LARGEST


class ContextNetworks(nn.Module):
    """All networks by name, see `codec.residual.passes` and its neighbours.

    Args:
        hidden: widths of the hidden layers of those that look at cells; none makes them linear.
        small: the same for those that look at means, pixels and regions.
    """

    def __init__(self, hidden: list[int], small: list[int]):
        super().__init__()
        shapes = network_shapes()
        every = {name: RowNetwork(*shape, tuple(hidden)) for name, shape in shapes.items()}
        for name in ("means", "lossless"):
            every[name] = RowNetwork(pyramid.INPUTS, pyramid.OUTPUTS, tuple(small))
        for name in ("region_split", "quarter_split"):
            every[name] = RowNetwork(sizes.INPUTS, 1, tuple(small))
        every["adaptive"] = RowNetwork(sizes.INPUTS, 2 * AQ_LARGEST, tuple(small))
        self.every = nn.ModuleDict(every)

    def __getitem__(self, name: str) -> RowNetwork:
        return self.every[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.every)

    def __len__(self) -> int:
        return len(self.every)
