"""Items written as the files that they were, or as the pictures that were stored of them."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from codec.picture import decode
from codec.pictures.jobs import BatchResult, FileResult, OnResult
from codec.pictures.picture_files import write_picture
from codec.pictures.storage import atomic_path
from codec.store.codings import PICTURE
from codec.store.contents import Contents
from codec.store.records import PERMISSIONS, Item, StoreError
from codec.stream_metadata import with_pixels


def export_items(
    contents: Contents, items: Sequence[Item], folder: Path, on_result: OnResult | None = None
) -> BatchResult:
    """Write files with their times and permissions; pictures that were stored as such, as PNG.

    Args:
        contents: of the store.
        items: what to write.
        folder: where to, with the paths that they had. Nothing else is written over.
        on_result: called with each result.
    """
    results = []
    targets = _targets(contents, items)
    for item, target in zip(tqdm(items, unit="file", disable=None), targets, strict=True):
        try:
            result = _write(contents, item, folder / target)
        except (StoreError, OSError) as error:
            text = str(error)
            if isinstance(error, OSError) and error.strerror:
                text = f"{folder / target} cannot be written ({error.strerror})"
            text = text if item.name in text else f"{item.name}: {text}"
            result = FileResult(Path(item.name), None, error=text)
        results.append(result)
        if on_result is not None:
            on_result(result)
    return BatchResult(results)


def _targets(contents: Contents, items: Sequence[Item]) -> list[Path]:
    """Names of files; IMG.jpg.png where IMG.png is the name of another."""
    wanted = []
    for item in items:
        content = contents.store.content(item.content)
        is_picture = content is not None and content.coding == PICTURE
        name = Path(item.name)
        wanted.append(name.with_suffix(".png") if is_picture else name)
    times = Counter(wanted)
    return [
        name.with_name(Path(item.name).name + ".png")
        if times[name] > 1 and name != Path(item.name)
        else name
        for item, name in zip(items, wanted, strict=True)
    ]


def _write(contents: Contents, item: Item, target: Path) -> FileResult:
    checked_name(item.name)
    content = contents.known(item.content)
    with_loss = content.coding == PICTURE
    data = contents.bytes_of(item.content)
    if target.exists() and (with_loss or target.read_bytes() != data):
        raise StoreError(f"{target}: is there already; choose another folder")
    with atomic_path(target) as temporary:
        if with_loss:
            below = [] if content.reference is None else [content.reference]
            (pixels,) = decode([data], references=contents.references_of(below))
            shown = temporary.with_name(f"{temporary.name}.png")
            write_picture(with_pixels(pixels, data), shown)
            shown.replace(temporary)
        else:
            temporary.write_bytes(data)
        os.utime(temporary, ns=(item.modified, item.modified))
        temporary.chmod(item.permissions & PERMISSIONS)
    return FileResult(Path(item.name), target)


def checked_name(name: str) -> str:
    """A name of an item, which has to stay below the folder that it is written to.

    Raises:
        StoreError: it does not.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or any(p == ".." or "\0" in p for p in path.parts):
        raise StoreError(f"{name!r}: expected the name of a file below a folder")
    try:
        name.encode()
    except UnicodeEncodeError:
        readable = name.encode(errors="replace").decode()
        raise StoreError(f"{readable}: expected a name in Unicode; rename the file") from None
    if os.name == "nt" and any(mark in name for mark in "\\:"):
        raise StoreError(f"{name!r}: expected a name that this system can write")
    return str(path)
