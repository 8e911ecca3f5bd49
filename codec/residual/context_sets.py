"""The integer networks that ship with the codec, and files of them.

A file holds one or more sets of networks as int8 and int32 tensors, no code. Streams name the set
they were made with by its fingerprint, so that an old stream is never read with new networks.
"""

import hashlib
from functools import cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from codec.pictures.storage import write_atomically
from codec.residual import postfilter
from codec.residual.row_network import IntegerLayer, IntegerNetwork

SHIPPED = Path(__file__).with_name("contexts.safetensors")


class Contexts(dict[str, IntegerNetwork]):
    """One set of networks by name, with the fingerprint that streams carry."""

    fingerprint: int = 0

    @property
    def device(self) -> torch.device:
        return next(iter(self.values())).layers[0].weight.device

    def to(self, device: torch.device) -> "Contexts":
        moved = Contexts({name: network.to(device) for name, network in self.items()})
        moved.fingerprint = self.fingerprint
        return moved


def make_contexts(networks: dict[str, IntegerNetwork]) -> Contexts:
    """A set with its fingerprint: the first four bytes of the SHA-256 of all its numbers."""
    digest = hashlib.sha256()
    for name, network in sorted(networks.items()):
        digest.update(name.encode())
        for tensor in (x for layer in network.layers for x in layer):
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
    contexts = Contexts(networks)
    contexts.fingerprint = int.from_bytes(digest.digest()[:4], "big")
    return contexts


def save_contexts(path: Path, sets: dict[str, dict[str, IntegerNetwork]], **notes: str) -> None:
    """Write sets of networks."""
    tensors: dict[str, Tensor] = {}
    for set_name, networks in sets.items():
        for name, network in networks.items():
            for number, layer in enumerate(network.layers):
                for field, tensor in layer._asdict().items():
                    tensors[f"{set_name}.{name}.{number}.{field}"] = tensor.cpu().contiguous()
    write_atomically(path, save(tensors, notes))


def load_contexts(path: Path) -> dict[str, Contexts]:
    """Sets of networks by name.

    Raises:
        ValueError: not such a file.
    """
    found: dict[str, dict[str, dict[int, dict[str, Tensor]]]] = {}
    try:
        with safe_open(str(path), "pt") as file:
            for key in file.keys():  # noqa: SIM118
                set_name, name, number, field = key.split(".")
                layers = found.setdefault(set_name, {}).setdefault(name, {})
                layers.setdefault(int(number), {})[field] = file.get_tensor(key)
        return {
            set_name: make_contexts(
                {
                    name: IntegerNetwork(
                        tuple(IntegerLayer(**layers[number]) for number in sorted(layers))
                    )
                    for name, layers in networks.items()
                }
            )
            for set_name, networks in found.items()
        }
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected a file of context networks ({error})") from error


@cache
def _shipped() -> dict[str, Contexts]:
    return load_contexts(SHIPPED)


@cache
def shipped_contexts(name: str, device: torch.device) -> Contexts:
    """A set that ships, on a device."""
    return _shipped()[name].to(device)


def contexts_of(fingerprint: int, device: torch.device) -> Contexts | None:
    """The shipped set with this fingerprint, or None."""
    sets = (shipped_contexts(name, device) for name in _shipped())
    return next((found for found in sets if found.fingerprint == fingerprint), None)


def fingerprints() -> dict[str, str]:
    """Of the shipped context networks and post-filters, as they stand in streams."""
    shipped: dict[str, Contexts | postfilter.PostFilter] = {
        **_shipped(),
        **postfilter.shipped(torch.device("cpu")),
    }
    return {name: f"{networks.fingerprint:08x}" for name, networks in shipped.items()}
