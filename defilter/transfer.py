"""The everyday verbs: extract a look, apply it, remove one, transfer one. Files in, files out.

The same functions stand behind `python -m defilter`, the studies and the notebooks.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import nn
from tqdm import tqdm

from codec.image_io import Picture, PictureError, list_pictures, read_picture, write_picture
from codec.render import render_mapping
from defilter.extract import (
    Extraction,
    PairFit,
    fit_pair,
    inverse_mapping,
    look_from_pair,
    look_from_templates,
)
from defilter.look import Look
from defilter.rendering import NOTHING, Knowledge, look_at, render
from defilter.sampling import UnusableTemplate, usable_pixels
from defilter.unet import PRESET_SIZE, squash
from defilter.video import EXTENSIONS as VIDEO_EXTENSIONS
from defilter.video import render_video
from defilter.weights import default_network, fingerprint

logger = logging.getLogger(__name__)

PathLike = Path | str


class Rendered(NamedTuple):
    """What became of a set of photos.

    Attributes:
        written: (photo, rendering) of each that worked.
        failures: one sentence for each that did not.
    """

    written: list[tuple[Path, Path]]
    failures: list[str]


def extract(templates: Sequence[PathLike], network: nn.Module | None = None) -> Extraction:
    """Take the look of one or several pictures.

    A template that cannot be used is reported in the log and left out.

    Args:
        templates: files or folders, all with one look; several make the look more certain.
        network: None is the one that ships.

    Raises:
        ValueError: no template is left; the message says why.
    """
    network = network or default_network()
    squashed, names, failures = [], [], []
    for path, _ in list_pictures(templates):
        try:
            picture = read_picture(path).floats()
            usable_pixels(picture)
        except UnusableTemplate as error:
            failures.append(f"{path}: {error}")
        except PictureError as error:
            failures.append(str(error))
        else:
            squashed.append(squash(picture[None], PRESET_SIZE)[0])
            names.append(path.name)
    if not squashed:
        raise UnusableTemplate("; ".join(failures))
    for failure in failures:
        logger.warning("left out: %s", failure)
    provenance = {"templates": names, "network": fingerprint(network)}
    return look_from_templates(network, squashed, provenance=provenance)


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
    knowledge: Knowledge = NOTHING,
) -> Picture:
    """A picture with a look; it keeps its bit depth, alpha, EXIF and orientation.

    Args:
        strength: rendering degree, 0 (as it was) to 1; None is 1, or what `knowledge` says.
        knowledge: what to look for in the picture, such as faces to protect.
    """
    seen = look_at(look, picture.pixels, knowledge, strength)
    return picture.with_pixels(render(look, picture.pixels, seen, knowledge))


def remove(picture: Picture, network: nn.Module | None = None) -> Picture:
    """A picture without its look, at full resolution."""
    mapping = inverse_mapping(network or default_network(), picture.floats())
    return picture.with_pixels(render_mapping(picture.pixels, mapping))


def apply_to_files(
    look: Look,
    photos: Sequence[PathLike],
    out: PathLike,
    strength: float | None = None,
    knowledge: Knowledge = NOTHING,
) -> Rendered:
    """Render files and folders into a folder; see `convert_files`. Videos become OUT/<stem>.mp4."""
    videos = [Path(path) for path in photos if Path(path).suffix.lower() in VIDEO_EXTENSIONS]
    rest = [path for path in photos if Path(path) not in videos]
    result = Rendered([], [])
    if rest or not videos:
        result = convert_files(rest, out, apply_look(look, strength, knowledge))
    for source in videos:
        target = Path(out) / f"{source.stem}.mp4"
        try:
            done = render_video(look, source, target, knowledge, strength)
        except (ValueError, OSError) as error:
            result.failures.append(str(error))
            continue
        result.written.append((source, target))
        if done.note:
            result.failures.append(f"{source}: {done.note}; {done.frames} frames are in {target}")
    return result


def remove_from_files(
    photos: Sequence[PathLike], out: PathLike, network: nn.Module | None = None
) -> Rendered:
    """De-filter files and folders into a folder; see `convert_files`."""
    return convert_files(photos, out, lambda picture: remove(picture, network))


def transfer(
    template: Sequence[PathLike],
    photos: Sequence[PathLike],
    out: PathLike,
    strength: float | None = None,
    network: nn.Module | None = None,
    knowledge: Knowledge = NOTHING,
) -> Rendered:
    """Take the look of the templates and render the photos with it; see `apply`."""
    plan = plan_outputs(photos, out, template)  # clashes show before the work
    look = extract(template, network=network).look
    return convert_planned(plan, apply_look(look, strength, knowledge))


def apply_look(
    look: Look, strength: float | None = None, knowledge: Knowledge = NOTHING
) -> Callable[[Picture], Picture]:
    """`apply` with its look, as a function of the picture alone."""
    return lambda picture: apply(look, picture, strength, knowledge)


def convert_files(
    photos: Sequence[PathLike], out: PathLike, convert: Callable[[Picture], Picture]
) -> Rendered:
    """Convert pictures one by one; names and paths below the given folders are kept.

    A broken file is reported and costs the others nothing.

    Raises:
        ValueError: nothing to do, two inputs with one name, or an output would overwrite an input.
        OSError: the folder cannot be written.
    """
    return convert_planned(plan_outputs(photos, out), convert)


def plan_outputs(
    photos: Sequence[PathLike],
    out: PathLike,
    others: Sequence[PathLike] = (),
    reserved: Sequence[str] = (),
) -> list[tuple[Path, Path]]:
    """(photo, rendering) for each picture among files and folders; see `convert_files`.

    What lies in the output folder already is no input, unless it is named itself.

    Args:
        others: further inputs that must not be overwritten.
        reserved: names in the output folder that no rendering may take.
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
        if str(relative) in reserved:
            raise ValueError(f"{path}: this name is taken by an output; rename the photo")
        if target in inputs:
            raise ValueError(f"{target}: the output would overwrite it; choose another folder")
        if target in origin:
            raise ValueError(f"{path} and {origin[target]}: two pictures with one name")
        origin[target] = path
    Path(out).mkdir(parents=True, exist_ok=True)
    return [(path, Path(out) / relative) for path, relative in found]


def convert_planned(
    plan: Iterable[tuple[Path, Path]], convert: Callable[[Picture], Picture]
) -> Rendered:
    """Convert each (photo, rendering) of a plan; see `convert_files`."""
    result = Rendered([], [])
    for source, target in tqdm(list(plan), unit="picture", disable=None):
        try:
            write_picture(convert(read_picture(source)), target)
            result.written.append((source, target))
        except Exception as error:  # whatever one file does, the others are still done
            message = " ".join(str(error).split()) or type(error).__name__
            result.failures.append(message if str(source) in message else f"{source}: {message}")
    return result
