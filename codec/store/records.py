"""What a store holds: contents, which are what files consist of, and items, which are files."""

from typing import NamedTuple

HASH_BYTES = 32
PERMISSIONS = 0o777
MOST_DEPTH = 3  # references that have to be decoded before a content


class StoreError(ValueError):
    """A store that cannot be read or written, or something that is not in it."""


class Conflict(StoreError):
    """Another program changed the same at the same time; nothing was stored, and it can be tried
    again."""


class Unreachable(StoreError):
    """A place that does not answer, or may not be read or written."""


class Content(NamedTuple):
    """The bytes of a file, as they are stored.

    Attributes:
        name: SHA-256 of the bytes; of a picture, of its stream.
        size: of the file that went in.
        coding: see `codings`.
        reference: name of the content that it is predicted from, or None.
        depth: how many contents have to be decoded before it.
        stored: bytes that it takes.
        planes: of a picture that is stored instead of its file, the hash of its exact planes.
        psnr: of such a picture, in dB, to the one that was added; None where all pixels come back.
        drift: by how many dB it is worse since, as it was coded anew.
    """

    name: bytes
    size: int
    coding: str
    reference: bytes | None
    depth: int
    stored: int
    planes: bytes | None = None
    psnr: float | None = None
    drift: float = 0.0


class Item(NamedTuple):
    """A file of the collection.

    Attributes:
        name: its path below the folder that it came from, with slashes.
        content: see `Content.name`.
        source: SHA-256 of the file that went in.
        modified: time of the last change, in nanoseconds since 1970.
        permissions: as `stat` has them.
        taken: when the picture was taken by the clock there, in seconds since 1970, or None.
        zone: seconds by which that clock is ahead of UTC, or None where it is not known.
        latitude, longitude: where, in degrees, or None.
        group: the number of its group, or None.
        hidden: whether it was deleted, and is there for those that stand on it.
        pinned: whether it stays even where nothing needs it.
    """

    name: str
    content: bytes
    source: bytes
    modified: int
    permissions: int
    taken: float | None = None
    zone: int | None = None
    latitude: float | None = None
    longitude: float | None = None
    group: int | None = None
    hidden: bool = False
    pinned: bool = False


class Group(NamedTuple):
    """Items that belong together.

    Attributes:
        number: of the group.
        label: why, for people.
        settled: whether which of them stands on which has been decided.
    """

    number: int
    label: str
    settled: bool
