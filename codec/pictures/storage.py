"""Files read up to a limit, and written as a whole or not at all."""

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_PERMISSIONS = 0o777
_FOR_ALL = 0o666  # less what the umask takes away
_PRIVATE = 0o600

logger = logging.getLogger(__name__)


def output_path(out: str, shipped: Path) -> Path:
    """Where a fit writes: a path, or `shipped` for the file that is part of the package."""
    return shipped if out == "shipped" else Path(out)


def read_limited(path: Path, most: int, error: type[ValueError]) -> bytes:
    """The bytes of a file that is not larger than it may be.

    Args:
        path: the file.
        most: bytes that it may have, whole MiB.
        error: what is raised, with one sentence, if it is larger or cannot be read.
    """
    try:
        if path.stat().st_size > most:
            raise error(f"{path}: larger than {most >> 20} MiB")
        return path.read_bytes()
    except OSError as reason:
        raise error(f"{path}: cannot be read ({reason.strerror or reason})") from reason


@contextmanager
def atomic_path(path: Path, like: Path | None = None) -> Iterator[Path]:
    """An empty file to write to, which takes its place when all went well; makes its folder.

    Args:
        path: where to.
        like: a file, possibly the same, whose modification time and permissions the new one gets.
            At no time is anything more readable than the result.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name[:40]}.{secrets.token_hex(6)}"
    try:
        temporary.touch(_FOR_ALL if like is None else _PRIVATE, exist_ok=False)
        yield temporary
        if like is not None:
            copy_attributes(like, temporary)
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(temporary):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


@contextmanager
def atomic_file(path: Path, like: Path | None = None) -> Iterator[BinaryIO]:
    """`atomic_path`, opened."""
    with atomic_path(path, like) as temporary, temporary.open("wb") as file:
        yield file


def write_atomically(path: Path, data: bytes, like: Path | None = None) -> None:
    """Write a file as a whole or not at all; see `atomic_file`."""
    with atomic_file(path, like) as file:
        file.write(data)


def copy_attributes(source: Path, target: Path) -> None:
    """Give a file the access and modification times and the permissions of another.

    Not every file system has them (FAT, some network shares): that is logged, and costs no result.

    Raises:
        OSError: one of them is missing.
    """
    found, _ = source.stat(), target.stat()
    try:
        os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
        target.chmod(found.st_mode & _PERMISSIONS)
    except OSError as error:
        logger.warning("%s: its time or permissions are new (%s)", source, error.strerror)
