"""A page that shows an album: groups, who stands on whom, and the bytes that this saves."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from codec.album.album import Album
from codec.pictures.picture_files import encode_jpeg
from codec.pictures.storage import write_atomically
from codec.report import render_page
from codec.store.collection import Stats
from codec.store.records import Item, StoreError

_SIDE = 320  # pixels of thumbnails; they are shown at half of that
_QUALITY = 70
_MOST = 2000  # pictures of a page


class Card(NamedTuple):
    """A file on the page.

    Attributes:
        name: see `Item`.
        jpeg: its thumbnail, or empty.
        size, stored: bytes of the file, and that it takes.
        reference: name of what it is predicted from, or empty.
        children: the files that are predicted from it.
        hidden: whether it was deleted.
    """

    name: str
    jpeg: bytes
    size: int
    stored: int
    reference: str
    children: "list[Card]"
    hidden: bool


class Shown(NamedTuple):
    """A group on the page: its heading, and the files that stand on none of it, with the others."""

    label: str
    cards: list[Card]
    size: int
    stored: int


def write_page(album: Album, target: Path) -> None:
    """Write the page, one file that needs nothing else.

    Args:
        album: what is shown.
        target: the file.
    """
    items = album.store.items(hidden=True)
    shown = items[:_MOST]
    labels = {group.number: group.label for group in album.store.groups()}
    cards = {
        item.name: _card(album, item)
        for item in tqdm(shown, desc="thumbnails", unit="file", disable=None)
    }
    groups: dict[int | None, list[Item]] = {}
    for item in shown:
        groups.setdefault(item.group if item.group in labels else None, []).append(item)
    alone = groups.pop(None, [])
    page = render_page(
        Path(__file__).with_name("album.html"),
        {"bytes": bytes_text},
        title=album.store.place.rstrip("/").rpartition("/")[2],
        sentences=_sentences(album.collection.stats(), len(items) - len(shown)),
        groups=[_shown(labels[number or 0], rows, cards) for number, rows in groups.items()],
        alone=_shown("", alone, cards),
    )
    write_atomically(target, page)


def _sentences(stats: Stats, missing: int) -> list[str]:
    """What the page says at its top."""
    share = f" ({100 * stats.stored / stats.size:.1f} %)" if stats.size else ""
    stored = f"stored in {bytes_text(stats.stored)}{share}"
    found = [f"{stats.items} files, {bytes_text(stats.size)}, {stored}."]
    if stats.predicted:
        found.append(f"{stats.predicted} stored as what is new in them beside another one.")
    if stats.pictures:
        found.append(f"{stats.pictures} stored as pictures, not as the files that they were.")
    if stats.hidden:
        found.append(f"{stats.hidden} deleted, but kept for those that stand on them.")
    if missing:
        found.append(f"This page leaves out {missing} files.")
    return found


def _card(album: Album, item: Item) -> Card:
    content = album.content(item)
    try:
        small = album.thumbnail(item, _SIDE)
    except StoreError:
        small = None
    jpeg = b"" if small is None else encode_jpeg(small, _QUALITY)
    reference = album.reference(item)
    name = "" if reference is None else reference.name
    return Card(item.name, jpeg, content.size, content.stored, name, [], item.hidden)


def _shown(label: str, items: Sequence[Item], cards: dict[str, Card]) -> Shown:
    """A group as trees."""
    own = [cards[item.name] for item in items]
    inside = {card.name for card in own}
    for card in own:
        if card.reference in inside:
            cards[card.reference].children.append(card)
    roots = [card for card in own if card.reference not in inside]
    roots.sort(key=lambda card: (not card.children, card.name))
    return Shown(label, roots, sum(c.size for c in own), sum(c.stored for c in own))


def bytes_text(count: int) -> str:
    """Bytes for people, as 3.4 MB."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"
