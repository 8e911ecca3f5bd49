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
from codec.search import Found, TargetUnreachable, find
from codec.search.encoders import Encoder, EncodingError, OwnEncoder
from codec.search.scores import Score
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


class Target(NamedTuple):
    """A score to reach, on its own scale."""

    score: Score
    value: float


def encode_files(
    paths: Sequence[Path | str],
    output: Path | str,
    settings: Settings,
    target: Target | None = None,
    device: str = "cpu",
    tell: Tell | None = None,
) -> Done:
    """Write OUTPUT/<stem>.dfc for every picture; folders keep their relative paths.

    Args:
        paths: pictures and folders.
        output: folder.
        settings: see `codec.settings.Settings`; with a target, its quality does not matter.
        target: find the lowest quality that reaches it.
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
        if target is None:
            (data,) = picture_codec.encode([pixels], **settings._asdict(), device=device)
        else:
            found = find(pixels, encoder, target.score, target.value)
            data, note = found.data, _describe(found, target)
        data = picture_codec.with_metadata(
            data, picture_codec.Metadata(picture.exif, picture.profile)
        )
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
        _, found = picture_codec.read_metadata(data)
        (pixels,) = picture_codec.decode([data], device=device)
        # The pixels lie as EXIF says they do, so nothing is turned here.
        write_picture(Picture(pixels, exif=found.exif, profile=found.icc), path)
        return Line(source, path, len(data), path.stat().st_size)

    return _each(list_pictures(paths, (SUFFIX,), output), Path(output), ".png", one, tell)


def optimise_files(
    paths: Sequence[Path | str],
    output: Path | str,
    encoder: Encoder,
    target: Target,
    tell: Tell | None = None,
) -> Done:
    """Write the smallest file of every picture that reaches a score; see the seed, US 9,325,996.

    Where that is no smaller than the input, or cannot be had, the input is kept as it is.
    """

    def one(source: Path, path: Path) -> Line:
        picture = read_picture(source, keep_profile=encoder.carries_metadata)
        original = source.read_bytes()
        try:
            pixels = _eight_bits(picture, source, upright=not encoder.carries_metadata)
            found = find(pixels, encoder, target.score, target.value)
            data = encoder.with_metadata(found.data, found.quality, pixels, picture)
            note = _describe(found, target)
            if len(data) >= len(original):
                note = "kept: the input is smaller"
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
        header, found = picture_codec.read_metadata(data)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    return f"{path}: {_header_text(header, len(data))}" + "".join(
        f", {name} {len(block):,} bytes"
        for name, block in (("EXIF", found.exif), ("ICC", found.icc))
        if block
    )


def _header_text(header: Header, size: int) -> str:
    colour = "RGB" if header.planes == 3 else "grey"
    rate = 8 * size / (header.height * header.width)
    parts = [f"{header.width}x{header.height} {colour}", header.mode.name.lower()]
    if header.mode.name != "LOSSLESS":
        parts.append(f"step {header.step_index}, filter {header.filter.name.lower()}")
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


def _describe(found: Found, target: Target) -> str:
    probes = f"{len(found.probes)} probe{'s' * (len(found.probes) != 1)}"
    return f"quality {found.quality}, {target.score.name} {found.score:.4f}, {probes}"


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
