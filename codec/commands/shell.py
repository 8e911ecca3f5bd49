"""What all commands share: exit codes, one-line errors, a line for each file, common options.

Nothing heavy is imported here, so that `--help` and wrong usage answer at once.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from codec.version import __version__

if TYPE_CHECKING:
    from codec.pictures.jobs import BatchResult, FileResult, Plan

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


def run(program: str, parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    """Run the command that a parser finds in `options.command`.

    Args:
        program: its name before errors.
        parser: commands return their exit status.
        arguments: None is the command line.

    Returns:
        0 done, 1 something failed, 130 stopped; argparse itself exits with 2 for wrong usage.
    """
    options = parser.parse_args(arguments)
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on
        return FAILED
    except KeyboardInterrupt:
        print(f"{program}: interrupted; what was written is whole", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        place = error.filename or getattr(options, "output", "")
        print(f"{program}: {place}: {error.strerror or error}", file=sys.stderr)
        return FAILED
    except ValueError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return FAILED
    return status


def entry(main: Callable[[], int]) -> None:
    """Run a program's main function as its process, also where it is stopped while it starts."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def teller(program: str) -> Callable[["FileResult"], None]:
    """What prints a line as soon as a file is done or has failed, above the progress bar."""
    from tqdm import tqdm

    def tell(result: "FileResult") -> None:
        if result.error:
            tqdm.write(f"{program}: {result.error}", file=sys.stderr)
            return
        sizes = f"  {sizes_text(result.before, result.after)}" if result.before else ""
        notes = "".join(f"  {note}" for note in ("; ".join(result.notes),) if note)
        tqdm.write(f"{result.target}{sizes}{notes}", file=sys.stdout)
        sys.stdout.flush()

    return tell


def report(done: "BatchResult") -> int:
    """Print what became of all files; the exit status."""
    if done.about_skipped:
        print(done.about_skipped)
    total = len(done.results)
    before, after = sum(x.before for x in done.written), sum(x.after for x in done.written)
    parts = [f"{len(done.written)} of {total} done"]
    kept = sum(one.kept for one in done.results)
    if kept:
        parts.append(f"{kept} of them kept as they are")
    if done.existing:
        parts.append(f"{done.existing} there already")
    if before:
        parts.append(sizes_text(before, after))
    print(", ".join(parts))
    is_nothing = not total and not done.existing
    is_poorer = any(one.poorer for one in done.results)
    return FAILED if done.failures or is_nothing or is_poorer else DONE


def show_plan(plan: "Plan") -> int:
    """Print what would be done (`--dry-run`)."""
    for job in plan.jobs:
        replaces = ", which it replaces" if job.target.exists() else ""
        print(f"{job.source} -> {job.target}{replaces}")
    for failure in plan.failures:
        print(failure.error, file=sys.stderr)
    if plan.about_skipped:
        print(plan.about_skipped)
    count = len(plan.jobs)
    there = f", {plan.existing} there already" if plan.existing else ""
    print(f"{count} {'file' if count == 1 else 'files'} would be written{there}")
    return FAILED if plan.failures else DONE


def sizes_text(before: int, after: int) -> str:
    share = f" ({100 * after / before:.1f} %)" if before else ""
    return f"{before:,} -> {after:,} bytes{share}"


def add_files(
    command: argparse.ArgumentParser, name: str, help: str, output: str = "folder or file"
) -> None:
    """Inputs, the output, and what to do with results that are there."""
    command.add_argument(name, nargs="+", help=help)
    command.add_argument(
        "-o", "--output", required=True, metavar="OUT", help=f"{output} to write to"
    )
    command.add_argument(
        "--skip-existing", action="store_true", help="leave inputs whose result is there"
    )
    command.add_argument(
        "--dry-run", action="store_true", help="say what would be written, and write nothing"
    )


def add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", action="version", version=__version__)


def quality(text: str) -> int:
    """A quality on the command line."""
    value = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= value <= 100:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 100, got {text}")
    return value
