"""How well looks are removed and transferred, on looks and photos that were never trained on.

Tracks: B unseen looks, A a closed set, C pair mode, clean photos, the U-Net, and samples of salient
targets. Everything is rendered at degree 1. Looks are applied at the photos' full size and rounded
to 8 bits. De-filtering is measured at 256 x 256, the network's preset size; rendering at full size
on another photo.

Axes: C channel, H W pixels.
"""

import io
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from tqdm import tqdm

from codec.pictures.apply import render_lut, render_mapping
from codec.pictures.fit import RIDGE_PAIRS, fit_least_squares
from codec.pictures.lut import apply_tetrahedral, apply_trilinear
from codec.pictures.lut_files import load_lut
from codec.pictures.picture_files import read_picture, to_dtype
from codec.pictures.resize import squash
from codec.pictures.storage import write_atomically
from codec.report import Report, provenance, save_tables
from defilter.areas.segmenter import load_saliency
from defilter.extraction import fit_pair, look_from_templates, sample_pair
from defilter.global_look import GlobalLook
from defilter.learn.effects import add_vignettes, round_to_eight_bits
from defilter.learn.instagram import CLOSED_SET, instafilter_look, pilgram_look, require
from defilter.learn.look_bank import load_looks
from defilter.networks import LookNetwork, load_global_look
from defilter.study.classic import monge_kantorovich, reinhard
from defilter.study.look_pairs import PAIRS_A_LOOK, PHOTOS, LookPair, load_pairs
from defilter.study.look_scores import ScoreTable, score_rows
from defilter.unet import DefilterUNet
from defilter.weights import fingerprint, load_network

PRESET, TRAINED = 256, 32  # sides of the squashed pictures
TRACKS = ("B", "A", "C", "clean", "unet", "salient")
STRENGTHS = torch.arange(0, 2.55, 0.1).tolist()

Look = Callable[[Tensor], Tensor]


def run(
    folders: Mapping[str, Any],
    trained: Mapping[str, Any],
    out: str,
    every: int,
    tracks: list[str],
) -> Report:
    """Measure all tracks; prints and saves tables (JSON, Markdown) and a plot.

    Args:
        folders: `kodak` has the 24 Kodak pictures, `looks` are the folders with the film and
            creative looks of look_split.json.
        trained: weights of `train.py experiment=defilter_fig2` and `experiment=closed_set`, as
            `fig2` and `closed_set`; `default`: None is the network that ships.
        out: folder for the results.
        every: only every n-th pair, to try things; 1 is all.
        tracks: some of TRACKS.

    Raises:
        ValueError: something that a row needs is missing; there are no smaller tables.
    """
    if not tracks or set(tracks) - set(TRACKS):
        raise ValueError(f"expected tracks out of {', '.join(TRACKS)}, got {list(tracks)}")
    record = provenance()  # of the code that starts, whatever is committed meanwhile
    require("instafilter", "pilgram2")
    photos = Photos(Path(folders["kodak"]))
    find = FindLook([Path(folder) for folder in folders["looks"]])
    listed = load_pairs()[::every]
    for pair in listed:
        find.get(pair.group, pair.look)
    default = load_global_look(trained["default"])
    literal = load_network(trained["fig2"], DefilterUNet)
    networks: dict[str, nn.Module] = {"default": default, "fig2": literal}
    closed = load_global_look(trained["closed_set"]) if "A" in tracks else default
    if "A" in tracks:
        networks["closed_set"] = closed
    bank = load_looks(folders["looks"], "train", monochrome=True)
    if bank is None:
        raise ValueError("expected folders.looks=[FILM,CREATIVE]")
    with torch.inference_mode():
        measure = {
            "B": lambda: _unseen(photos, find, listed, (default, literal), bank.tables.mean(0)),
            "A": lambda: _closed(photos, closed, every),
            "C": lambda: {"C pair mode": _pair_mode(photos, find, listed)},
            "clean": lambda: _clean(photos, {"default": default, "Fig. 2 literal": literal}),
            "unet": lambda: _vignettes(photos, find, listed[::4], default),
            "salient": lambda: _salient(photos, find, listed[::4], default, literal),
        }
        measured = {title: rows for track in tracks for title, rows in measure[track]().items()}
    weights_used = {name: fingerprint(network) for name, network in networks.items()}
    return _save(out, measured, record | {"weights": weights_used})


