"""Rendering that knows the picture: how strongly, where, and with which of several looks.

rendering = photo x (1 - degree) + looked x degree, US 2025/0252542 paragraph 172. The degree is
that of the scene, less on faces; where the template had looks for parts of it, each part takes
its own.

Axes: H W pixels, K category.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from codec.mapping import ColourMapping
from codec.render import render_mapping
from defilter.areas.segmenter import AreaMap
from defilter.faces import Face
from defilter.knowledge import Knowledge, network_view
from defilter.look import Look
from defilter.scene.similarity import SceneView

_ROWS_AT_ONCE = 64
_LEAST_WEIGHT = 0.02  # of an area; what has less counts as none


class Seen(NamedTuple):
    """What was found in a photo, and what follows.

    Attributes:
        degree: rendering degree outside faces.
        scene: of the photo, or None.
        faces: boxes.
        areas: the map of categories, or None.
        strength: of the user, or None.
    """

    degree: float
    scene: SceneView | None
    faces: list[Face]
    areas: AreaMap | None
    strength: float | None = None


def look_at(
    look: Look, pixels: Tensor, knowledge: Knowledge, strength: float | None = None
) -> Seen:
    """What a photo shows, and how strongly it should be rendered.

    Args:
        pixels: (3, H, W) uint8 or uint16.
        strength: of the user, who is right; None follows the scenes where both are known, else 1.
    """
    scene, areas, degree = None, None, 1.0 if strength is None else strength
    if knowledge.scene is not None or knowledge.areas is not None:
        small = network_view(pixels)
        areas = None if knowledge.areas is None else knowledge.areas(small)
        if knowledge.scene is not None:
            (scene,) = knowledge.scene.look_at(small[None])
            if strength is None and look.scene is not None:
                degree = knowledge.scene.similarity(look.scene, scene)
    faces = knowledge.faces(pixels) if knowledge.faces is not None else []
    return Seen(degree, scene, faces, areas, strength)


def describe(seen: Seen, look: Look) -> str:
    """One line for people: the degree and why, faces, areas; empty where nothing was seen."""
    parts = []
    if seen.strength is not None:
        parts.append(f"degree {seen.degree:.2f} (as asked)")
    elif seen.scene is not None:
        found = f"{seen.scene.name} {seen.scene.confidence:.0%}"
        if look.scene is not None:
            found += f", template: {look.scene.name} {look.scene.confidence:.0%}"
        parts.append(f"degree {seen.degree:.2f} ({found})")
    if seen.faces:
        parts.append(f"{len(seen.faces)} face{'s' if len(seen.faces) > 1 else ''} kept")
    own = [] if seen.areas is None else [n for n in seen.areas.shares() if n in look.categories]
    if own:
        parts.append(f"own looks: {', '.join(own)}")
    return "; ".join(parts)


def degree_map(seen: Seen, knowledge: Knowledge, height: int, width: int) -> Tensor:
    """(H, W) float32 rendering degree of every pixel."""
    protection = knowledge.protection
    if knowledge.literal:
        most = 1.0 if seen.strength is None else seen.strength
        level = protection.literal_levels(seen.faces, height, width)
        return torch.where(level > 0, most * (1 - level), seen.degree)
    return seen.degree * (1 - protection.levels(seen.faces, height, width))


def render(look: Look, pixels: Tensor, seen: Seen, knowledge: Knowledge) -> Tensor:
    """(3, H, W) uint8 or uint16 with the look, as `seen` says."""
    own = {} if seen.areas is None else _looks_of(look, seen.areas)
    if own and seen.areas is not None:
        looked = _render_areas(look, pixels, own, seen.areas, 1.0 if seen.faces else seen.degree)
        if not seen.faces:
            return looked
    elif not seen.faces:
        return look.render(pixels, seen.degree)
    else:
        looked = look.render(pixels)
    height, width = pixels.shape[1:]
    return blend(pixels, looked, degree_map(seen, knowledge, height, width))


def _looks_of(look: Look, areas: AreaMap) -> dict[int, ColourMapping]:
    """By number of the category: looks of parts that the photo may have, too (Fig. 10)."""
    return {
        number: look.categories[name]
        for number, name in enumerate(areas.categories)
        if name in look.categories
    }


def _render_areas(
    look: Look, pixels: Tensor, own: dict[int, ColourMapping], areas: AreaMap, degree: float
) -> Tensor:
    """Each part with its look, the others with the whole one; soft borders."""
    height, width = pixels.shape[1:]
    done = []
    for top in range(0, height, _ROWS_AT_ONCE):
        rows = slice(top, min(height, top + _ROWS_AT_ONCE))
        strip = pixels[:, rows]
        weights = areas.enlarged(height, width, rows)[list(own)]
        weights = ((weights - _LEAST_WEIGHT) / (1 - _LEAST_WEIGHT)).clamp(min=0)
        used = [
            (weight, mapping)
            for weight, mapping in zip(weights, own.values(), strict=True)
            if float(weight.max()) > 0
        ]
        rest = (1 - sum((weight for weight, _ in used), torch.zeros(()))).clamp(min=0)
        total = look.render(strip, degree).float() * rest
        for weight, mapping in used:
            total += render_mapping(strip, mapping, degree).float() * weight
        done.append(total.round().clamp(0, torch.iinfo(pixels.dtype).max).to(pixels.dtype))
    return torch.cat(done, 1)


def blend(photo: Tensor, looked: Tensor, degree: Tensor) -> Tensor:
    """photo x (1 - degree) + looked x degree for (3, H, W) integers and a map (H, W)."""
    done = []
    for top in range(0, photo.shape[1], _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        x, y = photo[:, rows].float(), looked[:, rows].float()
        done.append((x + degree[rows] * (y - x)).round().to(photo.dtype))
    return torch.cat(done, 1)
