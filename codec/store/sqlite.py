"""A store in one SQLite file: what was acknowledged survives a kill or a crash of the machine.

Contents are named by their hash, and no content goes while another stands on it. Every change is
part of a transaction; see docs/store.md for the tables.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from codec.store.records import Content, Group, Item, StoreError
from codec.store.schema import APPLICATION, SCHEMA, VERSION

SUFFIX = ".dfa"
MOST_BYTES = 1_000_000_000 - (1 << 20)  # of a content: SQLite's limit, and some room
_PATIENCE = 60.0  # seconds to wait for another process
_CONTENT = ", ".join(Content._fields)
_ITEM = ", ".join(f'"{name}"' for name in Item._fields)


class SqliteStore:
    """A store in a file.

    Args:
        path: of the file.
        write: whether it will be changed; else it may lie where nothing can be written.
        create: whether it is made where it is not there.

    Attributes:
        place: what people call it.

    Raises:
        StoreError: there is none, or it cannot be opened.
    """

    def __init__(self, path: Path | str, write: bool = True, create: bool = False):
        self.path = Path(path)
        self.place = str(path)
        if create and not self.path.exists() and self.path.suffix.lower() != SUFFIX:
            raise StoreError(
                f"{path}: expected a name that ends in {SUFFIX} for a new album, or in / for one "
                "in a folder"
            )
        if not create and not self.path.is_file():
            raise StoreError(f"{path}: no such album")
        with self._said():
            self._database = self._connect(write)
            self._check(write and create)

    def _connect(self, write: bool) -> sqlite3.Connection:
        if not write:
            return self._readable()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        database = self._opened("")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        return database

    def _readable(self) -> sqlite3.Connection:
        """A connection that only reads.

        WAL wants files beside, which the last one to close takes away again if it may write; where
        nothing can be written, the file is read as it is.
        """
        try:
            may_write = os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)
            database = self._opened("" if may_write else "?mode=ro")
            database.execute("PRAGMA query_only = ON")
            database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.OperationalError:
            database = self._opened("?mode=ro&immutable=1")
        return database

    def _opened(self, options: str) -> sqlite3.Connection:
        place = f"file:{quote(str(self.path.absolute()))}{options}"
        database = sqlite3.connect(place, _PATIENCE, isolation_level=None, uri=True)
        for pragma in ("foreign_keys = ON", "trusted_schema = OFF", "cell_size_check = ON"):
            database.execute(f"PRAGMA {pragma}")
        return database

    def _check(self, create: bool) -> None:
        """Make the tables, or see that they are there."""
        if create and not self._pragma("application_id"):
            with self.transaction():
                # Another process may have been here first.
                (tables,) = self._one("SELECT count(*) FROM sqlite_schema")
                if not tables:
                    for statement in SCHEMA.split(";"):
                        self._database.execute(statement)
        if self._pragma("application_id") != APPLICATION:
            raise StoreError(f"{self.place}: is no album")
        if self._pragma("user_version") != VERSION:
            raise StoreError(f"{self.place}: made by a newer version, which has to read it")

    def _pragma(self, name: str) -> int:
        return int(self._one(f"PRAGMA {name}")[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    @contextmanager
    def _said(self) -> Iterator[None]:
        """What SQLite says as one sentence."""
        try:
            yield
        except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
            raise StoreError(f"{self.place}: {_sentence(str(error))}") from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside happens, or nothing; what was done is on the disk at its end."""
        if self._database.in_transaction:
            yield  # part of the one around
            return
        with self._said():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._begun()
                yield
                self._ending()
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def _begun(self) -> None:
        """What a store that is shared does as a transaction begins."""

    def _ending(self) -> None:
        """What it does before what was done counts."""

    def _one(self, statement: str, values: tuple[object, ...] = ()) -> tuple[Any, ...]:
        found = self._database.execute(statement, values).fetchone()
        assert found is not None
        return tuple(found)

    def _rows(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        with self._said():
            return self._database.execute(statement, values).fetchall()

    def _change(self, statement: str, values: tuple[object, ...]) -> None:
        with self._said(), self.transaction():
            self._database.execute(statement, values)

    def _update(
        self, table: str, known: Sequence[str], changes: dict[str, object], row: tuple[str, object]
    ) -> None:
        """Change a row, which a key and its value name."""
        unknown = set(changes) - set(known)
        if unknown:
            raise TypeError(f"expected {', '.join(known)}, got {unknown}")
        places = ", ".join(f'"{key}" = ?' for key in changes)
        statement = f"UPDATE {table} SET {places} WHERE {row[0]} = ?"
        self._change(statement, (*changes.values(), row[1]))

    # Contents

    def content(self, name: bytes) -> Content | None:
        """What is known of a content, or None where there is no such."""
        found = self._rows(f"SELECT {_CONTENT} FROM contents WHERE name = ?", (name,))
        return _content(found[0], self.place) if found else None

    def contents(self) -> list[Content]:
        """All of them, those that others stand on first."""
        rows = self._rows(f"SELECT {_CONTENT} FROM contents ORDER BY depth, name")
        return [_content(row, self.place) for row in rows]

    def children(self, name: bytes) -> list[Content]:
        """The contents that are predicted from one."""
        statement = f"SELECT {_CONTENT} FROM contents WHERE reference = ? ORDER BY name"
        return [_content(row, self.place) for row in self._rows(statement, (name,))]

    def content_of_planes(self, planes: bytes) -> Content | None:
        """The picture with these exact planes, or None; the one with the shortest chain."""
        statement = f"SELECT {_CONTENT} FROM contents WHERE planes = ? ORDER BY depth, name"
        rows = self._rows(statement, (planes,))
        return _content(rows[0], self.place) if rows else None

    def data(self, name: bytes) -> bytes:
        """The bytes as they are stored.

        Raises:
            StoreError: there are none.
        """
        found = self._rows("SELECT data FROM data WHERE name = ?", (name,))
        if not found or not isinstance(found[0][0], bytes):
            raise StoreError(f"{self.place}: content {name.hex()[:16]} is missing")
        return found[0][0]

    def put(self, content: Content, data: bytes) -> None:
        """Store a content, or store it anew in another coding."""
        if len(data) > MOST_BYTES:
            raise StoreError(f"expected at most {MOST_BYTES:,} bytes, got {len(data):,}")
        with self.transaction():
            marks = ", ".join("?" * len(content))
            self._change(
                f"INSERT INTO contents ({_CONTENT}) VALUES ({marks}) "
                "ON CONFLICT (name) DO UPDATE SET coding = excluded.coding, reference = "
                "excluded.reference, depth = excluded.depth, stored = excluded.stored",
                tuple(content),
            )
            self._change(
                "INSERT INTO data (name, data) VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET data = excluded.data",
                (content.name, data),
            )

    def set_depth(self, name: bytes, depth: int) -> None:
        """Say anew how many contents have to be decoded before one."""
        self._change("UPDATE contents SET depth = ? WHERE name = ?", (depth, name))

    def remove(self, name: bytes) -> None:
        """Remove a content that nothing needs."""
        self._change("DELETE FROM contents WHERE name = ?", (name,))

    # Items

    def item(self, name: str) -> Item | None:
        """An item, hidden or not, or None where there is no such."""
        found = self._rows(f"SELECT {_ITEM} FROM items WHERE name = ?", (name,))
        return _item(found[0], self.place) if found else None

    def items(self, hidden: bool = False) -> list[Item]:
        """All items by name, with hidden ones or without."""
        where = "" if hidden else "WHERE NOT hidden"
        rows = self._rows(f"SELECT {_ITEM} FROM items {where} ORDER BY name")
        return [_item(row, self.place) for row in rows]

    def items_of(self, content: bytes) -> list[Item]:
        """The items of a content, hidden ones included."""
        rows = self._rows(f"SELECT {_ITEM} FROM items WHERE content = ? ORDER BY name", (content,))
        return [_item(row, self.place) for row in rows]

    def items_from(self, source: bytes) -> list[Item]:
        """The items of files with these bytes, hidden ones included."""
        rows = self._rows(f"SELECT {_ITEM} FROM items WHERE source = ? ORDER BY name", (source,))
        return [_item(row, self.place) for row in rows]

    def add_item(self, item: Item) -> None:
        """Add an item whose content is there."""
        marks = ", ".join("?" * len(item))
        self._change(f"INSERT INTO items ({_ITEM}) VALUES ({marks})", tuple(item))

    def change_item(self, name: str, **changes: object) -> None:
        """Give attributes of an item other values."""
        self._update("items", Item._fields, changes, ("name", name))

    def remove_item(self, name: str) -> None:
        """Remove an item; its content stays."""
        self._change("DELETE FROM items WHERE name = ?", (name,))

    # Groups

    def groups(self) -> list[Group]:
        """All groups that have items which are not hidden."""
        rows = self._rows(
            "SELECT number, label, settled FROM groups WHERE number IN "
            '(SELECT "group" FROM items WHERE NOT hidden) ORDER BY number'
        )
        return [Group(int(number), str(label), bool(done)) for number, label, done in rows]

    def members(self, number: int) -> list[Item]:
        """The items of a group by time, without hidden ones."""
        statement = (
            f'SELECT {_ITEM} FROM items WHERE "group" = ? AND NOT hidden ORDER BY taken, name'
        )
        return [_item(row, self.place) for row in self._rows(statement, (number,))]

    def add_group(self, label: str) -> int:
        """Add a group; its number."""
        with self._said(), self.transaction():
            cursor = self._database.execute("INSERT INTO groups (label) VALUES (?)", (label,))
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def change_group(self, number: int, **changes: object) -> None:
        """Give attributes of a group other values."""
        self._update("groups", Group._fields, changes, ("number", number))

    # Descriptors

    def described(self) -> list[bytes]:
        """Names of the contents that have a descriptor, or for which there is none, in order."""
        return [bytes(row[0]) for row in self._rows("SELECT name FROM descriptors ORDER BY name")]

    def codes(self, kind: str) -> list[tuple[bytes, bytes]]:
        """Names of contents and their codes, `whole` or `key`, of those that have one, in order."""
        if kind not in ("whole", "key"):
            raise ValueError(f"expected whole or key, got {kind}")
        rows = self._rows(f"SELECT name, {kind} FROM descriptors WHERE key <> x'' ORDER BY name")
        return [(bytes(name), bytes(code)) for name, code in rows]

    def descriptor(self, name: bytes) -> tuple[bytes, bytes, bytes, bytes] | None:
        """Places, points, whole and key of a content, or None where it has none."""
        rows = self._rows(
            "SELECT places, points, whole, key FROM descriptors WHERE name = ?", (name,)
        )
        if not rows or not rows[0][3]:
            return None
        places, points, whole, key = map(bytes, rows[0])
        return places, points, whole, key

    def put_descriptor(self, name: bytes, parts: tuple[bytes, bytes, bytes, bytes]) -> None:
        """Store a descriptor; four empty parts say that there is none."""
        self._change(
            "INSERT OR REPLACE INTO descriptors (name, places, points, whole, key) "
            "VALUES (?, ?, ?, ?, ?)",
            (name, *parts),
        )

    # All of it

    def problems(self) -> list[str]:
        """What SQLite finds wrong with the file, a sentence each."""
        found = [str(row[0]) for row in self._rows("PRAGMA integrity_check(20)")]
        broken = [f"the file is damaged: {one}" for one in found if one != "ok"]
        missing = self._rows("PRAGMA foreign_key_check")
        return broken + [f"a row of {row[0]} stands on one that is missing" for row in missing]

    def compact(self) -> None:
        """Give back the room of what was removed."""
        self._rows("VACUUM")
        self._rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def taken(self) -> int:
        """Bytes that all of it takes."""
        return self.path.stat().st_size

    def owns(self, path: Path) -> bool:
        """Whether a file is part of the store."""
        own, one = self.path.resolve(), path.resolve()
        return own.parent == one.parent and one.name.startswith(own.name)


def _content(row: tuple[Any, ...], place: str) -> Content:
    found = Content(*row)
    sound = (
        isinstance(found.name, bytes)
        and isinstance(found.coding, str)
        and (found.reference is None or isinstance(found.reference, bytes))
        and all(isinstance(n, int) for n in (found.size, found.depth, found.stored))
        and (found.planes is None or isinstance(found.planes, bytes))
        and all(n is None or isinstance(n, (int, float)) for n in (found.psnr, found.drift))
    )
    if not sound:
        raise StoreError(f"{place}: the file is damaged (a content that is none)")
    return found


def _item(row: tuple[Any, ...], place: str) -> Item:
    found = Item(*row)
    numbers = (found.taken, found.zone, found.latitude, found.longitude, found.group)
    sound = (
        isinstance(found.name, str)
        and isinstance(found.content, bytes)
        and isinstance(found.source, bytes)
        and isinstance(found.modified, int)
        and isinstance(found.permissions, int)
        and all(n is None or isinstance(n, (int, float)) for n in numbers)
    )
    if not sound:
        raise StoreError(f"{place}: the file is damaged (an item that is none)")
    return found._replace(hidden=bool(found.hidden), pinned=bool(found.pinned))


def _sentence(text: str) -> str:
    """What SQLite says in words that tell what to do."""
    known = {
        "full": "the disk is full; make room, nothing of this was stored",
        "readonly": "may not be written; check its permissions and those of its folder",
        "locked": f"in use by another program for more than {_PATIENCE:.0f} seconds",
        "not a database": "is no album",
        "decode": "the file is damaged",
        "malformed": "the file is damaged",
        "unable to open": "cannot be opened; check its folder and permissions",
        "disk i/o error": "cannot be read or written (input or output error)",
    }
    return next((words for key, words in known.items() if key in text.lower()), text)
