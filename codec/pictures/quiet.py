"""Warnings off while pictures are read, from several threads at once.

Python keeps one list of warning filters for all threads: two that save and restore it on their own
may leave it changed for good.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_inside = 0
_saved = warnings.catch_warnings()


@contextmanager
def without_warnings() -> Iterator[None]:
    """Ignore warnings as long as anybody is inside; the last to leave restores the filters."""
    global _inside, _saved  # noqa: PLW0603 - what they stand for is global, too
    with _lock:
        if not _inside:
            _saved = warnings.catch_warnings()
            _saved.__enter__()
            warnings.simplefilter("ignore")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _saved.__exit__(None, None, None)
