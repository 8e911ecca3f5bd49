"""Contents of a store: decoded with what they stand on, and coded anew, one at a time.

Whatever is coded anew was decoded and compared before; a store is whole after every step.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from torch import Tensor

from codec.container import FormatError
from codec.picture import exact
from codec.pictures.workers import spread, stop_if_asked
from codec.prediction.chain import hash_of
from codec.store.codings import PICTURE, Coded, code_predicted, code_whole, decode, name_of
from codec.store.records import MOST_DEPTH, Conflict, Content, StoreError
from codec.store.sqlite import SqliteStore

_MOST_KEPT = 1 << 28  # bytes of contents that are kept in memory
_MOST_PLANES = 4  # pictures whose planes are


class _Wanted(NamedTuple):
    """A content to be predicted, its bytes, and the names and bytes that it may stand on."""

    content: Content
    data: bytes
    names: list[bytes]
    references: list[bytes]


class Contents:
    """The contents of a store; for use from one thread."""

    def __init__(self, store: SqliteStore):
        self.store = store
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._planes: OrderedDict[bytes, Tensor] = OrderedDict()

    def known(self, name: bytes) -> Content:
        """What is known of a content.

        Raises:
            StoreError: there is no such.
        """
        found = self.store.content(name)
        if found is None:
            raise StoreError(f"{self.store.place}: content {name.hex()[:16]} is missing")
        return found

    def bytes_of(self, name: bytes) -> bytes:
        """The bytes of a content; what they stand on is decoded first. Of a picture, its stream.

        Raises:
            StoreError: they cannot be had, or are not those that went in.
        """
        chain, start = self._chain(name, self._kept, through_pictures=False)
        below = None if start is None else self._kept[start]
        for one in reversed(chain):
            below = self._decoded(one, below, is_reference=one.name != name)
            self._kept[one.name] = below
            while len(self._kept) > 1 and sum(map(len, self._kept.values())) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return self._kept[name]

    def _decoded(self, content: Content, below: bytes | None, is_reference: bool) -> bytes:
        what = "what it stands on is " if is_reference else ""
        try:
            data = decode(content.coding, self.store.data(content.name), below)
        except StoreError as error:
            raise StoreError(f"{what}{error}") from error
        if name_of(data) != content.name:
            raise StoreError(f"{what}damaged (its bytes are not those that went in)")
        return data

    def planes_of(self, name: bytes) -> Tensor:
        """The exact planes (C, H, W) of a picture.

        Raises:
            StoreError: they cannot be had, or are not those that were stored.
        """
        chain, start = self._chain(name, self._planes, through_pictures=True)
        below = {} if start is None else {self._hash_of(start): self._planes[start]}
        for one in reversed(chain):
            try:
                (planes,) = exact([self.bytes_of(one.name)], references=below)
            except FormatError as error:
                raise StoreError(f"{self.store.place}: damaged ({error})") from error
            if hash_of(planes) != one.planes:
                raise StoreError(f"{self.store.place}: content {one.name.hex()[:16]} is damaged")
            below = {hash_of(planes): planes}
            self._planes[one.name] = planes
            while len(self._planes) > _MOST_PLANES:
                self._planes.popitem(last=False)
        return self._planes[name]

    def _hash_of(self, name: bytes) -> bytes:
        return self.known(name).planes or b""

    def references_of(self, names: Sequence[bytes]) -> Mapping[bytes, Tensor]:
        """The exact planes of pictures by their hash."""
        every = (self.known(name) for name in names)
        return {one.planes: self.planes_of(one.name) for one in every if one.planes is not None}

    def _chain(
        self, name: bytes, decoded: Mapping[bytes, object], through_pictures: bool
    ) -> tuple[list[Content], bytes | None]:
        """What has to be decoded for a content, itself first, and what that begins with, if that is
        decoded already; the streams of pictures are there without what they stand on."""
        chain: list[Content] = []
        wanted: bytes | None = name
        while wanted is not None and wanted not in decoded:
            found = self.known(wanted)
            chain.append(found)
            if len(chain) > MOST_DEPTH + 1:
                raise StoreError(f"{self.store.place}: damaged (contents stand on each other)")
            is_start = found.coding == PICTURE and not through_pictures
            wanted = None if is_start else found.reference
        return chain, wanted

    def forget(self, name: bytes) -> None:
        """Decode a content again when it is asked for next."""
        self._kept.pop(name, None)
        self._planes.pop(name, None)

    def predict(self, wanted: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[bytes]:
        """Store files as what is new in them beside others, where that is smaller.

        Args:
            wanted: names of contents, and of those that each may stand on.

        Returns:
            The names of those that were coded anew.
        """

        def parts() -> Iterator[_Wanted]:
            for name, candidates in wanted:
                usable = [one for one in candidates if self.may_stand_on(name, one)]
                content, data = self.known(name), self.bytes_of(name)
                yield _Wanted(content, data, usable, [self.bytes_of(one) for one in usable])

        def code(part: _Wanted) -> tuple[_Wanted, Coded | None]:
            stop_if_asked()
            return part, code_predicted(part.data, part.references, part.content.stored)

        changed = []
        for part, coded in spread(code, parts()):
            if coded is None or coded.number is None:
                continue
            with suppress(Conflict):  # it stays as another program has it
                self._code_anew(part.content, coded, part.names[coded.number])
                changed.append(part.content.name)
        return changed

    def make_whole(self, name: bytes) -> None:
        """Store a file on its own again."""
        content = self.known(name)
        if content.reference is not None:
            self._code_anew(content, code_whole(self.bytes_of(name)), None)

    def store_anew(self, name: bytes, data: bytes) -> None:
        """Store the bytes of a content whose stored form is damaged."""
        content = self.known(name)
        if name_of(data) != name:
            raise StoreError("expected the bytes that went in")
        self.forget(name)
        self._code_anew(content, code_whole(data), None)

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

    def _height(self, name: bytes) -> int:
        """How many contents stand on each other on top of one."""
        return max((1 + self._height(one.name) for one in self.store.children(name)), default=0)

    def _code_anew(self, content: Content, coded: Coded, reference: bytes | None) -> None:
        with self.store.transaction():
            # Another process may have changed what was looked at.
            if self.known(content.name).reference != content.reference or not (
                reference is None or self.may_stand_on(content.name, reference)
            ):
                raise Conflict(f"{self.store.place}: another program is changing it; try again")
            depth = 0 if reference is None else self.known(reference).depth + 1
            changed = content._replace(
                coding=coded.coding, reference=reference, stored=len(coded.data), depth=depth
            )
            self.store.put(changed, coded.data)
            self._set_depths(content.name, depth)

    def _set_depths(self, name: bytes, depth: int) -> None:
        for child in self.store.children(name):
            self.store.set_depth(child.name, depth + 1)
            self._set_depths(child.name, depth + 1)

    def verify(self) -> Iterator[tuple[Content, str]]:
        """Decode every content; each with a sentence that says what is wrong, or an empty one."""
        for content in self.store.contents():
            try:
                self.forget(content.name)
                self.bytes_of(content.name)
                if content.planes is not None:
                    self.planes_of(content.name)
                depth = 0 if content.reference is None else self.known(content.reference).depth + 1
                problem = "" if depth == content.depth else "its depth is another one"
            except StoreError as error:
                problem = str(error)
            yield content, problem
