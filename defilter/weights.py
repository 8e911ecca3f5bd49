"""Networks in safetensors files that say how to build them.

The metadata of a weights file hold the network's constructor arguments as JSON, in the form of
the training config (`_target_` and arguments). Only the classes that the caller names are built.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from codec.pictures.storage import write_atomically

Network = TypeVar("Network", bound=nn.Module)


class WeightsError(ValueError):
    """A file that holds no network of this project."""


def save_weights(
    state: dict[str, Tensor], architecture: dict[str, Any], path: Path, **notes: str
) -> None:
    """Write a network's state and how to build it."""
    metadata = {"network": json.dumps(architecture), **notes}
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    write_atomically(path, save(tensors, metadata))


def load_network(
    path: Path | str, *expected: type[Network], parts: tuple[type[nn.Module], ...] = ()
) -> Network:
    """The network of a weights file, in evaluation mode.

    Args:
        expected: classes that it may be of.
        parts: further classes that it may be made of.

    Raises:
        WeightsError: not such a file, or a network of another class.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        architecture = json.loads(metadata["network"])
        wanted = {_name(kind) for kind in expected}
        if architecture["_target_"] not in wanted:
            names = " or ".join(kind.__name__ for kind in expected)
            raise ValueError(f"expected {names}, found {architecture['_target_']}")
        kinds: tuple[type[nn.Module], ...] = (*expected, *parts)
        network = _build(architecture, {_name(kind): kind for kind in kinds})
        network.load_state_dict(state)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{path}: expected a weights file written by train.py ({reason})"
        ) from error
    return network.eval()


def fingerprint(network: nn.Module) -> str:
    """First 12 hex digits of the SHA-256 of a network's weights."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def _name(kind: type[nn.Module]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _build(architecture: Any, kinds: dict[str, type[nn.Module]]) -> Any:
    if not isinstance(architecture, dict) or "_target_" not in architecture:
        return architecture
    arguments = {k: _build(v, kinds) for k, v in architecture.items() if k != "_target_"}
    return kinds[architecture["_target_"]](**arguments)
