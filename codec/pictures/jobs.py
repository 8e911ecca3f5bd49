"""Files in, files out: which file becomes which, doing it, and what became of each.

One bad file never costs the others, nothing is written over an input, and a searched folder comes
out whole: what cannot be worked on but can be kept is copied as it is.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from codec.pictures.folders import EXTENSIONS, VIDEO_EXTENSIONS, first_names, search
from codec.pictures.picture import UnsupportedPicture
from codec.pictures.storage import write_atomically
from codec.pictures.workers import spread, stop_if_asked, worker_count

_GROUP_PIXELS = 1 << 22
_GROUP_FILES = 64
_COARSEST_TIME = 2.0  # seconds, of FAT
_SUFFIXES = (*EXTENSIONS, *VIDEO_EXTENSIONS, ".dfc", ".dfp")  # that name files, not folders
_MANY = 4
_SAME_SUFFIX = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif"}


class Job(NamedTuple):
    """A file, and where its result goes.

    Attributes:
        source, target: the file and the result.
        kept: where a copy goes if the file is kept as it is; None where there is no room for it.
    """

    source: Path
    target: Path
    kept: Path | None


class FileResult(NamedTuple):
    """What became of one file.

    Attributes:
        source: where it came from.
        target: where the result is; None if there is none.
        before, after: bytes.
        notes: what else is worth saying, a clause each.
        error: one sentence where it failed, or empty.
        kept: whether the file was copied as it is.
        poorer: whether the result is there, but less than it should be, as the notes say.
    """

    source: Path
    target: Path | None
    before: int = 0
    after: int = 0
    notes: tuple[str, ...] = ()
    error: str = ""
    kept: bool = False
    poorer: bool = False


OnResult = Callable[[FileResult], None]


@dataclass(frozen=True)
class BatchResult:
    """What became of files: one entry each in the order of the inputs, and what was left aside.

    Attributes:
        results: of all files that were worked on.
        about_skipped: a sentence about files of other kinds in searched folders, or empty.
        existing: how many were left because their result was there already.
    """

    results: list[FileResult] = field(default_factory=list)
    about_skipped: str = ""
    existing: int = 0

    @property
    def written(self) -> list[FileResult]:
        return [one for one in self.results if not one.error]

    @property
    def failures(self) -> list[str]:
        return [one.error for one in self.results if one.error]


@dataclass(frozen=True)
class Output:
    """Where results go.

    Attributes:
        place: a folder, or for one input a file, which its suffix tells.
        suffix: of results; None keeps that of the input.
        rename: the name of a result with its old suffix -> its new name.
        skip_existing: leave inputs whose result is there, with the time of the input.
        reserved: names in the folder that no result may take.
        files: suffixes that a folder does not have.
        protected: files beside the inputs that no result may replace.
    """

    place: Path | str
    suffix: str | None = None
    rename: Callable[[Path], Path] = lambda path: path
    skip_existing: bool = False
    reserved: Collection[str] = ()
    files: Collection[str] = EXTENSIONS
    protected: Collection[Path] = ()

    def __post_init__(self) -> None:
        if not str(self.place):
            raise ValueError("expected an output folder, got an empty path")

    @property
    def path(self) -> Path:
        return Path(self.place)

    def is_file(self) -> bool:
        """Whether the path names a file: it has a file's suffix, and is no folder."""
        return self.path.suffix.lower() in self.files and not self.path.is_dir()

    def name_of(self, relative: Path) -> Path:
        """The name of the result of a file, below the folder."""
        return self.rename(relative) if self.suffix is None else relative.with_suffix(self.suffix)


def check_output(output: Path | str, allowed: Sequence[str]) -> None:
    """Raise ValueError where a place is named as a file is that results do not become.

    Args:
        output: a folder, or a file.
        allowed: suffixes of files that they may become.
    """
    suffix = Path(output).suffix.lower()
    is_file = suffix in _SUFFIXES and not Path(output).is_dir()
    if is_file and suffix not in allowed:
        names = f"{', '.join(allowed[:_MANY])}{', ...' * (len(allowed) > _MANY)}"
        raise ValueError(f"{output}: expected a folder or a name that ends in {names}")


