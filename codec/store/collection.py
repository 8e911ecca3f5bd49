"""A collection of files in a store: added, found by name, deleted, hidden, counted."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from tqdm import tqdm

from codec.pictures.capture import capture_of
from codec.pictures.jobs import BatchResult, FileResult, OnResult
from codec.pictures.storage import read_limited
from codec.pictures.workers import spread, stop_if_asked
from codec.store.codings import PICTURE, RAW, code_whole, has_lepton, name_of
from codec.store.contents import Contents
from codec.store.exporting import checked_name
from codec.store.pictures import CodedPicture, PictureCoding
from codec.store.records import PERMISSIONS, Conflict, Content, Item, StoreError
from codec.store.sqlite import MOST_BYTES, SqliteStore

_TIMES = 5  # that a change is tried


class _Read(NamedTuple):
    """A file that is ready to be stored.

    Attributes:
        item: with the name that it was to have.
        content: how it is stored.
        data: the bytes of that; None where it is there already.
    """

    item: Item
    content: Content
    data: bytes | None


class Stats(NamedTuple):
    """What is in a collection.

    Attributes:
        items, hidden: how many, without hidden ones and of them.
        contents, predicted: how many different ones, and how many stand on another.
        size: bytes of the files that went in, hidden ones excepted.
        stored: bytes that contents take.
        pictures: how many contents are pictures with loss instead of files.
    """

    items: int
    hidden: int
    contents: int
    predicted: int
    size: int
    stored: int
    pictures: int


class Collection:
    """Files in a store.

    Args:
        store: see `sqlite`.
    """

    def __init__(self, store: SqliteStore):
        self.store = store
        self.contents = Contents(store)

    def add(
        self,
        files: Sequence[tuple[Path, str]],
        on_result: OnResult | None = None,
        coding: PictureCoding | None = None,
        repair: bool = False,
    ) -> tuple[BatchResult, dict[str, Path]]:
        """Store files, each on its own.

        Args:
            files: paths, and the names that they get.
            on_result: called with each result once it is stored for good.
            coding: how pictures are stored instead of their files; None keeps every byte. What it
                has no room for, and what is smaller as a file, is kept as a file.
            repair: whether what is there already is decoded, and stored anew if it is damaged.

        Returns:
            What became of them, and where items come from, those that were there included.
        """
        known = {item.source: item.content for item in self.store.items(hidden=True)}

        def read(part: tuple[Path, str]) -> _Read | FileResult:
            stop_if_asked()
            path, name = part
            try:
                return self._read(path, name, known, coding)
            except Exception as error:  # whatever one file does, the others are still stored
                text = " ".join(str(error).split()) or type(error).__name__
                text = text if str(path) in text else f"{path}: {text}"
                return FileResult(path, None, error=text)

        results: list[FileResult] = []
        added: dict[str, Path] = {}
        existing: list[tuple[Item, Path]] = []
        every = zip(files, spread(read, files), strict=True)
        for (path, _), found in tqdm(every, total=len(files), unit="file", disable=None):
            result = found
            if isinstance(found, _Read):
                item, result = self._stored(found, path)
                if item is not None:
                    added[item.name] = path
                if item is not None and result is None:
                    existing.append((item, path))
                    continue
            assert isinstance(result, FileResult)
            results.append(result)
            if on_result is not None:
                on_result(result)
        mended = self._mended(existing) if repair else []
        if on_result is not None:
            for one in mended:
                on_result(one)
        return BatchResult(results + mended, existing=len(existing) - len(mended)), added

    def _mended(self, files: Sequence[tuple[Item, Path]]) -> list[FileResult]:
        """Check items, and store those anew that are damaged; what others stand on comes first, so
        that these are still told by it."""

        def depth(one: tuple[Item, Path]) -> int:
            content = self.store.content(one[0].content)
            return 0 if content is None else content.depth

        found = []
        for item, path in tqdm(
            sorted(files, key=depth), unit="file", desc="checking", disable=None
        ):
            if self._repaired(item, path):
                size = self.contents.known(item.content).size
                found.append(FileResult(path, Path(item.name), size, size, ("was damaged",)))
        return found

    def _read(
        self, path: Path, name: str, known: dict[bytes, bytes], coding: PictureCoding | None
    ) -> _Read:
        data = read_limited(path, MOST_BYTES, StoreError)
        stat = path.stat()
        permissions = stat.st_mode & PERMISSIONS
        source = name_of(data)
        content = Content(source, len(data), RAW, None, 0, 0)
        item = Item(
            checked_name(name), source, source, stat.st_mtime_ns, permissions, *capture_of(data)
        )
        if source in known:
            return _Read(item._replace(content=known[source]), content, None)
        coded = None if coding is None else coding.code(data, path)
        if coded is not None and len(coded.data) < len(data):
            content = picture_content(coded, len(data), None)
            return _Read(item._replace(content=content.name), content, coded.data)
        whole = code_whole(data)
        content = content._replace(coding=whole.coding, stored=len(whole.data))
        return _Read(item, content, whole.data)

    def free(self, item: Item) -> tuple[Item, bool]:
        """The item under a name that is free, and whether it is new; a deleted one comes back."""
        path = PurePosixPath(item.name)
        name, number = item.name, 1
        while (there := self.store.item(name)) is not None:
            if there.source == item.source:
                if there.hidden:
                    self.undelete(name)
                return there, False
            number += 1
            name = str(path.with_name(f"{path.stem} ({number}){path.suffix}"))
        return item._replace(name=name), True

    def _repaired(self, item: Item, path: Path) -> bool:
        """Whether an item was damaged, and is stored anew from its file."""
        there = self.store.item(item.name)
        if there is None or there.content != item.source:
            return False
        try:
            self.contents.forget(item.content)
            self.contents.bytes_of(item.content)
            return False
        except StoreError:
            self.contents.store_anew(item.content, read_limited(path, MOST_BYTES, StoreError))
            return True

    def _stored(self, found: _Read, path: Path) -> tuple[Item | None, FileResult | None]:
        """Store a file that was read: its item, and what became of it, None where it was there."""
        try:
            item, is_new, taken = repeated(lambda: self._put(found))
        except Conflict as error:
            return None, FileResult(path, None, error=str(error))
        if not is_new:
            return item, None
        result = _result(path, item, found, taken)
        # What has the same bytes as something else is not taken at its word.
        if found.data is None and self._repaired(item, path):
            notes = (*result.notes, "what was there was damaged, and is mended")
            result = result._replace(notes=notes)
        return item, result

    def _put(self, found: _Read) -> tuple[Item, bool, int]:
        """Store an item and, where that is new, its content: under which name, whether it was not
        there, and the bytes that this takes."""
        with self.store.transaction():
            item, is_new = self.free(found.item)
            taken = 0
            if is_new and self.store.content(item.content) is None:
                if found.data is None:  # it went away meanwhile
                    raise Conflict(f"{item.name}: another program removed it; add it again")
                taken = len(found.data)
                self.store.put(found.content, found.data)
            if is_new:
                self.store.add_item(item)
        return item, is_new, taken

    def exchange(self, item: Item, coded: CodedPicture, drift: float | None = None) -> None:
        """Give an item, whose content is a picture, another stream of it.

        Args:
            item: that has it.
            coded: the stream.
            drift: in dB, how much worse the picture is than when it was added; None is for one that
                was coded from its file.

        Raises:
            Conflict: another program changed it, or what it is to stand on.
        """
        with self.store.transaction():
            now = self.store.item(item.name)
            if now is None or (now.content, now.source) != (item.content, item.source):
                raise Conflict(f"{item.name}: another program changed it; try again")
            before = self.contents.known(item.content)
            reference = None
            if coded.reference is not None:
                reference = self.store.content_of_planes(coded.reference)
                if reference is None or not self.contents.may_stand_on(
                    item.content, reference.name
                ):
                    raise Conflict(f"{item.name}: another program changed what it stands on")
            content = picture_content(coded, before.size, reference)
            if self.store.content(content.name) is None:
                if drift is not None:
                    content = content._replace(drift=drift, psnr=before.psnr)
                self.store.put(content, coded.data)
            for one in self.store.items_of(item.content):
                if one.source == item.source:  # the same file under another name
                    self.store.change_item(one.name, content=content.name)
            self.sweep(item.content)

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
                self.contents.forget(at)
                at = None if content is None else content.reference

    def item(self, name: str, hidden: bool = False) -> Item:
        """An item.

        Raises:
            StoreError: there is none of this name, or it is hidden and those are not asked for.
        """
        found = self.store.item(name)
        if found is None:
            raise StoreError(f"{name}: there is no such file in {self.store.place}")
        if found.hidden and not hidden:
            raise StoreError(f"{name}: was deleted, and is hidden; undelete it first")
        return found

    def chosen(self, names: Sequence[str] = (), hidden: bool = False) -> list[Item]:
        """Items by their names, or by patterns as `2024/*.jpg`; without names all.

        Args:
            names: of items.
            hidden: whether those that were deleted, and are kept for others, count.

        Raises:
            StoreError: there is none of a name, or none that a pattern fits.
        """
        every = self.store.items(hidden) if not names or any(map(_is_pattern, names)) else []
        found: dict[str, Item] = {} if names else {item.name: item for item in every}
        for name in names:
            if _is_pattern(name) and self.store.item(name) is None:
                fitting = [item for item in every if fnmatchcase(item.name, name)]
                if not fitting:
                    raise StoreError(f"{name}: fits no file in {self.store.place}")
            else:
                fitting = [self.item(name, hidden)]
            found |= {item.name: item for item in fitting}
        return list(found.values())

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
            sum(content.coding == PICTURE for content in contents),
        )


def repeated(act: Callable[[], Any]) -> Any:
    """What a change returns, which is tried again where another program got in its way."""
    for _ in range(_TIMES - 1):
        with suppress(Conflict):
            return act()
    return act()


def picture_content(coded: CodedPicture, size: int, reference: Content | None) -> Content:
    """How a stream is stored, of a file of so many bytes."""
    name = None if reference is None else reference.name
    depth = 0 if reference is None else reference.depth + 1
    return Content(
        name_of(coded.data),
        size,
        PICTURE,
        name,
        depth,
        len(coded.data),
        coded.planes,
        coded.psnr,
    )


def _is_pattern(name: str) -> bool:
    return any(mark in name for mark in "*?[")


def _result(path: Path, item: Item, found: _Read, taken: int) -> FileResult:
    notes = []
    if item.name != found.item.name:
        notes.append(f"called so, as another {found.item.name} is there")
    if not taken and found.content.size:
        notes.append("has the same bytes as a file that is there")
    if found.content.coding == PICTURE:
        psnr = found.content.psnr
        loss = "every pixel comes back" if psnr is None else f"PSNR {psnr:.1f} dB"
        notes.append(f"as a picture, {loss}, not as the file")
    is_jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    if found.content.coding == RAW and is_jpeg and found.data and not has_lepton():
        notes.append("takes a quarter less with pip install 'defilter[album]'")
    return FileResult(path, Path(item.name), found.content.size, taken, tuple(notes))
