"""Commands: `python -m codec encode | decode | info | optimise`."""

import argparse
import math
import os
import sys
from pathlib import Path

from tqdm import tqdm

from codec.files import (
    SUFFIX,
    Done,
    Line,
    decode_files,
    describe_stream,
    encode_files,
    optimise_files,
)
from codec.pictures.folders import list_pictures
from codec.search import Criterion, at_least
from codec.search.criteria import DEFAULT_SSIMULACRA2
from codec.search.encoders import NAMES, encoder
from codec.search.scores import SCORES
from codec.settings import EFFORTS, FILTERS, MODES, QUALITIES, Settings

_FORMATS = tuple(name for name in NAMES if "_" not in name)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status is 0 done, 1 something failed, 2 wrong usage, 130 stopped."""
    parser = _parser()
    options = parser.parse_args(arguments)
    _check_target(parser, options)
    try:
        done: Done | int = options.command(options)
        status = done if isinstance(done, int) else _report(done)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on
        return 1
    except KeyboardInterrupt:
        print("codec: interrupted; what was written is whole", file=sys.stderr)
        return 130
    except OSError as error:
        place = error.filename or getattr(options, "output", "")
        print(f"codec: {place}: {error.strerror or error}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"codec: {error}", file=sys.stderr)
        return 1
    return status


def _tell(line: Line | str) -> None:
    """A line as soon as a file is done or has failed, above the progress bar."""
    if isinstance(line, str):
        tqdm.write(f"codec: {line}", file=sys.stderr)
        return
    note = f"  {line.note}" if line.note else ""
    tqdm.write(f"{line.target}  {_sizes(line.before, line.after)}{note}", file=sys.stdout)
    sys.stdout.flush()


def _sizes(before: int, after: int) -> str:
    share = f" ({100 * after / before:.1f} %)" if before else ""
    return f"{before:,} -> {after:,} bytes{share}"


def _report(done: Done) -> int:
    before, after = (sum(getattr(x, name) for x in done.lines) for name in ("before", "after"))
    total = len(done.lines) + len(done.failures)
    sizes = f", {_sizes(before, after)}" if done.lines else ""
    print(f"{len(done.lines)} of {total} done{sizes}")
    return 1 if done.failures else 0


def _check_target(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if not hasattr(options, "ssim"):
        return
    try:
        _criteria(options)
    except ValueError as error:
        parser.error(str(error))


def _encode(options: argparse.Namespace) -> Done:
    quality = 80 if options.quality is None else options.quality
    settings = Settings(quality, options.mode, options.lossless, options.filter, options.effort)
    criteria = _criteria(options)
    return encode_files(options.picture, options.output, settings, criteria, options.device, _tell)


def _decode(options: argparse.Namespace) -> Done:
    return decode_files(options.stream, options.output, options.device, _tell)


def _info(options: argparse.Namespace) -> int:
    failed = False
    for given in options.stream:
        try:
            for path, _ in list_pictures([given], (SUFFIX,)):
                failed |= not _describe(path)
        except ValueError as error:
            failed = True
            print(f"codec: {error}", file=sys.stderr)
    return int(failed)


def _describe(path: Path) -> bool:
    try:
        print(describe_stream(path))
    except ValueError as error:
        print(f"codec: {error}", file=sys.stderr)
        return False
    return True


def _optimise(options: argparse.Namespace) -> Done:
    criteria = _criteria(options) or at_least(
        "ssimulacra2", DEFAULT_SSIMULACRA2, options.worst_tile
    )
    settings = Settings(mode=options.mode, filter=options.filter, effort=options.effort)
    chosen = encoder(options.format, settings, options.device)
    return optimise_files(
        options.picture, options.output, chosen, criteria, options.min_quality, _tell
    )


def _criteria(options: argparse.Namespace) -> tuple[Criterion, ...] | None:
    """The score that is to be reached and its floor; None if none was given."""
    for name in SCORES:
        goal = getattr(options, name)
        if goal is not None:
            return at_least(name, goal, options.worst_tile)
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m codec", description="Code pictures, or find the smallest files of them."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("encode", help="pictures to codestreams, DIR/<stem>.dfc")
    _add_pictures(command)
    which = command.add_mutually_exclusive_group()
    which.add_argument("--quality", type=_quality, help="1 to 100 (default 80)")
    which.add_argument("--lossless", action="store_true", help="every pixel back")
    _add_targets(which)
    _add_worst_tile(command)
    _add_settings(command)
    _add_device(command)
    command.set_defaults(command=_encode)

    command = commands.add_parser("decode", help="codestreams to pictures, DIR/<stem>.png")
    command.add_argument("stream", nargs="+", help=".dfc files or folders")
    command.add_argument("-o", "--output", required=True, metavar="DIR", help="folder to write to")
    _add_device(command)
    command.set_defaults(command=_decode)

    command = commands.add_parser("info", help="what a codestream holds")
    command.add_argument("stream", nargs="+", help=".dfc files or folders")
    command.set_defaults(command=_info)

    command = commands.add_parser(
        "optimise",
        aliases=["optimize"],
        help="the smallest files that reach a score, never larger than the input",
        description="Write the smallest file of every picture that reaches a score; without one,"
        f" SSIMULACRA2 {DEFAULT_SSIMULACRA2:g}: no difference is seen side by side.",
    )
    _add_pictures(command)
    command.add_argument(
        "--format", type=_format, choices=_FORMATS, default="jpeg", help="(default jpeg)"
    )
    _add_targets(command.add_mutually_exclusive_group())
    _add_worst_tile(command)
    command.add_argument(
        "--min-quality", type=_quality, default=1, metavar="QUALITY",
        help="never below this quality, 1 to 100 (default 1)",
    )  # fmt: skip
    _add_settings(command.add_argument_group("for --format dfc"))
    _add_device(command)
    command.set_defaults(command=_optimise)
    return parser


def _add_pictures(command: argparse.ArgumentParser) -> None:
    command.add_argument("picture", nargs="+", help="pictures or folders")
    command.add_argument("-o", "--output", required=True, metavar="DIR", help="folder to write to")


def _add_targets(group: argparse._MutuallyExclusiveGroup) -> None:
    for name in SCORES:
        option = "--" + name.replace("_", "-")
        scale = "" if math.isinf(SCORES[name].best) else f", up to {SCORES[name].best:g}"
        group.add_argument(option, type=float, dest=name, help=f"the {name} to reach{scale}")


def _add_worst_tile(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--worst-tile", type=float, metavar="SSIMULACRA2",
        help="what every tile of 128 x 128 pixels has to reach, smooth ones 20 more (default 50, or"
        " the ssimulacra2 to reach less 20 if that is lower)",
    )  # fmt: skip


def _add_settings(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--mode", choices=tuple(MODES), default="perceptual",
        help="for the eye (default), or for the least squared error",
    )  # fmt: skip
    group.add_argument(
        "--filter", choices=tuple(FILTERS), default="edge",
        help="of the decoder; `network` is better and slower (default edge)",
    )  # fmt: skip
    group.add_argument(
        "--effort", choices=EFFORTS, default="full",
        help="`fast` encodes in half the time, with 16 %% more bytes (default full)",
    )  # fmt: skip


def _add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1")


def _format(text: str) -> str:
    name = text.lower()
    return "jpeg" if name == "jpg" else name


def _quality(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value not in QUALITIES:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 100, got {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
