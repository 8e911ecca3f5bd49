"""What the commands do, once their options are read."""

import argparse
import sys

from codec.commands.shell import show_plan, teller
from codec.files import (
    SUFFIX,
    Target,
    decode_files,
    describe_stream,
    encode_files,
    optimise_files,
    plan_decoding,
    plan_encoding,
    plan_optimising,
)
from codec.pictures.folders import list_pictures
from codec.pictures.jobs import BatchResult
from codec.search.encoders import OwnEncoder, encoder
from codec.search.scores import SCORES
from codec.settings import Settings

PROGRAM = "dfc"


def encode(options: argparse.Namespace) -> BatchResult | int:
    default = Settings().quality
    quality = default if options.quality is None else options.quality
    settings = Settings(quality, options.mode, options.lossless, options.filter, options.effort)
    target = _target(options)
    plan = plan_encoding(options.picture, options.output, options.skip_existing)
    if options.dry_run:
        return show_plan(plan)
    return encode_files(plan, settings, target, options.device, teller(PROGRAM))


def decode(options: argparse.Namespace) -> BatchResult | int:
    plan = plan_decoding(options.stream, options.output, options.skip_existing)
    if options.dry_run:
        return show_plan(plan)
    return decode_files(plan, options.device, teller(PROGRAM))


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


def optimise(options: argparse.Namespace) -> BatchResult | int:
    target = _target(options)
    assert target is not None
    chosen = encoder(options.format)
    if options.format == "dfc":
        chosen = OwnEncoder(device=options.device)
    plan = plan_optimising(options.picture, options.output, chosen, options.skip_existing)
    if options.dry_run:
        return show_plan(plan)
    return optimise_files(plan, chosen, target, teller(PROGRAM))


def _target(options: argparse.Namespace) -> Target | None:
    for name, score in SCORES.items():
        value = getattr(options, name)
        if value is not None:
            return Target(score, value)
    return None
