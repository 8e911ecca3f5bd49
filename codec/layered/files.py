"""Files of pictures to files of their layers, and back."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from codec import stream_metadata
from codec.container import MAGIC, FormatError
from codec.files import eight_bits
from codec.layered.bases import decode_base
from codec.layered.differences import JPEG, tag_of
from codec.layered.encoder import LayeredEncoder
from codec.layered.geometry import Size
from codec.layered.layers import Layers, decode_layers, encode_layers
from codec.layered.levels import Block
from codec.layered.settings import LayerSettings, Tags
from codec.layered.tags import LOWRES, unpack_name
from codec.layered.untagged import Untagged, agreed, with_tags
from codec.package import SUFFIX as PACKAGE
from codec.package import Item, Package, write_package
from codec.pictures.folders import EXTENSIONS, first_names
from codec.pictures.jobs import (
    BatchResult,
    FileResult,
    Job,
    OnResult,
    Output,
    Plan,
    check_output,
    plan_jobs,
    run_jobs,
)
from codec.pictures.metadata_formats import lost_in
from codec.pictures.picture import Picture
from codec.pictures.picture_files import picture_of, read_picture, write_picture
from codec.pictures.storage import read_limited, write_atomically
from codec.reading import open_stream
from codec.references import MAX_FILE_BYTES
from codec.search import Criterion, find
from codec.search.encoders import encoder

_CODINGS = {".dfc": 0, ".jpg": 1, ".webp": 2, ".avif": 3, ".zip": 4}  # of items of packages
_BASES = tuple(f"{LOWRES}{suffix}" for suffix in (".jpg", ".webp", ".avif", ".dfc"))
_BLOCKS = (".dfc", ".jpg", ".zip")
LAYERS = (*_BASES, PACKAGE)  # how the names of layers of pictures end


def plan_layering(
    inputs: Sequence[Path | str],
    output: Path | str,
    settings: LayerSettings,
    packed: bool = False,
    skip: bool = False,
) -> Plan:
    """Pictures and where their layers go: OUT/<stem>_lowres.jpg with its blocks beside it.

    Args:
        inputs: pictures, folders and patterns.
        output: a folder, or for one picture a package.
        settings: see `LayerSettings`.
        packed: write OUT/<stem>.dfp, with everything in it.
        skip: leave pictures whose result is there.
    """
    check_output(output, (PACKAGE,))
    suffix = encoder(settings.base).suffix
    is_package = packed or Path(output).suffix.lower() == PACKAGE

    def rename(path: Path) -> Path:
        return path.with_name(path.stem + (PACKAGE if is_package else LOWRES + suffix))

    place = Output(output, None, rename, skip_existing=skip, files=(PACKAGE,))
    return plan_jobs(inputs, place)


def layer_files(
    plan: Plan,
    settings: LayerSettings,
    criteria: Sequence[Criterion] | None = None,
    on_result: OnResult | None = None,
) -> BatchResult:
    """Write the layers of every picture.

    Args:
        plan: see `plan_layering`.
        settings: see `LayerSettings`; with criteria, the quality of differences does not matter.
        criteria: find the lowest quality at which the largest level meets them.
        on_result: called with each result as soon as it is known.
    """

    sources = {job.source.resolve() for job in plan.jobs}

    def one(job: Job) -> FileResult:
        picture = read_picture(job.source, keep_profile=True)
        writer = encoder(settings.base)
        pixels = eight_bits(picture, job.source, upright=not writer.carries_orientation)
        chosen, note = settings, ""
        if criteria is not None:
            layered = LayeredEncoder(settings)
            found = find(pixels, layered, criteria)
            chosen = layered.at(found.quality)
            name, probes = criteria[0].score.name, found.cost
            note = f"quality {found.quality}, {name} {found.score:.4f}, {probes} probes"
        layers = encode_layers(pixels, chosen, picture)
        is_package = job.target.suffix.lower() == PACKAGE
        if is_package:
            write_package(job.target, _items(layers, chosen))
        else:
            _write(job, layers, chosen, sources)
        notes = (note, *picture.notes, *lost_in(picture, writer.file_format))
        before = job.source.stat().st_size
        after = job.target.stat().st_size if is_package else layers.size
        return FileResult(job.source, job.target, before, after, tuple(filter(None, notes)))

    return run_jobs(plan, one, on_result)


def _names(layers: Layers, settings: LayerSettings) -> Iterator[str]:
    """What is put behind the stem for each block."""
    for number, block in enumerate(layers.blocks, start=1):
        named = f"_{number}" if settings.tags == Tags.AGREED else block.tag.name()
        yield named + settings.coder.suffix


def _write(job: Job, layers: Layers, settings: LayerSettings, sources: Collection[Path]) -> None:
    """The blocks first: a base is there when everything is. What is left of older ones goes.

    Raises:
        ValueError: a block would replace a file that is none.
    """
    stem = job.target.name.removesuffix(job.target.suffix).removesuffix(LOWRES)
    places = [job.target.with_name(stem + name) for name in _names(layers, settings)]
    for place in places:
        if place.resolve() in sources or (place.exists() and not _may_be_block(place)):
            raise ValueError(
                f"{job.source}: a block would overwrite {place}; choose another folder"
            )
    for place, block in zip(places, layers.blocks, strict=True):
        write_atomically(place, block.data, like=job.source)
    write_atomically(job.target, layers.base, like=job.source)
    for path in _beside(job.target):
        if path not in places and _is_block(path):
            path.unlink()


def _may_be_block(path: Path) -> bool:
    """Whether a file is a block, with or without a tag: of those, streams alone can be told."""
    if _is_block(path):
        return True
    try:
        return open_stream(read_limited(path, MAX_FILE_BYTES, FormatError)).prediction is not None
    except FormatError:
        return False


def _is_block(path: Path) -> bool:
    """Whether a file says in itself that it is one, which no picture of somebody's does."""
    try:
        return tag_of(read_limited(path, MAX_FILE_BYTES, FormatError)) is not None
    except FormatError:
        return False


