"""The everyday verbs on pictures: extract a look, apply it, remove one."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from codec.pictures.apply import render_mapping
from codec.pictures.folders import list_pictures
from codec.pictures.picture_files import Picture, PictureError, read_picture
from codec.pictures.resize import PRESET_SIZE, squash
from defilter.analysis import (
    Analysers,
    analysers_for,
    default_analysers,
    default_segmenter,
    reduced_for_networks,
)
from defilter.areas.looks import area_looks
from defilter.areas.segmenter import AreaMap
from defilter.extraction import (
    FIT_SIZE,
    Extraction,
    PairFit,
    fit_pair,
    inverse_mapping,
    look_from_pair,
    look_from_templates,
)
from defilter.look import Look
from defilter.monochrome import tint_of, tone_samples
from defilter.networks import LookNetwork, default_network
from defilter.render import Analysis, analyse, render
from defilter.sampling import UnusableTemplate, usable_pixels
from defilter.scene.similarity import SceneDescriptor, pool_descriptors
from defilter.weights import fingerprint

logger = logging.getLogger(__name__)

PathLike = Path | str


class Converted(NamedTuple):
    """A picture, and what was seen in the one that it was made of."""

    picture: Picture
    analysis: Analysis | None = None


class _Template(NamedTuple):
    """What is kept of a template: squashed (3, S, S), and what was seen in it."""

    path: Path
    squashed: Tensor
    tones: Tensor
    scene: SceneDescriptor | None
    areas: AreaMap | None
    salient: Tensor | None


def extract(
    templates: Sequence[PathLike],
    network: LookNetwork | None = None,
    analysers: Analysers | None = None,
) -> Extraction:
    """Take the look of one or several pictures.

    A template that cannot be used is reported in the log and left out.

    Args:
        templates: files or folders, all with one look; several make the look more certain.
        network: None is the one that ships.
        analysers: what to look for in the templates: their scene, areas with looks of their own,
            salient targets; None is everything.

    Raises:
        ValueError: no template is left; the message says why.
    """
    network = network or default_network()
    analysers = default_analysers() if analysers is None else analysers
    if not network.samples_pairs:
        analysers = replace(analysers, saliency=None)
    seen = _usable_templates(templates, analysers)
    paths, squashed, tones, scenes, areas, salient = (list(x) for x in zip(*seen, strict=True))
    told = network.categories and analysers.areas is not None
    extraction = look_from_templates(
        network,
        squashed,
        areas=[_category_weights(one) for one in areas] if told else None,
        masks=None if analysers.saliency is None else salient,
        tint=tint_of(tones),
    )
    own = {}
    if analysers.areas is not None:
        own = area_looks(network, extraction, squashed, areas, analysers.graded_in_parts)
    look = replace(
        extraction.look,
        provenance={"templates": [p.name for p in paths], "network": fingerprint(network)},
        scene=None if analysers.scene is None else pool_descriptors(scenes),
        categories=own,
    )
    return extraction._replace(look=look, templates=tuple(paths))


def _usable_templates(templates: Sequence[PathLike], analysers: Analysers) -> list[_Template]:
    """Those that a look can be taken from, at least one; the log names the others."""
    usable, failures = [], []
    for path, _ in list_pictures(templates):
        try:
            usable.append(_analyse_template(read_picture(path), path, analysers))
        except UnusableTemplate as error:
            failures.append(f"{path}: {error}")
        except PictureError as error:
            failures.append(str(error))
    if not usable:
        raise UnusableTemplate("; ".join(failures))
    for failure in failures:
        logger.warning("left out: %s", failure)
    return usable


def _analyse_template(picture: Picture, path: Path, analysers: Analysers) -> _Template:
    floats = picture.floats()
    squashed = squash(floats[None], PRESET_SIZE)
    usable_pixels(squash(squashed, FIT_SIZE)[0])
    small = reduced_for_networks(picture.pixels)
    scene, areas, salient = None, None, None
    if analysers.scene is not None:
        (scene,) = analysers.scene.descriptors(small[None])
    if analysers.areas is not None:
        areas = analysers.areas(small).compact(PRESET_SIZE)
    if analysers.saliency is not None:
        salient = analysers.saliency(small).inside("salient", PRESET_SIZE, PRESET_SIZE)
    return _Template(path, squashed[0], tone_samples(floats), scene, areas, salient)


def _category_weights(areas: AreaMap) -> Tensor:
    """(K, FIT_SIZE, FIT_SIZE), as networks are told them."""
    return areas.enlarged(FIT_SIZE, FIT_SIZE, slice(0, FIT_SIZE))


def extract_pair(before: PathLike, after: PathLike, fit: PairFit = fit_pair) -> Extraction:
    """Take the look between one picture before and after (pair mode).

    Args:
        before: the picture without the look.
        after: the same picture with it.
        fit: `fit_pair`, or `fit_rough_pair` for pictures that were also retouched.

    Raises:
        ValueError: a file that cannot be read, pictures of two shapes, nothing to fit.
    """
    provenance = {"before": Path(before).name, "templates": [Path(after).name]}
    clean, filtered = (read_picture(path).floats() for path in (before, after))
    try:
        return look_from_pair(clean, filtered, fit, provenance=provenance)
    except ValueError as error:
        raise type(error)(f"{after}: {error}") from error


def apply(
    look: Look,
    picture: Picture,
    strength: float | None = None,
    analysers: Analysers | None = None,
) -> Picture:
    """A picture with a look; it keeps its bit depth, alpha, EXIF and orientation.

    Args:
        strength: rendering degree, 0 (as it was) to 1; None follows the scenes where they are
            known, else 1.
        analysers: what to look for in the picture, such as faces to protect; None is what the
            look can use, see `analysers_for`.
    """
    return apply_look(look, strength, analysers)(picture).picture


def remove(picture: Picture, network: LookNetwork | None = None) -> Picture:
    """A picture without its look, at full resolution; a network of Fig. 3 is told the areas."""
    network, areas = network or default_network(), None
    if network.categories:
        areas = _category_weights(default_segmenter()(reduced_for_networks(picture.pixels)))
    mapping = inverse_mapping(network, picture.floats(), areas)
    return picture.with_pixels(render_mapping(picture.pixels, mapping))


def apply_look(
    look: Look, strength: float | None = None, analysers: Analysers | None = None
) -> Callable[[Picture], Converted]:
    """`apply` with its look, as a function of the picture alone."""
    fitting = (analysers_for(look) if analysers is None else analysers).fitting(look)

    def convert(picture: Picture) -> Converted:
        analysis = analyse(look, picture.pixels, fitting, strength)
        return Converted(
            picture.with_pixels(render(look, picture.pixels, analysis, fitting)), analysis
        )

    return convert
