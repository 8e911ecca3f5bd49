"""Items copied from one store into another as they are stored, with what they stand on."""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from codec.pictures.jobs import BatchResult, FileResult, OnResult
from codec.store.codings import PICTURE, code_whole
from codec.store.collection import Collection
from codec.store.records import MOST_DEPTH, Conflict, Content, Item, StoreError, Unreachable


def copy_items(
    source: Collection,
    target: Collection,
    names: Sequence[str] = (),
    on_result: OnResult | None = None,
) -> BatchResult:
    """Copy items; what is there already is passed over, so that it goes on where it was stopped.

    What is copied was decoded before, and compared with its hash. What it stands on comes along,
    and is hidden there unless it was asked for.

    Args:
        source: to copy from.
        target: to copy to.
        names: see `Collection.chosen`.
        on_result: called with each result once it is stored for good.
    """
    items = source.chosen(names)
    copier = _Copier(source, target)
    results = []
    existing = 0
    for item in tqdm(items, unit="file", desc="copying", disable=None):
        try:
            result = copier.copy(item)
        except Unreachable as error:
            raise StoreError(f"{error}; what was copied is there, copy again to go on") from error
        except StoreError as error:
            text = str(error)
            text = text if item.name in text else f"{item.name}: {text}"
            result = FileResult(Path(item.name), None, error=text)
            copier = _Copier(source, target)  # groups that it added may be gone
        if result is None:
            existing += 1
            continue
        results.append(result)
        if on_result is not None:
            on_result(result)
    return BatchResult(results, existing=existing)


class _Copier:
    """Copies single items, and knows which groups of both stores are the same."""

    def __init__(self, source: Collection, target: Collection):
        self._source, self._target = source, target
        self._labels = {group.number: group for group in source.store.groups()}
        self._groups: dict[int, int] = {}

    def copy(self, item: Item) -> FileResult | None:
        """Copy an item with everything that it stands on; None says that it is there."""
        below = self._below(item.content)
        with self._target.store.transaction():
            made, is_new = self._target.free(item._replace(group=None, pinned=False))
            if not is_new:
                return None
            taken, notes = 0, []
            if made.name != item.name:
                notes.append(f"called so, as another {item.name} is there")
            for content in below:
                taken += self._put(content)
                if content.name != item.content:
                    notes += [
                        f"with {name}, which it stands on" for name in self._stand_in(content)
                    ]
            self._target.store.add_item(made._replace(group=self._group(item)))
        size = self._target.contents.known(item.content).size
        return FileResult(Path(item.name), Path(made.name), size, taken, tuple(notes))

    def _below(self, name: bytes) -> list[Content]:
        """A content and what has to be decoded for it, that first."""
        found: list[Content] = []
        at: bytes | None = name
        while at is not None:
            found.insert(0, self._source.contents.known(at))
            at = found[0].reference
            if len(found) > MOST_DEPTH + 1:
                raise StoreError(f"{self._source.store.place}: contents stand on each other")
        return found

    def _put(self, content: Content) -> int:
        """Store a content that is not there; the bytes that this takes."""
        store = self._target.store
        if store.content(content.name) is not None:
            return 0
        self._source.contents.forget(content.name)
        self._source.contents.bytes_of(content.name)  # what is damaged is not handed on
        data, depth = self._source.store.data(content.name), 0
        if self._source.contents.known(content.name) != content:
            raise Conflict("another program is changing it; copy it again")
        if content.reference is not None:
            depth = self._target.contents.known(content.reference).depth + 1
        if depth > MOST_DEPTH:
            if content.coding == PICTURE:
                raise StoreError("stands on a picture that there stands on too many others")
            whole = code_whole(self._source.contents.bytes_of(content.name))
            content, data = content._replace(coding=whole.coding, reference=None), whole.data
            depth = 0
        store.put(content._replace(depth=depth, stored=len(data)), data)
        known = self._source.store.descriptor(content.name)
        if known is not None:
            store.put_descriptor(content.name, known)
        return len(data)

    def _stand_in(self, content: Content) -> list[str]:
        """Add hidden items of a content that has none, under those of their names that are free,
        which are returned."""
        added = []
        store = self._target.store
        if not store.items_of(content.name):
            for one in self._source.store.items_of(content.name):
                if store.item(one.name) is None:
                    own = one._replace(hidden=True, pinned=False, group=self._group(one))
                    store.add_item(own)
                    added.append(own.name)
        return added

    def _group(self, item: Item) -> int | None:
        """The group in the target of an item of the source."""
        known = self._labels.get(item.group or 0)
        if known is None:
            return None
        if known.number not in self._groups:
            members = self._source.store.members(known.number)
            twins = [one for m in members for one in self._target.store.items_from(m.source)]
            there = next((one.group for one in twins if one.group is not None), None)
            if there is None:
                there = self._target.store.add_group(known.label)
                self._target.store.change_group(there, settled=known.settled)
            self._groups[known.number] = there
        return self._groups[known.number]
