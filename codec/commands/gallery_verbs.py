"""What `dfc gallery` does, once its options are read."""

import argparse
import sys

from codec.commands.album_verbs import say_coded, say_stats
from codec.commands.shell import DONE, FAILED, report, teller
from codec.commands.verbs import PROGRAM
from codec.gallery.gallery import Code, open_gallery
from codec.pictures.folders import search


def gallery_add(options: argparse.Namespace) -> int:
    search(options.picture, ("",))  # no empty gallery where there is nothing to add
    with open_gallery(options.album, create=True) as gallery:
        gallery.code = Code(options.code)
        done, coded = gallery.add(options.picture, teller(PROGRAM))
        say_coded(coded)
        status = report(done)
        say_stats(gallery.album)
    return status


def gallery_find(options: argparse.Namespace) -> int:
    failed = False
    with open_gallery(options.album) as gallery:
        gallery.code = Code(options.code)
        gallery.describe()
        for path, _ in search(options.picture).found:
            try:
                hits = gallery.find(path)
            except ValueError as error:
                failed = True
                print(f"{PROGRAM}: {error}", file=sys.stderr)
                continue
            print(f"{path}: {'' if hits else 'nothing resembles it'}".rstrip(": "))
            for hit in hits:
                print(f"  {hit.name}  {hit.distance} bits apart, {hit.inliers} points agree")
    return FAILED if failed else DONE
