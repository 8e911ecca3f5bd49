"""Commands: `python -m defilter extract | apply | remove | transfer`."""

import argparse
import logging
import sys
from dataclasses import replace
from pathlib import Path

from defilter.analysis import Analysers, analysers_for, default_analysers
from defilter.extract import fit_pair, fit_rough_pair
from defilter.look import CUBE_SIZES, load_look, save_look
from defilter.networks import load_look_network
from defilter.transfer import Rendered, apply_to_files, remove_from_files, transfer
from defilter.verbs import extract, extract_pair

LOOK_EXTENSIONS = (".cube", ".png", ".json")
_SCENE = "hold back somewhat where the scenes of template and photo differ: degree 0.5 to 1"
_FACES = "keep the colours of faces"
_AREAS = "the template was graded in parts: looks for sky, people, ... (default: if it seems so)"
_OWN = "own looks for sky, people, ground ..., if the look file has them"
_SALIENCY = "take most samples from what stands out (the default network takes no samples)"
_USUAL = (
    "By default scenes, faces and areas count if the look is a .json that was taken from pictures "
    "(without --before); all other looks render everything alike."
)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status is 0 done, 1 something failed, 2 wrong usage, 130 stopped."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is _extract:
        _check_pair_options(parser, options)
    try:
        result: Rendered | None = options.command(options)
    except KeyboardInterrupt:
        print("defilter: interrupted; what was written is whole", file=sys.stderr)
        return 130
    except OSError as error:
        place = error.filename or getattr(options, "output", "")
        print(f"defilter: {place}: {error.strerror or error}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"defilter: {error}", file=sys.stderr)
        return 1
    if result is None:
        return 0
    for note in result.notes:
        print(note)
    for failure in result.failures:
        print(f"defilter: {failure}", file=sys.stderr)
    print(f"{len(result.written)} of {len(result.written) + len(result.failures)} done")
    return 1 if result.failures else 0


def _extract(options: argparse.Namespace) -> None:
    inputs = [*options.template, *([options.before] if options.before else [])]
    if options.output.resolve() in {Path(path).resolve() for path in inputs}:
        raise ValueError(f"{options.output}: would overwrite an input; choose another name")
    if options.before:
        fit = fit_rough_pair if options.robust else fit_pair
        look = extract_pair(options.before, options.template[0], fit).look
    else:
        network = load_look_network(options.weights)
        look = extract(options.template, network, _analysers(options)).look
    save_look(look, options.output, options.size, options.bits)
    print(f"{options.output}: covers {look.coverage:.0%} of the colours that photos have")
    if look.is_monochrome():
        print("it takes all colour away: degree 1, faces too")
    if look.categories and options.output.suffix.lower() == ".json":
        print(f"looks of their own: {', '.join(look.categories)}")


def _check_pair_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if options.before and len(options.template) != 1:
        parser.error(f"--before goes with one template, got {len(options.template)}")
    if options.before and options.weights:
        parser.error("--before needs no network: leave out --weights")
    if options.robust and not options.before:
        parser.error("--robust goes with --before")


def _apply(options: argparse.Namespace) -> Rendered:
    look = load_look(options.look)
    if (options.scene and look.scene is None) or (options.areas and not look.categories):
        raise ValueError(f"{options.look}: knows no {'scene' if options.scene else 'areas'}")
    analysers = _analysers(options, analysers_for(look))
    return apply_to_files(look, options.photo, options.output, options.strength, analysers)


def _remove(options: argparse.Namespace) -> Rendered:
    return remove_from_files(options.photo, options.output, load_look_network(options.weights))


def _transfer(options: argparse.Namespace) -> Rendered:
    network = load_look_network(options.weights)
    return transfer(
        options.template,
        options.photo,
        options.output,
        options.strength,
        network,
        _analysers(options),
    )


def _analysers(options: argparse.Namespace, usual: Analysers | None = None) -> Analysers:
    """What the options ask for; None of them: as usual for the look, or everything."""
    chosen = {}
    for name in ("scene", "faces", "areas", "saliency"):
        asked = getattr(options, name, None)
        by_default = usual is None or getattr(usual, name) is not None
        chosen[name] = by_default if asked is None else asked
    analysers = default_analysers(**chosen)
    if analysers.scene is not None and getattr(options, "literal_scene", False):
        analysers = replace(analysers, scene=analysers.scene.literally())
    return replace(analysers, graded_in_parts=getattr(options, "areas", None) or None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m defilter", description="Take the look of any photo and put it on others."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("extract", help="write the look of a picture to a file")
    command.add_argument("template", nargs="+", help="pictures or folders, all with one look")
    command.add_argument("-o", "--output", required=True, type=_look_path, metavar="LOOK")
    command.add_argument("--before", metavar="PICTURE", help="the template without its look")
    command.add_argument(
        "--robust", action="store_true", help="with --before: tolerate retouching and moved objects"
    )
    command.add_argument("--size", type=int, default=33, choices=CUBE_SIZES, help="of a .cube")
    command.add_argument("--bits", type=int, default=8, choices=(8, 16), help="of a .png (HALD)")
    _add_analysers(command, scene=_SCENE, areas=_AREAS, saliency=_SALIENCY)
    _add_weights(command)
    command.set_defaults(command=_extract)

    command = commands.add_parser(
        "apply", help="render photos or videos with a look", description=_USUAL
    )
    command.add_argument("look", help=".json, .cube or HALD .png")
    _add_photos(command, "pictures, folders of pictures, or videos")
    _add_strength(command)
    _add_analysers(command, scene=_SCENE, faces=_FACES, areas=_OWN)
    command.set_defaults(command=_apply)

    command = commands.add_parser("remove", help="take the filter off photos")
    _add_photos(command)
    _add_weights(command)
    command.set_defaults(command=_remove)

    command = commands.add_parser("transfer", help="render photos with the look of another picture")
    command.add_argument(
        "--template", required=True, action="append", help="picture or folder; may be repeated"
    )
    _add_photos(command)
    _add_strength(command)
    _add_analysers(command, scene=_SCENE, faces=_FACES, areas=_AREAS, saliency=_SALIENCY)
    _add_weights(command)
    command.set_defaults(command=_transfer)
    return parser


def _add_photos(command: argparse.ArgumentParser, what: str = "pictures or folders") -> None:
    command.add_argument("photo", nargs="+", help=what)
    command.add_argument("-o", "--output", required=True, metavar="DIR", help="folder to write to")


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
    sys.exit(main())
