"""Layered videos beside one layer of H.264, the patent's form, and a video that is cut in four.

Real files: clips are stored without loss, coded, put together and decoded. Bytes are those of the
packets of all video tracks. PSNR is (6 Y + U + V) / 8.

Axes: H W pixels of a plane.
"""

import itertools
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from scipy.interpolate import PchipInterpolator
from torch import Tensor
from tqdm import tqdm

from codec.layered.differences import OwnCoder
from codec.layered.geometry import Division, Size, Window
from codec.layered.video import layer_video, unlayer_video
from codec.layered.video_tracks import Planes, VideoSettings, frame_of, part_of_plane, planes_of
from codec.pictures.picture_files import encode_png, read_picture
from codec.pictures.resize import resize
from codec.pictures.sample_photos import list_photos
from codec.pictures.ssimulacra2 import ssimulacra2
from codec.pictures.storage import write_atomically
from codec.report import Report, render_page, save_tables
from codec.settings import Settings
from codec.study.rate_report import png_of

_MODE = "mse"
_OFFSET = 64
_RATE = 25
_MADE = Size(288, 352)  # of the clip that is made
_SCORED = 3  # frames for SSIMULACRA2
_NEAR = 8  # columns and rows beside a border that its errors are compared with
_CROP = 224

Clip = list[Planes]


class Settled(NamedTuple):
    """What contenders share.

    Attributes:
        crf: of bases.
        folder: for files.
    """

    crf: int
    folder: Path


class Coded(NamedTuple):
    """What a contender made of a clip: bytes, and what a decoder shows."""

    size: int
    shown: Clip


class Point(NamedTuple):
    """A clip coded once; `border` is the error across the middle over the error beside it."""

    parameter: int
    size: int
    psnr: float
    ssimulacra2: float
    border: float


Contender = Callable[[Path, int, Settled], Coded]


def _layered(settings: Callable[[int, int], VideoSettings]) -> Contender:
    def code(source: Path, parameter: int, settled: Settled) -> Coded:
        layers, whole = settled.folder / "layers.mkv", settled.folder / "whole.mkv"
        layer_video(source, layers, settings(settled.crf, parameter))
        unlayer_video(layers, whole)
        return Coded(_bytes_of(layers), read_clip(whole))

    return code


def _one_layer(source: Path, crf: int, settled: Settled) -> Coded:
    target = settled.folder / "one.mkv"
    clip = read_clip(source)
    write_clip(target, clip, "libx264", {"crf": str(crf)})
    return Coded(_bytes_of(target), read_clip(target))


def _cut(source: Path, crf: int, settled: Settled) -> Coded:
    """Four videos, each of a quarter: what is done where one encoder is too slow."""
    clip = read_clip(source)
    shown = [_part(frame, Window(0, 0, *frame[0].shape[1:])) for frame in clip]
    size = 0
    for window in _quarters(clip):
        target = settled.folder / "part.mkv"
        parts = [_part(frame, window) for frame in clip]
        write_clip(target, parts, "libx264", {"crf": str(crf)})
        size += _bytes_of(target)
        for frame, part in zip(shown, read_clip(target), strict=True):
            for number, (plane, there) in enumerate(zip(frame, part, strict=True)):
                part_of_plane(window, number).of(plane).copy_(there)
    return Coded(size, shown)


ONE, PATENT, OURS = "one layer, x264", "as the patent has it", "layered"
CONTENDERS: dict[str, Contender] = {
    OURS: _layered(lambda crf, q: VideoSettings(crf=crf, own=OwnCoder(Settings(q, _MODE)))),
    PATENT: _layered(
        lambda crf, other: VideoSettings(crf=crf, own=None, offset=_OFFSET, difference_crf=other)
    ),
    "as the patent has it, 2 x 2": _layered(
        lambda crf, other: VideoSettings(
            crf=crf, own=None, offset=_OFFSET, difference_crf=other, division=Division((2,), (2,))
        )
    ),
    ONE: _one_layer,
    "cut in 2 x 2, x264": _cut,
}