class Photos:
    """Test photos by name, (3, H, W) uint8, read once."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.get = cache(self._read)
        missing = [name for name in PHOTOS if not (folder / f"{name}.png").is_file()]
        if missing:
            raise ValueError(f"{folder}: expected kodim01.png to kodim24.png, no {missing[0]}")

    def _read(self, name: str) -> Tensor:
        return read_picture(self.folder / f"{name}.png").pixels.contiguous()


class FindLook:
    """Looks by group and name, as functions (3, H, W) uint8 -> uint8."""

    def __init__(self, folders: list[Path]):
        self.files = {p.stem: p for folder in folders for p in sorted(folder.rglob("*.png"))}
        self.get = cache(self._find)

    def _find(self, group: str, name: str) -> Look:
        if group == "instafilter":
            return instafilter_look(name)
        if group == "pilgram2":
            return pilgram_look(name)
        if name not in self.files:
            raise ValueError(f"expected a HALD picture {name}.png in the look folders")
        table = load_lut(self.files[name])
        return lambda pixels: to_dtype(
            apply_tetrahedral(pixels[None].float() / 255, table)[0], torch.uint8
        )


def _unseen(
    kodak: Photos,
    find: FindLook,
    pairs: list[LookPair],
    networks: tuple[GlobalLook, DefilterUNet],
    blind: Tensor,
) -> dict[str, ScoreTable]:
    """Track B."""
    default, literal = networks
    removed, rendered = ScoreTable(), ScoreTable()
    for pair in tqdm(pairs, desc="unseen looks", disable=None):
        look = find.get(pair.group, pair.look)
        clean = kodak.get(pair.templates[0])
        photo = kodak.get(pair.photo)
        templates = [look(kodak.get(name)) for name in pair.templates]
        truth = look(photo)
        floats = [template.float() / 255 for template in templates]
        small, small_clean = (squash(x[None].float() / 255, PRESET) for x in (templates[0], clean))

        removed.add("do nothing", pair, small[0], small_clean[0])
        removed.add("Fig. 2 literal", pair, _shown(literal(small)), small_clean[0])
        tiny, tiny_clean = (squash(x, TRAINED) for x in (small, small_clean))
        removed.add("Fig. 2 literal, at 32 x 32", pair, _shown(literal(tiny)), tiny_clean[0])
        removed.add("default", pair, _shown(default(small)), small_clean[0])

        rendered.add("do nothing", pair, photo, truth)
        rendered.add("mean training look, blind", pair, render_lut(photo, blind), truth)
        rendered.add("Reinhard", pair, reinhard(photo.float() / 255, floats[0]), truth)
        rendered.add(
            "Monge-Kantorovich", pair, monge_kantorovich(photo.float() / 255, floats[0]), truth
        )
        contenders: tuple[tuple[str, LookNetwork, int], ...] = (
            ("Fig. 2 literal", literal, 1),
            ("default", default, 1),
            ("default, five templates", default, 5),
        )
        for row, network, count in contenders:
            mapping = look_from_templates(network, floats[:count]).look.mapping
            result = render_mapping(photo, mapping)
            rendered.add(row, pair, result, truth)
            if row == "default":
                best = _oracle_strength(photo, result, truth)
                rendered.add("default, oracle strength", pair, best, truth)
        oracle = _matching_colours(clean, templates[0])
        rendered.add(
            "oracle template",
            pair,
            render_mapping(photo, fit_least_squares(*oracle, ridge=RIDGE_PAIRS)),
            truth,
        )
    return {"B de-filter": removed, "B render": rendered}


def _shown(x: Tensor) -> Tensor:
    return x[0].float().clamp(0, 1)


def _oracle_strength(photo: Tensor, rendered: Tensor, truth: Tensor) -> Tensor:
    """The blend (or overdrive) of photo and rendering that is nearest to the truth."""
    x, y, z = (picture.float() / 255 for picture in (photo, rendered, truth))
    blends = ((x + s * (y - x)).clamp(0, 1) for s in STRENGTHS)
    return min(blends, key=lambda blend: float((blend - z).square().mean()))


def _matching_colours(clean: Tensor, filtered: Tensor) -> tuple[Tensor, Tensor]:
    """4096 colour-balanced pairs of two (3, H, W) uint8 pictures, (P, 3) each."""
    return sample_pair(clean.float() / 255, filtered.float() / 255)


def _closed(kodak: Photos, network: GlobalLook, every: int) -> dict[str, ScoreTable]:
    """Track A: known looks, unseen photos, everything at 256 x 256."""
    removed, rendered = ScoreTable(), ScoreTable()
    for name in tqdm(CLOSED_SET, desc="closed set", disable=None):
        look = instafilter_look(name)
        for number in range(0, len(PHOTOS), every):
            template, photo = PHOTOS[number], PHOTOS[(number + 7) % len(PHOTOS)]
            pair = LookPair("instafilter", name, [template], photo)
            small = [squash(kodak.get(n)[None].float() / 255, PRESET) for n in (template, photo)]
            clean, other = (to_dtype(x[0], torch.uint8) for x in small)
            filtered, truth = look(clean), look(other)
            x = filtered[None].float() / 255
            removed.add("do nothing", pair, filtered, clean)
            removed.add("default, trained on these looks", pair, _shown(network(x)), clean)
            rendered.add("do nothing", pair, other, truth)
            mapping = look_from_templates(network, [x[0]]).look.mapping
            rendered.add(
                "default, trained on these looks", pair, render_mapping(other, mapping), truth
            )
            oracle = fit_least_squares(*_matching_colours(clean, filtered), ridge=RIDGE_PAIRS)
            rendered.add("oracle template", pair, render_mapping(other, oracle), truth)
    return {"A de-filter": removed, "A render": rendered}


def _pair_mode(kodak: Photos, find: FindLook, pairs: list[LookPair]) -> ScoreTable:
    """Track C: before and after are known; how well does a colour model carry to another photo?"""
    rows = ScoreTable()
    for pair in tqdm(pairs, desc="pair mode", disable=None):
        look = find.get(pair.group, pair.look)
        clean, photo = kodak.get(pair.templates[0]), kodak.get(pair.photo)
        before, after = _matching_colours(clean, look(clean))
        truth = look(photo)
        ones = torch.ones(len(before), 1)
        matrix = torch.linalg.lstsq(torch.cat((before, ones), 1), after).solution
        flat = torch.cat((photo.flatten(1).T / 255, torch.ones(photo[0].numel(), 1)), 1)
        affine = (flat @ matrix).clamp(0, 1).T.reshape(photo.shape)
        rows.add("do nothing", pair, photo, truth)
        rows.add("affine", pair, affine, truth)
        on_pairs = fit_least_squares(before, after, ridge=RIDGE_PAIRS)
        rows.add("27 numbers, of the pairs alone", pair, render_mapping(photo, on_pairs), truth)
        mapping, table = fit_pair(before, after)
        rows.add("27 numbers", pair, render_mapping(photo, mapping), truth)
        exact = apply_trilinear(photo[None].float() / 255, table)[0]
        rows.add("9^3 LUT", pair, to_dtype(exact, torch.uint8), truth)
    return rows


def _clean(kodak: Photos, networks: dict[str, nn.Module]) -> dict[str, ScoreTable]:
    """Photos without any filter: they should stay as they are."""
    rows = ScoreTable()
    for name in PHOTOS:
        small = squash(kodak.get(name)[None].float() / 255, PRESET)
        for row, network in networks.items():
            rows.add(row, LookPair("none", name, [name], name), _shown(network(small)), small[0])
    return {"clean photos": rows}


def _vignettes(
    kodak: Photos, find: FindLook, pairs: list[LookPair], network: GlobalLook
) -> dict[str, ScoreTable]:
    """What the U-Net adds to the global heads, on looks with a vignette and without."""
    tables = {}
    for title, share in (("with vignettes", 1.0), ("without", 0.0)):
        rows = ScoreTable()
        generator = torch.Generator().manual_seed(0)
        for pair in pairs:
            pixels = kodak.get(pair.templates[0])
            clean, filtered = (
                squash(x[None].float() / 255, PRESET)
                for x in (pixels, find.get(pair.group, pair.look)(pixels))
            )
            filtered = round_to_eight_bits(add_vignettes(filtered, generator, share))
            estimate = network.estimate(network.encode(filtered))
            heads = apply_trilinear(filtered, estimate.inverse)
            rows.add("do nothing", pair, filtered[0], clean[0])
            rows.add("global heads alone", pair, _shown(heads), clean[0])
            rows.add("with the U-Net", pair, _shown(network(filtered)), clean[0])
        tables[f"U-Net, {title}"] = rows
    return tables


def _salient(
    kodak: Photos,
    find: FindLook,
    pairs: list[LookPair],
    default: GlobalLook,
    literal: DefilterUNet,
) -> dict[str, ScoreTable]:
    """What the sampling weight T changes: samples of the whole template or mostly of the target."""
    rows = ScoreTable()
    see = load_saliency()
    for pair in tqdm(pairs, desc="salient targets", disable=None):
        look = find.get(pair.group, pair.look)
        photo, template = kodak.get(pair.photo), look(kodak.get(pair.templates[0]))
        truth = look(photo)
        target = see(template / 255).inside("salient", *template.shape[1:])
        rows.add("do nothing", pair, photo, truth)
        networks: dict[str, LookNetwork] = {"Fig. 2": literal, "default": default}
        for name, network in networks.items():
            for suffix, masks in (("", None), (", salient targets", [target])):
                taken = look_from_templates(network, [template / 255], masks=masks)
                result = render_mapping(photo, taken.look.mapping)
                rows.add(f"{name}{suffix}", pair, result, truth)
    return {"samples of salient targets": rows}


def _save(out: str, tracks: dict[str, ScoreTable], record: dict[str, Any]) -> Report:
    summaries = {title: rows.summary() for title, rows in tracks.items()}
    for title in sorted({"B de-filter", "B render", "C pair mode"} & tracks.keys()):
        for group in PAIRS_A_LOOK:
            part = tracks[title].of_group(group).summary()
            if part:
                summaries[f"{title}, {group}"] = part
    if "B render" in summaries:
        write_atomically(Path(out) / "look_benchmark.png", _plot(summaries))
    sections = {title: score_rows(rows) for title, rows in summaries.items()}
    per_pair = {title: rows.per_pair() for title, rows in tracks.items()}
    report = save_tables(
        "look_benchmark", sections, out, **record, tables=summaries, pairs=per_pair
    )
    note = "Gain: over the first row, pair by pair. ±: standard error over looks."
    return Report(f"{report.summary}\n\n{note}", report.failures)


def _plot(tables: dict[str, dict[str, dict[str, float]]]) -> bytes:
    figure = Figure(figsize=(9, 5), layout="constrained")
    axis = figure.subplots()
    rows = {
        f"{kind}: {row}": figures
        for kind in ("B render", "B de-filter")
        for row, figures in reversed(tables[kind].items())
    }
    axis.barh(
        list(rows),
        [figures["psnr"] for figures in rows.values()],
        xerr=[figures["psnr_se"] for figures in rows.values()],
    )
    axis.set_xlabel("PSNR on unseen looks, dB (bars: standard error over looks)")
    axis.set_xlim(left=min(figures["psnr"] for figures in rows.values()) - 2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
