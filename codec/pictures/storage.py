"""Files written as a whole or not at all."""

import os
import tempfile
from pathlib import Path


def output_path(out: str, shipped: Path) -> Path:
    """Where a fit writes: a path, or `shipped` for the file that is part of the package."""
    return shipped if out == "shipped" else Path(out)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file as a whole or not at all; makes the folder where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
