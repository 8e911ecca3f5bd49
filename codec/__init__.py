"""Pictures to bytes and back: `encode`, `decode`, and `codec.search` for the quality to use.

By room: `pictures` what both packages stand on, `residual` the residual coder, `picture` pictures
to streams, `search` the quality search, `files` and `commands` what `dfc` does.
"""

from typing import TYPE_CHECKING

from codec.lazy import lazy_names as _lazy_names
from codec.version import __version__ as __version__

if TYPE_CHECKING:
    from codec import residual as residual
    from codec import search as search
    from codec.container import FormatError as FormatError
    from codec.picture import decode as decode
    from codec.picture import encode as encode
    from codec.picture import thumbnail as thumbnail
    from codec.pictures.picture_files import read_picture as read_picture
    from codec.pictures.picture_files import write_picture as write_picture

_HOMES = {
    "FormatError": "codec.container",
    "decode": "codec.picture",
    "encode": "codec.picture",
    "thumbnail": "codec.picture",
    "read_picture": "codec.pictures.picture_files",
    "write_picture": "codec.pictures.picture_files",
    "residual": "codec.residual",
    "search": "codec.search",
}
__all__ = list(_HOMES)
__getattr__, __dir__ = _lazy_names(__name__, _HOMES)