class Plan(NamedTuple):
    """Jobs to do, and what was found beside them.

    Attributes:
        jobs: in the order of the inputs.
        failures: inputs that have no place to go to.
        about_skipped, existing: see `BatchResult`.
    """

    jobs: list[Job]
    failures: list[FileResult]
    about_skipped: str = ""
    existing: int = 0


def plan_jobs(
    inputs: Sequence[Path | str],
    output: Output,
    extensions: tuple[str, ...] = EXTENSIONS,
    others: Sequence[Path] = (),
) -> Plan:
    """Which file becomes which.

    Folders keep the paths below them. Where two inputs would get one name, as photo.jpg and
    photo.png do when they become photo.dfc, both keep their old suffix before the new one:
    photo.jpg.dfc and photo.png.dfc.

    Args:
        inputs: files, folders and patterns, see `folders.search`.
        output: where results go.
        extensions: what to search folders for.
        others: files that must not be written over, and are no inputs where a folder holds them.

    Raises:
        ValueError: nothing to do, or several inputs for one file.
    """
    listing = search(inputs, extensions, output.path)
    named = {Path(path).resolve() for path in inputs}
    aside = {path.resolve() for path in others} - named
    found = {p: r for p, r in dict(listing.found).items() if p.resolve() not in aside}
    protected = {path.resolve(): "reference" for path in output.protected}
    protected |= {path.resolve(): "input" for path in (*found, *others)}
    placed: dict[Path, Path] = {}
    failures = [FileResult(output.path, None, error=one) for one in listing.unreadable]
    taken: dict[Path, Path] = {}
    for source, target in zip(found, _targets(list(found.values()), output), strict=True):
        reason = _obstacle(source, target, output, protected, taken)
        taken.setdefault(target.resolve(), source)
        if reason:
            failures.append(FileResult(source, None, error=f"{source}: {reason}"))
        else:
            placed[source] = target
    every = [
        Job(source, target, _place_to_keep(source, target, output, protected, taken))
        for source, target in placed.items()
    ]
    jobs = [job for job in every if not (output.skip_existing and _is_done(job))]
    left_out = [path for path in dict(listing.found) if path not in found]
    sentences = [listing.about_skipped()]
    if left_out:
        sentences.append(f"left out, as the look comes from it: {first_names(left_out)}")
    return Plan(jobs, failures, "; ".join(filter(None, sentences)), len(every) - len(jobs))


def _is_done(job: Job) -> bool:
    """Whether the result or the copy is there: both get the time of their source.

    The name is not enough: out/a.jpg may have been made of a.heic, before there was an a.jpg.
    """
    time = job.source.stat().st_mtime
    return any(
        abs(place.stat().st_mtime - time) <= _COARSEST_TIME
        for place in (job.target, job.kept)
        if place is not None and place.exists() and not _same(place, job.source)
    )


def _place_to_keep(
    source: Path,
    target: Path,
    output: Output,
    protected: Collection[Path],
    taken: dict[Path, Path],
) -> Path | None:
    """Where a file goes that is kept as it is; None if that is the place of another."""
    if output.is_file():
        kept = target if _kind(source) == _kind(target) else None
    else:
        kept = target.with_name(source.name)
    if kept is None or _same(kept, source):
        return kept
    place = kept.resolve()
    is_free = place not in protected and taken.setdefault(place, source) == source
    return kept if is_free else None


def _kind(path: Path) -> str:
    """The suffix, the usual one where there are several for one format."""
    suffix = path.suffix.lower()
    return _SAME_SUFFIX.get(suffix, suffix)


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _obstacle(
    source: Path,
    target: Path,
    output: Output,
    protected: Mapping[Path, str],
    taken: dict[Path, Path],
) -> str:
    """Why a result cannot go to its target, or empty."""
    place = target.resolve()
    if place == source.resolve():
        return "its result would overwrite it; choose another folder"
    if place in protected:
        return f"its result would overwrite the {protected[place]} {target}; choose another folder"
    if place in taken:
        return f"its result would overwrite {target} of {taken[place]}; rename one of them"
    inside = () if output.is_file() else target.relative_to(output.path).parts
    if inside and inside[0] in output.reserved:
        return "this name is taken by an output; rename the file"
    return ""


