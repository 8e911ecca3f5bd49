"""What the commands of `dfc` take; what they do is imported when it runs."""

import argparse
import math
from collections.abc import Callable

from codec.commands import shell
from codec.settings import (
    DEFAULT_SSIMULACRA2,
    EFFORTS,
    FILTERS,
    FORMATS,
    MODES,
    SCORE_SCALES,
    Settings,
)

_DEFAULTS = Settings()


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; `options.command` is the function of the one that was given."""
    made = argparse.ArgumentParser(
        prog="dfc", description="Code pictures, or find the smallest files of them."
    )
    shell.add_version(made)
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    encode = commands.add_parser("encode", help="pictures to codestreams, OUT/<stem>.dfc")
    shell.add_files(encode, "picture", "pictures, folders or patterns")
    which = encode.add_mutually_exclusive_group()
    which.add_argument(
        "--quality", type=shell.quality, help=f"1 to 100 (default {_DEFAULTS.quality})"
    )
    which.add_argument("--lossless", action="store_true", help="every pixel back")
    _add_scores(which)
    _add_worst_tile(encode)
    _add_references(encode, "pictures or .dfc files that others may be predicted from, if smaller")
    _add_settings(encode)
    _add_device(encode)
    encode.set_defaults(command=_command("encode"))

    decode = commands.add_parser("decode", help="codestreams to pictures, OUT/<stem>.png")
    shell.add_files(decode, "stream", ".dfc files, folders or patterns")
    _add_references(decode, "what predicted pictures stand on: files, or the folder they are in")
    _add_device(decode)
    decode.set_defaults(command=_command("decode"))

    info = commands.add_parser("info", help="what a codestream holds")
    info.add_argument("stream", nargs="+", help=".dfc files or folders")
    info.set_defaults(command=_command("info"))

    optimise = commands.add_parser(
        "optimise",
        aliases=["optimize"],
        help="the smallest files that reach a score, never larger than the input",
        description="Write the smallest file of every picture that reaches a score; without one, "
        f"SSIMULACRA2 {DEFAULT_SSIMULACRA2:g}: no difference is seen side by side.",
    )
    shell.add_files(optimise, "picture", "pictures, folders or patterns")
    optimise.add_argument(
        "--format", type=_format, choices=FORMATS, default="jpeg", help="(default jpeg)"
    )
    _add_scores(optimise.add_mutually_exclusive_group())
    _add_worst_tile(optimise)
    optimise.add_argument(
        "--min-quality",
        type=shell.quality,
        default=1,
        metavar="QUALITY",
        help="never below this quality, 1 to 100 (default 1)",
    )
    _add_settings(optimise.add_argument_group("for --format dfc"))
    _add_device(optimise)
    optimise.set_defaults(command=_command("optimise"))
    return made


def _command(name: str) -> Callable[[argparse.Namespace], object]:
    """The function of `codec.commands.verbs`, which imports torch, once it is asked for."""

    def run(options: argparse.Namespace) -> object:
        from codec.commands import verbs

        return getattr(verbs, name)(options)

    return run


def _add_settings(command: argparse._ActionsContainer) -> None:
    command.add_argument(
        "--mode",
        choices=tuple(MODES),
        default=_DEFAULTS.mode,
        help="for the eye (perceptual), or for the least squared error (default %(default)s)",
    )
    command.add_argument(
        "--filter",
        choices=tuple(FILTERS),
        default=_DEFAULTS.filter,
        help="of the decoder; `network` is better and slower (default %(default)s)",
    )
    command.add_argument(
        "--effort",
        choices=EFFORTS,
        default=_DEFAULTS.effort,
        help="`fast` encodes in half the time, with 16 %% more bytes (default %(default)s)",
    )


def _add_scores(group: argparse._MutuallyExclusiveGroup) -> None:
    for name, best in SCORE_SCALES.items():
        scale = "" if math.isinf(best) else f", up to {best:g}"
        option = "--" + name.replace("_", "-")
        group.add_argument(
            option, type=_target(name, best), dest=name, help=f"the {name} to reach{scale}"
        )


def _add_worst_tile(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--worst-tile",
        type=_number,
        metavar="SSIMULACRA2",
        help="what every tile of 128 x 128 pixels has to reach, smooth ones 20 more (default 50, "
        "or the ssimulacra2 to reach less 20 if that is lower)",
    )


def _add_references(command: argparse.ArgumentParser, help: str) -> None:
    command.add_argument(
        "--from", nargs="+", dest="references", metavar="REFERENCE", default=(), help=help
    )


def _number(text: str) -> float:
    value = float(text)  # argparse says what a ValueError means
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"expected a number, got {text}")
    return value


def _target(name: str, best: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value <= best or math.isinf(value):
            scale = "above 0" if math.isinf(best) else f"above 0 and up to {best:g}"
            raise argparse.ArgumentTypeError(f"expected a {name} {scale}, got {text}")
        return value

    return read


def _add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1")


def _format(text: str) -> str:
    name = text.lower()
    return "jpeg" if name == "jpg" else name
