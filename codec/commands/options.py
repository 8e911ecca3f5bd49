"""Options that several commands of `dfc` have, and what they read."""

import argparse
import importlib
import math
from collections.abc import Callable

from codec.commands import shell
from codec.settings import EFFORTS, FILTERS, MODES, SCORE_SCALES, Settings

DEFAULTS = Settings()


def command(name: str, module: str = "verbs") -> Callable[[argparse.Namespace], object]:
    """A function of a module beside this one, which imports torch, once it is asked for."""

    def run(options: argparse.Namespace) -> object:
        verbs = importlib.import_module(f"codec.commands.{module}")
        return getattr(verbs, name)(options)

    return run


def add_quality(command: argparse._ActionsContainer) -> None:
    """How good pictures are to be: a quality, a score, or without loss."""
    which = command.add_mutually_exclusive_group()
    which.add_argument(
        "--quality", type=shell.quality, help=f"1 to 100 (default {DEFAULTS.quality})"
    )
    which.add_argument("--lossless", action="store_true", help="every pixel back")
    add_scores(which)
    add_worst_tile(command)


def add_settings(command: argparse._ActionsContainer) -> None:
    command.add_argument(
        "--mode",
        choices=tuple(MODES),
        default=DEFAULTS.mode,
        help="for the eye (perceptual), or for the least squared error (default %(default)s)",
    )
    command.add_argument(
        "--filter",
        choices=tuple(FILTERS),
        default=DEFAULTS.filter,
        help="of the decoder; `network` is better and slower (default %(default)s)",
    )
    command.add_argument(
        "--effort",
        choices=EFFORTS,
        default=DEFAULTS.effort,
        help="`fast` encodes in half the time, with 16 %% more bytes (default %(default)s)",
    )


def add_scores(group: argparse._MutuallyExclusiveGroup) -> None:
    for name, best in SCORE_SCALES.items():
        scale = "" if math.isinf(best) else f", up to {best:g}"
        option = "--" + name.replace("_", "-")
        group.add_argument(
            option, type=target(name, best), dest=name, help=f"the {name} to reach{scale}"
        )


def add_worst_tile(command: argparse._ActionsContainer) -> None:
    command.add_argument(
        "--worst-tile",
        type=number,
        metavar="SSIMULACRA2",
        help="what every tile of 128 x 128 pixels has to reach, smooth ones 20 more (default 50, "
        "or the ssimulacra2 to reach less 20 if that is lower)",
    )


def add_references(command: argparse.ArgumentParser, help: str) -> None:
    command.add_argument(
        "--from", nargs="+", dest="references", metavar="REFERENCE", default=(), help=help
    )


def number(text: str) -> float:
    value = float(text)  # argparse says what a ValueError means
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"expected a number, got {text}")
    return value


def target(name: str, best: float) -> Callable[[str], float]:
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


def add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1")
