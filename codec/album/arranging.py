"""Items of a group arranged: which stand on which, tried, chosen and coded anew.

Files are predicted from files, and pictures that are stored instead of theirs from such pictures.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from codec.album.references import Costs, Form, PairCost, choose, pair_costs
from codec.align.search import SMALL
from codec.picture import exact
from codec.pictures.resize import fit_into
from codec.pictures.storage import read_limited
from codec.pictures.thumbnails import thumbnail_of
from codec.pictures.workers import spread, stop_if_asked
from codec.planes import from_planes
from codec.store.codings import PICTURE, can_be_predicted, name_of
from codec.store.collection import Collection
from codec.store.pictures import CodedPicture, PictureCoding
from codec.store.records import Conflict, Content, Item, StoreError
from codec.store.sqlite import MOST_BYTES

AT_ONCE = 16  # pictures that are tried against each other
_NEIGHBOURS = 6  # of a picture by time, with which it is tried
_FINER = 2  # qualities by which a reference may be finer than what stands on it
_NEAREST = 2  # references that a new picture is coded from


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


class Member(NamedTuple):
    """An item that is tried, how it is stored, and a small version of its picture."""

    item: Item
    content: Content
    small: Tensor


class _Tried(NamedTuple):
    """Streams of pictures, or None where they stay as they are; bytes of all with the reference."""

    children: list[CodedPicture | None]
    total: int


@dataclass(frozen=True)
class Arranger:
    """Arranges items of a collection.

    Attributes:
        collection: that they are in.
        form: how they stand on each other.
        pair_cost: what is added up to choose a reference.
        coding: of pictures that are stored instead of their files.
        sources: files of such pictures by the names of their items; others are left as they are.
    """

    collection: Collection
    form: Form = Form.STAR
    pair_cost: PairCost = PairCost.CODED
    coding: PictureCoding = field(default_factory=PictureCoding)
    sources: Mapping[str, Path] = field(default_factory=dict)

    def arrange(self, items: Sequence[Item]) -> list[Coded]:
        """Arrange items, some of which may stand on others already."""
        coded: list[Coded] = []
        members = self.members(items)
        for kind in (True, False):
            same = [one for one in members if (one.content.coding == PICTURE) == kind]
            coded += self._arrange(same)
        return coded

    def members(self, items: Sequence[Item]) -> list[Member]:
        """One item of every content that may be predicted from another, or another from it."""
        found = []
        for item in {item.content: item for item in items}.values():
            stop_if_asked()
            content = self.collection.contents.known(item.content)
            small = self._small(content)
            if small is not None:
                found.append(Member(item, content, small))
        return found

    def _small(self, content: Content) -> Tensor | None:
        if content.coding == PICTURE:
            planes = self.collection.contents.planes_of(content.name)
            return fit_into(from_planes(planes[None])[0].expand(3, -1, -1), SMALL)
        data = self.collection.contents.bytes_of(content.name)
        return thumbnail_of(data, SMALL) if can_be_predicted(data) else None

    def _arrange(self, members: Sequence[Member]) -> list[Coded]:
        new: list[Member] = []
        roots: list[Member] = []
        for one in members:
            if one.content.reference is None:
                has_children = self.collection.store.children(one.content.name)
                (roots if has_children else new).append(one)
        coded = []
        for one in new if roots else ():
            costs = self._costs([one, *roots], [(0, n + 1) for n in range(len(roots))])
            tried = sorted((cost, n) for (child, n), cost in costs.pairs.items() if child == 0)
            nearest = [roots[n - 1].item for _, n in tried[:_NEAREST]]
            coded += self._predict([(one, nearest)])
        done = {one.name for one in coded}
        return coded + self.choose([one for one in new if one.item.name not in done])

    def predict_from(self, item: Item, references: Sequence[Item]) -> list[Coded]:
        """Predict an item that stands alone from others, if a trial promises something."""
        members = self.members([item, *references])
        if not members or members[0].item.content != item.content:
            return []
        own, *others = members
        is_picture = own.content.coding == PICTURE
        same = [one for one in others if (one.content.coding == PICTURE) == is_picture]
        if own.content.reference is not None or not same:
            return []
        costs = self._costs([own, *same], [(0, n + 1) for n in range(len(same))])
        tried = sorted((cost, n) for (child, n), cost in costs.pairs.items() if child == 0)
        return self._predict([(own, [same[n - 1].item for _, n in tried])])

    def choose(self, members: Sequence[Member]) -> list[Coded]:
        """Choose references among members of one kind, and predict the others from them."""
        parents = self.parents(members)
        coded = []
        for number, level in enumerate(levels(parents)):
            if number == 0 and members[0].content.coding == PICTURE:
                for root in sorted({parents[n] for n in level}):
                    children = [members[n] for n in level if parents[n] == root]
                    coded += self._from_root(members[root], children)
            else:
                coded += self._predict([(members[n], [members[parents[n]].item]) for n in level])
        return coded

    def _from_root(self, root: Member, children: Sequence[Member]) -> list[Coded]:
        """Code pictures from another one, which becomes finer if all of them take less then."""
        there = [one for one in children if one.item.name in self.sources]
        if not there:
            return []
        references = self.collection.contents.references_of([root.content.name])
        best = self._tried(root.content.stored, there, references)
        changed = []
        again = self._finer(root)
        if again is not None:
            (planes,) = exact([again.data], device=self.coding.device)
            other = self._tried(len(again.data), there, {again.planes: planes})
            if other.total < best.total:
                best = other
                self.collection.exchange(root.item, again)
                changed.append(root)
        for one, stream in zip(there, best.children, strict=True):
            if stream is not None:
                with suppress(Conflict):  # it stays as another program has it
                    self.collection.exchange(one.item, stream)
                    changed.append(one)
        return [self.coded(one.item.name, one.content.stored) for one in changed]

    def _finer(self, root: Member) -> CodedPicture | None:
        """A reference coded finer from its file, if nothing depends yet on how it is coded."""
        store, file = self.collection.store, self._file(root)
        is_free = len(store.items_of(root.content.name)) == 1
        is_free = is_free and not store.children(root.content.name)
        coding = self.coding.finer(_FINER) if is_free else None
        return None if coding is None or file is None else coding.code(*file)

    def _tried(
        self, size: int, children: Sequence[Member], references: Mapping[bytes, Tensor]
    ) -> _Tried:
        """What pictures, whose files are there, take from a reference of so many bytes, those that
        take less than now."""

        def code(one: Member) -> CodedPicture | None:
            stop_if_asked()
            return self._smaller(one, references)

        streams = list(spread(code, children))
        taken = [
            one.content.stored if stream is None else len(stream.data)
            for one, stream in zip(children, streams, strict=True)
        ]
        return _Tried(streams, size + sum(taken))

    def _smaller(self, one: Member, references: Mapping[bytes, Tensor]) -> CodedPicture | None:
        """A picture predicted from others, if its file is there, and it takes less than now."""
        file = self._file(one)
        found = None if file is None else self.coding.code(*file, references)
        if found is None or found.reference is None or len(found.data) >= one.content.stored:
            return None
        return found

    def _file(self, one: Member) -> tuple[bytes, Path] | None:
        """The file that a picture was made of, or None where it is not there as it was."""
        path = self.sources.get(one.item.name)
        try:
            data = None if path is None else read_limited(path, MOST_BYTES, StoreError)
        except (StoreError, OSError):
            return None
        if path is None or data is None or name_of(data) != one.item.source:
            return None
        return data, path

    def parents(self, members: Sequence[Member]) -> dict[int, int]:
        """Which member is to stand on which, by number."""
        pairs = [(n, m) for n in range(len(members)) for m in range(max(0, n - _NEIGHBOURS), n)]
        return choose(self._costs(members, pairs), self.form)

    def _costs(self, members: Sequence[Member], pairs: Sequence[tuple[int, int]]) -> Costs:
        are_files = bool(members) and members[0].content.coding != PICTURE
        return pair_costs([one.small for one in members], pairs, self.pair_cost, are_files)

    def _predict(self, wanted: Sequence[tuple[Member, list[Item]]]) -> list[Coded]:
        """Code members of one kind anew, from others, where that makes them smaller."""
        pairs = [(one, others) for one, others in wanted if others]
        if not pairs:
            return []
        if pairs[0][0].content.coding == PICTURE:
            changed = set(self._predict_pictures(pairs))
        else:
            names = [(one.item.content, [o.content for o in others]) for one, others in pairs]
            changed = set(self.collection.contents.predict(names))
        return [
            self.coded(one.item.name, one.content.stored)
            for one, _ in pairs
            if one.content.name in changed
        ]

    def _predict_pictures(self, wanted: Sequence[tuple[Member, list[Item]]]) -> Iterator[bytes]:
        """Code pictures anew from their files; the names of contents that were exchanged."""
        contents = self.collection.contents
        there = [(one, others) for one, others in wanted if one.item.name in self.sources]

        def parts() -> Iterator[tuple[Member, dict[bytes, Tensor]]]:
            for one, others in there:
                now = [self.collection.item(other.name).content for other in others]
                usable = [name for name in now if contents.may_stand_on(one.content.name, name)]
                yield one, dict(contents.references_of(usable))

        def code(part: tuple[Member, dict[bytes, Tensor]]) -> tuple[Member, CodedPicture | None]:
            stop_if_asked()
            return part[0], self._smaller(*part)

        for one, coded in spread(code, parts()):
            if coded is not None:
                with suppress(Conflict):
                    self.collection.exchange(one.item, coded)
                    yield one.content.name

    def coded(self, name: str, before: int) -> Coded:
        """What became of an item that took so many bytes before."""
        store = self.collection.store
        content = self.collection.contents.known(self.collection.item(name, True).content)
        below = () if content.reference is None else store.items_of(content.reference)
        return Coded(name, before, content.stored, below[0].name if below else None)


def levels(parents: Mapping[int, int]) -> list[list[int]]:
    """Those that stand on others, the ones whose references are whole first."""

    def depth(n: int) -> int:
        return 1 + depth(parents[n]) if n in parents else 0

    most = max(map(depth, parents), default=0)
    return [[n for n in parents if depth(n) == level] for level in range(1, most + 1)]
