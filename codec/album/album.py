"""An album: files in a store, grouped, and those that resemble others predicted from them.

with codec.album.open_album("summer.dfa") as album:
    album.add(["photos/"])
    album.export("out/")
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from torch import Tensor
from tqdm import tqdm

from codec.album.capture import facts_of
from codec.album.groups import LEAST, ByTimeAndPlace, Rule, group, utc
from codec.album.references import Costs, Form, PairCost, choose, pair_costs
from codec.align.search import SMALL
from codec.pictures.folders import Listing, search
from codec.pictures.jobs import BatchResult, OnResult
from codec.pictures.thumbnails import thumbnail_of
from codec.pictures.workers import stop_if_asked
from codec.store.codings import can_be_predicted
from codec.store.collection import Collection
from codec.store.records import Content, Item, StoreError
from codec.store.sqlite import SqliteStore

_AT_ONCE = 16  # pictures that are tried against each other
_NEIGHBOURS = 6  # of a picture by time, with which it is tried
_NEAREST = 2  # references that a new picture is coded from


class Scheme(Enum):
    """What becomes of the pictures that stand on one that is deleted."""

    HIDE = "hide"
    AGAIN = "again"  # scheme I: restored, and another reference chosen
    HAND_OVER = "hand-over"  # scheme II: another picture becomes the reference of the deleted one


@dataclass(frozen=True)
class AlbumSettings:
    """How pictures are arranged.

    Attributes:
        rules: what makes a group, the first one first.
        least: pictures of a group.
        form: how they stand on each other.
        pair_cost: what is added up to choose a reference.
    """

    rules: Sequence[Rule] = field(default_factory=lambda: (ByTimeAndPlace(),))
    least: int = LEAST
    form: Form = Form.STAR
    pair_cost: PairCost = PairCost.CODED


class Coded(NamedTuple):
    """A file that was coded anew.

    Attributes:
        name: of the item.
        before, after: bytes that it takes in the store.
        reference: name of an item that it stands on now, or None.
    """

    name: str
    before: int
    after: int
    reference: str | None


class _Member(NamedTuple):
    """An item that is tried, and a small version of its picture."""

    item: Item
    small: Tensor


@contextmanager
def open_album(path: Path | str, write: bool = True, create: bool = False) -> Iterator["Album"]:
    """An album in a file.

    Args:
        path: of the file, usually called `.dfa`.
        write: whether it will be changed.
        create: whether it is made where it is not there.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    with SqliteStore(path, write, create) as store:
        yield Album(store)


