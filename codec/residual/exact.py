"""Exact arithmetic, whatever the caller has told torch to do.

Everything up to the pixels is integers, held in floats where torch has no integer operation. Half
precision would round them, and a default device would put constants where the pictures are not.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Leave autocast and the default device behind; also a decorator.

    What else a caller may set cannot change exact results: TF32 and bfloat16 products hold int8
    factors and their float32 sums, every factory names its type, and no operation here has a
    nondeterministic form.
    """
    with ExitStack() as stack:
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":  # a mode that costs every call some time
            stack.enter_context(torch.device("cpu"))
        yield
