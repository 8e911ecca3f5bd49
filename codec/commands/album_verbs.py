"""What `dfc album` does, once its options are read."""

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from codec.album.album import Album, AlbumSettings, Coded, Scheme, open_album
from codec.album.groups import ByCity, ByDay, ByPlace, ByTime, ByTimeAndPlace, Rule, clock
from codec.album.page import write_page
from codec.album.references import Form, PairCost
from codec.commands.shell import DONE, FAILED, report, sizes_text, teller
from codec.commands.verbs import PROGRAM, wanted
from codec.pictures.folders import search
from codec.settings import Settings
from codec.store.codings import PICTURE
from codec.store.pictures import PictureCoding
from codec.store.records import Item

_USUAL = {False: ("both",), True: ("city",)}  # rules, by whether cities are named


def album_add(options: argparse.Namespace) -> int:
    settings = replace(_settings(options), coding=_coding(options))
    search(options.picture, ("",))  # no empty album where there is nothing to add
    with open_album(options.album, create=True) as album:
        album.settings = settings
        done, coded = album.add(options.picture, teller(PROGRAM), options.repair)
        say_coded(coded, kept_finer=True)
        status = report(done)
        say_stats(album)
    return status


def album_arrange(options: argparse.Namespace) -> int:
    settings = _settings(options)
    with open_album(options.album) as album:
        album.settings = settings
        album.group()
        say_coded(album.arrange())
        say_stats(album)
    return DONE


def _settings(options: argparse.Namespace) -> AlbumSettings:
    return AlbumSettings(
        [_rule(name, options) for name in options.group or _USUAL[bool(options.city)]],
        options.least,
        Form(options.form),
        PairCost(options.pair_cost),
    )


def _coding(options: argparse.Namespace) -> PictureCoding | None:
    """How pictures are stored; None, which keeps every byte of files, unless a quality is said."""
    settings, criteria = wanted(options)
    if options.quality is None and criteria is None and not options.lossless:
        changed = settings._replace(quality=Settings().quality, lossless=False)
        if changed != Settings():
            raise ValueError(
                "--mode, --filter and --effort go with --quality, a score or --lossless"
            )
        return None
    return PictureCoding(settings, criteria, options.device)


def _rule(name: str, options: argparse.Namespace) -> Rule:
    rules: dict[str, Callable[[], Rule]] = {
        "both": lambda: ByTimeAndPlace(options.gap, options.near),
        "time": lambda: ByTime(options.gap),
        "place": lambda: ByPlace(options.near),
        "day": ByDay,
        "city": lambda: ByCity(options.city),
    }
    if name not in rules:
        raise ValueError(f"--group: expected one of {', '.join(rules)}, got {name}")
    return rules[name]()


def album_list(options: argparse.Namespace) -> int:
    with open_album(options.album, write=False) as album:
        labels = {group.number: group.label for group in album.store.groups()}
        groups: dict[int, list[Item]] = {}
        alone: list[Item] = []
        for item in album.store.items(options.hidden):
            if item.group in labels:
                groups.setdefault(item.group or 0, []).append(item)
            else:
                alone.append(item)
        for number, items in sorted(groups.items()):
            print(f"group {number}: {labels[number]}")
            for item in items:
                print(f"  {_line(album, item)}")
        for item in alone:
            print(_line(album, item))
        say_stats(album)
    return DONE


def _line(album: Album, item: Item) -> str:
    content = album.content(item)
    parts = [_shown(item.name), sizes_text(content.size, content.stored)]
    if content.coding == PICTURE:
        parts.append("a picture" if content.psnr is None else f"a picture, {content.psnr:.1f} dB")
    twins = [one.name for one in album.store.items_of(item.content) if one.name < item.name]
    if twins:
        parts.append(f"the same bytes as {_shown(twins[0])}")
    reference = album.reference(item)
    if reference is not None:
        parts.append(f"from {reference.name}")
    if item.hidden:
        parts.append("deleted, kept for those that stand on it")
    return "  ".join(parts)


