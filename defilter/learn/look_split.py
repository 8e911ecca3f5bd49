"""Which looks are for training, which for choosing models, and which are seen once, at the end.

Variants of one look are near-duplicates, so whole families go to one split. `look_split.json` was
written by `evaluate.py fit=look_split` before the first training, and is never edited by hand.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from torch import Tensor

from codec.pictures.lut import identity_lut
from codec.pictures.lut_files import load_lut
from codec.pictures.storage import output_path, write_atomically
from codec.report import Report

SPLIT_FILE = Path(__file__).with_name("look_split.json")
SPLITS = ("train", "val", "test")
TEST_SHARE, VAL_SHARE = 0.2, 0.15  # of the families
SALT = 2  # the first that puts film of several makers into each split
MONOCHROME_CHROMA = 0.25  # a look that keeps less of the colour than this is monochrome
FILM_MAKER = re.compile(r"(bw-)?(agfa|ilford|kodak|polaroid|rollei)-", re.IGNORECASE)


def family(name: str) -> str:
    """Family of a look, from its file name.

    Film: maker and line, so that `Kodak-Portra-160-NC-2` and `Kodak-Portra-400-VC-3-+` share one.
    Others: the letters of the name, so that `TealOrange1` and `tealorange_1` share one.
    """
    if FILM_MAKER.match(name):
        return "-".join(name.lower().split("-")[: 3 if name.startswith("bw-") else 2])
    return re.sub(r"[^a-z]+", "", name.lower()) or name.lower()


@cache
def split_table() -> dict[str, list[str]]:
    """Look names by `train`, `val`, `test`, and the same with `_monochrome`."""
    table: dict[str, list[str]] = json.loads(SPLIT_FILE.read_text(encoding="utf-8"))
    return table


def in_split(name: str, split: str, monochrome: bool) -> bool:
    """Whether a look belongs to a split.

    Looks that are not in the list are for training, but for about one in ten, which validate.

    Args:
        name: file name without its extension.
        split: `train`, `val` or `test`.
        monochrome: whether looks without colour count.
    """
    if split not in SPLITS:
        raise ValueError(f"expected a split out of {', '.join(SPLITS)}, got {split!r}")
    for key, names in split_table().items():
        if name in names:
            return key == split or (monochrome and key == f"{split}_monochrome")
    digest = hashlib.sha256(name.encode()).digest()
    return split == ("val" if digest[0] < 26 else "train")


def relative_chroma(table: Tensor) -> float:
    """Mean spread of the channels after the look, relative to before, over the grid of a LUT.

    Args:
        table: (3, D, D, D), as `codec.pictures.lut` lays it out.
    """
    after, before = table.clamp(0, 1), identity_lut(table.shape[-1])
    return float((after.amax(0) - after.amin(0)).mean() / (before.amax(0) - before.amin(0)).mean())


def assign_families(families: set[str]) -> dict[str, str]:
    """Family -> split, a fixed share of each kind (film, monochrome film, the rest) to each."""
    kinds: dict[str, list[str]] = {"film": [], "bw": [], "named": []}
    for name in families:
        kinds["bw" if name.startswith("bw-") else "film" if "-" in name else "named"].append(name)
    splits = {}
    for members in kinds.values():
        members.sort(key=lambda name: hashlib.sha256(f"{SALT} {name}".encode()).hexdigest())
        first_val = round(TEST_SHARE * len(members))
        first_train = first_val + round(VAL_SHARE * len(members))
        for rank, name in enumerate(members):
            splits[name] = "test" if rank < first_val else "val" if rank < first_train else "train"
    return splits


def run(folders: Mapping[str, Sequence[str]], out: str) -> Report:
    """Assign every HALD look of the folders to a split.

    Args:
        folders: `looks` are folders of HALD PNG files.
        out: JSON to write; `shipped` is defilter's own, which is never to change.
    """
    paths = [path for folder in folders["looks"] for path in sorted(Path(folder).glob("*.png"))]
    splits = assign_families({family(path.stem) for path in paths})
    table: dict[str, list[str]] = {s + kind: [] for kind in ("", "_monochrome") for s in SPLITS}
    for path in paths:
        colourless = relative_chroma(load_lut(path)) < MONOCHROME_CHROMA
        table[splits[family(path.stem)] + ("_monochrome" if colourless else "")].append(path.stem)
    target = output_path(out, SPLIT_FILE)
    text = json.dumps(table, indent=1, ensure_ascii=False) + "\n"
    write_atomically(target, text.encode())
    return Report(f"{len(paths)} looks, {target}", [])
