"""`python -m defilter`, and the command `defilter`: what the commands take."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from codec.commands import shell
from defilter.formats import CUBE_SIZES, HALD_BITS, LOOK_EXTENSIONS

_SCENE = "hold back where the scenes of template and photo differ"
_FACES = "keep the colours of faces"
_AREAS = "the template was graded in parts: looks for sky, people, ... (default: if it seems so)"
_OWN = "own looks for sky, people, ground ..., if the look file has them"
_SALIENCY = "most samples from what stands out (the default network needs none)"
_USUAL = (
    "By default scenes, faces and areas count if the look is a .json that was taken from pictures "
    "(without --before); all other looks render everything alike."
)
_PHOTOS = "pictures, videos, folders or patterns"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; for exit statuses see `shell.run`."""
    return shell.run("defilter", command_parser(), arguments)


def program() -> None:
    """The installed command."""
    shell.entry(main)


def command_parser() -> argparse.ArgumentParser:
    """The parser of all commands; `options.command` is the function of the one that was given."""
    parser = argparse.ArgumentParser(
        prog="defilter", description="Take the look of any photo and put it on others."
    )
    shell.add_version(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    extract = commands.add_parser("extract", help="write the look of a picture to a file")
    extract.add_argument("template", nargs="+", help="pictures or folders, all with one look")
    extract.add_argument("-o", "--output", required=True, type=_look_path, metavar="LOOK")
    extract.add_argument("--before", metavar="PICTURE", help="the template without its look")
    extract.add_argument(
        "--robust", action="store_true", help="with --before: tolerate retouching and moved objects"
    )
    extract.add_argument("--size", type=int, default=33, choices=CUBE_SIZES, help="of a .cube")
    extract.add_argument("--bits", type=int, default=8, choices=HALD_BITS, help="of a .png (HALD)")
    _add_analysers(extract, scene=_SCENE, areas=_AREAS, saliency=_SALIENCY)
    _add_weights(extract)
    extract.set_defaults(command=_command("extract_look", extract))

    apply = commands.add_parser("apply", help="render photos or videos", description=_USUAL)
    apply.add_argument("look", help=".json, .cube, HALD .png, or another LUT file")
    shell.add_files(apply, "photo", _PHOTOS)
    _add_strength(apply)
    _add_analysers(apply, scene=_SCENE, faces=_FACES, areas=_OWN)
    apply.set_defaults(command=_command("apply_look_file", apply))

    remove = commands.add_parser("remove", help="take the filter off photos")
    shell.add_files(remove, "photo", "pictures, folders or patterns")
    _add_quality(remove)
    _add_weights(remove)
    remove.set_defaults(command=_command("remove_look", remove))

    transfer = commands.add_parser(
        "transfer", help="render photos or videos with the look of another picture"
    )
    transfer.add_argument(
        "--template", required=True, action="append", help="picture or folder; may be repeated"
    )
    shell.add_files(transfer, "photo", _PHOTOS)
    _add_strength(transfer)
    _add_analysers(transfer, scene=_SCENE, faces=_FACES, areas=_AREAS, saliency=_SALIENCY)
    _add_weights(transfer)
    transfer.set_defaults(command=_command("transfer_look", transfer))
    return parser


def _command(name: str, parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], object]:
    """A function of `defilter.commands`, which imports torch, once it is asked for."""

    def run(options: argparse.Namespace) -> object:
        if name == "extract_look":
            _check_pair_options(parser, options)
        from defilter import commands

        return getattr(commands, name)(options)

    return run


def _check_pair_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if options.before and len(options.template) != 1:
        parser.error(f"--before goes with one template, got {len(options.template)}")
    if options.before and options.weights:
        parser.error("--before needs no network: leave out --weights")
    if options.robust and not options.before:
        parser.error("--robust goes with --before")


def _add_strength(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--strength",
        type=_strength,
        help="0 (as it was) to 1; default: 0.5 to 1, as alike as the scenes are, and 1 where that "
        "is not known or the look is black and white",
    )
    command.add_argument(
        "--literal-scene",
        action="store_true",
        help="degree 0 to 1, the similarity of the scenes itself, as US 2025/0252542 has it",
    )
    _add_quality(command)


def _add_quality(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--quality",
        type=shell.quality,
        help="of JPEG, WebP and AVIF renderings, 1 to 100 (default: the JPEG file's own)",
    )


def _add_analysers(command: argparse.ArgumentParser, **options: str) -> None:
    for name, text in options.items():
        command.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, help=text)


def _add_weights(command: argparse.ArgumentParser) -> None:
    command.add_argument("--weights", help="a network of your own, from train.py")


def _strength(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text}")
    return value


def _look_path(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in LOOK_EXTENSIONS:
        raise argparse.ArgumentTypeError(f"expected the extension .cube, .png or .json, got {text}")
    return path


if __name__ == "__main__":
    program()
