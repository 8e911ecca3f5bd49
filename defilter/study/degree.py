"""Whether looks arrive: degrees between unrelated photos, and black-and-white templates.

Axes: C channel, H W pixels.
"""

import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from codec.pictures.apply import render_lut
from codec.pictures.colour import luma
from codec.pictures.folders import list_pictures
from codec.pictures.lut_files import load_lut
from codec.pictures.picture_files import Picture, read_picture, to_dtype, write_picture
from codec.report import Report, save_tables
from defilter.analysis import default_analysers, reduced_for_networks
from defilter.monochrome import tint_of, tone_samples
from defilter.render import WEAK
from defilter.scene.similarity import load_scene_comparer
from defilter.verbs import apply_look, extract


def run(folders: Mapping[str, Any], pairs: int, out: str) -> Report:
    """Measure both.

    Args:
        folders: `photos` has the photos that pairs are drawn from, `kodak` those that become grey
            templates, `looks` are folders of HALD looks, of which `bw-*` make them grey.
        pairs: of photos, each photo in at most one.
        out: folder for the results.
    """
    photos = [path for path, _ in list_pictures([folders["photos"]])]
    if len(photos) < 2 * pairs:
        raise ValueError(f"{folders['photos']}: expected {2 * pairs} photos, found {len(photos)}")
    drawn = random.Random(0).sample(photos, 2 * pairs)
    comparer = load_scene_comparer()
    scenes = [
        comparer.descriptors(reduced_for_networks(read_picture(path).pixels)[None])[0]
        for path in tqdm(drawn, desc="scenes", disable=None)
    ]
    rows = []
    for name, one in (("default", comparer), ("literal", comparer.literally())):
        degrees = [one.degree(*pair) for pair in zip(scenes[::2], scenes[1::2], strict=True)]
        rows.append(_degree_row(name, torch.tensor(degrees)))
    grey = [path.name for path in tqdm(photos, desc="grey", disable=None) if _is_monochrome(path)]
    sections = {
        f"Degrees of {pairs} pairs of unrelated photos": rows,
        "Grey templates": _grey_templates(folders),
        "Photos that are called monochrome": [
            {"photos": str(len(photos)), "monochrome": str(len(grey))}
        ],
    }
    return save_tables("degree", sections, out, monochrome=grey)


def _degree_row(name: str, degrees: Tensor) -> dict[str, str]:
    low, middle, high = degrees.quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
    return {
        "degree": name,
        "smallest": f"{float(degrees.min()):.2f}",
        "quartiles": f"{low:.2f}, {middle:.2f}, {high:.2f}",
        f"below {WEAK}": f"{100 * float((degrees < WEAK).double().mean()):.0f} %",
    }


def _is_monochrome(path: Path) -> bool:
    return tint_of([tone_samples(read_picture(path).floats())]) is not None


def _grey_templates(folders: Mapping[str, Any]) -> list[dict[str, str]]:
    """How many are recognised, and the largest and mean range of channels that renderings have."""
    analysers = default_analysers(areas=False, saliency=False)
    rows = []
    photos = [read_picture(path) for path, _ in list_pictures([folders["kodak"]])]
    for kind, make in _ways_to_grey(folders["looks"]):
        recognised, most, mean, weakest = 0, 0.0, 0.0, 1.0
        for number, photo in enumerate(tqdm(photos, desc=kind, disable=None)):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "template.png"
                write_picture(Picture(make(number, photo.pixels)), path)
                look = extract([path], analysers=analysers).look
            recognised += look.tone is not None
            done = apply_look(look, None, analysers)(photos[(number + 7) % len(photos)])
            left = (done.picture.pixels.int().amax(0) - done.picture.pixels.int().amin(0)).float()
            most, mean = max(most, float(left.max())), mean + float(left.mean()) / len(photos)
            assert done.analysis is not None
            weakest = min(weakest, done.analysis.degree)
        rows.append(
            {
                "template": kind,
                "recognised": f"{recognised} of {len(photos)}",
                "chroma left, of 255": f"{mean:.2f} (most {most:.0f})",
                "smallest degree": f"{weakest:.2f}",
            }
        )
    return rows


def _ways_to_grey(
    looks: list[str],
) -> Iterator[tuple[str, Callable[[int, Tensor], Tensor]]]:
    """How photos (3, H, W) uint8 become grey, by name; the number chooses among looks."""
    films = [p for folder in looks for p in sorted(Path(folder).glob("bw-*.png"))]
    if not films:
        raise ValueError("expected folders.looks with HALD looks that begin with bw-, found none")

    def through_film(number: int, pixels: Tensor) -> Tensor:
        return render_lut(pixels, load_lut(films[number * len(films) // 24 % len(films)]))

    def one_channel(number: int, pixels: Tensor) -> Tensor:
        return to_dtype(luma(pixels / 255), torch.uint8)

    yield "desaturated", lambda n, x: one_channel(n, x).expand(3, -1, -1)
    yield "black-and-white film", through_film
    yield "file of one channel", one_channel
