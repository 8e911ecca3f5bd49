"""A page that shows what resembles pictures: each beside its nearest, with distances."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from codec.gallery.gallery import Gallery, Hit
from codec.pictures.picture_files import encode_jpeg
from codec.pictures.storage import read_limited, write_atomically
from codec.pictures.thumbnails import thumbnail_of
from codec.report import render_page
from codec.store.records import StoreError
from codec.store.sqlite import MOST_BYTES

_SIDE, _QUALITY = 320, 75
_MOST = 12  # of those that resemble a picture


class Shown(NamedTuple):
    """A picture on the page: its file, a small JPEG file of it, and what was found with theirs."""

    title: str
    jpeg: bytes
    hits: list[tuple[Hit, bytes]]


def write_page(gallery: Gallery, found: Sequence[tuple[Path, list[Hit]]], target: Path) -> None:
    """Write the page, one file that needs nothing else.

    Args:
        gallery: that was searched.
        found: files, and what resembles each.
        target: the file.
    """
    pictures = []
    for path, hits in found:
        own = thumbnail_of(read_limited(path, MOST_BYTES, StoreError), _SIDE, upright=True)
        every = [(hit, _jpeg(_small(gallery, hit))) for hit in hits[:_MOST]]
        pictures.append(Shown(str(path), _jpeg(own), every))
    page = render_page(
        Path(__file__).with_name("found.html"),
        title=gallery.album.store.place,
        pictures=pictures,
    )
    write_atomically(target, page)


def _small(gallery: Gallery, hit: Hit) -> Tensor | None:
    try:
        return gallery.album.thumbnail(gallery.album.collection.item(hit.name), _SIDE)
    except StoreError:
        return None


def _jpeg(small: Tensor | None) -> bytes:
    return b"" if small is None else encode_jpeg(small, _QUALITY)
