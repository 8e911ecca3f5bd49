"""What `dfc gallery` does, once its options are read."""

import argparse
import sys
from pathlib import Path

from codec.commands.album_verbs import say_coded, say_stats
from codec.commands.shell import DONE, FAILED, report, teller
from codec.commands.verbs import PROGRAM
from codec.gallery.gallery import Code, Gallery, Hit, open_gallery
from codec.gallery.page import write_page
from codec.gallery.thresholds import of_similar, similar_sets
from codec.pictures.folders import search


def gallery_add(options: argparse.Namespace) -> int:
    search(options.picture, ("",))  # no empty gallery where there is nothing to add
    with open_gallery(options.album, create=True) as gallery:
        _choose(gallery, options)
        done, coded = gallery.add(options.picture, teller(PROGRAM))
        say_coded(coded)
        status = report(done)
        say_stats(gallery.album)
    return status


def gallery_find(options: argparse.Namespace) -> int:
    failed = False
    if options.page is not None and Path(options.page).suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{options.page}: expected a name that ends in .html")
    with open_gallery(options.album) as gallery:
        _choose(gallery, options)
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
        if options.page is not None:
            try:
                write_page(gallery, every, Path(options.page))
            except ImportError:
                raise ValueError("pages need pip install 'defilter[album]'") from None
            print(options.page)
    return FAILED if failed else DONE


def _choose(gallery: Gallery, options: argparse.Namespace) -> None:
    """How candidates are found."""
    gallery.code = Code(options.code)
    gallery.limit = options.within
    if options.similar is not None:
        if options.within is not None:
            raise ValueError("--within and --similar: expected one of them")
        sets = similar_sets(options.similar)
        try:
            gallery.limit = of_similar(sets, options.code, options.quantile)
        except ValueError as error:
            raise ValueError(f"{options.similar}: {error}, called SET-NUMBER") from None
        print(f"nearer than {gallery.limit} of {8 * gallery.code.size} bits")
