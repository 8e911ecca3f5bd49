"""Which files are meant: pictures, or files of other kinds, among files, folders and patterns."""

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from codec.pictures.picture import PictureError

# What `read_picture` reads, and what it refuses with a reason that is worth knowing.
EXTENSIONS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".tif", ".tiff", ".avif",
    ".heic", ".heif", ".hif", ".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".gif", ".tga",
    ".jp2", ".j2k", ".jpx", ".jxl", ".qoi", ".pcx", ".sgi",
)  # fmt: skip
VIDEO_EXTENSIONS = (".mp4", ".mov", ".mkv", ".m4v", ".webm", ".avi")
_APPLE_DOUBLE = "._"  # macOS stores attributes of x.jpg under ._x.jpg on foreign file systems
_MANY = 4  # names that a sentence may have


class Listing(NamedTuple):
    """What a search has found.

    Attributes:
        found: (path, path relative to what was given), sorted within each folder.
        skipped: the other files in searched folders, hidden ones and results excepted.
        links: links to folders, which are not followed, and links that lead nowhere.
        unreadable: a sentence for each folder that may not be read.
    """

    found: list[tuple[Path, Path]]
    skipped: list[Path]
    links: list[Path]
    unreadable: list[str]

    def about_skipped(self) -> str:
        """A sentence with the number and the first names of skipped files; empty if none."""
        files = "file" if len(self.skipped) == 1 else "files"
        sentences = (
            (f"skipped {len(self.skipped)} {files} of other kinds", self.skipped),
            ("not followed", self.links),
        )
        return "; ".join(f"{what}: {first_names(paths)}" for what, paths in sentences if paths)


def first_names(paths: Sequence[Path]) -> str:
    """The names of a few files, and dots for the others."""
    names = [path.name for path in paths[:_MANY]] + ["..."] * (len(paths) > _MANY)
    return ", ".join(names)


def list_pictures(
    paths: Iterable[Path | str],
    extensions: tuple[str, ...] = EXTENSIONS,
    output: Path | str | None = None,
) -> list[tuple[Path, Path]]:
    """What `search` finds.

    Raises:
        PictureError: as `search`, or a folder that may not be read.
    """
    listing = search(paths, extensions, output)
    if listing.unreadable:
        raise PictureError("; ".join(listing.unreadable))
    return listing.found


def search(
    paths: Iterable[Path | str],
    extensions: tuple[str, ...] = EXTENSIONS,
    output: Path | str | None = None,
) -> Listing:
    """Files of some kinds, by default pictures, among files, folders and patterns.

    Args:
        paths: files, taken whatever their extension, folders, searched for extensions, and
            patterns such as `in/*.jpg`, which not every shell expands.
        extensions: ends of names to search folders for, in lower case.
        output: a folder for results: what lies in it is no input, unless it is named itself.

    Raises:
        PictureError: something is missing, or a folder holds nothing of the kind.
    """
    listing = Listing([], [], [], [])
    for given in (one for path in list(paths) for one in _expanded(path)):
        if given.is_dir():
            inside = _inside(given, extensions, output)
            if not inside.found and not inside.unreadable:
                kind = " or ".join(filter(None, extensions)) or "files"
                kind = "pictures" if set(EXTENSIONS) <= set(extensions) else kind
                raise PictureError(f"{given}: expected {kind} in this folder, found none")
            listing.found.extend(inside.found)
            listing.skipped.extend(inside.skipped)
            listing.links.extend(inside.links)
            listing.unreadable.extend(inside.unreadable)
        else:
            listing.found.append((given, Path(given.name)))
    return listing


def _expanded(given: Path | str) -> list[Path]:
    """The path itself if there is such a file or folder, or else what it matches as a pattern."""
    if given == "":
        raise PictureError("expected the path of a picture or folder, got an empty one")
    if Path(given).exists():
        return [Path(given)]
    # Path.glob takes no absolute patterns.
    matches = sorted(map(Path, glob.glob(str(given), recursive=True)))  # noqa: PTH207
    if not matches:
        raise PictureError(f"{given}: no such file or folder")
    return matches


def _inside(folder: Path, extensions: tuple[str, ...], output: Path | str | None) -> Listing:
    unreadable: list[str] = []

    def refused(error: OSError) -> None:
        unreadable.append(f"{error.filename}: cannot be read ({error.strerror})")

    paths = sorted(
        Path(parent, name)
        for parent, folders, names in os.walk(folder, onerror=refused)
        for name in (*names, *(one for one in folders if Path(parent, one).is_symlink()))
        if not name.startswith(_APPLE_DOUBLE)
    )
    paths = [path for path in paths if not _is_result(path, folder, output)]
    files = [path for path in paths if path.is_file()]
    links = [path for path in paths if path.is_symlink() and not path.is_file()]
    wanted = [path for path in files if path.name.lower().endswith(extensions)]
    hidden = {path for path in files if path.name.startswith(".")}
    return Listing(
        [(path, path.relative_to(folder)) for path in wanted],
        [path for path in files if path not in hidden and path not in wanted],
        links,
        unreadable,
    )


def _is_result(path: Path, given: Path, output: Path | str | None) -> bool:
    """Whether a file below a given folder lies in an output folder that is below it, too."""
    if output is None:
        return False
    folder = Path(output).resolve()
    return given.resolve() in folder.parents and folder in path.resolve().parents