def _targets(relatives: list[Path], output: Output) -> list[Path]:
    """Where results go, in the order of their inputs."""
    if output.is_file():
        if len(relatives) > 1:
            count = len(relatives)
            raise ValueError(f"{output.path}: expected a folder for {count} files, got a file")
        for wanted in [_kind(output.name_of(relative)) for relative in relatives]:
            if _kind(output.path) != wanted:
                raise ValueError(f"{output.path}: expected a name that ends in {wanted}")
        return [output.path] * len(relatives)
    if output.path.exists() and not output.path.is_dir():
        raise ValueError(f"{output.path}: expected a folder, got a file")

    def kept_apart(old: Path, new: Path) -> Path:
        if times[new] == 1 or old == new:
            return new
        added = new.name.removeprefix(old.stem) if new.name.startswith(old.stem) else new.suffix
        return old.with_name(old.name + added)

    names = [output.name_of(relative) for relative in relatives]
    times = Counter(names)
    return [
        output.path / kept_apart(relative, name)
        for relative, name in zip(relatives, names, strict=True)
    ]


def run_jobs(
    plan: Plan,
    work: Callable[[Job], FileResult],
    on_result: OnResult | None = None,
    most: int | None = None,
) -> BatchResult:
    """Work on file after file, several at once; what cannot be done is said and left out.

    Args:
        plan: see `plan_jobs`.
        work: what is done to a file; `UnsupportedPicture` keeps it as it is.
        on_result: called with each result as soon as it is known.
        most: how many files at once; None is as many as torch has threads.
    """
    alone = [[job] for job in plan.jobs]
    return run_groups(plan, alone, lambda jobs: [work(jobs[0])], on_result, most)


def run_groups(
    plan: Plan,
    groups: Sequence[list[Job]],
    work: Callable[[list[Job]], list[FileResult]],
    on_result: OnResult | None = None,
    most: int | None = None,
) -> BatchResult:
    """`run_jobs` for work that does several files together; where it fails, one by one."""

    def tried(jobs: list[Job]) -> list[FileResult]:
        stop_if_asked()
        try:
            return work(jobs)
        except Exception as error:  # whatever one file does, the others are still done
            if len(jobs) == 1:
                return [_failed(jobs[0], error)]
        return [one for job in jobs for one in tried([job])]

    def every() -> Iterator[FileResult]:
        yield from plan.failures
        for results in spread(tried, groups, most or worker_count()):
            yield from results

    results = []
    total = len(plan.failures) + len(plan.jobs)
    for result in tqdm(every(), total=total, unit="file", disable=None):
        results.append(result)
        if on_result is not None:
            on_result(result)
    return BatchResult(results, plan.about_skipped, plan.existing)


def small_together(jobs: Sequence[Job], areas: Sequence[int]) -> list[list[Job]]:
    """Jobs in groups of few pixels, so that pictures of one size are coded in batches.

    Args:
        jobs: in the order that they are to be done in.
        areas: pixels of each.
    """
    groups: list[list[Job]] = []
    pixels = 0
    for job, area in zip(jobs, areas, strict=True):
        if not groups or pixels + area > _GROUP_PIXELS or len(groups[-1]) >= _GROUP_FILES:
            groups.append([])
            pixels = 0
        groups[-1].append(job)
        pixels += area
    return groups


def keep(job: Job, reason: str) -> FileResult:
    """Copy a file as it is, under its own name; where that is another file's, an error."""
    if job.kept is None:
        reason = f"{job.source}: {reason}; nothing is written, as no copy can go there"
        return FileResult(job.source, None, error=reason)
    try:
        data = job.source.read_bytes()
        if not _same(job.kept, job.source):
            write_atomically(job.kept, data, like=job.source)
    except OSError as error:
        return _failed(job, error)
    note = f"kept as it is: {reason}"
    return FileResult(job.source, job.kept, len(data), len(data), (note,), kept=True)


def _failed(job: Job, error: Exception) -> FileResult:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, UnsupportedPicture):
        return keep(job, text.removeprefix(f"{job.source}: "))
    if isinstance(error, OSError) and error.strerror:  # not the name of the unfinished file
        text = f"{job.target} cannot be written ({error.strerror})"
    text = text if str(job.source) in text else f"{job.source}: {text}"
    return FileResult(job.source, None, error=text)