class Album:
    """Pictures in a store; see `open_album`."""

    def __init__(self, store: SqliteStore, settings: AlbumSettings | None = None):
        self.store = store
        self.settings = settings or AlbumSettings()
        self.collection = Collection(store, facts_of)

    def add(
        self, paths: Sequence[Path | str], on_result: OnResult | None = None
    ) -> tuple[BatchResult, list[Coded]]:
        """Store files, and predict those of a group from each other.

        Args:
            paths: files, folders with everything in them but hidden files, and patterns.
            on_result: called with each file once it is stored for good.

        Returns:
            What became of the files, and of those that are predicted now.
        """
        listing = search(paths, ("",))
        done, _ = self.collection.add(self._wanted(listing), on_result)
        self.group()
        return done, self.arrange()

    def _wanted(self, listing: Listing) -> list[tuple[Path, str]]:
        own = self.store.path.resolve()
        return [
            (path, relative.as_posix())
            for path, relative in listing.found
            if not path.name.startswith(".") and not path.resolve().name.startswith(own.name)
        ]

    def group(self) -> None:
        """Find the groups of pictures that have none, also among those of a group that is there."""
        items = self.store.items()
        when = utc(items)
        with self.store.transaction():
            for rule, numbers in group(items, self.settings.rules, self.settings.least):
                members = [items[n] for n in numbers]
                new = [item for item in members if item.group is None]
                old = [item for item in members if item.group is not None]
                if new and not old:
                    number = self.store.add_group(rule.label(members))
                    self._join(new, number)
                for item in new if old else ():
                    nearest = min(old, key=lambda one: abs(when(one) - when(item)))
                    assert nearest.group is not None
                    self._join([item], nearest.group)

    def _join(self, items: Sequence[Item], number: int) -> None:
        for item in items:
            self.store.change_item(item.name, group=number)
        self.store.change_group(number, settled=False)

    def arrange(self) -> list[Coded]:
        """Decide in every group that has new pictures which of them stand on others."""
        waiting = [one for one in self.store.groups() if not one.settled]
        coded: list[Coded] = []
        for one in tqdm(waiting, unit="group", desc="arranging", disable=None):
            items = self.store.members(one.number)
            for first in range(0, len(items), _AT_ONCE):
                coded += self._arrange(self._members(items[first : first + _AT_ONCE]))
            self.store.change_group(one.number, settled=True)
        return coded

    def _members(self, items: Sequence[Item]) -> list[_Member]:
        """One item of every content that may be predicted from another, or another from it."""
        found = []
        for item in {item.content: item for item in items}.values():
            stop_if_asked()
            data = self.collection.content(item.content)
            small = thumbnail_of(data, SMALL) if can_be_predicted(data) else None
            if small is not None:
                found.append(_Member(item, small))
        return found

    def _arrange(self, members: Sequence[_Member]) -> list[Coded]:
        """Arrange pictures, some of which may stand on others already."""
        new: list[_Member] = []
        roots: list[_Member] = []
        for one in members:
            if self.content(one.item).reference is None:
                (roots if self.store.children(one.item.content) else new).append(one)
        coded = []
        for one in new if roots else ():
            costs = self._costs([one, *roots], [(0, n + 1) for n in range(len(roots))])
            tried = sorted((cost, n) for (child, n), cost in costs.pairs.items() if child == 0)
            coded += self._predict({one.item: [roots[n - 1].item for _, n in tried[:_NEAREST]]})
        return coded + self._choose([n for n in new if self.content(n.item).reference is None])

    def _choose(self, members: Sequence[_Member]) -> list[Coded]:
        """Choose references among pictures, and predict the others from them."""
        pairs = [(n, m) for n in range(len(members)) for m in range(max(0, n - _NEIGHBOURS), n)]
        parents = choose(self._costs(members, pairs), self.settings.form)

        def depth(n: int) -> int:
            return 1 + depth(parents[n]) if n in parents else 0

        coded = []
        for level in range(1, 1 + max(map(depth, parents), default=0)):
            here = [n for n in parents if depth(n) == level]
            coded += self._predict({members[n].item: [members[parents[n]].item] for n in here})
        return coded

    def _costs(self, members: Sequence[_Member], pairs: Sequence[tuple[int, int]]) -> Costs:
        return pair_costs([one.small for one in members], pairs, self.settings.pair_cost)

    def _predict(self, wanted: dict[Item, list[Item]]) -> list[Coded]:
        """Code items anew, from others, where that makes them smaller."""
        before = {item.content: (item, self.content(item).stored) for item in wanted}
        pairs = [(item.content, [one.content for one in others]) for item, others in wanted.items()]
        changed = self.collection.predict([pair for pair in pairs if pair[1]])
        return [self._coded(*before[name]) for name in changed]

    def _coded(self, item: Item, before: int) -> Coded:
        reference = self.reference(item)
        name = None if reference is None else reference.name
        return Coded(item.name, before, self.content(item).stored, name)

    def reference(self, item: Item) -> Item | None:
        """The item that one is predicted from, or None."""
        name = self.content(item).reference
        return None if name is None else next(iter(self.store.items_of(name)), None)

    def children(self, item: Item) -> list[Item]:
        """The items that are predicted from one."""
        contents = self.store.children(item.content)
        return [one for content in contents for one in self.store.items_of(content.name)]

    def content(self, item: Item) -> Content:
        """How an item is stored.

        Raises:
            StoreError: its content is missing.
        """
        found = self.store.content(item.content)
        if found is None:
            raise StoreError(f"{item.name}: its content is missing")
        return found

    def delete(self, name: str, scheme: Scheme = Scheme.HIDE) -> tuple[bool, list[Coded]]:
        """Delete a picture.

        Args:
            name: of the item.
            scheme: what becomes of those that stand on it.

        Returns:
            Whether it is hidden, and can be had back; and what was coded anew.
        """
        item = self.collection.item(name)
        coded = {
            Scheme.HIDE: lambda _: [],
            Scheme.AGAIN: self._free_children,
            Scheme.HAND_OVER: self._hand_over,
        }[scheme](item)
        return self.collection.delete(name), coded

    def purge(self, name: str) -> list[Coded]:
        """Really remove a picture, hidden or not; what was coded anew for it."""
        item = self.collection.item(name, hidden=True)
        coded = self._free_children(item)
        with self.store.transaction():
            self.store.remove_item(name)
            self.collection.sweep(item.content)
        return coded

    def _free_children(self, item: Item) -> list[Coded]:
        """Code anew what stands on an item, with another reference (scheme I)."""
        if len(self.store.items_of(item.content)) > 1:
            return []  # its content stays
        children = self.children(item)
        before = {child.name: self.content(child).stored for child in children}
        for child in children:
            self.collection.make_whole(child.content)
        for first in range(0, len(children), _AT_ONCE):
            self._choose(self._members(children[first : first + _AT_ONCE]))
        return [self._coded(child, before[child.name]) for child in children]

    def _hand_over(self, item: Item) -> list[Coded]:
        """Store the cheapest child of an item whole, and the item as what is new in it beside that
        one; what else stands on it stays as it is (scheme II)."""
        contents = self.store.children(item.content)
        if not contents or len(self.store.items_of(item.content)) > 1:
            return []
        least = min(contents, key=lambda one: one.stored)
        child = self.store.items_of(least.name)[0]
        before = least.stored, self.content(item).stored
        with self.store.transaction():
            self.collection.make_whole(child.content)
            if not self.collection.predict([(item.content, [child.content])]):
                self.collection.predict([(child.content, [item.content])])
        return [self._coded(child, before[0]), self._coded(item, before[1])]

    def export(
        self, folder: Path | str, names: Sequence[str] = (), on_result: OnResult | None = None
    ) -> BatchResult:
        """Write files as they were.

        Args:
            folder: where to, with the paths that they had.
            names: of items; none is all.
            on_result: called with each file.
        """
        items = [self.collection.item(one) for one in names] or self.store.items()
        return self.collection.export(items, Path(folder), on_result)
