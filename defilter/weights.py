"""Networks from weights files: only this project's own are built, whatever a file asks for."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

from codec.pictures.weight_files import WeightsError, not_weights, read_weights, save_weights
from defilter.areas.network import SegmentNet
from defilter.global_look import GlobalLook, LookEncoder
from defilter.scene.network import SceneClassifier
from defilter.unet import AreaDefilterUNet, DefilterUNet

__all__ = ["WeightsError", "default_network", "fingerprint", "load_network", "save_weights"]

DEFAULT_WEIGHTS = Path(__file__).with_name("defilter.safetensors")
_BUILDABLE = {
    f"{kind.__module__}.{kind.__qualname__}": kind
    for kind in (
        GlobalLook,
        LookEncoder,
        DefilterUNet,
        AreaDefilterUNet,
        SceneClassifier,
        SegmentNet,
    )
}


def load_network(path: Path | str | None = None) -> nn.Module:
    """The network of a weights file, in evaluation mode; None is the one that ships.

    Raises:
        WeightsError: not such a file.
    """
    path = DEFAULT_WEIGHTS if path is None else Path(path)
    weights = read_weights(path)
    try:
        network = _build(weights.architecture)
        network.load_state_dict(weights.state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise not_weights(path, error) from error
    return network.eval()


@cache
def default_network() -> nn.Module:
    """The network that ships, loaded once."""
    return load_network()


def fingerprint(network: nn.Module) -> str:
    """First 12 hex digits of the SHA-256 of a network's weights."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def _build(architecture: Any) -> Any:
    if not isinstance(architecture, dict) or "_target_" not in architecture:
        return architecture
    arguments = {k: _build(v) for k, v in architecture.items() if k != "_target_"}
    return _BUILDABLE[architecture["_target_"]](**arguments)
