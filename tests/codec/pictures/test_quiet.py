"""Warnings off for many threads, and on again afterwards."""

import threading
import warnings

import pytest

from codec.pictures.quiet import without_warnings


def test_filters_are_as_before_whoever_leaves_last() -> None:
    before = list(warnings.filters)
    inside, leave = threading.Barrier(2), threading.Event()

    def first() -> None:
        with without_warnings():
            inside.wait()
            leave.wait()

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait()
    with without_warnings():
        leave.set()
        thread.join()
        warnings.warn("nobody is told", UserWarning, stacklevel=1)
    assert list(warnings.filters) == before
    with pytest.warns(UserWarning, match="told"):
        warnings.warn("somebody is told", UserWarning, stacklevel=1)
