"""Pictures in files that others are predicted from, found by the hash of their exact planes."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import RLock

import torch
from torch import Tensor

from codec.container import FormatError
from codec.picture import exact
from codec.pictures.folders import EXTENSIONS, list_pictures
from codec.pictures.picture import PictureError
from codec.pictures.picture_files import read_picture
from codec.pictures.storage import read_limited
from codec.planes import to_planes
from codec.prediction.chain import hash_of

SUFFIX = ".dfc"
MAX_FILE_BYTES = 1 << 30
_MOST_PIXELS = 1 << 26  # that are kept in memory: 12 bytes each


class FileReferences(Mapping[bytes, Tensor]):
    """The exact planes (C, H, W) of codestreams and pictures, decoded as they are asked for.

    Args:
        paths: files, folders and patterns.
        device: where to decode.

    Raises:
        ValueError: nothing is there.
    """

    def __init__(self, paths: Sequence[Path | str], device: torch.device | str = "cpu"):
        found = [path for path, _ in list_pictures(paths, (SUFFIX, *EXTENSIONS))]
        # Streams come first: the pictures beside them may be what they were made of.
        self.unknown = sorted(found, key=lambda path: path.suffix.lower() != SUFFIX)
        self.device = device
        self.names: dict[bytes, Path] = {}
        self._planes: OrderedDict[bytes, Tensor] = OrderedDict()
        self._lock = RLock()  # several threads ask

    def __getitem__(self, name: bytes) -> Tensor:
        with self._lock:
            while name not in self.names and self.unknown:
                self._learn(self.unknown.pop(0))
            if name not in self._planes:
                self._keep(name, self._read(self.names[name]))
            self._planes.move_to_end(name)
            return self._planes[name]

    def __iter__(self) -> Iterator[bytes]:
        with self._lock:
            while self.unknown:
                self._learn(self.unknown.pop(0))
            return iter(list(self.names))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _learn(self, path: Path) -> None:
        """Find out the hash of a file; one that cannot be decoded is no reference of anything."""
        try:
            planes = self._read(path)
        except (FormatError, PictureError):
            return
        name = hash_of(planes)
        self.names.setdefault(name, path)
        self._keep(name, planes)

    def _read(self, path: Path) -> Tensor:
        if path.suffix.lower() == SUFFIX:
            data = read_limited(path, MAX_FILE_BYTES, FormatError)
            return exact([data], references=self, device=self.device)[0]
        return to_planes(read_picture(path, keep_profile=True).stored()[None])[0]

    def _keep(self, name: bytes, planes: Tensor) -> None:
        self._planes[name] = planes
        while len(self._planes) > 1 and self._pixels() > _MOST_PIXELS:
            self._planes.popitem(last=False)

    def _pixels(self) -> int:
        return sum(planes[0].numel() for planes in self._planes.values())
