"""What was found in a photo, as pictures and numbers: for the report, and as files in OUT/maps.

Axes: H W pixels of a map.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from codec.pictures.picture_files import to_dtype, write_pixels
from codec.pictures.storage import write_atomically
from defilter.analysis import Analysers
from defilter.areas.colours import colour_of, paint
from defilter.look import Look
from defilter.render import Analysis, degree_map, describe

MAP_SIDE = 1024  # longest side of the maps


class Area(NamedTuple):
    """A category of a photo: its share, its colour (3,) in the map, if it has a look of its own."""

    name: str
    share: float
    colour: Tensor
    own_look: bool


class PhotoMaps(NamedTuple):
    """What was found in a photo, to be shown.

    Attributes:
        note: for people.
        degree: rendering degree outside faces.
        numbers: more, as JSON values.
        faces: left, top, width, height of each, as shares of the photo's sides.
        degree_map: (H, W) in [0, 1], or None where it is in its file alone.
        area_map: (3, H, W) in [0, 1], or None.
        areas: what the colours of the map stand for.
    """

    note: str
    degree: float
    numbers: dict[str, object]
    faces: list[tuple[float, float, float, float]]
    degree_map: Tensor | None
    area_map: Tensor | None
    areas: list[Area]


def gather(
    analysis: Analysis, look: Look, analysers: Analysers, height: int, width: int
) -> PhotoMaps:
    """Maps of a photo of that size."""
    scale = min(1.0, MAP_SIDE / max(height, width))
    size = [max(1, round(n * scale)) for n in (height, width)]
    faces = [
        face._replace(
            left=face.left * scale,
            top=face.top * scale,
            width=face.width * scale,
            height=face.height * scale,
        )
        for face in analysis.faces
    ]
    protection = replace(analysers.protection, least_side=analysers.protection.least_side * scale)
    degree = degree_map(
        analysis._replace(faces=faces), replace(analysers, protection=protection), *size
    )
    areas, area_map = [], None
    if analysis.areas is not None:
        categories = analysis.areas.categories
        area_map = paint(analysis.areas.labels(*size)[None])[0]
        areas = [
            Area(name, share, colour_of(categories.index(name)), name in look.categories)
            for name, share in analysis.areas.shares().items()
        ]
    numbers: dict[str, object] = {
        "degree": analysis.degree,
        "mean_degree": float(degree.mean()),
        "scene": None
        if analysis.scene is None
        else [analysis.scene.name, analysis.scene.confidence],
        "template_scene": None if look.scene is None else [look.scene.name, look.scene.confidence],
        "faces": [face._asdict() for face in analysis.faces],
        "areas": {area.name: area.share for area in areas},
    }
    boxes = [
        (f.left / width, f.top / height, f.width / width, f.height / height) for f in analysis.faces
    ]
    return PhotoMaps(
        describe(analysis, look), analysis.degree, numbers, boxes, degree, area_map, areas
    )


def without_maps(maps: PhotoMaps) -> PhotoMaps:
    """What is kept of photos that the page only links to: there may be thousands."""
    return maps._replace(degree_map=None, area_map=None)


def write_maps(maps: PhotoMaps, path: Path) -> None:
    """PATH.degree.png (grey, 255 is degree 1), PATH.areas.png (in colours) and PATH.json."""
    for name, drawn in {"degree": maps.degree_map, "areas": maps.area_map}.items():
        target = path.with_name(f"{path.name}.{name}.png")
        if drawn is None:
            target.unlink(missing_ok=True)  # of an earlier run
        else:
            write_pixels(target, to_dtype(drawn.expand(3, -1, -1), torch.uint8))
    text = json.dumps(maps.numbers, indent=1, ensure_ascii=False)
    write_atomically(path.with_name(f"{path.name}.json"), f"{text}\n".encode())
