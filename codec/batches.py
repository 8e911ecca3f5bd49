"""Pictures of one kind worked on together: batches, and on a CPU several threads."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

import torch

from codec.pictures.workers import spread, worker_count

# Pixels of a batch: on a CPU what its caches and memory bear, elsewhere what a launch is worth.
_AT_ONCE = {"cpu": 1 << 23}
_AT_ONCE_ELSEWHERE = 1 << 27
_LEAST_SHARED = 1 << 19  # pixels: a batch below that is not worth dividing among threads

Result = TypeVar("Result")


def in_batches(
    keys: Sequence[Hashable],
    areas: Sequence[int],
    device: torch.device,
    work: Callable[[list[int]], list[Result]],
) -> list[Result]:
    """Results of things 0 .. n - 1 in their order, made in batches and, on a CPU, by threads.

    Args:
        keys: things with one key share a batch.
        areas: pixels of each.
        device: where the work is done.
        work: the numbers of a batch -> their results.
    """
    batches = list(_batches(keys, areas, device))
    results: dict[int, Result] = {}
    # A GPU is driven by one thread: its queue is what keeps it busy.
    done = spread(work, batches) if device.type == "cpu" else map(work, batches)
    for numbers, found in zip(batches, done, strict=True):
        results.update(zip(numbers, found, strict=True))
    return [results[number] for number in range(len(keys))]


def _batches(
    keys: Sequence[Hashable], areas: Sequence[int], device: torch.device
) -> Iterator[list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for number, key in enumerate(keys):
        groups.setdefault(key, []).append(number)
    for numbers in groups.values():
        area = areas[numbers[0]]
        size = max(1, _AT_ONCE.get(device.type, _AT_ONCE_ELSEWHERE) // area)
        if device.type == "cpu" and area * len(numbers) >= worker_count() * _LEAST_SHARED:
            size = min(size, -(-len(numbers) // worker_count()))
        for start in range(0, len(numbers), size):
            yield numbers[start : start + size]
