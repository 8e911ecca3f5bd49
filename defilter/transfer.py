"""The everyday verbs: extract a look, apply it, remove one, transfer one. Files in, files out.

The same functions stand behind `python -m defilter`, the studies and the notebooks.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import nn
from tqdm import tqdm

from codec.image_io import Picture, list_pictures, read_picture, write_picture
from codec.render import render_mapping
from defilter.extract import Extraction, inverse_mapping, look_from_pair, look_from_templates
from defilter.look import Look
from defilter.sampling import UnusableTemplate
from defilter.weights import default_network

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


def extract(
    templates: Sequence[PathLike],
    before: PathLike | None = None,
    network: nn.Module | None = None,
    robust: bool = False,
) -> Extraction:
    """Take the look of one or several pictures.

    Args:
        templates: files or folders, all with one look; several make the look more certain.
        before: the only template without its look, for pair mode.
        network: None is the one that ships.
        robust: in pair mode, fit with a robust loss.

    Raises:
        PictureError: a file that cannot be read. UnusableTemplate: flat or clipped all over.
    """
    paths = [path for path, _ in list_pictures(templates)]
    pictures = [read_picture(path).floats() for path in paths]
    names = [path.name for path in paths]
    try:
        if before is None:
            provenance = {"templates": names, "mode": "de-filter network"}
            network = network or default_network()
            return look_from_templates(network, pictures, provenance=provenance)
        if len(pictures) != 1:
            raise ValueError(f"expected one template with a picture before, got {len(pictures)}")
        provenance = {"before": Path(before).name, "after": names[0], "mode": "pair"}
        clean = read_picture(before).floats()
        return look_from_pair(clean, pictures[0], robust=robust, provenance=provenance)
    except UnusableTemplate as error:
        raise UnusableTemplate(f"{', '.join(names)}: {error}") from error


def apply(look: Look, picture: Picture, strength: float = 1.0) -> Picture:
    """A picture with a look; it keeps its bit depth, alpha, EXIF and orientation.

    Args:
        strength: rendering degree, 0 (as it was) to 1.
    """
    return picture.with_pixels(look.render(picture.pixels, strength))


def remove(picture: Picture, network: nn.Module | None = None) -> Picture:
    """A picture without its look, at full resolution."""
    mapping = inverse_mapping(network or default_network(), picture.floats())
    return picture.with_pixels(render_mapping(picture.pixels, mapping))


def apply_to_files(
    look: Look, photos: Sequence[PathLike], out: PathLike, strength: float = 1.0
) -> Rendered:
    """Render files and folders into a folder; see `convert_files`."""
    return convert_files(photos, out, apply_look(look, strength))


def remove_from_files(
    photos: Sequence[PathLike], out: PathLike, network: nn.Module | None = None
) -> Rendered:
    """De-filter files and folders into a folder; see `convert_files`."""
    return convert_files(photos, out, lambda picture: remove(picture, network))


def transfer(
    template: Sequence[PathLike],
    photos: Sequence[PathLike],
    out: PathLike,
    strength: float = 1.0,
    network: nn.Module | None = None,
) -> Rendered:
    """Take the look of the templates and render the photos with it."""
    plan = plan_outputs(photos, out)  # name clashes show before the work
    return convert_planned(plan, apply_look(extract(template, network=network).look, strength))


def apply_look(look: Look, strength: float = 1.0) -> Callable[[Picture], Picture]:
    """`apply` with its look, as a function of the picture alone."""
    return lambda picture: apply(look, picture, strength)


def convert_files(
    photos: Sequence[PathLike], out: PathLike, convert: Callable[[Picture], Picture]
) -> Rendered:
    """Convert pictures one by one; names and paths below the given folders are kept.

    A broken file is reported and costs the others nothing.

    Raises:
        PictureError: nothing to do, or two inputs with one name. ValueError: an output would
            overwrite its input. OSError: the folder cannot be written.
    """
    return convert_planned(plan_outputs(photos, out), convert)


def plan_outputs(photos: Sequence[PathLike], out: PathLike) -> list[tuple[Path, Path]]:
    """(photo, rendering) for each picture among files and folders; see `convert_files`."""
    plan = [(path, Path(out) / relative) for path, relative in list_pictures(photos)]
    for source, target in plan:
        if target.exists() and source.samefile(target):
            raise ValueError(f"{source}: the output would overwrite it; choose another folder")
    Path(out).mkdir(parents=True, exist_ok=True)
    return plan


def convert_planned(
    plan: Iterable[tuple[Path, Path]], convert: Callable[[Picture], Picture]
) -> Rendered:
    """Convert each (photo, rendering) of a plan; see `convert_files`."""
    result = Rendered([], [])
    for source, target in tqdm(list(plan), unit="picture", disable=None):
        try:
            write_picture(convert(read_picture(source)), target)
            result.written.append((source, target))
        except (ValueError, OSError, MemoryError) as error:
            message = str(error)
            result.failures.append(message if str(source) in message else f"{source}: {message}")
    return result
