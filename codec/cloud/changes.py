"""What a transaction changed in a store's tables, as bytes that other copies of it apply.

The bytes are deflated JSON: rows as they are now, with bytes as {"hex": ...}, and keys of those
that are gone.
"""

import hashlib
import json
import sqlite3
import zlib
from typing import Any, NamedTuple

from codec.store.records import Content, Group, Item, StoreError

TABLES: dict[str, tuple[str, tuple[str, ...]]] = {  # the key and the columns of each
    "contents": ("name", Content._fields),
    "groups": ("number", Group._fields),
    "items": ("name", Item._fields),
}
_MOST_BYTES = 1 << 28  # of changes, unpacked
MOST_PACKED = 1 << 27
_VERSION = 1


class Changes(NamedTuple):
    """Rows of tables.

    Attributes:
        rows: tables, and values of their columns in order.
        gone: tables, and keys.
        before: what names the bytes of the change before, see `digest`; of a snapshot, those of the
            last change that it has. Empty before the first one.
    """

    rows: list[tuple[str, list[Any]]]
    gone: list[tuple[str, Any]]
    before: str = ""

    def keys(self) -> set[tuple[str, Any]]:
        """Tables and keys of everything that is changed."""
        places = {table: columns.index(key) for table, (key, columns) in TABLES.items()}
        return {(table, values[places[table]]) for table, values in self.rows} | set(self.gone)


def watch(database: sqlite3.Connection) -> None:
    """Keep a list of what is changed from now on, for `collect`."""
    database.execute("CREATE TEMP TABLE changed (name TEXT, key)")
    for table, (key, _) in TABLES.items():
        for event, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
            database.execute(
                f"CREATE TEMP TRIGGER {table}_{event} AFTER {event} ON main.{table} BEGIN "
                f"INSERT INTO changed VALUES ('{table}', {row}.{key}); END"
            )


def forget(database: sqlite3.Connection) -> None:
    """Begin a new list."""
    database.execute("DELETE FROM changed")


def collect(database: sqlite3.Connection, everything: bool = False) -> Changes:
    """What was changed since `forget`, or all rows there are."""
    found = Changes([], [])
    for table, (key, columns) in TABLES.items():
        names = ", ".join(f'"{column}"' for column in columns)
        statement = f"SELECT {names} FROM {table}"
        if everything:
            found.rows.extend((table, list(row)) for row in database.execute(statement))
            continue
        changed = database.execute("SELECT DISTINCT key FROM changed WHERE name = ?", (table,))
        for (value,) in changed.fetchall():
            row = database.execute(f"{statement} WHERE {key} = ?", (value,)).fetchone()
            if row is None:
                found.gone.append((table, value))
            else:
                found.rows.append((table, list(row)))
    return found


def apply(database: sqlite3.Connection, changes: Changes, from_nothing: bool = False) -> None:
    """Make the changes that were made to another copy.

    Args:
        database: inside a transaction.
        changes: see there.
        from_nothing: whether nothing that is there is to stay.

    Raises:
        sqlite3.Error: they do not fit what is there.
    """
    # A row may stand on one that comes after it.
    database.execute("PRAGMA defer_foreign_keys = ON")
    gone = list(changes.gone)
    if from_nothing:
        kept = changes.keys()
        for table, (key, _) in TABLES.items():
            every = database.execute(f"SELECT {key} FROM {table}").fetchall()
            gone += [(table, value) for (value,) in every if (table, value) not in kept]
    for table, values in changes.rows:
        key, columns = TABLES[table]
        names = ", ".join(f'"{column}"' for column in columns)
        marks = ", ".join("?" * len(columns))
        updates = ", ".join(f'"{column}" = excluded."{column}"' for column in columns)
        database.execute(
            f"INSERT INTO {table} ({names}) VALUES ({marks}) "
            f"ON CONFLICT ({key}) DO UPDATE SET {updates}",
            values,
        )
        if table == "contents":  # its bytes may be others now
            database.execute("DELETE FROM data WHERE name = ?", (values[columns.index(key)],))
    # What stands on others goes before them.
    order = ["items", "contents", "groups"]
    depths = {
        value: database.execute("SELECT depth FROM contents WHERE name = ?", (value,)).fetchone()
        for table, value in gone
        if table == "contents"
    }
    gone.sort(key=lambda one: (order.index(one[0]), -(depths.get(one[1]) or (0,))[0]))
    for table, value in gone:
        database.execute(f"DELETE FROM {table} WHERE {TABLES[table][0]} = ?", (value,))
    # What is changed after these is checked at once again.
    if database.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise sqlite3.IntegrityError("something stands on what is missing")
    database.execute("PRAGMA defer_foreign_keys = OFF")


def pack(changes: Changes) -> bytes:
    """Changes as bytes."""
    parts = {
        "version": _VERSION,
        "before": changes.before,
        "rows": [[table, [_out(value) for value in values]] for table, values in changes.rows],
        "gone": [[table, _out(value)] for table, value in changes.gone],
    }
    return zlib.compress(json.dumps(parts, separators=(",", ":")).encode(), 6)


def unpack(data: bytes, what: str) -> Changes:
    """Changes of their bytes.

    Args:
        data: see `pack`.
        what: they are, for messages.

    Raises:
        StoreError: they are none, or of a newer version.
    """
    try:
        unpacker = zlib.decompressobj()
        parts = json.loads(unpacker.decompress(data, _MOST_BYTES))
        if parts["version"] != _VERSION:
            raise StoreError(f"{what}: made by a newer version, which has to read it")
        before = str(parts["before"])
        rows = [(table, [_in(value) for value in values]) for table, values in parts["rows"]]
        gone = [(table, _in(value)) for table, value in parts["gone"]]
        sound = all(len(values) == len(TABLES[table][1]) for table, values in rows)
        if not sound or any(table not in TABLES for table, _ in gone):
            raise ValueError("rows of other columns")
    except StoreError:
        raise
    except (zlib.error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"{what}: is damaged") from error
    return Changes(rows, gone, before)


def digest(data: bytes) -> str:
    """What names a change: the SHA-256 of its bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _out(value: Any) -> Any:
    return {"hex": value.hex()} if isinstance(value, bytes) else value


def _in(value: Any) -> Any:
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"])
    if not (value is None or isinstance(value, (str, int, float))):
        raise TypeError("a value that no column has")
    return value
