import itertools
import signal
import struct
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from codec.pictures.mapping import ColourMapping
from defilter.analysis import NO_ANALYSERS, Analysers
from defilter.faces import Face
from defilter.files import apply_to_files
from defilter.look import Look, save_look
from defilter.video import VideoError, render_video
from defilter.video_smoothing import TemporalSmoother
from defilter.video_tracks import MonotonicTimes


def darker() -> Look:
    coefficients = torch.zeros(3, 9, dtype=torch.float64)
    coefficients[:, 1] = 0.5
    return Look(ColourMapping(coefficients, "rgb"))


def identity() -> Look:
    coefficients = torch.zeros(3, 9, dtype=torch.float64)
    coefficients[:, 1] = 1
    return Look(ColourMapping(coefficients, "rgb"))


def write_frames(
    path: Path,
    frames: list[av.VideoFrame],
    codec: str = "libx264",
    kind: str = "yuv420p",
    rate: Fraction = Fraction(25),
    options: dict[str, str] | None = None,
    tags: dict[str, int] | None = None,
) -> None:
    """A video of frames, one after the other.

    Args:
        tags: attributes of the stream, such as its colorspace.
    """
    with av.open(str(path), "w") as made:
        stream: Any = made.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, kind
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        for number, frame in enumerate(frames):
            for name, value in (tags or {}).items():
                if hasattr(frame, name):
                    setattr(frame, name, value)
            frame.pts, frame.time_base = number, 1 / rate
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))


