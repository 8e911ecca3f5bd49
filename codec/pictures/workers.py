"""Work spread over a few threads of which each computes alone.

Torch splits every operation over its threads, and they wait for each other by spinning: with
thousands of small operations and another busy program, two threads took 10 to 30 times as long as
one. So whole pictures are spread instead, and within each torch keeps to one thread.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")


_own = threading.local()


class Stopped(BaseException):
    """Raised in a worker whose result nobody waits for any more."""


def stop_if_asked() -> None:
    """What long work calls now and then, so that Ctrl-C does not wait for its end.

    Raises:
        Stopped: this is a worker of `spread`, and whoever called that has left.
    """
    stopping: threading.Event | None = getattr(_own, "stopping", None)
    if stopping is not None and stopping.is_set():
        raise Stopped


def worker_count() -> int:
    """How many threads the caller lets torch use."""
    return torch.get_num_threads()


def spread(
    work: Callable[[Part], Result], parts: Iterable[Part], most: int | None = None
) -> Iterator[Result]:
    """Results of all parts in their order; at most `most` are worked on at once.

    Args:
        work: called in other threads, where autocast and torch's default device are not set.
        parts: taken as they are needed.
        most: None is `worker_count()`.
    """
    threads = worker_count()
    count = threads if most is None else most
    stopping = threading.Event()

    def begin() -> None:
        _own.stopping = stopping
        torch.set_num_threads(1)

    with ThreadPoolExecutor(count, initializer=begin) as pool:
        waiting: list[Future[Result]] = []
        remaining = iter(parts)
        try:
            # One part more than threads, so that none of them waits while a result is used.
            waiting += [pool.submit(work, part) for part in islice(remaining, count + 1)]
            while waiting:
                result = waiting.pop(0).result()
                waiting += [pool.submit(work, part) for part in islice(remaining, 1)]
                yield result
        finally:
            stopping.set()
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)  # also what threads of others begin with
