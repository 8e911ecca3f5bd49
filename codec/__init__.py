"""Pictures to bytes and back: `encode`, `decode`, and `codec.search` for the quality to use.

By room: `pictures` what both packages stand on, `residual` the residual coder, `picture` pictures
to streams, `search` the quality search, `commands` what `python -m codec` does.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from codec.version import __version__

if TYPE_CHECKING:
    from codec import residual, search
    from codec.container import FormatError
    from codec.picture import decode, encode, thumbnail

__all__ = ["FormatError", "__version__", "decode", "encode", "residual", "search", "thumbnail"]
_HOMES = {
    "FormatError": "codec.container",
    "decode": "codec.picture",
    "encode": "codec.picture",
    "thumbnail": "codec.picture",
}


def __getattr__(name: str) -> object:
    # On first use: `--help` and reading pictures need no torch networks, which take seconds.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in __all__:
        return import_module(f"codec.{name}")
    raise AttributeError(f"module 'codec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
