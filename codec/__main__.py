"""Commands: `python -m codec encode | decode | info | optimise`."""

import argparse
import sys
from pathlib import Path

from codec.files import (
    Done,
    Target,
    decode_files,
    describe_stream,
    encode_files,
    optimise_files,
)
from codec.search.encoders import NAMES, OwnEncoder, encoder
from codec.search.scores import SCORES
from codec.settings import EFFORTS, FILTERS, MODES, QUALITIES, Settings

_FORMATS = tuple(name for name in NAMES if "_" not in name)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status: 0 done, 1 something failed, 2 wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        done: Done | None = options.command(options)
    except OSError as error:
        place = error.filename or getattr(options, "output", "")
        print(f"codec: {place}: {error.strerror or error}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"codec: {error}", file=sys.stderr)
        return 1
    return 0 if done is None else _report(done)


def _report(done: Done) -> int:
    for line in done.lines:
        share = f"{100 * line.after / max(line.before, 1):.1f} %"
        note = f"  {line.note}" if line.note else ""
        print(f"{line.target}  {line.before:,} -> {line.after:,} bytes ({share}){note}")
    for failure in done.failures:
        print(f"codec: {failure}", file=sys.stderr)
    before, after = (sum(getattr(x, name) for x in done.lines) for name in ("before", "after"))
    total = len(done.lines) + len(done.failures)
    share = f" ({100 * after / before:.1f} %)" if before else ""
    print(f"{len(done.lines)} of {total} done, {before:,} -> {after:,} bytes{share}")
    return 1 if done.failures else 0


def _encode(options: argparse.Namespace) -> Done:
    settings = Settings(
        options.quality, options.mode, options.lossless, options.filter, options.effort
    )
    target = _target(options)
    return encode_files(options.picture, options.output, settings, target, options.device)


def _decode(options: argparse.Namespace) -> Done:
    return decode_files(options.stream, options.output, options.device)


def _info(options: argparse.Namespace) -> None:
    for path in options.stream:
        print(describe_stream(path))


def _optimise(options: argparse.Namespace) -> Done:
    target = _target(options)
    assert target is not None
    chosen = encoder(options.format)
    if isinstance(chosen, OwnEncoder):
        chosen = OwnEncoder(device=options.device)
    return optimise_files(options.picture, options.output, chosen, target)


def _target(options: argparse.Namespace) -> Target | None:
    for name, score in SCORES.items():
        value = getattr(options, name)
        if value is not None:
            return Target(score, value)
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m codec", description="Code pictures, or find the smallest files of them."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("encode", help="pictures to codestreams, DIR/<stem>.dfc")
    _add_pictures(command)
    which = command.add_mutually_exclusive_group()
    which.add_argument("--quality", type=_quality, default=80, help="1 to 100 (default 80)")
    which.add_argument("--lossless", action="store_true", help="every pixel back")
    _add_targets(which)
    command.add_argument(
        "--mode", choices=tuple(MODES), default="perceptual",
        help="for the eye (default), or for the least squared error",
    )  # fmt: skip
    command.add_argument(
        "--filter", choices=tuple(FILTERS), default="edge",
        help="of the decoder; `network` is better and slower (default edge)",
    )  # fmt: skip
    command.add_argument("--effort", choices=EFFORTS, default="full")
    _add_device(command)
    command.set_defaults(command=_encode)

    command = commands.add_parser("decode", help="codestreams to pictures, DIR/<stem>.png")
    command.add_argument("stream", nargs="+", help=".dfc files or folders")
    command.add_argument("-o", "--output", required=True, metavar="DIR", help="folder to write to")
    _add_device(command)
    command.set_defaults(command=_decode)

    command = commands.add_parser("info", help="what a codestream holds")
    command.add_argument("stream", nargs="+", type=Path)
    command.set_defaults(command=_info)

    command = commands.add_parser(
        "optimise", help="the smallest files that reach a score, never larger than the input"
    )
    _add_pictures(command)
    command.add_argument("--format", choices=_FORMATS, default="jpeg", help="(default jpeg)")
    _add_targets(command.add_mutually_exclusive_group(required=True))
    _add_device(command)
    command.set_defaults(command=_optimise)
    return parser


def _add_pictures(command: argparse.ArgumentParser) -> None:
    command.add_argument("picture", nargs="+", help="pictures or folders")
    command.add_argument("-o", "--output", required=True, metavar="DIR", help="folder to write to")


def _add_targets(group: argparse._MutuallyExclusiveGroup) -> None:
    for name in SCORES:
        option = "--" + name.replace("_", "-")
        group.add_argument(option, type=float, dest=name, help=f"the {name} to reach")


def _add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1")


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
