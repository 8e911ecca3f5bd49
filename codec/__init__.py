"""Pictures to bytes and back: `encode`, `decode`, and `codec.search` for the quality to use.

By room: `pictures` what both packages stand on, `residual` the residual coder, `prediction` and
`align` pictures from pictures, `picture` pictures to streams, `layered` small pictures that grow,
`jpeg` JPEG files told by others, `store`, `cloud`, `album` and `gallery` collections, `search` the
quality search, `files` and `commands` what `dfc` does.
"""

from typing import TYPE_CHECKING

from codec.lazy import lazy_names as _lazy_names
from codec.version import __version__ as __version__

if TYPE_CHECKING:
    from codec import album as album
    from codec import gallery as gallery
    from codec import layered as layered
    from codec import prediction as prediction
    from codec import residual as residual
    from codec import search as search
    from codec.align.search import best_prediction as best_prediction
    from codec.container import FormatError as FormatError
    from codec.picture import decode as decode
    from codec.picture import encode as encode
    from codec.picture import exact as exact
    from codec.picture import references_of as references_of
    from codec.picture import thumbnail as thumbnail
    from codec.pictures.picture_files import read_picture as read_picture
    from codec.pictures.picture_files import write_picture as write_picture
    from codec.references import FileReferences as FileReferences

_HOMES = {
    "FileReferences": "codec.references",
    "FormatError": "codec.container",
    "best_prediction": "codec.align.search",
    "decode": "codec.picture",
    "encode": "codec.picture",
    "exact": "codec.picture",
    "references_of": "codec.picture",
    "thumbnail": "codec.picture",
    "read_picture": "codec.pictures.picture_files",
    "write_picture": "codec.pictures.picture_files",
    "album": "codec.album",
    "gallery": "codec.gallery",
    "layered": "codec.layered",
    "prediction": "codec.prediction",
    "residual": "codec.residual",
    "search": "codec.search",
}
__all__ = list(_HOMES)
__getattr__, __dir__ = _lazy_names(__name__, _HOMES)
