"""Which store a path or an address means."""

from pathlib import Path

from codec.cloud.cloud_store import CloudStore
from codec.store.sqlite import SqliteStore


def open_store(place: Path | str, write: bool = True, create: bool = False) -> SqliteStore:
    """A store.

    Args:
        place: a file (`summer.dfa`); a folder (`shared/summer/`), or an address as `s3://BUCKET/NAME`,
            `gs://` or `az://`, for which several machines may share one.
        write: whether it will be changed.
        create: whether it is made where it is not there.

    Raises:
        StoreError: there is none, or it cannot be opened.
    """
    text = str(place)
    if "://" in text or text.endswith("/") or Path(text).is_dir():
        return CloudStore(text, create)
    return SqliteStore(text, write, create)
