"""Threads that compute alone: in order, with the caller's settings untouched."""

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from codec.pictures.workers import Stopped, spread, stop_if_asked, worker_count


@pytest.fixture
def five_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(5)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("most", [None, 1, 3])
def test_results_come_in_order_and_each_thread_computes_alone(
    most: int | None, five_threads: None
) -> None:
    found = list(spread(lambda n: (n, torch.get_num_threads()), range(7), most))
    assert found == [(n, 1) for n in range(7)]
    assert torch.get_num_threads() == 5 == worker_count()
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [5]  # threads of others begin with what the caller has set


def test_the_caller_s_autocast_and_default_device_stay_outside() -> None:
    with torch.autocast("cpu"), torch.device("meta"):
        (found,) = spread(lambda _: (torch.is_autocast_enabled("cpu"), torch.zeros(1).device), [0])
    assert found == (False, torch.device("cpu"))


def test_errors_come_through_and_what_waits_is_not_begun() -> None:
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 1:
            raise KeyError(number)
        return number

    results = spread(work, range(100), most=1)
    assert next(results) == 0
    with pytest.raises(KeyError):
        next(results)
    assert len(begun) < 5


def test_long_work_stops_when_nobody_waits_for_it() -> None:
    stopped, begun = threading.Event(), threading.Event()

    def work(number: int) -> int:
        if number == 0:
            return number
        begun.set()
        try:
            while True:
                time.sleep(0.01)
                stop_if_asked()
        except Stopped:
            stopped.set()
            raise

    stop_if_asked()  # outside of workers nothing is asked
    results = spread(work, range(2), most=2)
    assert next(results) == 0 and begun.wait(5)
    results.close()  # type: ignore[attr-defined]
    assert stopped.is_set()