def run(  # noqa: PLR0913 - one argument for each line of the configuration
    videos: list[str] | None,
    out: str,
    frames: int,
    skip: int,
    crf: int,
    qualities: list[int],
    crfs: list[int],
    speed: list[int] | None,
    speed_frames: int,
) -> Report:
    """Code every clip with every contender.

    Args:
        videos: files; None is a clip made of scikit-image's photos.
        out: folder for tables, JSON and the page.
        frames: of each clip that are coded.
        skip: frames before them.
        crf: of bases.
        qualities: of this codec's differences.
        crfs: of whatever else is H.264.
        speed: height and width at which time is taken, of the first clip; None takes none.
        speed_frames: how many frames then.
    """
    points: dict[str, dict[str, list[Point]]] = {name: {} for name in CONTENDERS}
    crops: dict[str, dict[str, bytes]] = {}
    clips = dict(_clips(videos, skip, frames))
    with tempfile.TemporaryDirectory() as folder:
        settled, source = Settled(crf, Path(folder)), Path(folder) / "source.mkv"
        for title, clip in clips.items():
            write_clip(source, clip, "ffv1", {})
            crops[title] = {"original": _crop(clip)}
            jobs = [(name, n) for name in CONTENDERS for n in (qualities if name == OURS else crfs)]
            for name, parameter in tqdm(jobs, desc=title, disable=None):
                coded = CONTENDERS[name](source, parameter, settled)
                point = _point(parameter, coded, clip)
                points[name].setdefault(title, []).append(point)
                crops[title][f"{name}: {point.size:,} bytes, {point.psnr:.1f} dB"] = _crop(
                    coded.shown
                )
        tables = {
            "dB at equal bytes, mean over the rates that both reach": _table(points),
            "Error across the middle over the error beside it, at the middle rate": _borders(
                points
            ),
        }
        if speed is not None:
            first = [_enlarged(frame, Size(*speed)) for frame in next(iter(clips.values()))]
            write_clip(source, first[:speed_frames], "ffv1", {})
            size = f"{speed[1]} x {speed[0]}"
            tables[f"Coding of {speed_frames} frames of {size}"] = _speeds(
                source, qualities, crfs, speed_frames, settled
            )
    report = save_tables("layered_video", tables, out, points=points)
    page = render_page(
        Path(__file__).with_name("layered_video.html"),
        plots={label: _plot(points, key) for key, label in _LABELS.items()},
        crops=crops,
        clips=len(clips),
        frames=frames,
        tables=tables,
    )
    write_atomically(Path(out) / "report.html", page)
    return report


_LABELS = {"psnr": "PSNR, dB", "ssimulacra2": "SSIMULACRA2"}


def read_clip(path: Path, skip: int = 0, frames: int | None = None) -> Clip:
    """Frames of a video as planes."""
    import av

    with av.open(str(path)) as given:
        wanted = itertools.islice(given.decode(video=0), skip, None)
        every = [planes_of(frame) for frame in itertools.islice(wanted, frames)]
    if not every:
        raise ValueError(f"{path}: expected frames behind the first {skip}, found none")
    return every


def write_clip(path: Path, clip: Clip, codec: str, options: dict[str, str]) -> None:
    """A video without sound."""
    import av

    with av.open(str(path), "w") as made:
        stream: Any = made.add_stream(codec, rate=_RATE)
        stream.height, stream.width = clip[0][0].shape[1:]
        stream.pix_fmt, stream.options = "yuv420p", options
        for number, planes in enumerate(clip):
            frame = frame_of(planes)
            frame.pts, frame.time_base = number, Fraction(1, _RATE)
            made.mux(stream.encode(frame))
        made.mux(stream.encode())


def _bytes_of(path: Path) -> int:
    import av

    with av.open(str(path)) as given:
        return sum(packet.size for packet in given.demux(*given.streams.video))


