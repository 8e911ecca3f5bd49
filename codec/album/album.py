"""An album: files in a store, grouped, and those that resemble others predicted from them.

with codec.album.open_album("summer.dfa") as album:
    album.add(["photos/"])
    album.export("out/")
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from torch import Tensor
from tqdm import tqdm

from codec.album.arranging import AT_ONCE, Arranger, Coded, levels
from codec.album.groups import LEAST, ByTimeAndPlace, Rule, group, utc
from codec.album.references import Form, PairCost
from codec.cloud.places import open_store
from codec.pictures.folders import search
from codec.pictures.jobs import BatchResult, OnResult
from codec.pictures.resize import fit_into
from codec.pictures.thumbnails import thumbnail_of
from codec.planes import from_planes
from codec.store.codings import PICTURE
from codec.store.collection import Collection, repeated
from codec.store.copying import copy_items
from codec.store.exporting import export_items
from codec.store.pictures import PictureCoding, allowed, drifted
from codec.store.records import Content, Item, StoreError
from codec.store.sqlite import SqliteStore
from codec.stream_metadata import with_pixels


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
        coding: how pictures are stored instead of their files; None keeps every byte of them.
    """

    rules: Sequence[Rule] = field(default_factory=lambda: (ByTimeAndPlace(),))
    least: int = LEAST
    form: Form = Form.STAR
    pair_cost: PairCost = PairCost.CODED
    coding: PictureCoding | None = None


class Wanted(NamedTuple):
    """What is to be stored: paths with the names that they get, and a sentence about the others."""

    files: list[tuple[Path, str]]
    about: str


