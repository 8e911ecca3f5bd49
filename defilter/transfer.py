"""The everyday verbs on files and folders: apply a look, remove one, transfer one.

The same functions stand behind `python -m defilter`, the studies and the notebooks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from codec.pictures.folders import list_pictures
from codec.pictures.picture_files import Picture, read_picture, write_picture
from defilter.analysis import Analysers, analysers_for, default_analysers
from defilter.look import Look
from defilter.networks import LookNetwork, default_network
from defilter.render import Analysis, describe
from defilter.verbs import Converted, PathLike, apply_look, extract, remove


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


class Done(NamedTuple):
    """What became of one photo; `failure` is empty if it worked."""

    source: Path
    target: Path
    analysis: Analysis | None
    failure: str


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
    from defilter.video import is_video, render_video  # PyAV is slow to import

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
    photos: Sequence[PathLike], out: PathLike, network: LookNetwork | None = None
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
    network: LookNetwork | None = None,
    analysers: Analysers | None = None,
) -> Rendered:
    """Take the look of the templates and render the photos with it.

    Args:
        strength: rendering degree, 0 to 1; None follows how alike the scenes are.
        analysers: what to look for; None is everything.
    """
    from defilter.video import is_video

    for photo in photos:
        if is_video(photo):
            raise ValueError(f"{photo}: for videos, extract the look to a .json and apply that")
    analysers = default_analysers() if analysers is None else analysers
    plan = plan_outputs(photos, out, template)  # clashes show before the work
    look = extract(template, network, analysers).look
    return convert_planned(plan, apply_look(look, strength, analysers), look)


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
