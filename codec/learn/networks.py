"""The context networks of the codec as they are trained: one `RowNetwork` for everything coded."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from codec.pictures.weight_files import not_weights, read_weights
from codec.residual import pyramid, transform_sizes
from codec.residual.alphabet import LOGIT_STEPS
from codec.residual.passes import network_shapes
from codec.residual.quantise import AQ_LARGEST
from codec.residual.row_network import IntegerNetwork, RowNetwork, to_floats


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
            every[name] = RowNetwork(transform_sizes.INPUTS, 1, tuple(small))
        every["adaptive"] = RowNetwork(transform_sizes.INPUTS, 2 * AQ_LARGEST, tuple(small))
        self.every = nn.ModuleDict(every)

    def __getitem__(self, name: str) -> RowNetwork:
        return cast(RowNetwork, self.every[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.every)

    def __len__(self) -> int:
        return len(self.every)

    def by_name(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """The networks as the coding passes want them."""
        return {name: self.every[name] for name in self.every}


def from_integers(contexts: Mapping[str, IntegerNetwork]) -> ContextNetworks:
    """Networks to train on from a set that ships: what the integers say, without their clamps."""
    hidden = [len(layer.bias) for layer in contexts["luma1"].layers[:-1]]
    small = [len(layer.bias) for layer in contexts["means"].layers[:-1]]
    networks = ContextNetworks(hidden, small)
    for name in networks:
        networks[name].load_state_dict(to_floats(contexts[name]).state_dict())
    return networks


def load_trained(path: str | Path) -> ContextNetworks:
    """Networks as `train.py` saved them.

    Raises:
        WeightsError: not such a file.
    """
    architecture, state = read_weights(path)
    try:
        networks = ContextNetworks(architecture["hidden"], architecture["small"])
        networks.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise not_weights(path, error) from error
    return networks.eval()


def load_answers(path: str | Path) -> dict[str, Callable[[Tensor], Tensor]]:
    """The same, answering in int8 steps as the integer networks will."""

    def answers(network: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        @torch.no_grad()
        def answer(rows: Tensor) -> Tensor:
            steps = network(rows).float() * LOGIT_STEPS
            return steps.round().clamp(-128, 127).to(torch.int8)

        return answer

    networks = load_trained(path).bfloat16()
    return {name: answers(network) for name, network in networks.by_name().items()}