@contextmanager
def open_album(path: Path | str, write: bool = True, create: bool = False) -> Iterator["Album"]:
    """An album.

    Args:
        path: of its file, usually called `.dfa`, its folder or its address, see `open_store`.
        write: whether it will be changed.
        create: whether it is made where it is not there.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    with open_store(path, write, create) as store:
        yield Album(store)


class Album:
    """Pictures in a store; see `open_album`."""

    def __init__(self, store: SqliteStore, settings: AlbumSettings | None = None):
        self.store = store
        self.settings = settings or AlbumSettings()
        self.collection = Collection(store)

    def add(
        self,
        paths: Sequence[Path | str],
        on_result: OnResult | None = None,
        repair: bool = False,
    ) -> tuple[BatchResult, list[Coded]]:
        """Store files, and predict those of a group from each other.

        Args:
            paths: files, folders with everything in them but hidden files, and patterns.
            on_result: called with each file once it is stored for good.
            repair: whether what is there already is checked, and stored anew if it is damaged.

        Returns:
            What became of the files, and of those that are predicted now.
        """
        found = self.wanted(paths)
        done, sources = self.collection.add(found.files, on_result, self.settings.coding, repair)
        self.group()
        return replace(done, about_skipped=found.about), self.arrange(sources)

    def wanted(self, paths: Sequence[Path | str]) -> Wanted:
        """The files that paths mean, but for hidden ones in folders and the album itself, and the
        names that they get; of several folders those begin with the folder's own.

        Raises:
            PictureError: something is missing.
        """
        folders = sum(Path(path).is_dir() for path in paths)
        files: list[tuple[Path, str]] = []
        about: list[str] = []
        for given in paths:
            listing = search([given], ("",))
            about += [*listing.unreadable, *filter(None, [listing.about_skipped()])]
            is_folder = Path(given).is_dir()
            start = Path(given).resolve().name if is_folder and folders > 1 else ""
            for path, relative in listing.found:
                hidden = is_folder and any(part.startswith(".") for part in relative.parts)
                if not hidden and not self.store.owns(path):
                    files.append((path, (Path(start) / relative).as_posix()))
        return Wanted(files, "; ".join(about))

    def group(self) -> None:
        """Find the groups of pictures that have none, also among those of a group that is there."""
        repeated(self._group)

    def _group(self) -> None:
        items = self.store.items()
        when = utc(items)
        with self.store.transaction():
            for rule, numbers in group(items, self.settings.rules, self.settings.least):
                members = [items[n] for n in numbers]
                new = [item for item in members if item.group is None]
                old = [item for item in members if item.group is not None]
                if new and not old:
                    self._join(new, self.store.add_group(""), rule)
                for item in new if old else ():
                    nearest = min(old, key=lambda one: abs(when(one) - when(item)))
                    assert nearest.group is not None
                    self._join([item], nearest.group, rule)

    def _join(self, items: Sequence[Item], number: int, rule: Rule) -> None:
        for item in items:
            self.store.change_item(item.name, group=number)
        label = rule.label(self.store.members(number))
        self.store.change_group(number, label=label, settled=False)

    def arrange(self, sources: Mapping[str, Path] | None = None) -> list[Coded]:
        """Decide in every group that has new pictures which of them stand on others.

        Args:
            sources: files of pictures that are stored instead of them, by their names; without its
                file such a picture is left as it is.
        """
        arranger = self.arranger(sources or {})
        waiting = [one for one in self.store.groups() if not one.settled]
        coded: list[Coded] = []
        for one in tqdm(waiting, unit="group", desc="arranging", disable=None):
            items = self.store.members(one.number)
            for first in range(0, len(items), AT_ONCE):
                coded += arranger.arrange(items[first : first + AT_ONCE])
            now = self.store.members(one.number)
            settled = all(self._is_decided(item, arranger.sources) for item in now)
            self.store.change_group(one.number, settled=settled)
        return coded

    def _is_decided(self, item: Item, sources: Mapping[str, Path]) -> bool:
        """Whether an item could be tried: pictures that are stored instead of their files are coded
        from those alone."""
        content = self.content(item)
        if content.coding != PICTURE or item.name in sources or content.reference is not None:
            return True
        return bool(self.store.children(content.name))

    def waiting(self) -> int:
        """How many groups are not arranged yet."""
        return sum(not one.settled for one in self.store.groups())

    def arranger(self, sources: Mapping[str, Path]) -> Arranger:
        """What codes items anew, see `Arranger`."""
        chosen = self.settings
        coding = chosen.coding or PictureCoding()
        return Arranger(self.collection, chosen.form, chosen.pair_cost, coding, sources)

    def content(self, item: Item) -> Content:
        """How an item is stored.

        Raises:
            StoreError: its content is missing.
        """
        return self.collection.contents.known(item.content)

    def reference(self, item: Item) -> Item | None:
        """The item that one is predicted from, or None."""
        name = self.content(item).reference
        return None if name is None else next(iter(self.store.items_of(name)), None)

    def children(self, item: Item) -> list[Item]:
        """The items that are predicted from one."""
        contents = self.store.children(item.content)
        return [one for content in contents for one in self.store.items_of(content.name)]

    def thumbnail(self, item: Item, longest: int) -> Tensor | None:
        """A small version of a picture as it is to be seen, or None where an item is none.

        Args:
            item: which one.
            longest: pixels of the longer side.

        Raises:
            StoreError: it cannot be had.
        """
        contents, content = self.collection.contents, self.content(item)
        data = contents.bytes_of(content.name)
        if content.coding != PICTURE:
            return thumbnail_of(data, longest, upright=True)
        stored = from_planes(contents.planes_of(content.name)[None])[0]
        return fit_into(with_pixels(stored, data).pixels, longest)

    def delete(self, name: str, scheme: Scheme = Scheme.HIDE) -> tuple[bool, list[Coded]]:
        """Delete a picture.

        Args:
            name: of the item.
            scheme: what becomes of those that stand on it.

        Returns:
            Whether it is hidden, and can be had back; and what was coded anew.
        """
        item, scheme = self.collection.item(name), Scheme(scheme)
        coded: list[Coded] = []
        if scheme == Scheme.AGAIN:
            coded = self._free_children(item)
        elif scheme == Scheme.HAND_OVER:
            coded = self._hand_over(item)
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
        if self.content(item).coding == PICTURE:
            return self._free_pictures(item)
        children = self.children(item)
        before = {child.name: self.content(child).stored for child in children}
        arranger = self.arranger({})
        groups = {child.group for child in children if child.group is not None}
        for number in groups:
            self.store.change_group(number, settled=False)  # should this be stopped
        for child in children:
            self.collection.contents.make_whole(child.content)
        for first in range(0, len(children), AT_ONCE):
            arranger.choose(arranger.members(children[first : first + AT_ONCE]))
        for number in groups:
            self.store.change_group(number, settled=True)
        return [arranger.coded(child.name, before[child.name]) for child in children]

    def _free_pictures(self, item: Item) -> list[Coded]:
        """The same of pictures without their files, which lose a little once more."""
        waiting, every = [item], []
        while waiting:
            below = self.children(waiting.pop())
            every += below
            waiting += below
        arranger = self.arranger({})
        coded: list[Coded] = []
        for first in range(0, len(every), AT_ONCE):
            members = arranger.members(every[first : first + AT_ONCE])
            parents = arranger.parents(members)
            roots = [n for n in range(len(members)) if n not in parents]
            for level in (roots, *levels(parents)):
                for n in level:
                    one = members[n].item
                    other = members[parents[n]].item if n in parents else None
                    coded.append(self._code_again(arranger, one, other))
        return coded

    def _code_again(self, arranger: Arranger, item: Item, reference: Item | None) -> Coded:
        contents = self.collection.contents
        before = self.content(item)
        goal = None if before.psnr is None else allowed(before.psnr, before.drift)
        old = [] if before.reference is None else [before.reference]
        new = [] if reference is None else [self.collection.item(reference.name).content]
        again = arranger.coding.code_again(
            contents.bytes_of(item.content),
            contents.references_of(old),
            contents.references_of(new),
            goal,
        )
        drift = before.drift
        if before.psnr is not None and again.psnr is not None:
            drift = drifted(before.psnr, before.drift, again.psnr)
        self.collection.exchange(item, again, drift)
        return arranger.coded(item.name, before.stored)

    def _hand_over(self, item: Item) -> list[Coded]:
        """Store the cheapest child of an item whole, and the item as what is new in it beside that
        one; what else stands on it stays as it is (scheme II)."""
        if self.content(item).coding == PICTURE:
            raise StoreError(
                f"{item.name}: a picture that is stored with loss is rebuilt exactly from its own "
                "stream alone; delete it with the scheme hide or again"
            )
        children = self.children(item)
        if not children or len(self.store.items_of(item.content)) > 1:
            return []
        child = min(children, key=lambda one: self.content(one).stored)
        before = [self.content(one).stored for one in (child, item)]
        contents = self.collection.contents
        contents.make_whole(child.content)
        if not contents.predict([(item.content, [child.content])]):
            contents.predict([(child.content, [item.content])])
        arranger = self.arranger({})
        return [
            arranger.coded(one.name, size) for one, size in zip((child, item), before, strict=True)
        ]

    def export(
        self, folder: Path | str, names: Sequence[str] = (), on_result: OnResult | None = None
    ) -> BatchResult:
        """Write files as they were, and pictures that are stored instead of theirs as PNG.

        Args:
            folder: where to, with the paths that they had.
            names: see `Collection.chosen`.
            on_result: called with each file.
        """
        items = self.collection.chosen(names)
        return export_items(self.collection.contents, items, Path(folder), on_result)

    def copy_to(
        self, other: "Album", names: Sequence[str] = (), on_result: OnResult | None = None
    ) -> BatchResult:
        """Copy what is here into another album, see `copy_items`."""
        return copy_items(self.collection, other.collection, names, on_result)
