"""Networks from weights files: only the classes that the caller names are built."""

import hashlib
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from codec.pictures.weight_files import WeightsError, not_weights, read_weights, save_weights

__all__ = ["WeightsError", "fingerprint", "load_network", "save_weights"]

Network = TypeVar("Network", bound=nn.Module)


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
    architecture, state = read_weights(path)
    wanted = {_name(kind) for kind in expected}
    try:
        if architecture["_target_"] not in wanted:
            names = " or ".join(kind.__name__ for kind in expected)
            raise ValueError(f"expected {names}, found {architecture['_target_']}")
        kinds: tuple[type[nn.Module], ...] = (*expected, *parts)
        network = _build(architecture, {_name(kind): kind for kind in kinds})
        network.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise not_weights(path, error) from error
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
