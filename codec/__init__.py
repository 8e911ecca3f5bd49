"""Pictures to bytes and back: `encode`, `decode`, and `codec.search` for the quality to use.

The rest by room: `residual` the residual coder, `still` pictures, `search` the quality search,
`files` whole files; `colour`, `metrics`, `mapping`, `lut`, `render` and `image_io` serve both
packages.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codec.container import FormatError
    from codec.still import decode, encode, thumbnail

__all__ = ["FormatError", "decode", "encode", "thumbnail"]


def __getattr__(name: str) -> Any:
    # On first use: who only reads pictures or renders looks need not wait for the codec.
    if name == "FormatError":
        from codec.container import FormatError

        return FormatError
    if name in __all__:
        from codec import still

        return getattr(still, name)
    if name == "search":
        import codec.search

        return codec.search
    raise AttributeError(f"module 'codec' has no attribute {name!r}")
