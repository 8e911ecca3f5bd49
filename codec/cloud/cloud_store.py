"""A store that several machines share: objects in a bucket or a folder, see docs/store.md.

Bytes are objects that never change. What a transaction changed is one more object, which is written
only if none of its number is there, so that all machines see the same changes in the same order.
Each has a working copy, an SQLite file that is brought up to date before anything is looked at, and
keeps bytes that were fetched.
"""

import hashlib
import json
import os
import re
import sqlite3
import time
import uuid
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from codec.cloud import changes
from codec.cloud.changes import MOST_PACKED, Changes
from codec.cloud.descriptors import Descriptors, Parts
from codec.cloud.objects import Listed, Objects
from codec.store.records import Conflict, Content, StoreError
from codec.store.sqlite import MOST_BYTES, SUFFIX, SqliteStore

_MARKER = "album.json"
_LOG, _SNAPSHOTS, _CONTENTS = "log", "snapshots", "contents"
_VERSION = 1
_OWN = re.compile(rf"{_CONTENTS}/[0-9a-f]{{64}}\.[a-z]+\.\d+(\.[0-9a-f]{{64}})?")
_SMALL = 1 << 16  # bytes of the marker
_EACH = 200  # changes after which all rows are written down, so that nobody has to read them all
_MOST_KEPT = 4 << 30  # bytes that a working copy keeps of what it fetched
_YOUNG = timedelta(hours=1)  # what is not referred to yet may be about to be
_LONGEST = 1800.0  # seconds of a transaction, so that what it needs is not old before it ends


class _Seen(NamedTuple):
    """A change that a working copy has: its number, what names its bytes, and its tag."""

    number: int
    digest: str
    tag: str


