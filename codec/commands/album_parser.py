"""What `dfc album` and `dfc gallery` take."""

import argparse

from codec.commands.options import add_device, add_quality, add_settings, command, number

FORMS, PAIR_COSTS = ("star", "tree"), ("coded", "pixel")
CODES = ("whole", "key")
SCHEMES = ("hide", "again", "hand-over")


def add_album(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    album = commands.add_parser(
        "album",
        help="keep pictures in one file, those that resemble others as what is new in them",
        description="An album holds files of any kind and gives each back byte for byte. Pictures "
        "that were taken together are predicted from each other. See US 9,282,331.",
    )
    verbs = album.add_subparsers(required=True, metavar="VERB")

    add = _verb(verbs, "album", "add", "store files, and predict pictures from each other")
    add.add_argument("picture", nargs="+", help="files, folders or patterns")
    add.add_argument(
        "--repair", action="store_true", help="check what is there, and mend it from its files"
    )
    _add_rules(add)
    add_quality(
        add.add_argument_group(
            "pictures instead of files",
            "Pictures come back as PNG, and the files themselves do not; what is smaller as a file "
            "stays one. Say it with every `add`.",
        )
    )
    add_settings(add)
    add_device(add)

    arrange = _verb(verbs, "album", "arrange", "go on where `add` or `delete` was stopped")
    _add_rules(arrange)
    _add_common(verbs, "album")


def add_gallery(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    gallery = commands.add_parser(
        "gallery",
        help="keep pictures in one file, each as what is new beside what resembles it",
        description="A gallery is an album in which pictures are predicted from whatever resembles "
        "them, whenever it was taken.",
    )
    verbs = gallery.add_subparsers(required=True, metavar="VERB")
    add = _verb(
        verbs, "gallery", "add", "store files, and predict each from what resembles it, if smaller"
    )
    find = _verb(
        verbs, "gallery", "find", "what resembles pictures, with distances and points that agree"
    )
    find.add_argument("--page", metavar="OUT", help="write a page with the pictures, .html")
    for verb in (add, find):
        verb.add_argument("picture", nargs="+", help="files, folders or patterns")
        verb.add_argument(
            "--code",
            choices=CODES,
            default="whole",
            help="compared first: 2048 bits, or a key of 256 (default %(default)s)",
        )
        verb.add_argument(
            "--within",
            type=_bits,
            metavar="BITS",
            help="only what is nearer (default: as near as one of a hundred strangers)",
        )
        verb.add_argument(
            "--similar",
            metavar="FOLDER",
            help="nearer than these pictures are to each other, called SET-NUMBER",
        )
        verb.add_argument(
            "--quantile",
            type=_share,
            metavar="Q",
            help="of their distances (default 1, the largest)",
        )
    _add_common(verbs, "gallery")


def _add_common(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", of: str) -> None:
    """What albums and galleries share."""
    listing = _verb(verbs, of, "list", "what is there, group by group")
    listing.add_argument("--hidden", action="store_true", help="deleted ones that others need, too")

    show = _verb(verbs, of, "show", "what is known of pictures")
    _add_names(show, "list")

    export = _verb(verbs, of, "export", "write files as they were")
    _add_only(export)
    export.add_argument("-o", "--output", required=True, metavar="OUT", help="folder to write to")

    copy = _verb(verbs, of, "copy", "copy files into another album; goes on if it was stopped")
    copy.add_argument("target", help="file, folder or address of the other album")
    _add_only(copy)

    delete = _verb(verbs, of, "delete", "delete files; hide those that others stand on")
    _add_names(delete, "list")
    delete.add_argument(
        "--scheme",
        choices=SCHEMES,
        default="hide",
        help="of those that stand on it: `hide` leaves them as they are, `again` gives them "
        "another reference, `hand-over` makes one of them the reference of the deleted one "
        "(files only)",
    )

    _add_names(_verb(verbs, of, "undelete", "show hidden files again"), "list --hidden")

    purge = _verb(verbs, of, "purge", "really remove files, and code anew what stands on them")
    _add_names(purge, "list --hidden", "*")
    purge.add_argument("--hidden", action="store_true", help="all that were deleted, and are kept")

    _verb(verbs, of, "verify", "decode and compare everything")
    _verb(verbs, of, "stats", "how much is there, and how little it takes")
    _verb(verbs, of, "compact", "give back the room of what was removed")
    page = _verb(verbs, of, "page", "a page with all pictures to look at, for any browser")
    page.add_argument("-o", "--output", metavar="OUT", help="file to write (default ALBUM.html)")


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", of: str, name: str, help: str
) -> argparse.ArgumentParser:
    made = verbs.add_parser(name, help=help)
    made.add_argument("album", help=f"the {of}: a file (.dfa), a folder, or an address as s3://...")
    home = of if of == "gallery" and name in ("add", "find") else "album"
    made.set_defaults(command=command(f"{home}_{name}", f"{home}_verbs"))
    return made


def _bits(text: str) -> int:
    value = number(text)
    if value != int(value) or not 1 <= value <= 2048:
        raise argparse.ArgumentTypeError(f"expected 1 to 2048 bits, got {text}")
    return int(value)


def _share(text: str) -> float:
    value = number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected 0 to 1, got {text}")
    return value


def _add_names(verb: argparse.ArgumentParser, said_by: str, count: str = "+") -> None:
    verb.add_argument("name", nargs=count, help=f"as `{said_by}` says it, or a pattern as '*.jpg'")


def _add_only(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        default=(),
        help="as `list` says it, or a pattern as '2024/*' (default: all)",
    )


def _positive(text: str) -> float:
    value = number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected 0 or more, got {text}")
    return value


def _add_rules(add: argparse.ArgumentParser) -> None:
    add.add_argument(
        "--group",
        action="append",
        metavar="RULE",
        help="what makes a group: `both` (time and place, default), `time`, `place`, `day` or "
        "`city`; given several times, rules take turns",
    )
    add.add_argument(
        "--city",
        nargs="+",
        metavar="NAME",
        default=(),
        help="of groups by city: these alone, as Beijing (default: whichever it was)",
    )
    add.add_argument(
        "--gap", type=_positive, default=30.0, metavar="SECONDS", help="of a group (default 30)"
    )
    add.add_argument(
        "--near", type=_positive, default=50.0, metavar="METRES", help="of a group (default 50)"
    )
    add.add_argument("--least", type=int, choices=(2, 3), default=2, help="pictures of a group")
    add.add_argument(
        "--form", choices=FORMS, default="star", help="how pictures stand on each other"
    )
    add.add_argument(
        "--pair-cost",
        choices=PAIR_COSTS,
        default="coded",
        help="what chooses a reference: bytes of a trial, or differences of pixels",
    )
