"""What taking and rendering a look costs.

All contenders of a table run in turn in one process, so that ratios hold on a noisy machine; each
row gives median and spread. H W pixels; MP is a million pixels.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn

from codec.pictures.apply import render_lut, render_mapping
from codec.pictures.devices import gpu_name, synchronise
from codec.pictures.mapping import ColourMapping, identity_coefficients
from codec.pictures.picture_files import to_dtype
from codec.report import Report, save_tables
from defilter.extraction import look_from_templates
from defilter.learn.instagram import MissingPackage
from defilter.networks import LookNetwork, load_look_network
from defilter.unet import DefilterUNet

LUT_SIZE = 33


def run(
    out: str,
    weights: str | None,
    threads: int,
    runs: int,
    megapixels: float,
) -> Report:
    """Time the network and the renderers; prints and saves tables (JSON, Markdown).

    Args:
        out: folder for the results.
        weights: a network from train.py; None is the one that ships.
        threads: for the network; rendering uses one.
        runs: timed runs of each contender, after two warm-ups.
        megapixels: size of the picture to render.

    Raises:
        MissingPackage: OpenColorIO is not installed.
    """
    _opencolorio(_picture(1, 1), ColourMapping(identity_coefficients()).lut(2))  # is it there?
    before = torch.get_num_threads(), cv2.getNumThreads()
    try:
        torch.set_num_threads(threads)
        tables = {f"network, {threads} threads": _network(load_look_network(weights), runs)}
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        tables |= _rendering(megapixels, runs)
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
    if gpu_name():
        tables["network, CUDA"] = _network(load_look_network(weights).to("cuda"), runs)
    sections = {title: _cells(rows) for title, rows in tables.items()}
    return save_tables("look_speed", sections, out, tables=tables)


def _cells(rows: dict[str, dict[str, Any]]) -> list[dict[str, str]]:
    return [
        {key: f"{v:.6g}" if isinstance(v, float) else str(v) for key, v in row.items()}
        for row in rows.values()
    ]


def time_in_turn(
    contenders: dict[str, Callable[[], object]], runs: int, device: torch.device
) -> dict[str, list[float]]:
    """Seconds of each run of each contender, taken in turn after two warm-ups."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(runs + 2):
        for name, work in contenders.items():
            synchronise(device)
            started = time.perf_counter()
            work()
            synchronise(device)
            if number >= 2:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def _table(
    seconds: dict[str, list[float]], unit: float, baseline: str
) -> dict[str, dict[str, Any]]:
    """Rows of median, spread and the median of run-by-run ratios to the baseline."""
    rows = {}
    for name, values in seconds.items():
        ratios = [a / b for a, b in zip(values, seconds[baseline], strict=True)]
        low, _, high = statistics.quantiles(values, n=4)
        rows[name] = {
            "what": name,
            "median ms": 1000 * statistics.median(values) / unit,
            "quartiles ms": f"{1000 * low / unit:.2f} - {1000 * high / unit:.2f}",
            f"ratio to {baseline}": statistics.median(ratios),
        }
    return rows


def _network(network: LookNetwork, runs: int) -> dict[str, dict[str, Any]]:
    device = next(network.parameters()).device
    big = torch.rand(1, 3, 256, 256, device=device)
    template = torch.rand(3, 64, 64) * 0.8 + 0.1
    yardstick = nn.Conv2d(48, 48, 3, padding=1).to(device).to(memory_format=torch.channels_last)
    features = torch.rand(1, 48, 256, 256, device=device).to(memory_format=torch.channels_last)
    literal = DefilterUNet().eval().to(device).to(memory_format=torch.channels_last)

    def run_network(net: nn.Module, x: Tensor) -> Callable[[], object]:
        def work() -> object:
            with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
                return net(x)

        return work

    contenders = {
        "convolution 3x3, 48 to 48 channels, 256x256": run_network(yardstick, features),
        "default network, 256x256, bf16": run_network(network, big),
        "Fig. 2 literal, 256x256, bf16": run_network(
            literal, big.to(memory_format=torch.channels_last)
        ),
        "look of a 64x64 template: network and fit": lambda: look_from_templates(
            network, [template]
        ),
    }
    return _table(time_in_turn(contenders, runs, device), 1.0, next(iter(contenders)))


def _rendering(megapixels: float, runs: int) -> dict[str, dict[str, dict[str, Any]]]:
    width = 3000
    height = max(1, round(megapixels * 1e6 / width))
    pixels = _picture(height, width)
    coefficients = identity_coefficients()
    noise = torch.randn(
        coefficients.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    mapping = ColourMapping(coefficients + 0.05 * noise)
    table = mapping.lut(LUT_SIZE)
    source = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
    image = Image.fromarray(source)
    pillow = ImageFilter.Color3DLUT(LUT_SIZE, table.flatten(1).T.flatten().tolist())
    contenders = {
        "OpenColorIO, 3D LUT, tetrahedral": _opencolorio(pixels, table),
        "Pillow, 3D LUT, array to array": lambda: np.array(Image.fromarray(source).filter(pillow)),
        "Pillow, 3D LUT, its filter alone": lambda: image.filter(pillow),
        "ours, 27 numbers": lambda: render_mapping(pixels, mapping),
        "ours, 3D LUT": lambda: render_lut(pixels, table),
    }
    unit = height * width / 1e6
    seconds = time_in_turn(contenders, runs, torch.device("cpu"))
    exact = to_dtype(mapping(pixels[None].double() / 255)[0], torch.uint8)
    difference = (render_mapping(pixels, mapping).int() - exact.int()).abs()
    return {
        "rendering, ms per MP, 8 bit, 1 thread": _table(seconds, unit, next(iter(contenders))),
        "the same against Pillow": _table(seconds, unit, "Pillow, 3D LUT, array to array"),
        "exactness of the 27 numbers against float64": {
            "ours": {
                "what": "ours, 27 numbers",
                "equal": float((difference == 0).double().mean()),
                "largest difference": int(difference.max()),
            }
        },
    }


def _picture(height: int, width: int) -> Tensor:
    """(3, H, W) uint8 of smooth colours with a little noise, as photos have."""
    generator = torch.Generator().manual_seed(0)
    smooth = nn.functional.interpolate(
        torch.rand(1, 3, 20, 30, generator=generator), (height, width), mode="bicubic"
    )
    noise = 0.02 * torch.randn(1, 3, height, width, generator=generator)
    return to_dtype((smooth + noise)[0], torch.uint8).permute(1, 2, 0).contiguous().permute(2, 0, 1)


def _opencolorio(pixels: Tensor, table: Tensor) -> Callable[[], object]:
    try:
        import PyOpenColorIO as ocio
    except ImportError as error:
        raise MissingPackage("expected the package opencolorio; run: make bench-deps") from error
    lut = ocio.Lut3DTransform(table.shape[-1])
    lut.setInterpolation(ocio.INTERP_TETRAHEDRAL)
    lut.setData(table.permute(3, 2, 1, 0).contiguous().flatten().numpy())  # blue fastest
    eight = ocio.BIT_DEPTH_UINT8
    processor = ocio.Config.CreateRaw().getProcessor(lut)
    cpu = processor.getOptimizedCPUProcessor(eight, eight, ocio.OPTIMIZATION_DEFAULT)
    source = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
    height, width = source.shape[:2]

    def work() -> object:
        target = np.empty_like(source)
        described = (
            ocio.PackedImageDesc(data, width, height, 3, eight, 1, 3, 3 * width)
            for data in (source, target)
        )
        cpu.apply(*described)
        return target

    return work
