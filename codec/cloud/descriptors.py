"""What pictures are known by, in a LanceDB table, which other tools can search as well.

They follow from the pictures: what is lost is described again.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from codec.store.records import HASH_BYTES, StoreError

Parts = tuple[bytes, bytes, bytes, bytes]  # places, points, whole, key
_TABLE = "descriptors"
_AT_ONCE = 256  # that are written together
_KEPT = timedelta(hours=1)  # for those who are reading


class Descriptors:
    """Descriptors by the names of contents.

    Args:
        place: that the table lies in.
    """

    def __init__(self, place: str):
        self._place = place
        self._waiting: dict[bytes, Parts] = {}
        self._opened: Any = None

    def _table(self) -> Any:
        if self._opened is not None:
            return self._opened
        try:
            import lancedb
            import pyarrow as pa
        except ImportError:
            raise StoreError(f"{self._place}: needs pip install 'defilter[cloud]'") from None
        columns = [
            pa.field("name", pa.binary(HASH_BYTES), nullable=False),
            pa.field("places", pa.binary()),
            pa.field("points", pa.binary()),
            pa.field("whole", pa.list_(pa.uint8(), 256)),
            pa.field("key", pa.list_(pa.uint8(), 32)),
        ]
        with _said(self._place):
            database = lancedb.connect(self._place, read_consistency_interval=timedelta())
            self._opened = database.create_table(_TABLE, schema=pa.schema(columns), exist_ok=True)
        return self._opened

    def put(self, name: bytes, parts: Parts) -> None:
        """Store a descriptor, with others, before the next one is asked for."""
        self._waiting[name] = parts
        if len(self._waiting) >= _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Store what waits."""
        if not self._waiting:
            return
        import pyarrow as pa

        table = self._table()
        rows = [
            {
                "name": name,
                "places": places or None,
                "points": points or None,
                "whole": list(whole) or None,
                "key": list(key) or None,
            }
            for name, (places, points, whole, key) in self._waiting.items()
        ]
        with _said(self._place):
            data = pa.Table.from_pylist(rows, schema=table.schema)
            merge = table.merge_insert("name").when_matched_update_all()
            merge.when_not_matched_insert_all().execute(data)
        self._waiting.clear()

    def names(self) -> set[bytes]:
        """Of what is described, or found to have nothing to be described by."""
        self.flush()
        with _said(self._place):
            return set(self._table().search().select(["name"]).to_arrow()["name"].to_pylist())

    def codes(self, kind: str) -> dict[bytes, bytes]:
        """Codes, `whole` or `key`, of what has one."""
        self.flush()
        with _said(self._place):
            found = self._table().search().where("key IS NOT NULL").select(["name", kind])
            rows = found.to_arrow()
        names = rows["name"].to_pylist()
        return {n: bytes(code) for n, code in zip(names, rows[kind].to_pylist(), strict=True)}

    def get(self, names: Sequence[bytes]) -> dict[bytes, Parts]:
        """Those of some contents."""
        self.flush()
        with _said(self._place):
            rows = self._table().search().where(_within(names)).to_arrow().to_pylist()
        return {row["name"]: _parts(row) for row in rows if row["key"] is not None}

    def compact(self, known: Iterable[bytes]) -> None:
        """Forget those of other contents, and give back their room."""
        gone = self.names() - set(known)
        table = self._table()
        with _said(self._place):
            if gone:
                table.delete(_within(gone))
            table.optimize(cleanup_older_than=_KEPT)


def _parts(row: dict[str, Any]) -> Parts:
    return row["places"] or b"", row["points"] or b"", bytes(row["whole"]), bytes(row["key"])


@contextmanager
def _said(place: str) -> Iterator[None]:
    """What LanceDB says as one sentence."""
    try:
        yield
    except (RuntimeError, OSError, ValueError) as error:
        text = next(filter(None, str(error).splitlines()), "no reason is known")
        raise StoreError(f"{place}: descriptors cannot be had ({text})") from error


def _within(names: Iterable[bytes]) -> str:
    """A condition of SQL."""
    every = ", ".join(f"X'{name.hex()}'" for name in names)
    return f"name IN ({every})"
