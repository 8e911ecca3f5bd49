"""Take the look of any photo and put it on others.

look = defilter.extract(["holiday.jpg"]).look
defilter.apply_to_files(look, ["photos/"], "out/")
defilter.save_look(look, "holiday.cube")
"""

from defilter.analysis import NO_ANALYSERS, Analysers, default_analysers
from defilter.extract import (
    Extraction,
    fit_pair,
    fit_rough_pair,
    look_from_pair,
    look_from_templates,
)
from defilter.look import Look, load_look, save_look
from defilter.networks import default_network
from defilter.networks import load_look_network as load_network
from defilter.sampling import UnusableTemplate
from defilter.transfer import Rendered, apply_to_files, remove_from_files, transfer
from defilter.verbs import apply, extract, extract_pair, remove

__all__ = [
    "NO_ANALYSERS",
    "Analysers",
    "Extraction",
    "Look",
    "Rendered",
    "UnusableTemplate",
    "apply",
    "apply_to_files",
    "default_analysers",
    "default_network",
    "extract",
    "extract_pair",
    "fit_pair",
    "fit_rough_pair",
    "load_look",
    "load_network",
    "look_from_pair",
    "look_from_templates",
    "remove",
    "remove_from_files",
    "save_look",
    "transfer",
]
