"""What the commands do, once their options are read."""

import argparse
import sys
from collections.abc import Sequence

from codec.commands.shell import report, show_plan, teller
from codec.files import (
    decode_files,
    describe_stream,
    encode_files,
    optimise_files,
    plan_decoding,
    plan_encoding,
    plan_optimising,
)
from codec.pictures.folders import list_pictures
from codec.references import SUFFIX, FileReferences
from codec.search.criteria import Criterion, at_least
from codec.search.encoders import encoder
from codec.search.scores import SCORES
from codec.settings import DEFAULT_SSIMULACRA2, Settings

PROGRAM = "dfc"


def encode(options: argparse.Namespace) -> int:
    settings, criteria = wanted(options)
    known = _references(options.references, options.device)
    plan = plan_encoding(options.picture, options.output, options.skip_existing, known)
    if options.dry_run:
        return show_plan(plan)
    return report(encode_files(plan, settings, criteria, options.device, teller(PROGRAM), known))


def decode(options: argparse.Namespace) -> int:
    # Streams that are decoded together may stand on each other.
    given = [*options.stream, *options.references]
    known = _references(given, options.device)
    plan = plan_decoding(options.stream, options.output, options.skip_existing, known)
    if options.dry_run:
        return show_plan(plan)
    return report(decode_files(plan, options.device, teller(PROGRAM), known))


def _references(paths: Sequence[str], device: str) -> FileReferences | None:
    return FileReferences(paths, device) if paths else None


def info(options: argparse.Namespace) -> int:
    failed = False
    for given in options.stream:
        try:
            for path, _ in list_pictures([given], (SUFFIX,)):
                failed |= not _said(str(path))
        except ValueError as error:
            failed = True
            print(f"{PROGRAM}: {error}", file=sys.stderr)
    return int(failed)


def _said(path: str) -> bool:
    try:
        print(describe_stream(path))
    except ValueError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return False
    return True


def optimise(options: argparse.Namespace) -> int:
    criteria = _criteria(options) or at_least(
        "ssimulacra2", DEFAULT_SSIMULACRA2, options.worst_tile
    )
    settings = Settings(mode=options.mode, filter=options.filter, effort=options.effort)
    chosen = encoder(options.format, settings, options.device)
    plan = plan_optimising(options.picture, options.output, chosen, options.skip_existing)
    if options.dry_run:
        return show_plan(plan)
    return report(optimise_files(plan, chosen, criteria, options.min_quality, teller(PROGRAM)))


def _criteria(options: argparse.Namespace) -> tuple[Criterion, ...] | None:
    """The score that is to be reached and its floor; None if none was given."""
    for name in SCORES:
        goal = getattr(options, name)
        if goal is not None:
            return at_least(name, goal, options.worst_tile)
    return None


def wanted(options: argparse.Namespace) -> tuple[Settings, tuple[Criterion, ...] | None]:
    """How to code, and the score that is to be reached, if one is.

    Raises:
        ValueError: a floor without a score.
    """
    quality = Settings().quality if options.quality is None else options.quality
    settings = Settings(quality, options.mode, options.lossless, options.filter, options.effort)
    criteria = _criteria(options)
    if criteria is None and options.worst_tile is not None:
        raise ValueError("--worst-tile goes with a score to reach, such as --ssimulacra2 80")
    return settings, criteria