def _shown(name: str) -> str:
    """A name without what would move the cursor or end the line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def album_show(options: argparse.Namespace) -> int:
    def show(album: Album, name: str) -> None:
        item = album.collection.item(name, hidden=True)
        print(_line(album, item))
        content = album.content(item)
        rows = {
            "taken": None if item.taken is None else clock(item),
            "place": None if item.latitude is None else f"{item.latitude}, {item.longitude}",
            "stored as": content.coding,
            "PSNR": None if content.psnr is None else f"{content.psnr:.2f} dB",
            "depth": content.depth or None,
            "children": ", ".join(one.name for one in album.children(item)),
            "sha-256": item.source.hex(),
        }
        for key, value in rows.items():
            if value:
                print(f"  {key}: {value}")

    return _each(options, show, write=False, hidden=True)


def album_export(options: argparse.Namespace) -> int:
    with open_album(options.album, write=False) as album:
        return report(album.export(options.output, options.only, teller(PROGRAM)))


def album_copy(options: argparse.Namespace) -> int:
    with (
        open_album(options.album, write=False) as album,
        open_album(options.target, create=True) as target,
    ):
        status = report(album.copy_to(target, options.only, teller(PROGRAM)))
        say_stats(target)
    return status


def album_delete(options: argparse.Namespace) -> int:
    def delete(album: Album, name: str) -> None:
        hidden, coded = album.delete(name, Scheme(options.scheme))
        say_coded(coded)
        undo = shlex.join(["dfc", "album", "undelete", options.album, name])
        print(f"{name}: hidden, as others stand on it; {undo}" if hidden else f"{name}: deleted")

    return _each(options, delete)


def album_undelete(options: argparse.Namespace) -> int:
    def undelete(album: Album, name: str) -> None:
        album.collection.undelete(name)
        print(f"{name}: there again")

    return _each(options, undelete, hidden=True, only_hidden=True)


def album_purge(options: argparse.Namespace) -> int:
    if bool(options.name) == options.hidden:
        raise ValueError("expected names, or --hidden for all that were deleted")

    def purge(album: Album, name: str) -> None:
        say_coded(album.purge(name))
        print(f"{name}: removed for good")

    if options.hidden:
        with open_album(options.album, write=False) as album:
            options.name = [item.name for item in album.store.items(hidden=True) if item.hidden]
    return _each(options, purge, hidden=True)


def album_verify(options: argparse.Namespace) -> int:
    with open_album(options.album, write=False) as album:
        problems = album.store.problems()
        total = len(album.store.contents())
        every = tqdm(album.collection.contents.verify(), total=total, unit="file", disable=None)
        for content, problem in every:
            if problem:
                names = ", ".join(one.name for one in album.store.items_of(content.name))
                problems.append(f"{names or 'no file'}: {problem}")
        for one in problems:
            print(f"{PROGRAM}: {one}", file=sys.stderr)
        print(f"{total} contents decoded and compared, {len(problems)} problems")
        if problems:
            again = shlex.join(["dfc", "album", "add", "--repair", options.album])
            print(f"{again} FILES... mends what still has its file")
    return FAILED if problems else DONE


def album_stats(options: argparse.Namespace) -> int:
    with open_album(options.album, write=False) as album:
        say_stats(album)
    return DONE


def album_compact(options: argparse.Namespace) -> int:
    with open_album(options.album) as album:
        before = album.store.taken()
        album.store.compact()
        print(f"{album.store.place}: {sizes_text(before, album.store.taken())}")
    return DONE


def album_page(options: argparse.Namespace) -> int:
    with open_album(options.album, write=False) as album:
        target = page_path(options.output or Path(options.album).with_suffix(".html").name)
        with pages():
            write_page(album, target)
        print(target)
    return DONE


def page_path(text: str) -> Path:
    """Where a page is written.

    Raises:
        ValueError: a name that browsers would not take for one.
    """
    if Path(text).suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{text}: expected a name that ends in .html")
    return Path(text)


@contextmanager
def pages() -> Iterator[None]:
    """Say what to install where a page cannot be written."""
    try:
        yield
    except ImportError:
        raise ValueError("pages need pip install 'defilter[album]'") from None


def _each(
    options: argparse.Namespace,
    act: Callable[[Album, str], None],
    write: bool = True,
    hidden: bool = False,
    only_hidden: bool = False,
) -> int:
    """Do something for every file that is named; what is wrong with one is said, and costs the
    others nothing.

    Args:
        options: with names and patterns.
        act: what to do.
        write: whether that changes the album.
        hidden: whether hidden files count.
        only_hidden: whether patterns mean hidden ones alone.
    """
    failed = False
    with open_album(options.album, write) as album:
        names: list[str] = []
        for given in options.name:
            try:
                found = album.collection.chosen([given], hidden)
            except ValueError as error:
                failed = True
                print(f"{PROGRAM}: {error}", file=sys.stderr)
                continue
            fitting = [i.name for i in found if i.name == given or i.hidden or not only_hidden]
            if not fitting:
                failed = True
                print(f"{PROGRAM}: {given}: fits no deleted file", file=sys.stderr)
            names += fitting
        for name in dict.fromkeys(names):
            if album.store.item(name) is None:
                continue  # it went with one before
            try:
                act(album, name)
            except ValueError as error:
                failed = True
                print(f"{PROGRAM}: {error}", file=sys.stderr)
    return FAILED if failed else DONE


def say_coded(coded: Sequence[Coded], kept_finer: bool = False) -> None:
    """A line for every file that was coded anew.

    Args:
        coded: what became of them.
        kept_finer: whether what grew became a finer reference.
    """
    for one in coded:
        how = f"predicted from {one.reference}"
        if one.reference is None:
            is_finer = kept_finer and one.after > one.before
            how = "finer, as others stand on it" if is_finer else "stored whole"
        print(f"{_shown(one.name)}: {how}  {sizes_text(one.before, one.after)}")


def say_stats(album: Album) -> None:
    """A line with numbers of everything."""
    found = album.collection.stats()
    parts = [f"{found.items} file{'s' * (found.items != 1)}", sizes_text(found.size, found.stored)]
    if found.predicted:
        parts.append(f"{found.predicted} predicted from others")
    if found.pictures:
        parts.append(f"{found.pictures} as pictures, not as the files that they were")
    if found.hidden:
        parts.append(f"{found.hidden} deleted and hidden")
    print(f"{album.store.place}: {', '.join(parts)}")
    if album.waiting():
        print(
            f"groups that were not finished: {album.waiting()}; dfc album arrange goes on, and "
            "with pictures that are stored instead of files, adding those again"
        )