def _items(layers: Layers, settings: LayerSettings) -> Iterator[Item]:
    suffix = encoder(settings.base).suffix
    yield Item(f"lowres{suffix}", layers.base, _CODINGS[suffix])
    coding = _CODINGS[settings.coder.suffix]
    for name, block in zip(_names(layers, settings), layers.blocks, strict=True):
        yield Item(name.removeprefix("_"), block.data, coding)


class Agreed(NamedTuple):
    """What whoever reads blocks without tags has to know.

    Attributes:
        columns, rows: of the division, the same on every level.
        offset: of differences that were clamped and shifted, or 0.
    """

    columns: int = 1
    rows: int = 1
    offset: int = 0


def plan_unlayering(inputs: Sequence[Path | str], output: Path | str, skip: bool = False) -> Plan:
    """Bases and packages, and where their pictures go: OUT/<stem>.png, or one file."""

    def rename(path: Path) -> Path:
        return path.with_name(path.stem.removesuffix(LOWRES) + ".png")

    check_output(output, EXTENSIONS)
    place = Output(output, None, rename, skip_existing=skip, files=EXTENSIONS)
    plan = plan_jobs(inputs, place, LAYERS)
    return plan._replace(about_skipped="")  # blocks, mostly


def unlayer_files(
    plan: Plan,
    level: int | None = None,
    known: Agreed | None = None,
    on_result: OnResult | None = None,
) -> BatchResult:
    """Write a level of every picture, the largest one unless another is asked for.

    Args:
        plan: see `plan_unlayering`.
        level: from 0, the base.
        known: what blocks without tags do not say; None reads none whose name is a mere number.
        on_result: called with each result as soon as it is known.
    """

    def one(job: Job) -> FileResult:
        layers, unread = read_layers(job.source, known)
        shown = decode_layers(layers, level)
        notes = write_picture(
            _with_metadata(shown.pixels, layers.base), job.target, like=job.source
        )
        after = job.target.stat().st_size
        problems = tuple(f"{one}; the level below shows there" for one in shown.problems)
        problems += () if level == 0 else tuple(unread)
        return FileResult(
            job.source, job.target, layers.size, after, (*problems, *notes), poorer=bool(problems)
        )

    return run_jobs(plan, one, on_result)


