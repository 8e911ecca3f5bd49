"""What was seen in a photo, as pictures and numbers: for the report, and as files in OUT/maps.

Axes: H W pixels of a map.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from codec.image_io import quantise, write_atomically, write_pixels
from defilter.areas.colours import PALETTE, paint
from defilter.knowledge import Knowledge
from defilter.look import Look
from defilter.rendering import Seen, degree_map, describe

MAP_SIDE = 1024  # longest side of the maps


class Area(NamedTuple):
    """A category of a photo: its share, its colour (3,) in the map, if it has a look of its own."""

    name: str
    share: float
    colour: Tensor
    own_look: bool


class Evidence(NamedTuple):
    """What was seen.

    Attributes:
        note: for people.
        strength: rendering degree outside faces.
        numbers: more, as JSON values.
        faces: left, top, width, height of each, as shares of the photo's sides.
        degree: (H, W) in [0, 1], or None where it is in its file alone.
        area_map: (3, H, W) in [0, 1], or None.
        areas: what the colours of the map stand for.
    """

    note: str
    strength: float
    numbers: dict[str, object]
    faces: list[tuple[float, float, float, float]]
    degree: Tensor | None
    area_map: Tensor | None
    areas: list[Area]


def gather(seen: Seen, look: Look, knowledge: Knowledge, height: int, width: int) -> Evidence:
    """Evidence of a photo of that size."""
    scale = min(1.0, MAP_SIDE / max(height, width))
    size = [max(1, round(n * scale)) for n in (height, width)]
    faces = [
        face._replace(left=face.left * scale, top=face.top * scale,
                      width=face.width * scale, height=face.height * scale)
        for face in seen.faces
    ]  # fmt: skip
    protection = replace(knowledge.protection, least_side=knowledge.protection.least_side * scale)
    degree = degree_map(
        seen._replace(faces=faces), replace(knowledge, protection=protection), *size
    )
    areas, area_map = [], None
    if seen.areas is not None:
        area_map = paint(seen.areas.labels(*size)[None])[0]
        areas = [
            Area(name, share, PALETTE[min(seen.areas.categories.index(name), len(PALETTE) - 1)],
                 name in look.categories)
            for name, share in seen.areas.shares().items()
        ]  # fmt: skip
    numbers: dict[str, object] = {
        "degree": seen.degree,
        "mean_degree": float(degree.mean()),
        "scene": None if seen.scene is None else [seen.scene.name, seen.scene.confidence],
        "template_scene": None if look.scene is None else [look.scene.name, look.scene.confidence],
        "faces": [face._asdict() for face in seen.faces],
        "areas": {area.name: area.share for area in areas},
    }
    boxes = [
        (f.left / width, f.top / height, f.width / width, f.height / height) for f in seen.faces
    ]
    return Evidence(describe(seen, look), seen.degree, numbers, boxes, degree, area_map, areas)


def without_maps(evidence: Evidence) -> Evidence:
    """What is kept of photos that the page only links to: there may be thousands."""
    return evidence._replace(degree=None, area_map=None)


def write_maps(evidence: Evidence, path: Path) -> None:
    """PATH.degree.png (grey, 255 is degree 1), PATH.areas.png (in colours) and PATH.json."""
    for name, drawn in {"degree": evidence.degree, "areas": evidence.area_map}.items():
        target = path.with_name(f"{path.name}.{name}.png")
        if drawn is None:
            target.unlink(missing_ok=True)  # of an earlier run
        else:
            write_pixels(target, quantise(drawn.expand(3, -1, -1), torch.uint8))
    text = json.dumps(evidence.numbers, indent=1, ensure_ascii=False)
    write_atomically(path.with_name(f"{path.name}.json"), f"{text}\n".encode())
