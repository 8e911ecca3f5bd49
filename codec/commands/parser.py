"""What the commands of `dfc` take; what they do is imported when it runs."""

import argparse

from codec.commands import shell
from codec.commands.album_parser import add_album, add_gallery
from codec.commands.layer_parser import add_layered
from codec.commands.options import (
    add_device,
    add_quality,
    add_references,
    add_scores,
    add_settings,
    add_worst_tile,
    command,
)
from codec.settings import DEFAULT_SSIMULACRA2, FORMATS


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; `options.command` is the function of the one that was given."""
    made = argparse.ArgumentParser(
        prog="dfc", description="Code pictures, or find the smallest files of them."
    )
    shell.add_version(made)
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    encode = commands.add_parser("encode", help="pictures to codestreams, OUT/<stem>.dfc")
    shell.add_files(encode, "picture", "pictures, folders or patterns")
    add_quality(encode)
    add_references(encode, "pictures or .dfc files that others may be predicted from, if smaller")
    add_settings(encode)
    add_device(encode)
    encode.set_defaults(command=command("encode"))

    decode = commands.add_parser("decode", help="codestreams to pictures, OUT/<stem>.png")
    shell.add_files(decode, "stream", ".dfc files, folders or patterns")
    add_references(decode, "what predicted pictures stand on: files, or the folder they are in")
    add_device(decode)
    decode.set_defaults(command=command("decode"))

    info = commands.add_parser("info", help="what a codestream holds")
    info.add_argument("stream", nargs="+", help=".dfc files or folders")
    info.set_defaults(command=command("info"))

    add_layered(commands)
    add_album(commands)
    add_gallery(commands)
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
    add_scores(optimise.add_mutually_exclusive_group())
    add_worst_tile(optimise)
    optimise.add_argument(
        "--min-quality",
        type=shell.quality,
        default=1,
        metavar="QUALITY",
        help="never below this quality, 1 to 100 (default 1)",
    )
    add_settings(optimise.add_argument_group("for --format dfc"))
    add_device(optimise)
    optimise.set_defaults(command=command("optimise"))
    return made


def _format(text: str) -> str:
    name = text.lower()
    return "jpeg" if name == "jpg" else name
