"""What `dfc layer` and `dfc unlayer` do, once their options are read."""

import argparse
from collections.abc import Callable

from codec.commands.shell import report, show_plan, teller
from codec.commands.verbs import PROGRAM, wanted
from codec.layered.differences import Coder, OffsetCoder, OwnCoder, ZipCoder
from codec.layered.files import (
    LAYERS,
    Agreed,
    layer_files,
    plan_layering,
    plan_unlayering,
    unlayer_files,
)
from codec.layered.geometry import Division, Ratio, Sampling
from codec.layered.settings import LayerSettings, Tags
from codec.layered.video import VideoError
from codec.layered.video_files import (
    are_videos,
    layer_videos,
    plan_video_layering,
    plan_video_unlayering,
    unlayer_videos,
)
from codec.layered.video_tracks import VideoSettings
from codec.prediction.upsample import Kernel
from codec.settings import Settings


def layer(options: argparse.Namespace) -> int:
    settings, criteria = wanted(options)
    if options.differences != "own":
        # JPEG has a quality, too; zip and the H.264 of videos have not.
        has_quality = options.differences == "offset" and not are_videos(options.picture)
        of_own = {k: v for k, v in options.of_own.items() if k != "quality" or not has_quality}
        _refuse(options, of_own, "goes with --differences own")
    if are_videos(options.picture):
        if criteria is not None:
            raise VideoError("scores to reach are for pictures; give videos a --quality")
        return _layer_videos(options, settings)
    chosen = _layer_settings(options, settings)
    plan = plan_layering(
        options.picture, options.output, chosen, options.package, options.skip_existing
    )
    if options.dry_run:
        return show_plan(plan)
    return report(layer_files(plan, chosen, criteria, teller(PROGRAM)))


def _layer_videos(options: argparse.Namespace, settings: Settings) -> int:
    _refuse(options, options.of_pictures, "is for pictures; videos do without")
    if options.ratio == (1, 1):
        raise VideoError("expected levels of different sizes, got a ratio of 1x1")
    if options.differences == "zip":
        raise VideoError("--differences zip is for pictures; videos take own or offset")
    if options.differences == "own" and options.blocks != ((1,), (1,)):
        raise VideoError("--blocks of videos goes with --differences offset")
    plan = plan_video_layering(options.picture, options.output, options.skip_existing)
    if options.dry_run:
        return show_plan(plan)
    own = options.differences == "own"
    chosen = VideoSettings(
        Ratio(*options.ratio),
        options.crf,
        OwnCoder(settings, options.device) if own else None,
        options.offset,
        options.crf,
        Division(*options.blocks),
    )
    return report(layer_videos(plan, chosen, teller(PROGRAM)))


def _refuse(options: argparse.Namespace, usual: dict[str, object], why: str) -> None:
    """Raise ValueError for an option that was given and would change nothing."""
    for name, default in usual.items():
        if getattr(options, name) != default:
            raise ValueError(f"--{name.replace('_', '-')} {why}")


def _layer_settings(options: argparse.Namespace, settings: Settings) -> LayerSettings:
    coders: dict[str, Callable[[], Coder]] = {
        "own": lambda: OwnCoder(settings, options.device),
        "offset": lambda: OffsetCoder(options.offset, settings.quality),
        "zip": ZipCoder,
    }
    return LayerSettings(
        options.base,
        options.levels,
        Ratio(*options.ratio),
        Division(*options.blocks),
        coders[options.differences](),
        options.base_quality,
        Sampling[options.down.upper()],
        Kernel[options.up.upper()],
        not options.open_loop,
        options.sub_blocks,
        options.least_chroma,
        options.soften,
        options.smooth,
        Tags(options.tags),
    )


def unlayer(options: argparse.Namespace) -> int:
    if are_videos(options.layers, LAYERS):
        _refuse(options, options.of_pictures, "is for pictures; videos do without")
        plan = plan_video_unlayering(options.layers, options.output, options.skip_existing)
        if options.dry_run:
            return show_plan(plan)
        return report(unlayer_videos(plan, teller(PROGRAM)))
    plan = plan_unlayering(options.layers, options.output, options.skip_existing)
    if options.dry_run:
        return show_plan(plan)
    known = None
    if options.agreed or options.offset:
        columns, rows = options.agreed or (1, 1)
        known = Agreed(columns, rows, options.offset)
    done = unlayer_files(plan, options.level, known, teller(PROGRAM))
    return report(done)
