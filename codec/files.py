"""Files of pictures to codestreams and back, and the smallest files that still look alike.

One bad file never costs the others: what failed is listed beside what was written.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from codec import picture as picture_codec
from codec.container import FormatError, Header
from codec.pictures.devices import check_device
from codec.pictures.folders import list_pictures
from codec.pictures.picture_files import Picture, PictureError, read_picture, write_picture
from codec.pictures.storage import write_atomically
from codec.search import (
    Criterion,
    Encoder,
    Found,
    Metadata,
    Request,
    TargetUnreachable,
    find,
    jpeg_source,
    optimise,
)
from codec.search.encoders import EncodingError, OwnEncoder
from codec.settings import Settings, check_settings

SUFFIX = ".dfc"
MAX_FILE_BYTES = 1 << 30


class Line(NamedTuple):
    """What became of one file.

    Attributes:
        source, target: where it came from and went to.
        before, after: bytes.
        note: what else is worth saying.
    """

    source: Path
    target: Path
    before: int
    after: int
    note: str = ""


class Done(NamedTuple):
    """Files that were written, and a sentence for each that was not."""

    lines: list[Line]
    failures: list[str]


Tell = Callable[[Line | str], None]


def encode_files(
    paths: Sequence[Path | str],
    output: Path | str,
    settings: Settings,
    criteria: Sequence[Criterion] | None = None,
    device: str = "cpu",
    tell: Tell | None = None,
) -> Done:
    """Write OUTPUT/<stem>.dfc for every picture; folders keep their relative paths.

    Args:
        paths: pictures and folders.
        output: folder.
        settings: see `codec.settings.Settings`; with criteria, its quality does not matter.
        criteria: find the lowest quality that meets them.
        device: where to compute.
        tell: called with each line and each failure as soon as it is known.
    """
    check_settings(settings)
    check_device(device)
    encoder = OwnEncoder("dfc", mode=settings.mode, filter=settings.filter,
                         effort=settings.effort, device=device)  # fmt: skip

    def one(source: Path, path: Path) -> Line:
        picture = read_picture(source, keep_profile=True)
        pixels = _eight_bits(picture, source)
        note = ""
        if criteria is None:
            (data,) = picture_codec.encode([pixels], **settings._asdict(), device=device)
        else:
            found = find(pixels, encoder, criteria, source=jpeg_source(source.read_bytes()))
            data, note = found.data, _describe(found, criteria)
        data = picture_codec.with_metadata(data, picture.exif, picture.profile)
        write_atomically(path, data)
        return Line(source, path, source.stat().st_size, len(data), note)

    return _each(list_pictures(paths, output=output), Path(output), SUFFIX, one, tell)


def decode_files(
    paths: Sequence[Path | str],
    output: Path | str,
    device: str = "cpu",
    tell: Tell | None = None,
) -> Done:
    """Write OUTPUT/<stem>.png for every codestream; folders keep their relative paths."""
    check_device(device)

    def one(source: Path, path: Path) -> Line:
        if path.exists() and path.resolve().parent == source.resolve().parent:
            raise ValueError(f"{path} lies beside it, perhaps the original; choose another folder")
        data = read_stream(source)
        _, exif, profile = picture_codec.metadata(data)
        (pixels,) = picture_codec.decode([data], device=device)
        # The pixels lie as EXIF says they do, so nothing is turned here.
        write_picture(Picture(pixels, exif=exif, profile=profile), path)
        return Line(source, path, len(data), path.stat().st_size)

    return _each(list_pictures(paths, (SUFFIX,), output), Path(output), ".png", one, tell)


def optimise_files(
    paths: Sequence[Path | str],
    output: Path | str,
    encoder: Encoder,
    criteria: Sequence[Criterion],
    lowest: int = 1,
    tell: Tell | None = None,
) -> Done:
    """Write the smallest file of every picture that meets criteria; see the seed, US 9,325,996.

    Where that is no smaller than the input, or cannot be had, the input is kept as it is.

    Args:
        paths: pictures and folders.
        output: folder.
        encoder: see `codec.search.encoders`.
        criteria: see `codec.search.criteria.at_least`.
        lowest: no quality below this one.
        tell: called with each line and each failure as soon as it is known.
    """

    def one(source: Path, path: Path) -> Line:
        picture = read_picture(source, keep_profile=encoder.carries_metadata)
        original = source.read_bytes()
        metadata = Metadata(picture.exif, picture.profile)
        try:
            pixels = _eight_bits(picture, source, upright=not encoder.carries_orientation)
            request = Request(criteria, jpeg_source(original), lowest, metadata)
            found = optimise(pixels, encoder, request)
            data, note = found.data, _describe(found, criteria)
            if len(data) >= len(original):
                note = f"kept: the input is smaller than {note}"
        except (TargetUnreachable, PictureError, EncodingError) as error:
            data, note = original, f"kept: {str(error).removeprefix(f'{source}: ')}"
        if note.startswith("kept"):
            path, data = path.with_suffix(source.suffix), original
        write_atomically(path, data)
        return Line(source, path, len(original), len(data), note)

    found = list_pictures(paths, output=output)
    return _each(found, Path(output), encoder.suffix, one, tell, may_keep=True)


def read_stream(path: Path | str) -> bytes:
    """The bytes of a codestream file, which are not checked yet.

    Raises:
        FormatError: it cannot be read, or is larger than any codestream.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise FormatError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error})") from error


