"""What `dfc gallery` does, once its options are read."""

import argparse
import sys
from pathlib import Path

from codec.commands.album_verbs import page_path, pages, say_coded, say_stats
from codec.commands.shell import DONE, FAILED, report, teller
from codec.commands.verbs import PROGRAM
from codec.gallery.gallery import Code, Hit, open_gallery
from codec.gallery.page import write_page
from codec.gallery.thresholds import of_similar, similar_sets
from codec.pictures.folders import search


def gallery_add(options: argparse.Namespace) -> int:
    search(options.picture, ("",))  # no empty gallery where there is nothing to add
    limit = _limit(options)
    with open_gallery(options.album, create=True) as gallery:
        gallery.code, gallery.limit = Code(options.code), limit
        done, coded = gallery.add(options.picture, teller(PROGRAM))
        say_coded(coded)
        status = report(done)
        say_stats(gallery.album)
    return status


def gallery_find(options: argparse.Namespace) -> int:
    failed = False
    page = None if options.page is None else page_path(options.page)
    limit = _limit(options)
    with open_gallery(options.album) as gallery:
        gallery.code, gallery.limit = Code(options.code), limit
        gallery.describe()
        every: list[tuple[Path, list[Hit]]] = []
        for path, _ in search(options.picture).found:
            try:
                hits = gallery.find(path)
            except ValueError as error:
                failed = True
                print(f"{PROGRAM}: {error}", file=sys.stderr)
                continue
            every.append((path, hits))
            print(f"{path}: {'' if hits else 'nothing resembles it'}".rstrip(": "))
            for hit in hits:
                print(f"  {hit.name}  {hit.distance} bits apart, {hit.inliers} points agree")
        if page is not None:
            with pages():
                write_page(gallery, every, page)
            print(page)
    return FAILED if failed else DONE


def _limit(options: argparse.Namespace) -> int | None:
    """Bits below which pictures are looked at; None is the default."""
    if options.similar is None:
        if options.quantile is not None:
            raise ValueError("--quantile goes with --similar")
        return None if options.within is None else int(options.within)
    if options.within is not None:
        raise ValueError("--within and --similar: expected one of them")
    quantile = 1.0 if options.quantile is None else options.quantile
    sets = similar_sets(options.similar)
    try:
        limit = of_similar(sets, options.code, quantile)
    except ValueError as error:
        raise ValueError(f"{options.similar}: {error}, called SET-NUMBER") from None
    print(f"nearer than {limit} of {8 * Code(options.code).size} bits")
    return limit