def _with_metadata(pixels: Tensor, base: bytes) -> Picture:
    """Pixels, which lie as EXIF says they do, with what the base says beside its own."""
    if base.startswith(MAGIC):
        return stream_metadata.with_pixels(pixels, base)
    found = picture_of(base, Path("base"), keep_profile=True)
    return Picture(pixels, exif=found.exif, profile=found.profile, metadata=found.metadata)


class ReadLayers(NamedTuple):
    """Layers that were read, and a sentence for each block that could not be, and if none could."""

    layers: Layers
    problems: list[str]


def read_layers(path: Path, known: Agreed | None = None) -> ReadLayers:
    """The layers of a base with its blocks beside it, or of a package.

    A block that cannot be read is left out, as if it were not there.

    Raises:
        FormatError: a base that cannot be read, or blocks without tags that do not fit.
    """
    problems: list[str] = []
    if path.suffix.lower() == PACKAGE:
        base, named = _of_package(path, problems)
    else:
        base, named = read_limited(path, MAX_FILE_BYTES, FormatError), {}
        for one in _beside(path):
            try:
                data = read_limited(one, MAX_FILE_BYTES, FormatError)
            except FormatError as error:
                problems.append(str(error))
            else:
                named[one.name.removeprefix(_stem(path))] = data
    blocks = _blocks_of(named, base, known, problems)
    if not blocks and not problems:
        problems.append("there are no blocks that would make it larger")
    return ReadLayers(Layers(base, blocks), problems)


def _of_package(path: Path, problems: list[str]) -> tuple[bytes, dict[str, bytes]]:
    with Package(path) as package:
        named = {}
        base = None
        for name in package.entries:
            try:
                data = package.read(name)
            except FormatError as error:
                problems.append(f"block {name}: {error}")
                continue
            if name.startswith(LOWRES.removeprefix("_")):
                base = data
            else:
                named[f"_{name}"] = data
    if base is None:
        raise FormatError(f"{path}: expected a package of layers, with a base in it")
    return base, named


def _stem(base: Path) -> str:
    return base.name.removesuffix(base.suffix).removesuffix(LOWRES)


def _beside(base: Path) -> list[Path]:
    """What may be blocks beside a base: its stem, and the name of a block or a number."""
    stem = _stem(base)
    found = []
    for path in sorted(base.parent.iterdir()):
        rest = path.stem.removeprefix(stem)
        is_block = _is_number(rest) or unpack_name(rest) is not None
        if path.stem.startswith(stem) and path.suffix.lower() in _BLOCKS and is_block:
            found.append(path)
    return found


def _is_number(name: str) -> bool:
    return name[:1] == "_" and name[1:].isdigit()


def _blocks_of(
    named: dict[str, bytes], base: bytes, known: Agreed | None, problems: list[str]
) -> list[Block]:
    tagged, others = [], {}
    for name, data in named.items():
        try:
            tag = tag_of(data)
        except FormatError as error:
            if not _is_number(Path(name).stem):  # numbered files may be anything
                problems.append(f"block {name.removeprefix('_')}: {error}")
            continue
        if tag is None:
            others[name] = data
        else:
            tagged.append(Block(tag, data))
    if known is None:
        numbered = [name for name in others if _is_number(Path(name).stem)]
        if numbered and not tagged:
            names = first_names(list(map(Path, numbered)))
            problems.append(f"{names} do not say what they are; try --agreed MxN")
        others = {name: data for name, data in others.items() if name not in numbered}
    if tagged or not others:
        return tagged
    planes, height, width = decode_base(base)[0].shape
    known = Agreed() if known is None else known
    if not known.offset and any(data.startswith(JPEG) for data in others.values()):
        raise FormatError("blocks in JPEG do not say what they were shifted by: --offset N")
    return with_tags(_placed(others, known), Size(height, width), planes, known.offset)


def _placed(named: dict[str, bytes], known: Agreed) -> list[Untagged]:
    """Blocks as their names have it, or in the order of plain numbers as it was agreed."""
    found = []
    for name, data in named.items():
        said = unpack_name(Path(name).stem)
        if said is not None:
            found.append(Untagged(data, said.level, said.columns, said.rows, said.number))
    if found:
        return found
    numbered = sorted(named, key=lambda name: int(Path(name).stem.removeprefix("_")))
    return agreed([named[name] for name in numbered], known.columns, known.rows)