def describe_stream(path: Path | str) -> str:
    """One line about a codestream."""
    data = read_stream(path)
    try:
        header, exif, icc = picture_codec.metadata(data)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    return f"{path}: {_header_text(header, len(data))}" + "".join(
        f", {name} {len(block):,} bytes" for name, block in (("EXIF", exif), ("ICC", icc)) if block
    )


def _header_text(header: Header, size: int) -> str:
    colour = "RGB" if header.planes == 3 else "grey"
    rate = 8 * size / (header.height * header.width)
    parts = [f"{header.width}x{header.height} {colour}", header.mode.name.lower()]
    if header.mode.name != "LOSSLESS":
        parts.append(f"step {header.step}, filter {header.filter.name.lower()}")
    parts += [f"{size:,} bytes", f"{rate:.3f} bits a pixel", f"networks {header.contexts:08x}"]
    return ", ".join(parts)


def _eight_bits(picture: Picture, path: Path, upright: bool = False) -> Tensor:
    """The pixels as they lie in the file, or upright; (1, H, W) where they are grey.

    Raises:
        PictureError: the codec has no room for what is in the file.
    """
    if picture.pixels.dtype != torch.uint8:
        raise PictureError(f"{path}: expected 8 bits a channel, got 16")
    if picture.alpha is not None and bool((picture.alpha < 255).any()):
        raise PictureError(f"{path}: expected an opaque picture, got one with transparency")
    pixels = picture.pixels if upright else picture.stored()
    grey = torch.equal(pixels[0], pixels[1]) and torch.equal(pixels[0], pixels[2])
    coloured = picture.profile is not None and picture.profile[16:20] != b"GRAY"
    return pixels[:1].contiguous() if grey and not coloured else pixels


def _describe(found: Found, criteria: Sequence[Criterion]) -> str:
    probes = f"{found.cost} probe{'s' * (found.cost != 1)}"
    if found.lossless:
        return f"lossless, {probes}"
    chroma = " with full chroma" * found.encoder.name.endswith("_444")
    score = f"{criteria[0].score.name} {found.score:.4f}"
    return f"quality {found.quality}{chroma}, {score}, {probes}"


def _each(
    found: list[tuple[Path, Path]],
    output: Path,
    suffix: str,
    work: Callable[[Path, Path], Line],
    tell: Tell | None,
    may_keep: bool = False,
) -> Done:
    """Work on file after file; what cannot be done is told and left out.

    Args:
        found: files and their paths relative to the output.
        output: folder.
        suffix: of what is written.
        work: (source, target) -> what became of it.
        may_keep: whether a file may also be written as it is, under its own suffix.
    """
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output}: expected a folder, got a file")
    lines: list[Line] = []
    failures: list[str] = []
    taken: dict[Path, Path] = {}
    sources = {source.resolve() for source, _ in found}

    def one(source: Path, relative: Path) -> Line:
        target = output / relative.with_suffix(suffix)
        candidates = (target, output / relative) if may_keep else (target,)
        possible = [path.resolve() for path in candidates]
        clash = next((path for path in possible if path in taken), None)
        if clash is not None:
            raise ValueError(f"would overwrite {clash} of {taken[clash]}; rename one of them")
        if any(path in sources for path in possible):
            raise ValueError("would overwrite an input; choose another output folder")
        return work(source, target)

    for source, relative in tqdm(found, unit="file", disable=None):
        result: Line | str
        try:
            result = one(source, relative)
            lines.append(result)
            taken[result.target.resolve()] = source
        except (ValueError, OSError, RuntimeError, OverflowError, MemoryError) as error:
            text = " ".join(str(error).split()) or type(error).__name__
            result = text if text.startswith(str(source)) else f"{source}: {text}"
            failures.append(result)
        if tell is not None:
            tell(result)
    return Done(lines, failures)
