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

    add = _verb(verbs, "add", "store files, and predict pictures from each other where smaller")
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

    arrange = _verb(verbs, "arrange", "go on where `add` or `delete` was stopped")
    _add_rules(arrange)

    listing = _verb(verbs, "list", "what is there, group by group")
    listing.add_argument("--hidden", action="store_true", help="deleted ones that others need, too")

    show = _verb(verbs, "show", "what is known of pictures")
    _add_names(show, "list")

    export = _verb(verbs, "export", "write files as they were")
    _add_only(export)
    export.add_argument("-o", "--output", required=True, metavar="OUT", help="folder to write to")

    copy = _verb(verbs, "copy", "copy files into another album, as to a bucket; goes on if stopped")
    copy.add_argument("target", help="file, folder or address of the other album")
    _add_only(copy)

    delete = _verb(verbs, "delete", "delete files; one that others stand on is hidden until then")
    _add_names(delete, "list")
    delete.add_argument(
        "--scheme",
        choices=SCHEMES,
        default="hide",
        help="of those that stand on it: `hide` leaves them as they are, `again` gives them "
        "another reference, `hand-over` makes one of them the reference of the deleted one "
        "(files only)",
    )

    _add_names(_verb(verbs, "undelete", "show hidden files again"), "list --hidden")

    purge = _verb(verbs, "purge", "really remove files, and code anew what stands on them")
    _add_names(purge, "list --hidden", "*")
    purge.add_argument("--hidden", action="store_true", help="all that were deleted, and are kept")

    _verb(verbs, "verify", "decode and compare everything")
    _verb(verbs, "stats", "how much is there, and how little it takes")
    _verb(verbs, "compact", "give back the room of what was removed")
    page = _verb(verbs, "page", "a page with all groups to look at, for any browser")
    page.add_argument("-o", "--output", metavar="OUT", help="file to write (default ALBUM.html)")


def add_gallery(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    gallery = commands.add_parser(
        "gallery",
        help="keep pictures in one file, each as what is new beside what resembles it",
        description="A gallery is an album (`dfc album` lists, exports and deletes) in which "
        "pictures are predicted from whatever resembles them, whenever it was taken.",
    )
    verbs = gallery.add_subparsers(required=True, metavar="VERB")
    for name, help in (
        ("add", "store files, and predict each from what resembles it where that is smaller"),
        ("find", "what resembles pictures, with distances and points that agree"),
    ):
        verb = _verb(verbs, name, help, "gallery")
        verb.add_argument("picture", nargs="+", help="files, folders or patterns")
        verb.add_argument(
            "--code",
            choices=CODES,
            default="whole",
            help="compared first: 2048 bits, or a key of 256 (default %(default)s)",
        )


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    help: str,
    of: str = "album",
) -> argparse.ArgumentParser:
    made = verbs.add_parser(name, help=help)
    made.add_argument("album", help=f"the {of}: a file (.dfa), a folder, or an address as s3://...")
    made.set_defaults(command=command(f"{of}_{name}", f"{of}_verbs"))
    return made


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
