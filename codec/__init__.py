"""Pictures to bytes and back: `encode`, `decode`, and `codec.search` for the quality to use.

By room: `pictures` what both packages stand on, `residual` the residual coder, `picture` pictures
to streams, `search` the quality search.
"""

from codec import residual, search
from codec.container import FormatError
from codec.picture import decode, encode, thumbnail

__all__ = ["FormatError", "decode", "encode", "residual", "search", "thumbnail"]
