"""The everyday verbs: extract a look, apply it, remove one, transfer one. Files in, files out.

The same functions stand behind `python -m defilter`, the studies and the notebooks.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn
from tqdm import tqdm

from codec.pictures.apply import render_mapping
from codec.pictures.folders import list_pictures
from codec.pictures.picture_files import Picture, PictureError, read_picture, write_picture
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
from defilter.extract import (
    FIT_SIZE,
    Extraction,
    PairFit,
    fit_pair,
    inverse_mapping,
    look_from_pair,
    look_from_templates,
)
from defilter.global_look import GlobalLook
from defilter.look import Look
from defilter.render import Analysis, analyse, describe, render
from defilter.sampling import UnusableTemplate, usable_pixels
from defilter.scene.similarity import SceneDescriptor, pool_descriptors
from defilter.unet import AreaDefilterUNet
from defilter.video import is_video, render_video
from defilter.weights import default_network, fingerprint

logger = logging.getLogger(__name__)

PathLike = Path | str


class Rendered(NamedTuple):
    """What became of a set of photos.

    Attributes:
        written: (photo, rendering) of each that worked.
        failures: one sentence for each that did not.
        notes: what was seen in each that worked, and how strongly it was rendered.
    """

    written: list[tuple[Path, Path]]
    failures: list[str]
    notes: list[str]


class Converted(NamedTuple):
    """A picture, and what was seen in the one that it was made of."""

    picture: Picture
    analysis: Analysis | None = None


class Done(NamedTuple):
    """What became of one photo; `failure` is empty if it worked."""

    source: Path
    target: Path
    analysis: Analysis | None
    failure: str


class _Template(NamedTuple):
    """What is kept of a template: squashed (3, S, S), and what was seen in it."""

    name: str
    squashed: Tensor
    scene: SceneDescriptor | None
    areas: AreaMap | None
    salient: Tensor | None


def extract(
    templates: Sequence[PathLike],
    network: nn.Module | None = None,
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
    if isinstance(network, GlobalLook):  # takes no samples
        analysers = replace(analysers, saliency=None)
    usable, failures = [], []
    for path, _ in list_pictures(templates):
        try:
            usable.append(_analyse_template(read_picture(path), path.name, analysers))
        except UnusableTemplate as error:
            failures.append(f"{path}: {error}")
        except PictureError as error:
            failures.append(str(error))
    if not usable:
        raise UnusableTemplate("; ".join(failures))
    for failure in failures:
        logger.warning("left out: %s", failure)
    names, squashed, scenes, areas, salient = (list(x) for x in zip(*usable, strict=True))
    extraction = look_from_templates(
        network,
        squashed,
        masks=None if analysers.saliency is None else salient,
        labels=[_told(network, x) for x in areas]
        if isinstance(network, AreaDefilterUNet) and analysers.areas is not None
        else None,
        provenance={"templates": names, "network": fingerprint(network)},
    )
    look = replace(
        extraction.look,
        scene=None if analysers.scene is None else pool_descriptors(scenes),
        categories={}
        if analysers.areas is None
        else area_looks(network, extraction, squashed, areas, analysers.graded_in_parts),
    )
    return extraction._replace(look=look)


def _analyse_template(picture: Picture, name: str, analysers: Analysers) -> _Template:
    squashed = squash(picture.floats()[None], PRESET_SIZE)
    usable_pixels(squash(squashed, FIT_SIZE)[0])
    small = reduced_for_networks(picture.pixels)
    scene, areas, salient = None, None, None
    if analysers.scene is not None:
        (scene,) = analysers.scene.descriptors(small[None])
    if analysers.areas is not None:
        areas = analysers.areas(small).compact(PRESET_SIZE)
    if analysers.saliency is not None:
        salient = analysers.saliency(small).inside("salient", PRESET_SIZE, PRESET_SIZE)
    return _Template(name, squashed[0], scene, areas, salient)


def _told(network: AreaDefilterUNet, areas: AreaMap) -> Tensor:
    """(FIT_SIZE, FIT_SIZE) categories for a network of Fig. 3.

    Raises:
        ValueError: it was trained with other categories.
    """
    if network.categories != len(areas.categories):
        raise ValueError(
            f"expected the {network.categories} categories that the network was trained with, got "
            f"{', '.join(areas.categories)}"
        )
    return areas.labels(FIT_SIZE, FIT_SIZE)


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


def remove(picture: Picture, network: nn.Module | None = None) -> Picture:
    """A picture without its look, at full resolution; a network of Fig. 3 is told the areas."""
    network, labels = network or default_network(), None
    if isinstance(network, AreaDefilterUNet):
        labels = _told(network, default_segmenter()(reduced_for_networks(picture.pixels)))
    mapping = inverse_mapping(network, picture.floats(), labels=labels)
    return picture.with_pixels(render_mapping(picture.pixels, mapping))


def apply_to_files(
    look: Look,
    photos: Sequence[PathLike],
    out: PathLike,
    strength: float | None = None,
    analysers: Analysers | None = None,
) -> Rendered:
    """Render files and folders into a folder; names and paths below given folders are kept.

    Videos, which become OUT/<stem>.mp4, are taken where they are named themselves. A broken file
    is reported and costs the others nothing.

    Raises:
        ValueError: nothing to do, two inputs with one name, or an output would overwrite an input.
        OSError: the folder cannot be written.
    """
    videos = [Path(path) for path in photos if is_video(path)]
    rest = [path for path in photos if Path(path) not in videos]
    targets = [Path(out) / f"{source.stem}.mp4" for source in videos]
    taken: dict[Path, Path] = {}
    for source, target in zip(videos, targets, strict=True):
        if target in taken:
            raise ValueError(f"{source} and {taken[target]}: two videos would become {target}")
        taken[target] = source
    analysers = (analysers_for(look) if analysers is None else analysers).fitting(look)
    result = Rendered([], [], [])
    if rest or not videos:
        plan = plan_outputs(rest, out)
        result = convert_planned(plan, apply_look(look, strength, analysers), look)
    for source, target in zip(videos, targets, strict=True):
        try:
            done = render_video(look, source, target, analysers, strength)
        except Exception as error:  # whatever one file does, the others are still done
            result.failures.append(_sentence(source, error))
            continue
        if done.note:
            result.failures.append(f"{source}: {done.note}; {done.frames} frames are in {target}")
            continue
        result.written.append((source, target))
        if analysers.scene is not None:
            low, high = done.degrees
            result.notes.append(f"{target}: degrees {low:.2f} to {high:.2f}")
    return result


def remove_from_files(
    photos: Sequence[PathLike], out: PathLike, network: nn.Module | None = None
) -> Rendered:
    """De-filter files and folders into a folder; see `apply_to_files`."""
    network = network or default_network()
    plan = plan_outputs(photos, out)
    return convert_planned(plan, lambda picture: Converted(remove(picture, network)))


def transfer(
    template: Sequence[PathLike],
    photos: Sequence[PathLike],
    out: PathLike,
    strength: float | None = None,
    network: nn.Module | None = None,
    analysers: Analysers | None = None,
) -> Rendered:
    """Take the look of the templates and render the photos with it.

    Args:
        strength: rendering degree, 0 to 1; None follows how alike the scenes are.
        analysers: what to look for; None is everything.
    """
    for photo in photos:
        if is_video(photo):
            raise ValueError(f"{photo}: for videos, extract the look to a .json and apply that")
    analysers = default_analysers() if analysers is None else analysers
    plan = plan_outputs(photos, out, template)  # clashes show before the work
    look = extract(template, network, analysers).look
    return convert_planned(plan, apply_look(look, strength, analysers), look)


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


def plan_outputs(
    photos: Sequence[PathLike],
    out: PathLike,
    others: Sequence[PathLike] = (),
    reserved: Sequence[str] = (),
) -> list[tuple[Path, Path]]:
    """(photo, rendering) for each picture among files and folders; see `apply_to_files`.

    What lies in the output folder already is no input, unless it is named itself.

    Args:
        others: further inputs that must not be overwritten.
        reserved: files and folders in the output folder that no rendering may take.
    """
    if not str(out):
        raise ValueError("expected an output folder, got an empty path")
    target_folder = Path(out).resolve()
    found = list_pictures(photos, output=out)
    inputs = {path.resolve() for path, _ in found} | {
        path.resolve() for path, _ in (list_pictures(others) if others else ())
    }
    origin: dict[Path, Path] = {}
    for path, relative in found:
        target = target_folder / relative
        if relative.parts[0] in reserved:
            raise ValueError(f"{path}: this name is taken by an output; rename the photo")
        if target in inputs:
            raise ValueError(f"{target}: the output would overwrite it; choose another folder")
        if target in origin:
            raise ValueError(f"{path} and {origin[target]}: two pictures with one name")
        origin[target] = path
    Path(out).mkdir(parents=True, exist_ok=True)
    return [(path, Path(out) / relative) for path, relative in found]


def convert_planned(
    plan: Iterable[tuple[Path, Path]],
    convert: Callable[[Picture], Converted],
    look: Look | None = None,
) -> Rendered:
    """Convert each (photo, rendering) of a plan; notes compare with what `look` says."""
    result = Rendered([], [], [])
    for done in convert_each(plan, convert):
        if done.failure:
            result.failures.append(done.failure)
            continue
        result.written.append((done.source, done.target))
        note = (
            describe(done.analysis, look) if done.analysis is not None and look is not None else ""
        )
        if note:
            result.notes.append(f"{done.target}: {note}")
    return result


def convert_each(
    plan: Iterable[tuple[Path, Path]], convert: Callable[[Picture], Converted]
) -> Iterator[Done]:
    """Convert each (photo, rendering) of a plan, one after the other, behind a progress bar."""
    for source, target in tqdm(list(plan), unit="picture", disable=None):
        try:
            picture, analysis = convert(read_picture(source))
            write_picture(picture, target)
        except Exception as error:  # whatever one file does, the others are still done
            yield Done(source, target, None, _sentence(source, error))
        else:
            yield Done(source, target, analysis, "")


def _sentence(source: Path, error: Exception) -> str:
    message = " ".join(str(error).split()) or type(error).__name__
    return message if str(source) in message else f"{source}: {message}"
