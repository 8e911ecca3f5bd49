"""Areas: how well they are found, and what looks of their own are worth.

Axes: N pair, K category, H W pixels.
"""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from codec.pictures.fit import RIDGE_ESTIMATES, fit_least_squares
from codec.pictures.metrics import psnr
from codec.pictures.picture_files import to_dtype
from codec.pictures.resize import PRESET_SIZE, squash
from codec.report import Report, save_tables
from defilter.analysis import NO_ANALYSERS
from defilter.areas.looks import SHIPPED_FIG3, area_looks
from defilter.areas.segmenter import AreaMap, Segmenter, load_segmenter
from defilter.extraction import FIT_SIZE, look_from_templates
from defilter.learn.area_pairs import grade_areas
from defilter.learn.area_pictures import NOT_THE_MASK, Labelled, load_people, load_street, resize
from defilter.learn.look_bank import load_looks
from defilter.look import Look
from defilter.networks import default_network
from defilter.render import Analysis, render
from defilter.unet import AreaDefilterUNet, DefilterUNet
from defilter.weights import load_network

_ORACLE_SAMPLES = 2000


class AreaPair(NamedTuple):
    """Two labelled pictures and tables (K, 3, D, D, D), one for each category."""

    template: Labelled
    photo: Labelled
    tables: Tensor


def run(
    folders: Mapping[str, Any],
    split: str,
    pairs: int,
    trained: Mapping[str, str | None],
    out: str,
) -> Report:
    """Segmentation; looks by category against one look, on pairs graded by category and on pairs
    with one look all over; Fig. 3 against Fig. 2.

    Args:
        folders: `street` and `people`, see `defilter.learn.area_pictures`, and `looks`, folders of
            HALD looks, of which those of the split are used.
        split: `test`, or `val` to try things.
        pairs: of street pictures, for the looks.
        trained: weights. `segmentation` finds the areas, None is the one that ships. Trained on
            pairs graded by category: `fig3` is told the areas, None is the one that ships; `fig2`
            is not, None leaves the comparison out.
        out: folder for the results.
    """
    segment = load_segmenter(trained["segmentation"])
    streets = load_street(folders["street"], split)
    persons = load_people(folders["people"], split, segment.categories.index("person"))
    bank = load_looks(folders["looks"], split, monochrome=False)
    if bank is None:
        raise ValueError("expected folders.looks=[FILM,CREATIVE]")
    with_labels = load_network(trained["fig3"] or SHIPPED_FIG3, AreaDefilterUNet)
    sections = {"Segmentation, IoU in %": _segmentation(segment, streets, persons)}
    kinds = len(segment.categories)
    for title, looks in (
        ("Each category with a look of its own, dB on the photo", kinds),
        ("One look all over, dB on the photo", 1),
    ):
        drawn = _draw(streets, bank.tables, kinds, looks, pairs)
        sections[title] = _summary(_render_rows(segment, with_labels, drawn), "whole look")
    if trained["fig2"] is not None:
        without = load_network(trained["fig2"], DefilterUNet)
        drawn = _draw(streets, bank.tables, kinds, kinds, 4 * pairs)
        sections["De-filtering, each category with a look of its own, dB"] = _summary(
            _remove_rows(segment, with_labels, without, drawn), "Fig. 2"
        )
    return save_tables("areas", sections, out, split=split)


def _segmentation(
    segment: Segmenter, streets: Sequence[Labelled], persons: Sequence[Labelled]
) -> list[dict[str, str]]:
    """Intersection over union by category, from confusions summed over all pictures."""
    size = len(segment.categories)
    person = segment.categories.index("person")
    confusion = torch.zeros(size, size, dtype=torch.long)
    for one in tqdm(streets, desc="streets", disable=None):
        labels, found = one.labels.long(), _found(segment, one)
        known = labels < size
        pairs = labels[known] * size + found[known]
        confusion += torch.bincount(pairs, minlength=size**2).view(size, size)
    both = confusion.diagonal()
    ious = both / (confusion.sum(0) + confusion.sum(1) - both).clamp(min=1)
    rows = [{"what": "mean of the categories", "street": _per_cent(ious.mean()), "people": ""}]
    people = torch.zeros(2)
    for one in tqdm(persons, desc="people", disable=None):
        there, said = one.labels == person, _found(segment, one) == person
        people += torch.stack(((there & said).sum(), (there | said).sum()))
    for number, name in enumerate(segment.categories):
        figure = _per_cent(people[0] / people[1].clamp(min=1)) if number == person else ""
        rows.append({"what": name, "street": _per_cent(ious[number]), "people": figure})
    return rows


def _found(segment: Segmenter, one: Labelled) -> Tensor:
    return segment(one.pixels / 255).labels(*one.labels.shape)


def _per_cent(value: Tensor) -> str:
    return f"{100 * float(value):.1f}"


def _draw(
    streets: Sequence[Labelled], tables: Tensor, categories: int, looks: int, count: int
) -> list[AreaPair]:
    """Pairs of pictures; `looks` different looks take turns among the categories."""
    rng = random.Random(0)
    drawn = []
    for _ in range(count):
        template, photo = rng.sample(list(streets), 2)
        chosen = rng.sample(range(len(tables)), looks)
        index = [chosen[number % looks] for number in range(categories)]
        drawn.append(AreaPair(template, photo, tables[index].float()))
    return drawn


