"""Threads that compute alone: in order, with the caller's settings untouched."""

import threading

import pytest
import torch

from codec.pictures.workers import spread, worker_count


def test_results_come_in_order_and_each_thread_computes_alone() -> None:
    before = torch.get_num_threads()
    found = list(spread(lambda n: (n, torch.get_num_threads()), range(7), most=3))
    assert found == [(n, 1) for n in range(7)]
    assert torch.get_num_threads() == before == worker_count()
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [before]  # threads of others begin with what the caller has set


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
