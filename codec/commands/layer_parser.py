"""What `dfc layer` and `dfc unlayer` take."""

import argparse
from collections.abc import Callable

from codec.commands import shell
from codec.commands.options import (
    add_device,
    add_quality,
    add_settings,
    command,
    number,
)
from codec.settings import BASES, DIFFERENCES, KERNELS, SAMPLINGS, TAGS

# Options that layers of videos have not.
_OF_PICTURES = {
    *("package", "base", "base_quality", "levels", "down", "up"),
    *("open_loop", "sub_blocks", "least_chroma", "soften", "smooth", "tags"),
}
_OF_OWN = ("quality", "lossless", "mode", "filter", "effort")  # of this codec's differences


def add_layered(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    layer = commands.add_parser(
        "layer",
        help="pictures to a small one for any program, and blocks that make it large",
        description="Layered coding: OUT/<stem>_lowres.jpg opens anywhere; the blocks beside it "
        "make it larger, level by level. See US 2018/0007375.",
    )
    shell.add_files(
        layer, "picture", "pictures, folders or patterns; or videos", "folder, .dfp package or .mkv"
    )
    layer.add_argument("--package", action="store_true", help="everything in OUT/<stem>.dfp")
    layer.add_argument("--base", choices=BASES, default="jpeg", help="(default %(default)s)")
    layer.add_argument(
        "--base-quality",
        type=shell.quality,
        metavar="QUALITY",
        help="of the base, 1 to 100 (default: grows with the quality of the differences)",
    )
    layer.add_argument(
        "--levels", type=_count(2, 8), default=2, help="sizes, the base included (default 2)"
    )
    layer.add_argument(
        "--ratio",
        type=_pair(16),
        default=(2, 2),
        metavar="PxQ",
        help="of widths and heights of neighbouring levels (default 2x2)",
    )
    layer.add_argument(
        "--blocks",
        type=_division,
        default=((1,), (1,)),
        metavar="MxN",
        help="columns and rows of blocks on each level (default 1x1), or, with two levels, their "
        "widths and heights in pixels, as 300+468x256+256",
    )
    layer.add_argument(
        "--crf", type=_count(0, 51), default=23, help="of a video's H.264, 0 to 51 (default 23)"
    )
    add_quality(layer)
    add_settings(layer)
    add_device(layer)
    seed = layer.add_argument_group("as the patent has it, beside what is better")
    seed.add_argument(
        "--differences",
        choices=DIFFERENCES,
        default="own",
        help="own: this codec's; offset: clamped, shifted, JPEG; zip (default %(default)s)",
    )
    seed.add_argument("--offset", type=_count(1, 127), default=32, help="1 to 127 (default 32)")
    seed.add_argument(
        "--down", choices=SAMPLINGS, default="bicubic", help="sampling (default %(default)s)"
    )
    seed.add_argument(
        "--up", choices=KERNELS, default="bicubic", help="sampling (default %(default)s)"
    )
    seed.add_argument(
        "--open-loop", action="store_true", help="differences to the level below before its coding"
    )
    seed.add_argument(
        "--sub-blocks", action="store_true", help="cut blocks in four where that is smaller"
    )
    seed.add_argument(
        "--least-chroma",
        type=_share,
        default=0.0,
        metavar="LEVELS",
        help="leave out chroma of blocks whose mean size in grey levels is below that (default 0)",
    )
    seed.add_argument("--soften", action="store_true", help="smooth differences before coding")
    seed.add_argument("--smooth", action="store_true", help="smooth where blocks meet")
    seed.add_argument(
        "--tags",
        choices=TAGS,
        default="stream",
        help="where blocks say what they are (default %(default)s)",
    )
    layer.set_defaults(
        command=command("layer", "layer_verbs"),
        of_pictures={name: layer.get_default(name) for name in _OF_PICTURES},
        of_own={name: layer.get_default(name) for name in _OF_OWN},
    )

    unlayer = commands.add_parser(
        "unlayer",
        help="layers to pictures of any of their sizes, OUT/<stem>.png, or to videos",
    )
    shell.add_files(
        unlayer, "layers", "<stem>_lowres files, .dfp packages or folders of them; or .mkv videos"
    )
    unlayer.add_argument(
        "--level", type=_count(0, 7), help="from 0, the base (default: the largest)"
    )
    unlayer.add_argument(
        "--agreed",
        type=_pair(256),
        metavar="MxN",
        help="columns and rows of blocks that do not say so",
    )
    unlayer.add_argument(
        "--offset", type=_count(0, 127), default=0, help="of such blocks, if they were clamped"
    )
    of_pictures = {name: unlayer.get_default(name) for name in ("level", "agreed", "offset")}
    unlayer.set_defaults(command=command("unlayer", "layer_verbs"), of_pictures=of_pictures)


def _share(text: str) -> float:
    value = number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected 0 or more, got {text}")
    return value


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _count(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = int(text) if _is_number(text) else -1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected {low} to {high}, got {text}")
        return value

    return read


def _pair(most: int) -> Callable[[str], tuple[int, int]]:
    def read(text: str) -> tuple[int, int]:
        first, x, second = text.lower().partition("x")
        across, down = (int(part) if _is_number(part) else 0 for part in (first, second))
        if not x or not (1 <= across <= most and 1 <= down <= most):
            raise argparse.ArgumentTypeError(f"expected two numbers to {most}, as 2x2, got {text}")
        return across, down

    return read


def _division(text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    sides = [side.split("+") for side in text.lower().split("x")]
    if len(sides) != 2 or not all(_is_number(one) for side in sides for one in side):
        raise argparse.ArgumentTypeError(f"expected 2x2 or 300+468x256+256, got {text}")
    columns, rows = (tuple(map(int, side)) for side in sides)
    if 0 in (*columns, *rows):
        raise argparse.ArgumentTypeError(f"expected parts of at least one, got {text}")
    return columns, rows