def _graded(one: Labelled, tables: Tensor) -> Tensor:
    """(3, H, W) uint8: each category through its table; what has no category stays."""
    labels = one.labels.long()[None]
    graded = grade_areas(one.pixels[None] / 255, labels, tables[None])
    return to_dtype(graded[0], torch.uint8)


def _render_rows(
    segment: Segmenter, with_labels: AreaDefilterUNet, pairs: Sequence[AreaPair]
) -> dict[str, list[float]]:
    """PSNR of each pair over the pixels that have a category."""
    rows: dict[str, list[float]] = defaultdict(list)
    network = default_network()
    for template, photo, tables in tqdm(pairs, desc="looks", disable=None):
        filtered, truth = _graded(template, tables), _graded(photo, tables)
        known = photo.labels < NOT_THE_MASK
        small = list(squash(filtered[None] / 255, PRESET_SIZE))
        found = segment(filtered / 255).compact(PRESET_SIZE)
        there = segment(photo.pixels / 255)
        true, truly = (_true_map(one, segment.categories) for one in (template, photo))
        whole = look_from_templates(network, small)
        owns = {
            "by category": (area_looks(network, whole, small, [found]), there),
            "by category, told so": (area_looks(network, whole, small, [found], True), there),
            "by category, told so, true areas": (
                area_looks(network, whole, small, [true], True),
                truly,
            ),
            "by category, true areas": (area_looks(network, whole, small, [true]), truly),
            "by category, oracle": (_oracle(template, filtered, segment.categories), truly),
        }
        told = [found.enlarged(FIT_SIZE, FIT_SIZE, slice(0, FIT_SIZE))]
        literal = look_from_templates(with_labels, small, told)
        own = area_looks(with_labels, literal, small, [found])
        owns["Fig. 3, pairs of each category"] = own, there
        results = {"photo": photo.pixels, "whole look": whole.look.render(photo.pixels)}
        for name, (own, areas) in owns.items():
            analysis = Analysis(1.0, None, [], areas)
            look = Look(whole.look.mapping, categories=own)
            results[name] = render(look, photo.pixels, analysis, NO_ANALYSERS)
        for name, result in results.items():
            error = (result[:, known].double() - truth[:, known].double()) / 255
            rows[name].append(float(-10 * error.square().mean().clamp(min=1e-6).log10()))
    return rows


def _true_map(one: Labelled, categories: tuple[str, ...]) -> AreaMap:
    labels = one.labels.long()
    return AreaMap(categories, torch.stack([labels == k for k in range(len(categories))]).float())


def _oracle(template: Labelled, filtered: Tensor, categories: tuple[str, ...]) -> dict:
    """The nearest mapping to each category's true pairs of colours."""
    generator = torch.Generator().manual_seed(0)
    looks = {}
    for name in _true_map(template, categories).shares():
        index = (template.labels == categories.index(name)).flatten().nonzero()[:, 0]
        chosen = index[torch.randint(len(index), (_ORACLE_SAMPLES,), generator=generator)]
        before, after = (x.flatten(1)[:, chosen].T / 255 for x in (template.pixels, filtered))
        looks[name] = fit_least_squares(before, after, ridge=RIDGE_ESTIMATES)
    return looks


def _remove_rows(
    segment: Segmenter,
    with_labels: AreaDefilterUNet,
    without: DefilterUNet,
    pairs: Sequence[AreaPair],
) -> dict[str, list[float]]:
    """PSNR of de-filtered pictures at the size that the networks were trained at."""
    rows: dict[str, list[float]] = defaultdict(list)
    for one, _, tables in tqdm(pairs, desc="removing", disable=None):
        filtered = _graded(one, tables)
        x, clean = (squash(y[None] / 255, FIT_SIZE) for y in (filtered, one.pixels))
        known = resize(one, FIT_SIZE, FIT_SIZE).labels.long().clamp(max=len(tables) - 1)[None]
        found = segment(filtered / 255).labels(FIT_SIZE, FIT_SIZE)[None]
        with torch.no_grad():
            results = {
                "template": x,
                "default network": default_network()(x),
                "Fig. 2": without(x),
                "Fig. 3": with_labels(x, found),
                "Fig. 3, true areas": with_labels(x, known),
            }
        for name, result in results.items():
            rows[name].append(float(psnr(result.clamp(0, 1), clean)))
    return rows


def _summary(rows: dict[str, list[float]], base: str) -> list[dict[str, str]]:
    """Means with standard errors over pairs, and gains over one row."""
    table = []
    for name, values in rows.items():
        gains = torch.tensor(values).double() - torch.tensor(rows[base]).double()
        error = float(gains.std() / len(gains) ** 0.5)
        table.append(
            {
                "row": name,
                "PSNR dB": f"{sum(values) / len(values):.2f}",
                f"over {base}": f"{float(gains.mean()):+.2f} ± {error:.2f}",
                "pairs": str(len(values)),
            }
        )
    return table
