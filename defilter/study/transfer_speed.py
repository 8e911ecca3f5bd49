"""What a whole transfer costs, JPEG to JPEG, and what a video costs.

Each run is a process of its own: peak memory is that of the process, and time counts from after
the imports.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import torch
import torch.nn.functional as F
from av.video.frame import VideoFrame
from torch import Tensor

from codec.pictures.picture_files import Picture, read_picture, to_dtype, write_picture
from codec.pictures.sample_photos import embedded_photos
from codec.report import Report, save_tables
from defilter.areas.segmenter import load_segmenter
from defilter.study.demonstration import demonstration_look

_ASPECT = 4 / 3
_VIDEO, _FRAMES = (1080, 1920), 48
_MEASURE = r"""
import json, re, sys, time
from pathlib import Path
import cv2, torch
import defilter
torch.set_num_threads({threads}); cv2.setNumThreads({threads})
def peak():
    # What getrusage says may be the parent's.
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
before = peak()
started = time.perf_counter()
{work}
seconds = time.perf_counter() - started
assert not result.failures, result.failures
print(json.dumps([seconds, peak() / 2**20, before / 2**20]))
"""


def run(photo: str | None, threads: int, runs: int, megapixels: float, out: str) -> Report:
    """Time transfers in all variants, in turn, and one video.

    Args:
        photo: a photo with a face, enlarged to the size; None is an embedded one.
        threads: of PyTorch and OpenCV.
        runs: of each variant.
        megapixels: of template and photo.
        out: folder for the results.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = embedded_photos()[0] if photo is None else Path(photo)
        large = _enlarged(read_picture(source).floats(), megapixels)
        graded = demonstration_look(large[None])[0]
        parts = _graded_in_parts(large, graded)
        for stem, picture in (("photo", large), ("template", graded), ("parts", parts)):
            jpeg = Picture(to_dtype(picture, torch.uint8), file_format="JPEG")
            write_picture(jpeg, folder / f"{stem}.jpg")
        _write_video(large, folder / "clip.mp4")
        one, parted, photo_file, clip, target = (
            repr(str(folder / n))
            for n in ("template.jpg", "parts.jpg", "photo.jpg", "clip.mp4", "out")
        )
        bare = ", analysers=defilter.NO_ANALYSERS"
        works = {}
        for kind, template, how in (
            ("with everything", one, ""),
            ("with everything, template graded in parts", parted, ""),
            ("the look alone", one, bare),
        ):
            works[f"transfer, {megapixels:g} MP, {kind}"] = (
                f"result = defilter.transfer([{template}], [{photo_file}], {target}{how})"
            )
            works[f"video, 1080p, {kind}"] = (
                f"look = defilter.extract([{template}]).look; started = time.perf_counter(); "
                f"result = defilter.apply_to_files(look, [{clip}], {target}{how})"
            )
        measured: dict[str, list[list[float]]] = {what: [] for what in works}
        for _ in range(runs):
            for what, work in works.items():
                measured[what].append(_measured(work, threads))
    rows = [_row(what, entries) for what, entries in measured.items()]
    title = f"{threads} threads, median of {runs} (lowest to highest)"
    return save_tables("transfer_speed", {title: rows}, out, threads=threads, measured=measured)


def _enlarged(picture: Tensor, megapixels: float) -> Tensor:
    """(3, H, W) at 4 : 3, with grain as real photos have it."""
    height = round((megapixels * 1e6 / _ASPECT) ** 0.5)
    large = F.interpolate(picture[None], (height, round(height * _ASPECT)), mode="bilinear")[0]
    grain = torch.randn(large.shape, generator=torch.Generator().manual_seed(0))
    return (large + 0.02 * grain).clamp(0, 1)


def _graded_in_parts(picture: Tensor, graded: Tensor) -> Tensor:
    """People with one look, what is around them with another."""
    people = load_segmenter()(picture).inside("person", *picture.shape[1:])
    cold = (picture * torch.tensor([0.55, 0.8, 1.0])[:, None, None] + 0.05).clamp(0, 1)
    return torch.where(people, graded, cold)


def _write_video(picture: Tensor, path: Path) -> None:
    """The picture, panned over."""
    height, width = _VIDEO
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(24))
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        scale = max((height + 2 * _FRAMES) / picture.shape[1], width / picture.shape[2])
        panned = F.interpolate(picture[None], scale_factor=scale, mode="bilinear")[0]
        for number in range(_FRAMES):
            part = to_dtype(panned[:, 2 * number : 2 * number + height, :width], torch.uint8)
            array = part.permute(1, 2, 0).contiguous().numpy()
            container.mux(stream.encode(VideoFrame.from_ndarray(array, format="rgb24")))
        container.mux(stream.encode(None))


def _measured(work: str, threads: int) -> list[float]:
    """Seconds, peak memory in GiB, and memory after the imports."""
    code = _MEASURE.format(work=work, threads=threads)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise ValueError(f"a measured process failed: {reason[0]}")
    return [float(x) for x in json.loads(done.stdout.strip().splitlines()[-1])]


def _row(what: str, entries: list[list[float]]) -> dict[str, str]:
    seconds = sorted(entry[0] for entry in entries)
    shown = f"{statistics.median(seconds):.2f} s ({seconds[0]:.2f} to {seconds[-1]:.2f})"
    if what.startswith("video"):
        rates = sorted(_FRAMES / s for s in seconds)
        shown = f"{statistics.median(rates):.1f} frames/s ({rates[0]:.1f} to {rates[-1]:.1f})"
    return {
        "what": what,
        "time": shown,
        "peak memory": f"{max(entry[1] for entry in entries):.2f} GiB",
        "of it imports": f"{statistics.median(entry[2] for entry in entries):.2f} GiB",
    }
