"""What calls would cost on a GPU: kernels, synchronisations and copied bytes; see `pretend_cuda`.

Kernels are an estimate: one for most operators, none for views, and what a table says for others.
"""

import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import torch

# Kernels of one call, where that is not one; read off ATen's CUDA sources, give or take a few.
_LAUNCHES = dict.fromkeys(
    [
        "empty",
        "empty_like",
        "new_empty",
        "empty_strided",
        "new_empty_strided",
        "_unsafe_view",
        "_local_scalar_dense",
    ],
    0,
) | {"nonzero": 3, "bincount": 5, "cumsum": 2, "sort": 3, "argsort": 3, "repeat_interleave": 4}
_LAUNCHES |= {"multinomial": 6, "masked_select": 4, "unique_dim": 6, "_unique2": 6, "randperm": 4}
_LAUNCHES |= {"constant_pad_nd": 2, "repeat": 2, "equal": 3, "_linalg_solve_ex": 6}
_LAUNCHES |= {"_linalg_eigh": 20, "_linalg_svd": 50}
# Where the host waits for the device, because a shape or a Python number depends on values.
_WAITS = dict.fromkeys(
    [
        "nonzero",
        "masked_select",
        "_unique2",
        "unique_dim",
        "equal",
        "_local_scalar_dense",
        "_linalg_check_errors",
        "_linalg_eigh",
        "_linalg_svd",
    ],
    1,
) | {"bincount": 2}


class Operator(NamedTuple):
    """What stays true of one operator."""

    name: str
    is_view: bool
    launches: int
    waits: int


@cache
def operator_of(function: Any) -> Operator:
    schema = function._schema
    name = schema.name.partition("::")[2]
    alias = schema.returns[0].alias_info if schema.returns else None
    is_view = alias is not None and not alias.is_write
    return Operator(name, is_view, _LAUNCHES.get(name, 1), _WAITS.get(name, 0))


@dataclass
class Costs:
    """What the calls since the last `reset` would cost on a GPU.

    Attributes:
        launches, waits: kernels, and synchronisations of host and device, by operator.
        uploaded, downloaded: bytes copied from and to the host.
        places: kernels, and waits, by the line of this project that asked for them.
    """

    launches: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)
    uploaded: int = 0
    downloaded: int = 0
    places: Counter[str] = field(default_factory=Counter)

    @property
    def launched(self) -> int:
        return sum(self.launches.values())

    @property
    def waited(self) -> int:
        return sum(self.waits.values())

    def reset(self) -> None:
        self.__dict__.update(Costs().__dict__)

    def count(self, operator: Operator, args: tuple) -> None:
        """One call of an operator."""
        name, is_view, launches, waits = operator
        if is_view:
            return
        if name in ("index", "index_put", "index_put_"):
            masks = sum(x is not None and x.dtype in (torch.bool, torch.uint8) for x in args[1])
            launches, waits = launches + 3 * masks, masks
        if name == "repeat_interleave" and len(args) == 1:
            waits = 1
        self.launch(name, launches)
        if waits:
            self.wait(name, waits)

    def launch(self, name: str, count: int) -> None:
        self.launches[name] += count
        self.places[_place()] += count

    def wait(self, name: str, count: int = 1) -> None:
        self.waits[name] += count
        self.places[f"{_place()} waits"] += count

    def upload(self, size: int) -> None:
        """From pageable memory, which the host waits for."""
        self.uploaded += size
        self.wait("upload")

    def download(self, size: int) -> None:
        self.downloaded += size
        self.wait("download")


def _place() -> str:
    """File and line of the innermost frame that is this project's own, and not a test."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if "/codec/" in name or "/defilter/" in name:
            return f"{name.rsplit('/', 2)[-2]}/{name.rsplit('/', 1)[-1]}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "elsewhere"