def frames_with_message(
    path: Path,
    frames: list[av.VideoFrame],
    kind: int,
    data: bytes,
    tags: dict[str, int] | None = None,
) -> None:
    """A video with supplemental information of ITU-T H.264, annex D, before each frame."""
    escaped = data.replace(b"\0\0", b"\0\0\3")
    message = b"\0\0\0\1\x06" + bytes([kind, len(data)]) + escaped + b"\x80"
    with av.open(str(path), "w") as made:
        stream: Any = made.add_stream("libx264", rate=25, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, Fraction(1, 25)
        for frame in [*frames, None]:
            for part in stream.encode(frame):
                longer: Any = av.Packet(message + bytes(part))
                longer.pts, longer.dts, longer.time_base = part.pts, part.dts, part.time_base
                longer.stream, longer.is_keyframe = part.stream, part.is_keyframe
                made.mux(longer)


def grey_frames(count: int = 6, width: int = 64, height: int = 48) -> list[av.VideoFrame]:
    """Frames that get brighter."""
    arrays = (np.full((height, width, 3), 60 + 10 * n, np.uint8) for n in range(count))
    return [av.VideoFrame.from_ndarray(array, format="rgb24") for array in arrays]


def first_frame(path: Path) -> av.VideoFrame:
    with av.open(str(path)) as given:
        return next(given.decode(video=0))


def clip(path: Path, width: int = 64, height: int = 48, count: int = 12, sound: str = "",
         times: list[int] | None = None) -> list[int]:  # fmt: skip
    """A clip that gets brighter; returns the times of its frames in 1/1000 s."""
    times = times or [40 * i for i in range(count)]
    with av.open(str(path), "w") as made:
        stream = made.add_stream("libx264rgb", rate=25, options={"crf": "0"})
        stream.width, stream.height, stream.pix_fmt = width, height, "rgb24"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        audio = made.add_stream(sound, rate=8000) if sound else None
        for number, at in enumerate(times):
            array = np.full((height, width, 3), (60 + 4 * number, 200, 30), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
        if audio is not None:
            tone = np.sin(np.arange(4096)[None] / 5).astype(np.float32)
            samples = av.AudioFrame.from_ndarray(tone, "fltp", "mono")
            samples.sample_rate = 8000
            made.mux(audio.encode(samples))
            made.mux(audio.encode(None))
    return times


def frames_of(path: Path) -> tuple[list[float], list[np.ndarray]]:
    with av.open(str(path)) as given:
        found = [(f.time, f.to_ndarray(format="rgb24")) for f in given.decode(video=0)]
    return [t for t, _ in found], [x for _, x in found]


def sound_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as given:
        return np.concatenate([frame.to_ndarray()[0] for frame in given.decode(audio=0)])


@pytest.mark.parametrize(
    ("name", "sound"), [("in.mp4", ""), ("in.mp4", "aac"), ("in.mkv", "pcm_s16le")]
)
def test_every_frame_is_rendered_and_sound_is_kept(tmp_path: Path, name: str, sound: str) -> None:
    clip(tmp_path / name, sound=sound)
    done = render_video(darker(), tmp_path / name, tmp_path / "out/clip.mp4", NO_ANALYSERS)
    assert done.frames == 12 and done.note == ""
    _, before = frames_of(tmp_path / name)
    _, after = frames_of(tmp_path / "out/clip.mp4")
    assert len(after) == 12
    for x, y in zip(before, after, strict=True):
        assert np.abs(y.mean((0, 1)) - x.mean((0, 1)) / 2).max() < 4  # colours, too
    with av.open(str(tmp_path / "out/clip.mp4")) as made:
        context = made.streams.video[0].codec_context
        assert context.name == "h264" and context.colorspace == 1
        assert len(made.streams.audio) == int(bool(sound))
    if sound == "aac":
        assert np.array_equal(sound_of(tmp_path / name), sound_of(tmp_path / "out/clip.mp4"))
    elif sound:
        assert 3500 < len(sound_of(tmp_path / "out/clip.mp4")) < 6000
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["clip.mp4"]


def test_a_clip_lying_on_its_side_is_turned(tmp_path: Path) -> None:
    clip(tmp_path / "in.mp4", 64, 48)
    data = (tmp_path / "in.mp4").read_bytes()
    at = data.index(b"tkhd") + 4 + 40  # the matrix of the track
    quarter = [0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000]
    matrix = b"".join(n.to_bytes(4, "big", signed=True) for n in quarter)
    (tmp_path / "turned.mp4").write_bytes(data[:at] + matrix + data[at + 36 :])
    render_video(darker(), tmp_path / "turned.mp4", tmp_path / "out.mp4", NO_ANALYSERS)
    _, pictures = frames_of(tmp_path / "out.mp4")
    assert pictures[0].shape == (64, 48, 3)


def test_a_video_is_not_written_over_itself(tmp_path: Path) -> None:
    clip(tmp_path / "in.mp4")
    before = (tmp_path / "in.mp4").read_bytes()
    with pytest.raises(VideoError, match="would overwrite"):
        render_video(darker(), tmp_path / "in.mp4", tmp_path / "in.mp4", NO_ANALYSERS)
    assert (tmp_path / "in.mp4").read_bytes() == before


def test_odd_sides_and_uneven_times(tmp_path: Path) -> None:
    times = clip(tmp_path / "in.mkv", 63, 47, times=[0, 40, 200, 210, 700])
    render_video(darker(), tmp_path / "in.mkv", tmp_path / "out.mp4", NO_ANALYSERS)
    found, pictures = frames_of(tmp_path / "out.mp4")
    assert pictures[0].shape == (48, 64, 3)
    assert [t - found[0] for t in found] == pytest.approx([t / 1000 for t in times], abs=0.002)


def test_a_file_that_breaks_off_is_rendered_as_far_as_it_goes(tmp_path: Path) -> None:
    clip(tmp_path / "whole.mkv", count=40)
    data = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) * 2 // 3])
    done = render_video(darker(), tmp_path / "cut.mkv", tmp_path / "out.mp4", NO_ANALYSERS)
    assert 5 < done.frames < 40
    assert len(frames_of(tmp_path / "out.mp4")[0]) == done.frames


def test_what_is_no_video_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no")
    with pytest.raises(VideoError, match=r"text\.mp4: expected a video"):
        render_video(darker(), tmp_path / "text.mp4", tmp_path / "out/a.mp4", NO_ANALYSERS)
    assert not (tmp_path / "out").exists()


def test_degrees_follow_slowly_but_jump_at_cuts() -> None:
    """A face moves away, then the picture is cut to one without a face."""
    follow = TemporalSmoother(darker(), Analysers(faces=_FaceAt()), None)  # type: ignore[arg-type]
    still = torch.full((3, 96, 96), 100, dtype=torch.uint8)
    kept = []
    for number in range(80):
        frame = still.clone()
        frame[0, 0, 0] = 20 if number < 12 else 80  # where `_FaceAt` sees a face
        follow.follow(frame)
        kept.append(used(follow))
    assert kept[11] < 0.8 and kept[-1] > 0.95
    steps = [abs(b - a) for a, b in itertools.pairwise(kept)]
    assert max(steps) < 0.1 * (kept[-1] - kept[0])  # no jump
    face = still.clone()
    face[0, 0, 0] = 20
    follow.follow(face + 100)  # a cut, though no look is due
    assert used(follow) == pytest.approx(kept[0], abs=0.01)
    follow.follow(face[:, :90, :90])  # frames may change their size
    assert follow.render(face[:, :90, :90]).shape == (3, 90, 90)


def used(follow: TemporalSmoother) -> float:
    assert follow.used is not None
    return float(follow.used[0][2:10, 2:10].mean())


class _FaceAt:
    """Sees a face where the first red value says so."""

    def __call__(self, pixels: Tensor) -> list[Face]:
        return [Face(16, 16, 60, 60, 0.9)] if int(pixels[0, 0, 0]) % 100 == 20 else []


def test_times_that_start_anew_are_moved(tmp_path: Path) -> None:
    rising = MonotonicTimes()
    assert [rising(t) for t in (10, 20, 30, 0, 10, None, 40)] == [10, 20, 30, 40, 50, 60, 80]
    sound = MonotonicTimes()
    assert [sound(t, 8) for t in (0, 8, 0, 8)] == [0, 8, 16, 24]
    streams = (tmp_path / "a.ts", tmp_path / "b.ts")
    for stream in streams:
        with av.open(str(stream), "w", format="mpegts") as made:
            out = made.add_stream("libx264", rate=25)
            out.width, out.height, out.pix_fmt = 64, 48, "yuv420p"
            for number in range(6):
                array = np.full((48, 64, 3), 40 * number, dtype=np.uint8)
                frame = av.VideoFrame.from_ndarray(array, format="rgb24")
                frame.pts = number
                made.mux(out.encode(frame))
            made.mux(out.encode(None))
    (tmp_path / "joined.ts").write_bytes(b"".join(stream.read_bytes() for stream in streams))
    done = render_video(darker(), tmp_path / "joined.ts", tmp_path / "out.mp4", NO_ANALYSERS)
    at, _ = frames_of(tmp_path / "out.mp4")
    assert done.frames == len(at) and done.frames >= 11 and at == sorted(set(at))


def test_interlaced_frames_are_deinterlaced(tmp_path: Path) -> None:
    """A bar that moves between the two fields of a frame, of which the lower is shown first."""
    frames = []
    for number in range(8):
        array = np.full((48, 64, 3), 40, dtype=np.uint8)
        array[0::2, 6 * number : 6 * number + 12] = 220
        array[1::2, 6 * number + 3 : 6 * number + 15] = 220
        frames.append(av.VideoFrame.from_ndarray(array, format="rgb24"))
    options = {"x264-params": "bff=1", "crf": "5"}
    write_frames(tmp_path / "in.mkv", frames, options=options)
    done = render_video(identity(), tmp_path / "in.mkv", tmp_path / "out.mp4", NO_ANALYSERS)
    assert done.frames == 8
    assert done.notes == ("interlaced: deinterlaced (bwdif), one frame for two fields",)
    times, pictures = frames_of(tmp_path / "out.mp4")
    assert times == pytest.approx([n / 25 for n in range(8)], abs=0.002)
    _, before = frames_of(tmp_path / "in.mkv")
    combed, clean = (
        np.mean([np.abs(np.diff(x.astype(float), axis=0)).mean() for x in given[1:-1]])
        for given in (before, pictures)
    )
    assert clean < 0.3 * combed
    assert pictures[4][:, 37:39].mean() > 150  # the bar is where the first field has it
    assert pictures[4][:, 24:26].mean() < 100


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_clips_are_turned_and_mirrored(degrees: int, mirrored: bool, tmp_path: Path) -> None:
    """As phones write what the camera in front sees; the corner goes where the matrix says."""
    array = np.full((48, 64, 3), 40, dtype=np.uint8)
    array[:12, :12] = 220
    with av.open(str(tmp_path / "in.mp4"), "w") as made:
        stream: Any = made.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(degrees, hflip=mirrored)
        made.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        made.mux(stream.encode(None))
    a, b, c, d = 1, 0, 0, 1
    if degrees or mirrored:
        matrix: Any = first_frame(tmp_path / "in.mp4").side_data["DISPLAYMATRIX"]
        a, b, _, c, d = struct.unpack_from("5i", bytes(matrix))
    render_video(identity(), tmp_path / "in.mp4", tmp_path / "out.mp4", NO_ANALYSERS)
    _, (picture,) = frames_of(tmp_path / "out.mp4")
    assert picture.shape[:2] == ((64, 48) if degrees % 180 else (48, 64))
    right, low = -(a + c) > 0, -(b + d) > 0  # ISO/IEC 14496-12, 6.2.2, of the corner at (-1, -1)
    corner = picture[
        slice(-10, None) if low else slice(10), slice(-10, None) if right else slice(10)
    ]
    assert corner.mean() > 180 and picture.mean() < 70


def test_what_is_unfinished_is_removed_when_a_person_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip(tmp_path / "in.mkv", count=90, times=[40 * n for n in range(90)])
    count = itertools.count()

    def stopped(self: TemporalSmoother, pixels: Tensor) -> Tensor:
        if next(count) == 80:
            assert any((tmp_path / "out").iterdir())  # the encoder has given something
            raise KeyboardInterrupt
        return pixels

    monkeypatch.setattr(TemporalSmoother, "render", stopped)
    with pytest.raises(KeyboardInterrupt):
        render_video(darker(), tmp_path / "in.mkv", tmp_path / "out/a.mp4", NO_ANALYSERS)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    clip(tmp_path / "in.mp4")
    target = tmp_path / ("x" * 251 + ".mp4")
    render_video(darker(), tmp_path / "in.mp4", target, NO_ANALYSERS)
    assert target.exists()


def test_without_pyav_all_but_videos_works(tmp_path: Path) -> None:
    code = """
import sys
import time
sys.modules["av"] = None
import defilter, defilter.__main__
from defilter.video import VIDEO_EXTENSIONS, VideoError, is_video, render_video
assert ".mp4" in VIDEO_EXTENSIONS and is_video("a.MOV") and not is_video("a.jpg")
try:
    render_video(None, "a.mp4", "b.mp4", None)
except VideoError as error:
    assert "a.mp4" in str(error) and "pip install av" in str(error), error
else:
    raise SystemExit("no error")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_progress_is_shown_to_a_person(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip(tmp_path / "in.mp4")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    render_video(darker(), tmp_path / "in.mp4", tmp_path / "out.mp4", NO_ANALYSERS)
    shown = capsys.readouterr().err
    assert "in.mp4" in shown and "12/12" in shown


@pytest.mark.slow
def test_a_person_who_stops_does_not_wait_for_the_end_of_a_video(tmp_path: Path) -> None:
    clip(tmp_path / "in.mkv", count=3000, times=[40 * n for n in range(3000)])
    save_look(darker(), tmp_path / "look.json")
    command = [sys.executable, "-m", "defilter", "apply", tmp_path / "look.json"]
    # Shells start what runs in the background with SIGINT ignored, and children inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [*command, tmp_path / "in.mkv", "-o", tmp_path / "out"], stderr=subprocess.PIPE, text=True
    )
    signal.signal(signal.SIGINT, before)
    while not any((tmp_path / "out").glob(".*")):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted" in said
    assert list((tmp_path / "out").iterdir()) == []


def test_videos_rendered_at_once_do_not_meet(tmp_path: Path) -> None:
    names = [f"a holiday in the mountains with the family, part {n}.mkv" for n in (1, 2)]
    (tmp_path / "in").mkdir()
    for name, count in zip(names, (30, 60), strict=True):
        clip(tmp_path / "in" / name, count=count, times=[40 * n for n in range(count)])
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        done = apply_to_files(darker(), [tmp_path / "in"], tmp_path / "out")
    finally:
        torch.set_num_threads(threads)
    assert not done.failures
    for name, count in zip(names, (30, 60), strict=True):
        _, frames = frames_of((tmp_path / "out" / name).with_suffix(".mp4"))
        assert len(frames) == count
    assert len(list((tmp_path / "out").iterdir())) == 2
