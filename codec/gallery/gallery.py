"""A gallery: files in a store, each predicted from what resembles it among all that are there.

with codec.gallery.open_gallery("everything.dfa", create=True) as gallery:
    gallery.add(["photos/"])
    hits = gallery.find("again.jpg")
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor
from tqdm import tqdm

from codec.album.album import Album
from codec.album.arranging import Coded
from codec.cloud.places import open_store
from codec.gallery.descriptors import (
    GLOBAL_BYTES,
    KEY_BYTES,
    SIDE,
    Descriptor,
    describe,
    unpack_descriptor,
)
from codec.gallery.index import NEAREST, Index, scan_of
from codec.gallery.matching import LEAST_INLIERS, agreement
from codec.gallery.thresholds import of_strangers
from codec.pictures.jobs import BatchResult, OnResult
from codec.pictures.storage import read_limited
from codec.pictures.thumbnails import thumbnail_of
from codec.pictures.workers import spread, stop_if_asked
from codec.store.records import Item, StoreError
from codec.store.sqlite import MOST_BYTES, SqliteStore

LOOKED_AT = 20  # of the nearest, whose points are matched
_TRIED = 2  # of those, that are coded from


class Code(Enum):
    """Which code of a picture is compared first."""

    WHOLE = "whole"  # 2048 bits
    KEY = "key"  # 256

    @property
    def size(self) -> int:
        """Bytes."""
        return {Code.WHOLE: GLOBAL_BYTES, Code.KEY: KEY_BYTES}[self]


class Hit(NamedTuple):
    """A picture that resembles another.

    Attributes:
        name: of the item.
        distance: of the codes, in bits.
        inliers: points that agree on one view of both.
    """

    name: str
    distance: int
    inliers: int


@contextmanager
def open_gallery(path: Path | str, write: bool = True, create: bool = False) -> Iterator["Gallery"]:
    """A gallery in a file, a folder or a bucket, see `open_store`; albums are galleries, and
    galleries albums, see `open_album`.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    with open_store(path, write, create) as store:
        yield Gallery(store)


class Gallery:
    """Pictures in a store; see `open_gallery`.

    Attributes:
        album: the same store as an album, to list, export and delete.
        code: that candidates are found by.
        limit: distance in bits below which pictures are looked at; None is the default of the code,
            see `thresholds`.
        index: makes an index of codes (N, B) uint8; `codec.gallery.index` has others, such as block
            tables for a limit within their radius.
        view: what descriptors see of a picture (3, H, W) uint8; a de-filter, for one, so that a
            look does not hide a twin. None is the picture itself.
    """

    def __init__(
        self,
        store: SqliteStore,
        code: Code = Code.WHOLE,
        view: Callable[[Tensor], Tensor] | None = None,
    ):
        self.album, self.code, self.view = Album(store), code, view
        self.limit: int | None = None
        self._store = store
        self.index: Callable[[np.ndarray], Index] = scan_of
        self._indices: dict[Code, tuple[list[bytes], Index]] = {}

    def add(
        self, paths: Sequence[Path | str], on_result: OnResult | None = None
    ) -> tuple[BatchResult, list[Coded]]:
        """Store files, and predict each from what resembles it, if that is smaller.

        Args:
            paths: see `Album.add`.
            on_result: called with each file once it is stored for good.
        """
        found = self.album.wanted(paths)
        coding = self.album.settings.coding
        done, added = self.album.collection.add(found.files, on_result, coding)
        self.describe()
        arranger = self.album.arranger(added)
        coded: list[Coded] = []
        for name in tqdm(list(added), unit="file", desc="looking for twins", disable=None):
            item = self._store.item(name)
            if item is None or self.album.content(item).reference is not None:
                continue
            stored = self._stored(item.content)
            hits = [] if stored is None else self._hits(stored, {item.content})
            items = [self.album.collection.item(hit.name) for hit in hits[:_TRIED]]
            coded += arranger.predict_from(item, items)
        return replace(done, about_skipped=found.about), coded

    def describe(self) -> None:
        """Describe what was stored without that, as an album does."""
        self._indices.clear()
        known = set(self._store.described())
        by_content = {item.content: item for item in self._store.items(hidden=True)}
        missing = [item for name, item in by_content.items() if name not in known]
        # What was read is described in threads; the store itself is for one.
        small = ((item.content, self.album.thumbnail(item, SIDE)) for item in missing)
        every = spread(self._described, small)
        bar = tqdm(every, total=len(missing), unit="file", desc="describing", disable=None)
        for name, found in bar:
            parts = (b"", b"", b"", b"") if found is None else found.pack()
            self._store.put_descriptor(name, parts)

    def _described(self, part: tuple[bytes, Tensor | None]) -> tuple[bytes, Descriptor | None]:
        stop_if_asked()
        return part[0], None if part[1] is None else self._describe(part[1])

    def _describe(self, pixels: Tensor) -> Descriptor | None:
        return describe(pixels if self.view is None else self.view(pixels))

    def find(self, path: Path | str) -> list[Hit]:
        """The pictures that resemble the one of a file, those that agree in most points first.

        Raises:
            StoreError: it shows no picture.
        """
        data = read_limited(Path(path), MOST_BYTES, StoreError)
        small = thumbnail_of(data, SIDE, upright=True)
        if small is None:
            raise StoreError(f"{path}: expected a picture")
        found = self._describe(small)
        return [] if found is None else self._hits(found, set())

    def _stored(self, name: bytes) -> Descriptor | None:
        parts = self._store.descriptor(name)
        try:
            return None if parts is None else unpack_descriptor(parts)
        except ValueError as error:
            raise StoreError(f"{self._store.place}: damaged ({error})") from error

    def _hits(self, wanted: Descriptor, without: set[bytes]) -> list[Hit]:
        """The nearest, whose points are matched."""
        names, scan = self._index()
        own = getattr(wanted, self.code.value)
        limit = of_strangers(self.code.value) if self.limit is None else self.limit
        nearest = scan.search(own, NEAREST, limit - 1)  # strictly nearer counts
        hits: list[Hit] = []
        for number, distance in zip(nearest.numbers, nearest.distances, strict=True):
            if len(hits) == LOOKED_AT:
                break
            name = names[number]
            item = None if name in without else self._shown(name)
            other = None if item is None else self._stored(name)
            if item is None or other is None:
                continue
            inliers = agreement(wanted, other).inliers
            hits.append(Hit(item.name, int(distance), inliers))
        hits.sort(key=lambda hit: (-hit.inliers, hit.distance, hit.name))
        return [hit for hit in hits if hit.inliers >= LEAST_INLIERS]

    def _index(self) -> tuple[list[bytes], Index]:
        """Names of contents and their codes, read once for as long as nothing is described."""
        if self.code not in self._indices:
            size = self.code.size
            every = self._store.codes(self.code.value)
            sound = [(name, code) for name, code in every if len(code) == size]
            codes = np.frombuffer(b"".join(code for _, code in sound), np.uint8)
            self._indices[self.code] = [n for n, _ in sound], self.index(codes.reshape(-1, size))
        return self._indices[self.code]

    def _shown(self, name: bytes) -> Item | None:
        return next((item for item in self._store.items_of(name) if not item.hidden), None)
