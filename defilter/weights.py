"""Networks in safetensors files that say how to build them.

The metadata of a weights file hold the network's constructor arguments as JSON, in the form of
the training config (`_target_` and arguments). Only this project's networks are built from it.
"""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from codec.pictures.storage import write_atomically
from defilter.areas.network import SegmentNet
from defilter.global_look import GlobalLook, LookEncoder
from defilter.scene.network import SceneClassifier
from defilter.unet import AreaDefilterUNet, DefilterUNet

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


class WeightsError(ValueError):
    """A file that holds no network of this project."""


def save_weights(
    state: dict[str, Tensor], architecture: dict[str, Any], path: Path, **notes: str
) -> None:
    """Write a network's state and how to build it."""
    metadata = {"network": json.dumps(architecture), **notes}
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    write_atomically(path, save(tensors, metadata))


def load_network(path: Path | str | None = None) -> nn.Module:
    """The network of a weights file, in evaluation mode; None is the one that ships.

    Raises:
        WeightsError: not such a file.
    """
    path = DEFAULT_WEIGHTS if path is None else Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        network = _build(json.loads(metadata["network"]))
        network.load_state_dict(state)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{path}: expected a weights file written by train.py ({reason})"
        ) from error
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
