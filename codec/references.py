"""Pictures in files that others are predicted from, found by the hash of their exact planes."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import RLock

import torch
from torch import Tensor

from codec.container import FormatError
from codec.picture import exact
from codec.pictures.folders import EXTENSIONS, search
from codec.pictures.picture import PictureError
from codec.pictures.picture_files import read_picture
from codec.pictures.storage import read_limited
from codec.planes import to_planes
from codec.prediction.chain import hash_of
from codec.reading import open_stream

SUFFIX = ".dfc"
MAX_FILE_BYTES = 1 << 30
_MOST_PIXELS = 1 << 26  # that are kept in memory: 12 bytes each
_MANY = 3  # files that a sentence may name


class FileReferences(Mapping[bytes, Tensor]):
    """The exact planes (C, H, W) of codestreams and pictures, decoded as they are asked for.

    Args:
        paths: files, folders and patterns.
        device: where to decode.

    Attributes:
        paths: the files that were found.
        names: those that are known so far, by their hash.

    Raises:
        ValueError: nothing is there.
    """

    def __init__(self, paths: Sequence[Path | str], device: torch.device | str = "cpu"):
        listing = search(paths, (SUFFIX, *EXTENSIONS))
        self.paths = [path for path, _ in listing.found]
        self.names: dict[bytes, Path] = {}
        # Streams come first: the pictures beside them may be what they were made of.
        self._unknown = sorted(self.paths, key=lambda path: path.suffix.lower() != SUFFIX)
        self._waiting: dict[bytes, list[Path]] = {}  # streams, by what they stand on
        self._broken = dict.fromkeys(listing.unreadable, "")
        self._device = device
        self._planes: OrderedDict[bytes, Tensor] = OrderedDict()
        self._lock = RLock()  # several threads ask

    def __getitem__(self, name: bytes) -> Tensor:
        with self._lock:
            while name not in self.names and self._unknown:
                self._learn(self._unknown.pop(0))
            return self._decoded(name)

    def __iter__(self) -> Iterator[bytes]:
        with self._lock:
            while self._unknown:
                self._learn(self._unknown.pop(0))
            return iter(list(self.names))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def without(self, path: Path) -> Mapping[bytes, Tensor]:
        """The same but for one file, which is not to be predicted from itself."""
        return _Without(self, path.resolve())

    def about_unusable(self) -> str:
        """A sentence about files that are no references, as far as is known; empty if none."""
        waiting = {
            path.name: f"needs {name.hex()}, which is not here"
            for name, paths in self._waiting.items()
            for path in paths
        }
        every = [
            f"{name} ({why})" if why else name for name, why in (self._broken | waiting).items()
        ]
        if not every:
            return ""
        more = f", and {len(every) - _MANY} more" if len(every) > _MANY else ""
        return f"no references: {', '.join(every[:_MANY])}{more}"

    def _learn(self, path: Path) -> None:
        """Find out the hash of a file, once what it stands on is known."""
        try:
            needs = _reference_of(path)
            if needs is not None and needs not in self.names:
                self._waiting.setdefault(needs, []).append(path)
                return
            planes = self._read(path, needs)
        except (FormatError, PictureError) as error:
            self._broken[path.name] = str(error).removeprefix(f"{path}: ")
            return
        name = hash_of(planes)
        self.names.setdefault(name, path)
        self._keep(name, planes)
        self._unknown[:0] = self._waiting.pop(name, [])

    def _decoded(self, name: bytes) -> Tensor:
        """The planes of a known file; what it stands on comes first, however long the chain."""
        chain = [name]
        while chain[-1] not in self._planes:
            needs = _reference_of(self.names[chain[-1]])
            if needs is None:
                break
            chain.append(needs)
        for one in reversed(chain):
            if one not in self._planes:
                path = self.names[one]
                self._keep(one, self._read(path, _reference_of(path)))
        self._planes.move_to_end(name)
        return self._planes[name]

    def _read(self, path: Path, needs: bytes | None) -> Tensor:
        if path.suffix.lower() == SUFFIX:
            data = read_limited(path, MAX_FILE_BYTES, FormatError)
            known = {} if needs is None else {needs: self._decoded(needs)}
            return exact([data], references=known, device=self._device)[0]
        return to_planes(read_picture(path, keep_profile=True).stored()[None])[0]

    def _keep(self, name: bytes, planes: Tensor) -> None:
        self._planes[name] = planes
        while len(self._planes) > 1 and self._pixels() > _MOST_PIXELS:
            self._planes.popitem(last=False)

    def _pixels(self) -> int:
        return sum(planes[0].numel() for planes in self._planes.values())


class _Without(Mapping[bytes, Tensor]):
    """References but for one file."""

    def __init__(self, every: FileReferences, path: Path):
        self._every, self._path = every, path

    def __getitem__(self, name: bytes) -> Tensor:
        planes = self._every[name]
        if self._every.names[name].resolve() == self._path:
            raise KeyError(name)
        return planes

    def __iter__(self) -> Iterator[bytes]:
        return (n for n in self._every if self._every.names[n].resolve() != self._path)

    def __len__(self) -> int:
        return len(list(iter(self)))


def _reference_of(path: Path) -> bytes | None:
    """The hash of what a file is predicted from, or None.

    Raises:
        FormatError: a codestream that cannot be read.
    """
    if path.suffix.lower() != SUFFIX:
        return None
    prediction = open_stream(read_limited(path, MAX_FILE_BYTES, FormatError)).prediction
    return None if prediction is None else prediction.reference
