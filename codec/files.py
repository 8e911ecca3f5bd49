"""Files of pictures to codestreams and back, and the smallest files that still look alike."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from codec import picture as coding
from codec import stream_metadata
from codec.container import FormatError, Header, Mode, Section, read_sections, unpack_header
from codec.pictures.devices import check_device
from codec.pictures.folders import EXTENSIONS
from codec.pictures.jobs import (
    BatchResult,
    FileResult,
    Job,
    OnResult,
    Output,
    Plan,
    keep,
    plan_jobs,
    run_groups,
    run_jobs,
    small_together,
)
from codec.pictures.metadata_formats import lost_in
from codec.pictures.opening import area_of
from codec.pictures.picture_files import (
    Picture,
    PictureError,
    UnsupportedPicture,
    read_picture,
    write_picture,
)
from codec.pictures.storage import read_limited, write_atomically
from codec.pictures.workers import worker_count
from codec.prediction.chain import MissingReference
from codec.reading import NO_REFERENCES, open_stream
from codec.references import MAX_FILE_BYTES, SUFFIX, FileReferences
from codec.search import (
    Criterion,
    Encoder,
    Request,
    TargetUnreachable,
    jpeg_source,
    optimise,
)
from codec.search.encoders import EncodingError
from codec.settings import Settings, check_settings
from codec.smallest import describe, smallest

# Pixels worked on at once: coding takes 0.2 KB for each, 2.4 GB for 12 megapixels.
_PIXELS_AT_ONCE = 24_000_000
_FILES = (*EXTENSIONS, SUFFIX)


def plan_encoding(
    inputs: Sequence[Path | str],
    output: Path | str,
    skip: bool = False,
    references: FileReferences | None = None,
) -> Plan:
    """Pictures and where their streams go: OUT/<stem>.dfc, or one file; over no reference."""
    return plan_jobs(inputs, _output(output, SUFFIX, skip, references))


def plan_decoding(
    inputs: Sequence[Path | str],
    output: Path | str,
    skip: bool = False,
    references: FileReferences | None = None,
) -> Plan:
    """Codestreams and where their pictures go: OUT/<stem>.png, or one file; over no reference."""
    return plan_jobs(inputs, _output(output, ".png", skip, references), (SUFFIX,))


def _output(
    output: Path | str, suffix: str, skip: bool, references: FileReferences | None
) -> Output:
    protected = () if references is None else references.paths
    return Output(output, suffix, skip_existing=skip, files=_FILES, protected=protected)


def encode_files(
    plan: Plan,
    settings: Settings,
    criteria: Sequence[Criterion] | None = None,
    device: str = "cpu",
    on_result: OnResult | None = None,
    references: FileReferences | None = None,
) -> BatchResult:
    """Write the codestream of every picture; small ones are coded together.

    What the format has no room for, such as 16 bits or transparency, is kept as it is, and so is an
    input that is smaller than what loses part of it.

    Args:
        plan: see `plan_encoding`.
        settings: see `codec.settings.Settings`; with criteria, its quality does not matter.
        criteria: find the lowest quality that meets them, see `codec.search.criteria.at_least`.
        device: where to compute.
        on_result: called with each result as soon as it is known.
        references: pictures that these may be predicted from; each is where that is smaller.
    """
    check_settings(settings)
    check_device(device)

    def one(job: Job) -> FileResult:
        picture = read_picture(job.source, keep_profile=True)
        pixels = eight_bits(picture, job.source)
        known = None if references is None else references.without(job.source)
        source = None if criteria is None else jpeg_source(job.source.read_bytes())
        data, note, name, alone = smallest(pixels, settings, criteria, known, source, device)
        if references is not None and name is not None:
            share = f"{100 * len(data) / alone:.1f} % of it alone"
            said = f"predicted from {references.names[name].name}: {share}"
            note = "; ".join(filter(None, (note, said)))
        if job.kept is not None and not settings.lossless and len(data) > _size(job):
            return keep(job, f"the input is smaller than {note or f'{len(data):,} bytes'}")
        return _written(job, picture, data, note)

    def together(jobs: list[Job]) -> list[FileResult]:
        pictures = [read_picture(job.source, keep_profile=True) for job in jobs]
        pixels = [eight_bits(p, job.source) for p, job in zip(pictures, jobs, strict=True)]
        streams = coding.encode(pixels, **settings._asdict(), device=device)
        results = []
        for job, picture, data in zip(jobs, pictures, streams, strict=True):
            if job.kept is not None and not settings.lossless and len(data) > _size(job):
                results.append(keep(job, f"the input is smaller than {len(data):,} bytes"))
            else:
                results.append(_written(job, picture, data, ""))
        return results

    if criteria is not None or references is not None:
        done = run_jobs(plan, one, on_result, _at_once(_areas(plan), device))
        unusable = "" if references is None else references.about_unusable()
        about = "; ".join(filter(None, (done.about_skipped, unusable)))
        return replace(done, about_skipped=about)
    return _run_together(plan, _areas(plan), together, on_result, device)


def _run_together(
    plan: Plan,
    areas: list[int],
    work: Callable[[list[Job]], list[FileResult]],
    on_result: OnResult | None,
    device: str,
) -> BatchResult:
    groups = small_together(plan.jobs, areas)
    return run_groups(plan, groups, work, on_result, _at_once(areas, device))


def _at_once(areas: list[int], device: str) -> int:
    """How many threads; a GPU is driven by one."""
    if torch.device(device).type != "cpu":
        return 1
    return max(1, min(worker_count(), _PIXELS_AT_ONCE // max([1, *areas])))


def _areas(plan: Plan) -> list[int]:
    """Pixels of the pictures; as many as a camera's where the header does not tell."""
    return [area_of(job.source) or _PIXELS_AT_ONCE // 2 for job in plan.jobs]


def _stream_area(path: Path) -> int:
    try:
        with path.open("rb") as file:
            header = unpack_header(dict(read_sections(file, (Section.HEADER,)))[Section.HEADER])
    except (OSError, KeyError, ValueError):  # said when it is read
        return 1
    return header.height * header.width


def _written(job: Job, picture: Picture, data: bytes, note: str) -> FileResult:
    data = stream_metadata.with_metadata_of(data, picture)
    write_atomically(job.target, data, like=job.source)
    notes = tuple(n for n in (note, *picture.notes, *lost_in(picture, "DFC")) if n)
    return FileResult(job.source, job.target, _size(job), len(data), notes)


def _size(job: Job) -> int:
    return job.source.stat().st_size


def decode_files(
    plan: Plan,
    device: str = "cpu",
    on_result: OnResult | None = None,
    references: FileReferences | None = None,
) -> BatchResult:
    """Write the picture of every codestream.

    Args:
        plan: see `plan_decoding`.
        device: where to compute.
        on_result: called with each result as soon as it is known.
        references: what predicted ones stand on.
    """
    check_device(device)
    originals = {
        job.target
        for job in plan.jobs
        if job.target.exists() and job.target.resolve().parent == job.source.resolve().parent
    }

    def together(jobs: list[Job]) -> list[FileResult]:
        for job in jobs:
            if job.target in originals:
                raise ValueError(
                    f"{job.target} lies beside it, perhaps the original; choose another folder"
                )
        streams = [read_stream(job.source) for job in jobs]
        known = NO_REFERENCES if references is None else references
        try:
            every = coding.decode(streams, references=known, device=device)
        except MissingReference as error:
            about = "" if references is None else references.about_unusable()
            parts = (f"{error}; say with --from where it is", about)
            raise FormatError("; ".join(filter(None, parts))) from error
        return [_shown(*one) for one in zip(jobs, streams, every, strict=True)]

    areas = [_stream_area(job.source) for job in plan.jobs]
    return _run_together(plan, areas, together, on_result, device)


def _shown(job: Job, data: bytes, pixels: Tensor) -> FileResult:
    picture = stream_metadata.with_pixels(pixels, data)
    notes = write_picture(picture, job.target, like=job.source)
    return FileResult(job.source, job.target, len(data), job.target.stat().st_size, notes)


def plan_optimising(
    inputs: Sequence[Path | str], output: Path | str, encoder: Encoder, skip: bool = False
) -> Plan:
    """Pictures and where the smallest files of them go: OUT/<stem><suffix>, or one file."""
    return plan_jobs(inputs, Output(output, encoder.suffix, skip_existing=skip, files=_FILES))


def optimise_files(
    plan: Plan,
    encoder: Encoder,
    criteria: Sequence[Criterion],
    lowest: int = 1,
    on_result: OnResult | None = None,
) -> BatchResult:
    """Write the smallest file of every picture that meets criteria; see US 9,325,996.

    Where that is no smaller than the input, cannot be had, or would lose more than quality, the
    input is kept as it is.

    Args:
        plan: see `plan_optimising`.
        encoder: see `codec.search.encoders`.
        criteria: see `codec.search.criteria.at_least`.
        lowest: no quality below this one.
        on_result: called with each result as soon as it is known.
    """

    def one(job: Job) -> FileResult:
        before = _size(job)
        try:
            picture = read_picture(job.source, keep_profile=encoder.carries_metadata)
            if picture.notes:  # a second frame, a motion video: no smaller file is worth them
                return keep(job, "it " + "; ".join(picture.notes))
            pixels = eight_bits(picture, job.source, upright=not encoder.carries_orientation)
            like = picture if encoder.carries_metadata else None
            source = jpeg_source(job.source.read_bytes())
            found = optimise(pixels, encoder, Request(criteria, source, lowest, like))
        except (TargetUnreachable, PictureError, EncodingError) as error:
            return keep(job, str(error).removeprefix(f"{job.source}: "))
        if len(found.data) >= before and job.kept is not None:
            return keep(job, f"the input is smaller than {describe(found, criteria)}")
        write_atomically(job.target, found.data, like=job.source)
        notes = (describe(found, criteria), *lost_in(picture, encoder.file_format))
        return FileResult(job.source, job.target, before, len(found.data), notes)

    return run_jobs(plan, one, on_result, _at_once(_areas(plan), encoder.device))


def read_stream(path: Path | str) -> bytes:
    """The bytes of a codestream file, which are not checked yet.

    Raises:
        FormatError: it cannot be read, or is larger than any codestream.
    """
    return read_limited(Path(path), MAX_FILE_BYTES, FormatError)


def describe_stream(path: Path | str) -> str:
    """One line about a codestream."""
    data = read_stream(path)
    try:
        header, found = stream_metadata.read_metadata(data)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    blocks = "".join(
        f", {name} {len(block):,} bytes" for name, block in found._asdict().items() if block
    )
    return f"{path}: {_header_text(header, len(data))}{_prediction_text(data)}{blocks}"


def _prediction_text(data: bytes) -> str:
    """What a stream is predicted from, or empty."""
    prediction = open_stream(data).prediction
    if prediction is None:
        return ""
    steps = ", ".join(type(step).__name__.lower() for step in prediction.steps) or "as it is"
    return f", predicted from {prediction.reference.hex()} ({steps})"


def _header_text(header: Header, size: int) -> str:
    colour = "RGB" if header.planes == 3 else "grey"
    rate = 8 * size / (header.height * header.width)
    parts = [f"{header.width}x{header.height} {colour}", header.mode.name.lower()]
    if header.mode != Mode.LOSSLESS:
        parts.append(f"step {header.step_index}, filter {header.filter.name.lower()}")
    parts += [f"{size:,} bytes", f"{rate:.3f} bits a pixel", f"networks {header.contexts:08x}"]
    return ", ".join(parts)


def eight_bits(picture: Picture, path: Path, upright: bool = False) -> Tensor:
    """The pixels as they lie in the file, or upright; (1, H, W) where they are grey.

    Raises:
        UnsupportedPicture: the codec has no room for what is in the file.
    """
    if picture.pixels.dtype != torch.uint8:
        raise UnsupportedPicture(f"{path}: expected 8 bits a channel, got 16")
    if picture.alpha is not None and bool((picture.alpha < 255).any()):
        raise UnsupportedPicture(f"{path}: expected an opaque picture, got one with transparency")
    pixels = picture.pixels if upright else picture.stored()
    grey = torch.equal(pixels[0], pixels[1]) and torch.equal(pixels[0], pixels[2])
    coloured = picture.profile is not None and picture.profile[16:20] != b"GRAY"
    return pixels[:1].contiguous() if grey and not coloured else pixels
