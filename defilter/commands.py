"""What the commands do, once their options are read."""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

from codec.commands.shell import DONE, report, show_plan, teller
from codec.pictures.folders import list_pictures
from defilter.analysis import Analysers, analysers_for, default_analysers
from defilter.extraction import fit_pair, fit_rough_pair
from defilter.files import plan_removing, plan_rendering, remove_planned, render_planned
from defilter.look import load_look, save_look
from defilter.networks import load_look_network
from defilter.verbs import extract, extract_pair

PROGRAM = "defilter"
logging.basicConfig(format="%(message)s", level=logging.WARNING)


def extract_look(options: argparse.Namespace) -> int:
    found = [path for path, _ in list_pictures(options.template)]
    inputs = [*found, *([options.before] if options.before else [])]
    if options.output.resolve() in {Path(path).resolve() for path in inputs}:
        raise ValueError(f"{options.output}: would overwrite an input; choose another name")
    if options.before:
        fit = fit_rough_pair if options.robust else fit_pair
        look = extract_pair(options.before, options.template[0], fit).look
    else:
        network = load_look_network(options.weights)
        look = extract(options.template, network, _analysers(options)).look
    save_look(look, options.output, options.size, options.bits)
    print(f"{options.output}: covers {look.coverage:.0%} of the colours that photos have")
    if look.categories and options.output.suffix.lower() == ".json":
        print(f"looks of their own: {', '.join(look.categories)}")
    return DONE


def apply_look_file(options: argparse.Namespace) -> int:
    look = load_look(options.look)
    if options.scene and look.scene is None:
        raise ValueError(f"{options.look}: knows no scene")
    if options.areas and not look.categories:
        raise ValueError(f"{options.look}: knows no areas")
    analysers = _analysers(options, analysers_for(look))
    plan = plan_rendering(
        options.photo, options.output, [Path(options.look)], options.skip_existing
    )
    if options.dry_run:
        return show_plan(plan)
    tell = teller(PROGRAM)
    return report(render_planned(plan, look, options.strength, analysers, options.quality, tell))


def remove_look(options: argparse.Namespace) -> int:
    plan = plan_removing(options.photo, options.output, options.skip_existing)
    if options.dry_run:
        return show_plan(plan)
    network = load_look_network(options.weights)
    return report(remove_planned(plan, network, options.quality, teller(PROGRAM)))


def transfer_look(options: argparse.Namespace) -> int:
    analysers = _analysers(options)
    extraction = extract(options.template, load_look_network(options.weights), analysers)
    plan = plan_rendering(
        options.photo, options.output, extraction.templates, options.skip_existing
    )
    if options.dry_run:
        return show_plan(plan)
    look, tell = extraction.look, teller(PROGRAM)
    return report(render_planned(plan, look, options.strength, analysers, options.quality, tell))


def _analysers(options: argparse.Namespace, usual: Analysers | None = None) -> Analysers:
    """What the options ask for; what they leave open is as usual, or everything."""
    chosen = {}
    for name in ("scene", "faces", "areas", "saliency"):
        asked = getattr(options, name, None)
        by_default = usual is None or getattr(usual, name) is not None
        chosen[name] = by_default if asked is None else asked
    analysers = default_analysers(**chosen)
    if analysers.scene is not None and getattr(options, "literal_scene", False):
        analysers = replace(analysers, scene=analysers.scene.literally())
    return replace(analysers, graded_in_parts=getattr(options, "areas", None) or None)
