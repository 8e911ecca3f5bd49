"""A collection of files in a store: added, got back byte for byte, deleted, hidden and checked.

A file is first stored on its own. What is predicted is coded anew, one content at a time, decoded
and compared before that counts; so a store is whole after every step.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tqdm import tqdm

from codec.pictures.jobs import BatchResult, FileResult, OnResult
from codec.pictures.storage import atomic_path, read_limited
from codec.pictures.workers import spread, stop_if_asked
from codec.store.codings import (
    RAW,
    Coded,
    code_predicted,
    code_whole,
    decode,
    has_lepton,
    name_of,
)
from codec.store.records import MOST_DEPTH, Content, Item, StoreError
from codec.store.sqlite import MOST_BYTES, SqliteStore

_MOST_KEPT = 1 << 28  # bytes of contents that are kept in memory
_PERMISSIONS = 0o777
_SUFFIX_MARKS = "\\:"  # that would lead elsewhere on some system


class Facts(NamedTuple):
    """What a file says of itself, see `Item`."""

    taken: float | None = None
    zone: int | None = None
    latitude: float | None = None
    longitude: float | None = None


class _Read(NamedTuple):
    """A file that is ready to be stored."""

    item: Item
    size: int
    coding: str
    data: bytes | None  # None where the content is there already


class _Wanted(NamedTuple):
    """A content to be predicted, its bytes, and the names and bytes that it may stand on."""

    content: Content
    data: bytes
    names: list[bytes]
    references: list[bytes]


class Stats(NamedTuple):
    """What is in a collection.

    Attributes:
        items, hidden: how many, without hidden ones and of them.
        contents, predicted: how many different ones, and how many stand on another.
        size: bytes of all items, hidden ones excepted.
        stored: bytes that contents take.
    """

    items: int
    hidden: int
    contents: int
    predicted: int
    size: int
    stored: int


class Collection:
    """Files in a store.

    Args:
        store: see `sqlite`.
        facts: what a file's bytes say of when and where it was taken.
    """

    def __init__(self, store: SqliteStore, facts: Callable[[bytes], Facts] = lambda _: Facts()):
        self.store, self._facts = store, facts
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()

    def add(
        self, files: Sequence[tuple[Path, str]], on_result: OnResult | None = None
    ) -> tuple[BatchResult, list[Item]]:
        """Store files, each on its own.

        Args:
            files: paths, and the names that they get.
            on_result: called with each result once it is stored for good.

        Returns:
            What became of them, and the items that are new.
        """
        known = {content.name for content in self.store.contents()}

        def read(part: tuple[Path, str]) -> _Read | FileResult:
            stop_if_asked()
            path, name = part
            try:
                return self._read(path, name, known)
            except Exception as error:  # whatever one file does, the others are still stored
                text = " ".join(str(error).split()) or type(error).__name__
                text = text if str(path) in text else f"{path}: {text}"
                return FileResult(path, None, error=text)

        results: list[FileResult] = []
        added: list[Item] = []
        existing = 0
        every = zip(files, spread(read, files), strict=True)
        for (path, _), found in tqdm(every, total=len(files), unit="file", disable=None):
            result = found
            if isinstance(found, _Read):
                item = self._free(found.item)
                if item is None:
                    existing += 1
                    continue
                result = _result(path, item, found, self._put(found, item))
                added.append(item)
            assert isinstance(result, FileResult)
            results.append(result)
            if on_result is not None:
                on_result(result)
        return BatchResult(results, existing=existing), added

    def _read(self, path: Path, name: str, known: set[bytes]) -> _Read:
        data = read_limited(path, MOST_BYTES, StoreError)
        stat = path.stat()
        content = name_of(data)
        facts = self._facts(data)
        permissions = stat.st_mode & _PERMISSIONS
        item = Item(checked_name(name), content, stat.st_mtime_ns, permissions, *facts)
        if content in known:
            return _Read(item, len(data), "", None)
        coded = code_whole(data)
        return _Read(item, len(data), coded.coding, coded.data)

    def _free(self, item: Item) -> Item | None:
        """The item under a name that is free, or None where it is there already."""
        path = PurePosixPath(item.name)
        name, number = item.name, 1
        while (there := self.store.item(name)) is not None:
            if there.content == item.content and not there.hidden:
                return None
            number += 1
            name = str(path.with_name(f"{path.stem} ({number}){path.suffix}"))
        return item._replace(name=name)

    def _put(self, found: _Read, item: Item) -> int:
        """Store an item and, where that is new, its content; the bytes that this takes."""
        with self.store.transaction():
            taken = 0
            if self.store.content(item.content) is None:
                data, coding = found.data, found.coding
                if data is None:  # it went away meanwhile
                    raise StoreError(f"{item.name}: another program removed it; add it again")
                taken = len(data)
                content = Content(item.content, found.size, coding, None, 0, taken)
                self.store.put(content, data)
            self.store.add_item(item)
        return taken

    def restore(self, item: Item) -> bytes:
        """The bytes of an item.

        Raises:
            StoreError: they cannot be had, or are not those that went in.
        """
        return self.content(item.content)

    def content(self, name: bytes) -> bytes:
        """The bytes of a content; what it stands on is decoded first.

        Raises:
            StoreError: as `restore`.
        """
        chain: list[Content] = []
        wanted: bytes | None = name
        while wanted is not None and wanted not in self._kept:
            found = self.store.content(wanted)
            if found is None:
                raise StoreError(f"{self.store.path}: content {wanted.hex()[:16]} is missing")
            chain.append(found)
            if len(chain) > MOST_DEPTH + 1:
                raise StoreError(f"{self.store.path}: damaged (contents stand on each other)")
            wanted = found.reference
        below = None if wanted is None else self._kept[wanted]
        for one in reversed(chain):
            data = decode(one.coding, self.store.data(one.name), below)
            if name_of(data) != one.name:
                raise StoreError(f"{self.store.path}: content {one.name.hex()[:16]} is damaged")
            below = data
            self._keep(one.name, data)
        assert below is not None
        return below

    def _keep(self, name: bytes, data: bytes) -> None:
        self._kept[name] = data
        while len(self._kept) > 1 and sum(map(len, self._kept.values())) > _MOST_KEPT:
            self._kept.popitem(last=False)

    def predict(self, wanted: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[bytes]:
        """Store contents as what is new in them beside others, where that is smaller.

        Args:
            wanted: names of contents, and of those that each may stand on.

        Returns:
            The names of those that were coded anew.
        """

        def parts() -> Iterator[_Wanted]:
            for name, candidates in wanted:
                usable = [one for one in candidates if self.may_stand_on(name, one)]
                content, data = self._known(name), self.content(name)
                yield _Wanted(content, data, usable, [self.content(one) for one in usable])

        def code(part: _Wanted) -> tuple[_Wanted, Coded | None]:
            stop_if_asked()
            return part, code_predicted(part.data, part.references)

        changed = []
        for part, coded in spread(code, parts()):
            if coded is None or coded.number is None or len(coded.data) >= part.content.stored:
                continue
            self._code_anew(part.content, coded, part.names[coded.number])
            changed.append(part.content.name)
        return changed

    def make_whole(self, name: bytes) -> None:
        """Store a content on its own again."""
        content = self._known(name)
        if content.reference is not None:
            self._code_anew(content, code_whole(self.content(name)), None)

    def may_stand_on(self, name: bytes, reference: bytes) -> bool:
        """Whether a content may be predicted from another: no circles, and no long chains."""
        below = self.store.content(reference)
        if below is None or below.depth + 1 + self._height(name) > MOST_DEPTH:
            return False
        at: bytes | None = reference
        for _ in range(MOST_DEPTH + 1):
            if at == name:
                return False
            found = None if at is None else self.store.content(at)
            at = None if found is None else found.reference
        return True

    def _known(self, name: bytes) -> Content:
        found = self.store.content(name)
        if found is None:
            raise StoreError(f"{self.store.path}: content {name.hex()[:16]} is missing")
        return found

    def _height(self, name: bytes) -> int:
        """How many contents stand on each other on top of one."""
        return max((1 + self._height(one.name) for one in self.store.children(name)), default=0)

    def _code_anew(self, content: Content, coded: Coded, reference: bytes | None) -> None:
        with self.store.transaction():
            # Another process may have changed what was looked at.
            if self._known(content.name).reference != content.reference or not (
                reference is None or self.may_stand_on(content.name, reference)
            ):
                raise StoreError(f"{self.store.path}: another program is changing it; try again")
            depth = 0 if reference is None else self._known(reference).depth + 1
            changed = content._replace(
                coding=coded.coding, reference=reference, stored=len(coded.data), depth=depth
            )
            self.store.put(changed, coded.data)
            self._set_depths(content.name, depth)

    def _set_depths(self, name: bytes, depth: int) -> None:
        for child in self.store.children(name):
            self.store.set_depth(child.name, depth + 1)
            self._set_depths(child.name, depth + 1)

    def delete(self, name: str) -> bool:
        """Delete an item; one that others stand on is hidden, and goes with the last of them.

        Returns:
            Whether it is hidden, and can be had back.
        """
        with self.store.transaction():
            item = self.item(name)
            alone = all(one.name == name for one in self.store.items_of(item.content))
            if alone and self.store.children(item.content):
                self.store.change_item(name, hidden=True)
                return True
            self.store.remove_item(name)
            self.sweep(item.content)
        return False

    def undelete(self, name: str) -> None:
        """Show a hidden item again."""
        with self.store.transaction():
            if not self.item(name, hidden=True).hidden:
                raise StoreError(f"{name}: is not deleted")
            self.store.change_item(name, hidden=False)

    def sweep(self, name: bytes) -> None:
        """Remove a content that nothing needs, and then what was there for it alone."""
        with self.store.transaction():
            at: bytes | None = name
            while at is not None:
                items = self.store.items_of(at)
                needed = any(not item.hidden or item.pinned for item in items)
                if needed or self.store.children(at):
                    return
                content = self.store.content(at)
                for item in items:
                    self.store.remove_item(item.name)
                self.store.remove(at)
                self._kept.pop(at, None)
                at = None if content is None else content.reference

    def item(self, name: str, hidden: bool = False) -> Item:
        """An item.

        Raises:
            StoreError: there is none of this name, or it is hidden and those are not asked for.
        """
        found = self.store.item(name)
        if found is None:
            raise StoreError(f"{name}: there is no such file in {self.store.path}")
        if found.hidden and not hidden:
            raise StoreError(f"{name}: was deleted, and is hidden; undelete it first")
        return found

    def export(
        self, items: Sequence[Item], folder: Path, on_result: OnResult | None = None
    ) -> BatchResult:
        """Write items as the files that they were, with their times and permissions."""
        results = []
        for item in tqdm(items, unit="file", disable=None):
            try:
                result = self._write(item, folder)
            except (StoreError, OSError) as error:
                text = str(error)
                text = text if item.name in text else f"{item.name}: {text}"
                result = FileResult(Path(item.name), None, error=text)
            results.append(result)
            if on_result is not None:
                on_result(result)
        return BatchResult(results)

    def _write(self, item: Item, folder: Path) -> FileResult:
        target = folder / checked_name(item.name)
        data = self.restore(item)
        if target.exists() and target.read_bytes() != data:
            raise StoreError(f"{target}: is there, and another file; choose another folder")
        with atomic_path(target) as temporary:
            temporary.write_bytes(data)
            os.utime(temporary, ns=(item.modified, item.modified))
            temporary.chmod(item.permissions & _PERMISSIONS)
        return FileResult(Path(item.name), target)

    def verify(self) -> Iterator[tuple[Content, str]]:
        """Decode every content; each with a sentence that says what is wrong, or an empty one."""
        for content in self.store.contents():
            try:
                self._kept.pop(content.name, None)
                self.content(content.name)
                depth = 0 if content.reference is None else self._known(content.reference).depth + 1
                problem = "" if depth == content.depth else "its depth is another one"
            except StoreError as error:
                problem = str(error)
            yield content, problem

    def stats(self) -> Stats:
        """Numbers of everything."""
        items, contents = self.store.items(hidden=True), self.store.contents()
        sizes = {content.name: content.size for content in contents}
        shown = [item for item in items if not item.hidden]
        return Stats(
            len(shown),
            len(items) - len(shown),
            len(contents),
            sum(content.reference is not None for content in contents),
            sum(sizes.get(item.content, 0) for item in shown),
            sum(content.stored for content in contents),
        )


def checked_name(name: str) -> str:
    """A name of an item, which has to stay below the folder that it is written to.

    Raises:
        StoreError: it does not.
    """
    path = PurePosixPath(name)
    parts = path.parts
    if path.is_absolute() or not parts or any(p == ".." or "\0" in p for p in parts):
        raise StoreError(f"{name!r}: expected the name of a file below a folder")
    if os.name == "nt" and any(mark in name for mark in _SUFFIX_MARKS):
        raise StoreError(f"{name!r}: expected a name that this system can write")
    return str(path)


def _result(path: Path, item: Item, found: _Read, taken: int) -> FileResult:
    notes = []
    if found.data is None:
        notes.append("has the same bytes as a file that is there")
    if found.coding == RAW and path.suffix.lower() in (".jpg", ".jpeg") and not has_lepton():
        notes.append("takes a quarter less with pip install 'defilter[album]'")
    return FileResult(path, Path(item.name), found.size, taken, tuple(notes))
