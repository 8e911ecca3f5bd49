from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from codec.mapping import ColourMapping
from defilter.look import Look
from defilter.rendering import NOTHING
from defilter.video import VideoError, render_video


def darker() -> Look:
    coefficients = torch.zeros(3, 9, dtype=torch.float64)
    coefficients[:, 1] = 0.5
    return Look(ColourMapping(coefficients, "rgb"))


def clip(path: Path, width: int = 64, height: int = 48, count: int = 12, sound: bool = False,
         times: list[int] | None = None) -> list[int]:  # fmt: skip
    """A clip that gets brighter; returns the times of its frames in 1/1000 s."""
    times = times or [40 * i for i in range(count)]
    with av.open(str(path), "w") as made:
        stream = made.add_stream("libx264rgb", rate=25, options={"crf": "0"})
        stream.width, stream.height, stream.pix_fmt = width, height, "rgb24"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        audio = made.add_stream("aac", rate=8000) if sound else None
        for number, at in enumerate(times):
            array = np.full((height, width, 3), 60 + 4 * number, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
        if audio is not None:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
            samples.sample_rate = 8000
            made.mux(audio.encode(samples))
            made.mux(audio.encode(None))
    return times


def frames(path: Path) -> tuple[list[float], list[np.ndarray]]:
    with av.open(str(path)) as given:
        found = [(f.time, f.to_ndarray(format="rgb24")) for f in given.decode(video=0)]
    return [t for t, _ in found], [x for _, x in found]


@pytest.mark.parametrize("sound", [False, True])
def test_every_frame_is_rendered_and_sound_is_kept(tmp_path: Path, sound: bool) -> None:
    clip(tmp_path / "in.mp4", sound=sound)
    done = render_video(darker(), tmp_path / "in.mp4", tmp_path / "out/clip.mp4", NOTHING)
    assert done.frames == 12 and done.note == ""
    _, before = frames(tmp_path / "in.mp4")
    _, after = frames(tmp_path / "out/clip.mp4")
    assert len(after) == 12
    for x, y in zip(before, after, strict=True):
        assert abs(y.mean() - x.mean() / 2) < 2
    with av.open(str(tmp_path / "out/clip.mp4")) as made:
        assert len(made.streams.audio) == int(sound)
        assert made.streams.video[0].codec_context.name == "h264"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["clip.mp4"]


def test_odd_sides_and_uneven_times(tmp_path: Path) -> None:
    times = clip(tmp_path / "in.mkv", 63, 47, times=[0, 40, 200, 210, 700])
    render_video(darker(), tmp_path / "in.mkv", tmp_path / "out.mp4", NOTHING)
    found, pictures = frames(tmp_path / "out.mp4")
    assert pictures[0].shape == (48, 64, 3)
    assert [t - found[0] for t in found] == pytest.approx([t / 1000 for t in times], abs=0.002)


def test_a_file_that_breaks_off_is_rendered_as_far_as_it_goes(tmp_path: Path) -> None:
    clip(tmp_path / "whole.mkv", count=40)
    data = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) * 2 // 3])
    done = render_video(darker(), tmp_path / "cut.mkv", tmp_path / "out.mp4", NOTHING)
    assert 5 < done.frames < 40
    assert len(frames(tmp_path / "out.mp4")[0]) == done.frames


def test_what_is_no_video_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no")
    with pytest.raises(VideoError, match=r"text\.mp4: expected a video"):
        render_video(darker(), tmp_path / "text.mp4", tmp_path / "out/a.mp4", NOTHING)
    assert list((tmp_path / "out").iterdir()) == []
