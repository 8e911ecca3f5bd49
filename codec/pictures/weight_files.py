"""Weights files: safetensors whose metadata say how to build the network that they belong to.

`network` in the metadata is JSON in the form of the training config: `_target_` and the arguments
of the constructor.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from codec.pictures.storage import write_atomically


class WeightsError(ValueError):
    """A file that holds no network of this project."""


class Weights(NamedTuple):
    """How to build a network, and its state."""

    architecture: dict[str, Any]
    state: dict[str, Tensor]


def save_weights(
    state: dict[str, Tensor], architecture: dict[str, Any], path: Path, **notes: str
) -> None:
    """Write a network's state and how to build it."""
    metadata = {"network": json.dumps(architecture), **notes}
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    write_atomically(path, save(tensors, metadata))


def read_weights(path: Path | str) -> Weights:
    """What `save_weights` wrote.

    Raises:
        WeightsError: not such a file.
    """
    if not Path(path).is_file():
        raise WeightsError(f"{path}: no such weights file")
    try:
        with safe_open(str(path), "pt") as file:
            architecture = json.loads((file.metadata() or {})["network"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise not_weights(path, error) from error
    if not isinstance(architecture, dict):
        raise WeightsError(f"{path}: expected the arguments of a network, got {architecture!r}")
    return Weights(architecture, state)


def not_weights(path: Path | str, error: Exception) -> WeightsError:
    """The error of a file that `train.py` did not write, in one line."""
    reason = str(error).splitlines()[0]
    return WeightsError(f"{path}: expected a weights file written by train.py ({reason})")
