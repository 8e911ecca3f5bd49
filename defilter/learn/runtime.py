"""Devices, processes and seeds of training: ranks, and where a process runs."""

import hashlib
import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Runtime:
    """Where this process runs: its device, its rank and the number of processes."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def mean(self, x: Tensor) -> Tensor:
        """The mean over all processes."""
        if self.world > 1:
            x = x.clone()
            dist.all_reduce(x)
            x /= self.world
        return x

    def barrier(self) -> None:
        if self.world > 1:
            dist.barrier()


def start_runtime(device: str = "auto") -> Runtime:
    """Join the processes that torchrun started, if it did, and choose a device.

    Args:
        device: `auto` is a GPU where there is one; else `cpu`, `cuda` (with torchrun, a GPU for
            each process) or `cuda:1` (that one for all).

    Raises:
        ValueError: no such device here.
    """
    local_rank, world = (
        int(os.environ.get(name, default))
        for name, default in (("LOCAL_RANK", "0"), ("WORLD_SIZE", "1"))
    )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device != "cpu" and not (device.startswith("cuda") and torch.cuda.is_available()):
        raise ValueError(f"expected device=auto, cpu or cuda (if there is one), got {device!r}")
    chosen = torch.device(device)
    if chosen.type == "cuda":
        chosen = torch.device("cuda", local_rank if chosen.index is None else chosen.index)
        torch.cuda.set_device(chosen)
    if world > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    return Runtime(chosen, dist.get_rank() if world > 1 else 0, world)


def stop_runtime() -> None:
    """Leave the process group, if this process is in one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def seeded_generator(device: torch.device, *key: int) -> torch.Generator:
    """A generator that depends on the key alone, such as (seed, step, shard)."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))
