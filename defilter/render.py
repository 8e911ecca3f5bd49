"""Rendering that knows the picture: how strongly, where, and with which of several looks.

rendering = photo x (1 - degree) + rendered x degree, US 2025/0252542 paragraph 172. The degree is
that of the scene, less on faces; where the template had looks for parts of it, each part takes
its own.

Axes: H W pixels, K category.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from codec.pictures.apply import render_mapping
from codec.pictures.mapping import ColourMapping
from defilter.analysis import Analysers, reduced_for_networks
from defilter.areas.segmenter import AreaMap
from defilter.faces import Face
from defilter.look import Look
from defilter.scene.similarity import SceneDescriptor

_ROWS_AT_ONCE = 64
_LEAST_WEIGHT = 0.02  # of an area: smaller weights are treated as 0, which spares most looks
WEAK = 0.6  # of a typical look, 7 dE2000 at degree 1, about 4 are left: people are told a way out


class Analysis(NamedTuple):
    """What was found in a photo, and how strongly it is rendered for it.

    Attributes:
        degree: rendering degree outside faces.
        scene: of the photo, or None.
        faces: boxes.
        areas: the map of categories, or None.
        strength: what the user asked for, or None.
    """

    degree: float
    scene: SceneDescriptor | None
    faces: list[Face]
    areas: AreaMap | None
    strength: float | None = None


def analyse(
    look: Look, pixels: Tensor, analysers: Analysers, strength: float | None = None
) -> Analysis:
    """What a photo shows, and how strongly it should be rendered.

    Args:
        pixels: (3, H, W) uint8 or uint16.
        strength: what the user asks for, which overrules everything; None follows the scenes where
            those of template and photo are known, else 1.
    """
    scene, areas, degree = None, None, 1.0 if strength is None else strength
    if analysers.scene is not None or analysers.areas is not None:
        small = reduced_for_networks(pixels)
        areas = None if analysers.areas is None else analysers.areas(small)
        if analysers.scene is not None:
            (scene,) = analysers.scene.descriptors(small[None])
            if strength is None and look.scene is not None:
                degree = analysers.scene.degree(look.scene, scene)
    faces = analysers.faces(pixels) if analysers.faces is not None else []
    return Analysis(degree, scene, faces, areas, strength)


def describe(analysis: Analysis, look: Look) -> str:
    """One line for people: the degree and why, faces, areas with looks of their own."""
    why = _reason(analysis, look)
    parts = [f"degree {analysis.degree:.2f}{f' ({why})' if why else ''}"]
    if analysis.degree < WEAK and analysis.strength is None:
        parts.append("--strength 1 overrules it")
    if analysis.faces:
        parts.append(f"{len(analysis.faces)} face{'s' if len(analysis.faces) > 1 else ''} kept")
    own = (
        []
        if analysis.areas is None
        else [n for n in analysis.areas.shares() if n in look.categories]
    )
    if own:
        parts.append(f"own looks: {', '.join(own)}")
    return "; ".join(parts)


def _reason(analysis: Analysis, look: Look) -> str:
    """Where the degree comes from."""
    if analysis.strength is not None:
        return "as asked"
    if look.is_monochrome():
        return "a look without colour"
    if analysis.scene is None:
        return ""
    found = f"{analysis.scene.name} {analysis.scene.confidence:.0%}"
    if look.scene is None:
        return found
    return f"{found}, template: {look.scene.name} {look.scene.confidence:.0%}"


def degree_map(analysis: Analysis, analysers: Analysers, height: int, width: int) -> Tensor:
    """(H, W) float32 rendering degree of every pixel."""
    protection = analysers.protection
    if analysers.literal:
        most = 1.0 if analysis.strength is None else analysis.strength
        level = protection.literal_levels(analysis.faces, height, width)
        return torch.where(level > 0, most * (1 - level), analysis.degree)
    return analysis.degree * (1 - protection.levels(analysis.faces, height, width))


def render(look: Look, pixels: Tensor, analysis: Analysis, analysers: Analysers) -> Tensor:
    """(3, H, W) uint8 or uint16 with the look, as `analysis` says."""
    own = {} if analysis.areas is None else _looks_of(look, analysis.areas)
    if own and analysis.areas is not None:
        rendered = _render_areas(
            look, pixels, own, analysis.areas, 1.0 if analysis.faces else analysis.degree
        )
        if not analysis.faces:
            return rendered
    elif not analysis.faces:
        return look.render(pixels, analysis.degree)
    else:
        rendered = look.render(pixels)
    height, width = pixels.shape[1:]
    return blend(pixels, rendered, degree_map(analysis, analysers, height, width))


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


def blend(photo: Tensor, rendered: Tensor, degree: Tensor) -> Tensor:
    """photo x (1 - degree) + rendered x degree for (3, H, W) integers and a map (H, W)."""
    done = []
    for top in range(0, photo.shape[1], _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        x, y = photo[:, rows].float(), rendered[:, rows].float()
        done.append((x + degree[rows] * (y - x)).round().to(photo.dtype))
    return torch.cat(done, 1)
