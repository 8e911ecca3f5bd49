"""Which files are meant: pictures among files and folders."""

from collections.abc import Iterable
from pathlib import Path

from codec.pictures.picture_files import PictureError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif", ".ppm", ".gif")


def list_pictures(
    paths: Iterable[Path | str],
    extensions: tuple[str, ...] = EXTENSIONS,
    output: Path | str | None = None,
) -> list[tuple[Path, Path]]:
    """Pictures among files and folders.

    Args:
        paths: files, taken whatever their extension, and folders, searched for extensions.
        extensions: what to search folders for.
        output: a folder for results: what lies in it is no input, unless it is named itself.

    Returns:
        (path, path relative to what was given), sorted within each folder.

    Raises:
        PictureError: something is missing, or a folder holds no picture.
    """
    found: list[tuple[Path, Path]] = []
    paths = list(paths)
    if "" in paths:
        raise PictureError("expected the path of a picture or folder, got an empty one")
    for given in map(Path, paths):
        if given.is_dir():
            inside = sorted(
                path
                for path in given.rglob("*")
                if path.suffix.lower() in extensions
                and path.is_file()
                and not _is_result(path, given, output)
            )
            if not inside:
                kind = "pictures" if extensions is EXTENSIONS else " or ".join(extensions)
                raise PictureError(f"{given}: expected {kind} in this folder, found none")
            found += [(path, path.relative_to(given)) for path in inside]
        elif given.exists():
            found.append((given, Path(given.name)))
        else:
            raise PictureError(f"{given}: no such file or folder")
    return found


def _is_result(path: Path, given: Path, output: Path | str | None) -> bool:
    """Whether a file below a given folder lies in an output folder that is below it, too."""
    if output is None:
        return False
    folder = Path(output).resolve()
    return given.resolve() in folder.parents and folder in path.resolve().parents
