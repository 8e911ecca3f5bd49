"""The networks that looks are taken with, and the one that ships.

Each has a `read`, which says of templates what they are without their look, and, if it knows,
what the look does to other photos.
"""

from functools import cache
from pathlib import Path

from torch import nn

from defilter.global_look import GlobalLook, LookEncoder
from defilter.unet import AreaDefilterUNet, DefilterUNet
from defilter.weights import load_network

DEFAULT_WEIGHTS = Path(__file__).with_name("defilter.safetensors")

LookNetwork = GlobalLook | DefilterUNet | AreaDefilterUNet


def load_look_network(path: Path | str | None = None) -> LookNetwork:
    """A network from train.py, in evaluation mode; None is the one that ships.

    Raises:
        WeightsError: not such a file.
    """
    kinds: tuple[type[nn.Module], ...] = (GlobalLook, DefilterUNet, AreaDefilterUNet)
    network = load_network(path or DEFAULT_WEIGHTS, *kinds, parts=(LookEncoder,))
    return network  # type: ignore[return-value]  # one of the three


def load_global_look(path: Path | str | None = None) -> GlobalLook:
    """The same, of the class of the default network alone."""
    return load_network(path or DEFAULT_WEIGHTS, GlobalLook, parts=(LookEncoder, DefilterUNet))


@cache
def default_network() -> GlobalLook:
    """The network that ships, loaded once."""
    return load_global_look()