class CloudStore(SqliteStore):
    """A store in a bucket or a folder.

    Args:
        place: an address (`s3://BUCKET/NAME`), or a folder.
        create: whether it is made where it is not there.

    Raises:
        StoreError: there is none, or it cannot be reached.
    """

    def __init__(self, place: str, create: bool = False):
        self._objects = Objects(place, create)
        identity = self._identity(place, create)
        self._descriptors = Descriptors(place)
        self._began = time.time()
        self._fetched = 0  # bytes since the working copy was trimmed
        name = hashlib.sha256(f"{place} {identity}".encode()).hexdigest()[:32]
        copy = _cache() / f"{name}{SUFFIX}"
        try:
            self._open_copy(copy)
        except StoreError as error:
            if not isinstance(error.__cause__, sqlite3.DatabaseError) or isinstance(
                error.__cause__, sqlite3.OperationalError
            ):
                raise  # the shared place is at fault; or it is in use, or the disk is full
            # It is damaged, and holds nothing that is not elsewhere.
            for path in copy.parent.glob(f"{copy.name}*"):
                path.unlink(missing_ok=True)
            self._open_copy(copy)

    def _identity(self, place: str, create: bool) -> str:
        """What tells this album from another one that was in the same place."""
        marker = self._objects.get(_MARKER, _SMALL)
        if marker is None and create:
            is_empty = not self._objects.list()
            marker = self._objects.get(_MARKER, _SMALL)  # another program may make it just now
            if not is_empty and marker is None:
                raise StoreError(
                    f"{place}: holds something else; name a new folder, or a file that ends in "
                    f"{SUFFIX}"
                )
        if marker is None and create:
            made = {"format": "dfa", "version": _VERSION, "id": uuid.uuid4().hex}
            self._objects.create(_MARKER, json.dumps(made).encode())
            marker = self._objects.get(_MARKER, _SMALL)
        if marker is None:
            raise StoreError(f"{place}: there is no album")
        try:
            known = json.loads(marker)
            if known["format"] != "dfa":
                raise ValueError("another format")
            version, identity = int(known["version"]), str(known["id"])
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            raise StoreError(f"{place}: {_MARKER} is damaged") from error
        if version != _VERSION:
            raise StoreError(f"{place}: made by a newer version, which has to read it")
        return identity

    def _open_copy(self, path: Path) -> None:
        self._watched = False  # while its tables are made
        super().__init__(path, create=True)
        self.place = self._objects.place
        with self._said():
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS seen (number INTEGER, digest TEXT, tag TEXT)"
            )
            changes.watch(self._database)
        self._watched = True
        with self.transaction():
            pass  # brings it up to date

    def close(self) -> None:
        """Store descriptors that wait, and let go of the working copy."""
        try:
            self._descriptors.flush()
            with suppress(StoreError):  # another program of this machine has it
                self._trim()
        finally:
            super().close()

    def _trim(self) -> None:
        """Let the oldest bytes go where the working copy keeps too many."""
        room = 0 if self._objects.folder is not None else _MOST_KEPT
        rows = self._rows("SELECT rowid, length(data) FROM data ORDER BY rowid DESC")
        for number, size in rows:
            room -= size
            if room < 0:
                self._rows("DELETE FROM data WHERE rowid <= ?", (number,))
                break
        self._fetched = 0

    # Changes

    def _begun(self) -> None:
        if not self._watched:
            return
        self._began = time.time()
        self._catch_up()
        self._database.execute("SAVEPOINT own")
        changes.forget(self._database)

    def _ending(self) -> None:
        made = changes.collect(self._database) if self._watched else Changes([], [])
        if not made.rows and not made.gone:
            return
        if time.time() - self._began > _LONGEST:
            # Others may have tidied up what it was to follow, and what it refers to.
            raise Conflict(f"{self.place}: this took too long; try again")
        while True:
            seen = self._seen()
            data = changes.pack(made._replace(before=seen.digest))
            if self._written(_numbered(_LOG, seen.number + 1), data):
                break
            self._after_others(made)
        number = seen.number + 1
        self._set_seen(_Seen(number, changes.digest(data), ""))
        if number % _EACH == 0:
            with suppress(StoreError):  # it was stored; another one will write it
                self._write_snapshot(number)

    def _written(self, key: str, data: bytes) -> bool:
        """Whether changes have this number; also where the answer to a first try was lost."""
        return self._objects.create(key, data) or self._objects.get(key, MOST_PACKED) == data

    def _after_others(self, made: Changes) -> None:
        """Make changes anew after those that others made meanwhile, if both go together."""
        self._database.execute("ROLLBACK TO own")
        theirs = self._catch_up()
        try:
            if theirs is None or theirs & made.keys():
                raise StoreError("the same was changed")
            changes.apply(self._database, made)
            if self._rows(
                "SELECT 1 FROM contents AS one JOIN contents AS below "
                "ON one.reference = below.name WHERE one.depth <> below.depth + 1 LIMIT 1"
            ):
                raise StoreError("what it stands on was changed")
        except (StoreError, sqlite3.IntegrityError) as error:
            raise Conflict(
                f"{self.place}: another program changed the same at the same time; try again"
            ) from error

    def _catch_up(self) -> set[tuple[str, object]] | None:
        """Apply what others changed; the keys of that, or None where it may be anything."""
        seen = self._seen()
        there = self._listed(_LOG, seen.number)
        touched: set[tuple[str, object]] = set()
        is_known = self._follows(seen, there)
        if not is_known:  # a new copy, one that lags far behind, or of another history
            seen = self._apply_snapshot()
            there = self._listed(_LOG, seen.number)
        for number, one in sorted(there.items()):
            if number == seen.number:
                seen = seen._replace(tag=one.tag)
            if number <= seen.number:
                continue
            if number != seen.number + 1:
                raise StoreError(f"{self.place}: change {seen.number + 1} is missing")
            made, digest = self._read(_LOG, number)
            if made.before != seen.digest:
                raise StoreError(f"{self.place}: change {number} is of another history")
            touched |= made.keys()
            self._apply(made)
            seen = _Seen(number, digest, one.tag)
        self._set_seen(seen)
        return touched if is_known else None

    def _follows(self, seen: "_Seen", there: dict[int, Listed]) -> bool:
        """Whether changes that are there go on from the last one that was seen."""
        if seen.number not in there or len(there) != max(there) - seen.number + 1:
            return False
        # Where an album was replaced by an older state, and changed since, numbers are the same.
        is_same = bool(seen.tag) and there[seen.number].tag == seen.tag
        return is_same or self._read(_LOG, seen.number)[1] == seen.digest

    def _apply(self, made: Changes, from_nothing: bool = False) -> None:
        try:
            changes.apply(self._database, made, from_nothing)
        except (sqlite3.Error, OverflowError, ValueError) as error:
            raise StoreError(f"{self.place}: a change does not fit the others ({error})") from error

    def _apply_snapshot(self) -> "_Seen":
        numbers = self._listed(_SNAPSHOTS)
        newest = max(numbers, default=0)
        made = self._read(_SNAPSHOTS, newest)[0] if numbers else Changes([], [])
        self._apply(made, from_nothing=True)
        return _Seen(newest, made.before, "")

    def _write_snapshot(self, number: int) -> None:
        every = changes.collect(self._database, everything=True)
        data = changes.pack(every._replace(before=self._seen().digest))
        changes.unpack(data, f"{self.place}: snapshot {number}")  # others have to read it
        self._objects.put(_numbered(_SNAPSHOTS, number), data)

    def _read(self, kind: str, number: int) -> tuple[Changes, str]:
        """Changes, and what names their bytes."""
        key = _numbered(kind, number)
        data = self._objects.get(key, MOST_PACKED)
        if data is None:
            raise StoreError(f"{self.place}: {key} is missing")
        return changes.unpack(data, f"{self.place}: {key}"), changes.digest(data)

    def _listed(self, kind: str, first: int = 0) -> dict[int, Listed]:
        """Changes or snapshots from a number on."""
        after = _numbered(kind, first - 1) if first else None
        found = {one.key.rpartition("/")[2]: one for one in self._objects.list(kind, after)}
        return {int(name): one for name, one in found.items() if name.isdecimal()}

    def _seen(self) -> "_Seen":
        """The last change that the working copy has."""
        found = self._rows("SELECT number, digest, tag FROM seen")
        return _Seen(*found[0]) if found else _Seen(0, "", "")

    def _set_seen(self, seen: "_Seen") -> None:
        self._database.execute("DELETE FROM seen")
        self._database.execute("INSERT INTO seen VALUES (?, ?, ?)", tuple(seen))

    # Bytes

    def data(self, name: bytes) -> bytes:
        """The bytes as they are stored, fetched if they are not on this machine.

        Raises:
            StoreError: there are none, or others than were stored.
        """
        kept = self._rows("SELECT data FROM data WHERE name = ?", (name,))
        if kept and isinstance(kept[0][0], bytes):
            return kept[0][0]
        content = self.content(name)
        found = None if content is None else self._objects.get(_key(content), content.stored)
        if found is None and not self._database.in_transaction:
            with self.transaction():  # another program may have coded it anew
                content = self.content(name)
            found = None if content is None else self._objects.get(_key(content), content.stored)
        if content is None:
            raise StoreError(f"{self.place}: content {name.hex()[:16]} is missing")
        if found is None:
            raise StoreError(f"{self.place}: {_key(content)} is missing")
        if len(found) != content.stored:
            raise StoreError(f"{self.place}: {_key(content)} is not what was stored")
        if self._objects.folder is None:
            with suppress(StoreError):  # another program of this machine has the working copy
                self._rows("INSERT OR REPLACE INTO data VALUES (?, ?)", (name, found))
                self._count(len(found))
        return found

    def _count(self, size: int) -> None:
        self._fetched += size
        if self._fetched > _MOST_KEPT // 8:
            self._trim()

    def put(self, content: Content, data: bytes) -> None:
        """Store a content, or store it anew in another coding."""
        if len(data) <= MOST_BYTES:
            self._objects.put(_key(content), data)
        super().put(content, data)
        if self._objects.folder is None:
            self._count(len(data))
        else:
            self._rows("DELETE FROM data WHERE name = ?", (content.name,))

    # Descriptors

    def described(self) -> list[bytes]:
        """See `SqliteStore`."""
        return sorted(self._descriptors.names())

    def codes(self, kind: str) -> list[tuple[bytes, bytes]]:
        """See `SqliteStore`."""
        known = {content.name for content in self.contents()}
        found = self._descriptors.codes(kind)
        return sorted((name, code) for name, code in found.items() if name in known)

    def descriptor(self, name: bytes) -> Parts | None:
        """See `SqliteStore`."""
        return self._descriptors.get([name]).get(name)

    def put_descriptor(self, name: bytes, parts: Parts) -> None:
        """See `SqliteStore`."""
        self._descriptors.put(name, parts)

    # All of it

    def problems(self) -> list[str]:
        """Objects that are missing or of another size, a sentence each; what was fetched before is
        fetched again from then on."""
        with self.transaction():
            self._database.execute("DELETE FROM data")
        there = {one.key: one.size for one in self._objects.list(_CONTENTS)}
        found = []
        for content in self.contents():
            size = there.get(_key(content))
            if size != content.stored:
                what = "is missing" if size is None else "is not what was stored"
                found.append(f"{self.place}: {_key(content)} {what}")
        return found

    def compact(self) -> None:
        """Give back the room of what was removed more than an hour ago."""
        with self.transaction():
            number = self._seen().number
            if number:
                self._write_snapshot(number)
        listed = self._objects.list()
        # By the clock of where they lie, which wrote the snapshot just now.
        limit = max(one.modified for one in listed) - _YOUNG
        old = [one.key for one in listed if one.modified < limit]
        with self.transaction():  # what was listed may have come into use meanwhile
            every = self.contents()
        current = {_key(content) for content in every}
        # Somebody may keep other files there.
        unused = [key for key in old if _OWN.fullmatch(key) and key not in current]
        for kind in (_LOG, _SNAPSHOTS):
            # Whoever has the last change still finds it, and sees that there is no other.
            last = _numbered(kind, number)
            own = re.compile(rf"{kind}/\d{{12}}")
            unused += [key for key in old if own.fullmatch(key) and key < last]
        self._objects.delete(unused)
        self._descriptors.compact(content.name for content in every)
        super().compact()

    def taken(self) -> int:
        """Bytes of all objects."""
        return sum(one.size for one in self._objects.list())

    def owns(self, path: Path) -> bool:
        """Whether a file is part of the store."""
        folder = self._objects.folder
        return folder is not None and folder.resolve() in path.resolve().parents


def _cache() -> Path:
    """The folder of working copies."""
    from platformdirs import user_cache_path

    folder = Path(os.environ.get("DFC_CACHE") or user_cache_path("dfc"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _numbered(kind: str, number: int) -> str:
    return f"{kind}/{number:012}"


def _key(content: Content) -> str:
    """Where the bytes of a content are. Coded anew they are elsewhere, and whoever knows of the
    former ones still finds those."""
    below = "" if content.reference is None else f".{content.reference.hex()}"
    return f"{_CONTENTS}/{content.name.hex()}.{content.coding}.{content.stored}{below}"
