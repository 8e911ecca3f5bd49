"""Small files by key, in a bucket or in a folder (obstore)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from codec.store.records import StoreError, Unreachable

_PATIENCE: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}


# What libraries say, and what to do.
_KEYS = "no keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or those of its provider"
_HINTS = {
    "169.254.169.254": _KEYS,
    "Missing SecretAccessKey": _KEYS,
    "Missing AccessKeyId": _KEYS,
    "InvalidAccessKeyId": "the keys are not known there",
    "SignatureDoesNotMatch": "the keys do not fit",
    "builder error": "for an address with http: set AWS_ALLOW_HTTP=true",
    "NoSuchBucket": "there is no such bucket; create it first",
    "does not exist": "there is no such bucket; create it first",
}


class Listed(NamedTuple):
    """An object that is there.

    Attributes:
        key: its name below the place.
        size: bytes.
        modified: when it was written.
        tag: changes with its bytes, and maybe without.
    """

    key: str
    size: int
    modified: datetime
    tag: str


class Objects:
    """What lies in one place.

    Args:
        place: an address, or a folder.
        create: whether a folder is made.

    Attributes:
        folder: that it is, or None.

    Raises:
        StoreError: it is no place that can be used.
    """

    def __init__(self, place: str, create: bool = False):
        self.place = place
        self.folder: Path | None = None
        try:
            import obstore
            from obstore.store import LocalStore, from_url
        except ImportError:
            raise StoreError(
                f"{place}: albums in folders and buckets need pip install 'defilter[cloud]'"
            ) from None
        self._obstore = obstore
        if "://" not in place or place.startswith("file://"):
            self.folder = Path(place.removeprefix("file://"))
            if not create and not self.folder.is_dir():
                raise StoreError(f"{place}: no such album")
        with self._said("cannot be used"):
            self._store: Any = (
                from_url(place, retry_config=_PATIENCE)
                if self.folder is None
                else LocalStore(self.folder, mkdir=create)
            )

    @contextmanager
    def _said(self, what: str) -> Iterator[None]:
        """What goes wrong, as one sentence."""
        try:
            yield
        except (self._obstore.exceptions.BaseError, OSError, ValueError) as error:
            text = next(filter(None, map(str.strip, str(error).splitlines())), "no reason is known")
            hint = next((words for mark, words in _HINTS.items() if mark in str(error)), text)
            raise Unreachable(f"{self.place}: {what} ({hint})") from error

    def get(self, key: str, most: int) -> bytes | None:
        """The bytes of an object, or None where there is none.

        Args:
            key: of the object.
            most: bytes; of one that is larger nothing is read.

        Raises:
            StoreError: it is larger, or cannot be read.
        """
        with self._said(f"{key} cannot be read"):
            try:
                found = self._obstore.get(self._store, key)
                if found.meta["size"] > most:
                    raise ValueError(f"expected at most {most:,} bytes, got {found.meta['size']:,}")
                return bytes(found.bytes())
            except FileNotFoundError:
                return None

    def put(self, key: str, data: bytes) -> None:
        """Write an object, or write it anew; others see all of it or nothing."""
        with self._said(f"{key} cannot be written"):
            self._obstore.put(self._store, key, data)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object that is not there; False says that it is."""
        with self._said(f"{key} cannot be written"):
            try:
                self._obstore.put(self._store, key, data, mode="create")
            except self._obstore.exceptions.AlreadyExistsError:
                return False
        return True

    def list(self, prefix: str = "", after: str | None = None) -> list[Listed]:
        """Objects below a prefix by key, those behind one."""
        with self._said("cannot be listed"):
            pages = self._obstore.list(self._store, prefix or None, offset=after)
            found = [
                Listed(one["path"], one["size"], one["last_modified"], one["e_tag"] or "")
                for page in pages
                for one in page
            ]
        return sorted(one for one in found if after is None or one.key > after)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects."""
        for key in keys:
            with self._said("cannot be cleaned up"), suppress(FileNotFoundError):
                self._obstore.delete(self._store, key)