def _clips(videos: list[str] | None, skip: int, frames: int) -> Iterator[tuple[str, Clip]]:
    for path in map(Path, videos or ()):
        clip = read_clip(path, skip, frames)
        height, width = (n // 4 * 4 for n in clip[0][0].shape[1:])
        window = Window(0, 0, height, width)
        yield path.stem, [_part(frame, window) for frame in clip]
    if not videos:
        yield "made", _made_clip(frames)


def _made_clip(frames: int) -> Clip:
    """A camera that moves over a photo and nears it."""
    pixels = read_picture(list_photos(None, "train")[0]).pixels
    pixels = resize(pixels, [2 * n for n in _MADE])
    clip = []
    for number in range(frames):
        scale = 1.15 - 0.005 * number
        size = [round(n * scale) for n in _MADE]
        part = pixels[:, number : number + size[0], 2 * number : 2 * number + size[1]]
        clip.append(_from_rgb(resize(part.contiguous(), list(_MADE))))
    return clip


def _from_rgb(pixels: Tensor) -> Planes:
    import av

    array = pixels.permute(1, 2, 0).contiguous().numpy()
    return planes_of(av.VideoFrame.from_ndarray(array, format="rgb24"))


def _to_rgb(planes: Planes) -> Tensor:
    array = frame_of(planes).to_ndarray(format="rgb24")
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


def _part(frame: Planes, window: Window) -> Planes:
    """A copy of a part of a frame."""
    y, u, v = (part_of_plane(window, n).of(x).clone() for n, x in enumerate(frame))
    return y, u, v


def _quarters(clip: Clip) -> list[Window]:
    height, width = clip[0][0].shape[1:]
    down, across = height // 4 * 2, width // 4 * 2
    return [
        Window(top, left, rows, columns)
        for top, rows in ((0, down), (down, height - down))
        for left, columns in ((0, across), (across, width - across))
    ]


def _point(parameter: int, coded: Coded, clip: Clip) -> Point:
    wrong = [
        torch.stack([(x.float() - y.float()).square().mean() for x, y in zip(a, b, strict=True)])
        for a, b in zip(coded.shown, clip, strict=True)
    ]
    y, u, v = (10 * torch.log10(255**2 / torch.stack(wrong).mean(0).clamp(min=1e-9))).tolist()
    scored = range(0, len(clip), max(1, len(clip) // _SCORED))
    scores = [
        float(ssimulacra2(*(_to_rgb(x[n])[None].float() / 255 for x in (clip, coded.shown))))
        for n in scored
    ]
    psnr = (6 * y + u + v) / 8
    return Point(parameter, coded.size, psnr, statistics.mean(scores), _border(coded.shown, clip))


def _border(shown: Clip, clip: Clip) -> float:
    """How much errors of luma change across the middle, over how much they do beside it."""
    across = beside = 0.0
    for a, b in zip(shown, clip, strict=True):
        error = (a[0].float() - b[0].float())[0]
        for x, middle in ((error, _quarters(clip)[3].top), (error.mT, _quarters(clip)[3].left)):
            change = (x[1:] - x[:-1]).abs().mean(1)
            across += float(change[middle - 1])
            near = range(middle - 1 - _NEAR, middle + _NEAR)
            beside += statistics.mean(float(change[n]) for n in near if n != middle - 1)
    return across / beside


Points = Mapping[str, Mapping[str, list[Point]]]  # by contender and clip


def _table(points: Points) -> list[dict[str, str]]:
    rows = []
    for name, curves in points.items():
        row = {"contender": name}
        for anchor in (PATENT, ONE):
            for title, curve in curves.items():
                found = difference_at_equal_bytes(points[anchor][title], curve)
                row[f"{title} over {anchor}"] = "" if found is None else f"{found:+.2f}"
        rows.append(row)
    return rows


def difference_at_equal_bytes(anchor: Sequence[Point], curve: Sequence[Point]) -> float | None:
    """Mean dB that a curve lies above another, over the logarithms of bytes that both reach."""
    curves = [sorted((math.log(p.size), p.psnr) for p in one) for one in (anchor, curve)]
    low, high = max(one[0][0] for one in curves), min(one[-1][0] for one in curves)
    if high <= low:
        return None
    areas = [PchipInterpolator(*zip(*one, strict=True)).integrate(low, high) for one in curves]
    return float((areas[1] - areas[0]) / (high - low))


def _borders(points: Points) -> list[dict[str, str]]:
    return [
        {"contender": name}
        | {title: f"{curve[len(curve) // 2].border:.2f}" for title, curve in curves.items()}
        for name, curves in points.items()
    ]


def _enlarged(frame: Planes, size: Size) -> Planes:
    return _from_rgb(resize(_to_rgb(frame), list(size)))


def _speeds(
    source: Path, qualities: list[int], crfs: list[int], frames: int, settled: Settled
) -> list[dict[str, str]]:
    """Frames a second, and how many cores were at work; both of coding and of decoding together."""
    rows = []
    for name, code in CONTENDERS.items():
        values = qualities if name == OURS else crfs
        wall, before = time.perf_counter(), os.times()
        code(source, values[len(values) // 2], settled)
        passed, after = time.perf_counter() - wall, os.times()
        busy = after.user + after.system - before.user - before.system
        rows.append(
            {
                "contender": name,
                "frames/s": f"{frames / passed:.2f}",
                "cores": f"{busy / passed:.1f}",
            }
        )
    return rows


def _plot(points: Points, key: str) -> bytes:
    """A plot beside each other for every clip."""
    titles = list(next(iter(points.values())))
    figure = Figure(figsize=(5.2 * len(titles), 4.2), layout="constrained")
    every: Any = figure.subplots(1, len(titles), squeeze=False)[0]
    for axes, title in zip(every, titles, strict=True):
        for name, curves in points.items():
            sizes = [p.size / 1000 for p in curves[title]]
            values = [getattr(p, key) for p in curves[title]]
            style = "-" if name == OURS else "--"
            axes.plot(sizes, values, style, marker="o", markersize=3, label=name)
        axes.set_xscale("log")
        axes.xaxis.set(major_formatter="{x:g}", minor_formatter="{x:g}")
        axes.tick_params(axis="x", which="both", labelsize=7)
        axes.set_xlabel("kilobytes")
        axes.set_ylabel(_LABELS[key])
        axes.set_title(title)
        axes.grid(alpha=0.3)
    every[0].legend(fontsize=7)
    return png_of(figure)


def _crop(clip: Clip) -> bytes:
    pixels = _to_rgb(clip[len(clip) // 2])
    top, left = (max(0, (n - _CROP) // 2) for n in pixels.shape[1:])
    return encode_png(pixels[:, top : top + _CROP, left : left + _CROP].contiguous())
