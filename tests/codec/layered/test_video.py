"""Layered videos: any sizes and times, with and without sound, whole and broken off."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.layered import video, video_frames
from codec.layered.differences import OwnCoder
from codec.layered.geometry import Division, Ratio
from codec.layered.video import VideoError, layer_video, unlayer_video
from codec.layered.video_frames import split_frame
from codec.layered.video_tracks import VideoSettings, planes_of, track_of
from codec.settings import Settings

av = pytest.importorskip("av")

OWN = VideoSettings(own=OwnCoder(Settings(80, "mse", effort="fast")))
LITERAL = VideoSettings(own=None)


def write_clip(
    path: Path, frames: int = 5, size: tuple[int, int] = (50, 70), sound: bool = True,
    times: list[int] | None = None, form: str = "yuv420p",
) -> None:  # fmt: skip
    """A pattern that moves, in H.264."""
    path.parent.mkdir(exist_ok=True)
    height, width = size
    small = torch.rand(
        1, 3, height // 4 + 8, width // 4 + 8, generator=torch.Generator().manual_seed(0)
    )
    large = torch.nn.functional.interpolate(small * 255, scale_factor=5, mode="bicubic")[0]
    large = large.clamp(0, 255).to(torch.uint8).numpy()
    with av.open(str(path), "w") as made:
        video = made.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = width, height, form
        video.options = {"crf": "8"}
        audio = made.add_stream("aac", rate=44100) if sound else None
        for number in range(frames):
            part = large[:, number : number + height, 2 * number : 2 * number + width]
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(part.transpose(1, 2, 0)), format="rgb24"
            )
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, 25)
            made.mux(video.encode(frame))
        made.mux(video.encode())
        if audio:
            for number in range(8):
                silence = np.zeros((2, 1024), np.float32)
                frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="stereo")
                frame.sample_rate, frame.pts = 44100, number * 1024
                made.mux(audio.encode(frame))
            made.mux(audio.encode())


def planes(path: Path) -> list[list[torch.Tensor]]:
    with av.open(str(path)) as given:
        return [list(planes_of(frame)) for frame in given.decode(video=0)]


def decibel(one: list[list[torch.Tensor]], other: list[list[torch.Tensor]]) -> float:
    wrong = [
        (a.float() - b.float()).square().mean()
        for x, y in zip(one, other, strict=True)
        for a, b in zip(x, y, strict=True)
    ]
    return float(10 * torch.log10(255**2 / torch.stack(wrong).mean()))


@pytest.mark.parametrize(
    "settings",
    [
        OWN,
        VideoSettings(Ratio(3, 1), own=OWN.own),
        LITERAL,
        VideoSettings(own=None, division=Division((2,), (2,))),
    ],
    ids=["own", "3x1", "literal", "literal 2x2"],
)
def test_videos_come_back_with_sound(settings: VideoSettings, tmp_path: Path) -> None:
    source, layers, whole = (tmp_path / name for name in ("a.mp4", "layers.mkv", "b.mkv"))
    write_clip(source)
    done = layer_video(source, layers, settings)
    assert done.frames == 5 and done.problems == ()
    with av.open(str(layers)) as given:
        kinds = [(stream.type, bool(stream.disposition)) for stream in given.streams]
        assert kinds[:2] == [("video", True), ("audio", False)]  # stock players show the first
        assert len(kinds) == (6 if settings.division != OWN.division else 3)
        assert not any(default for _, default in kinds[1:])
        assert len(list(given.decode(video=0))) == 5
    assert unlayer_video(layers, whole).frames == 5
    assert decibel(planes(whole), planes(source)) > 33
    with av.open(str(whole)) as given, av.open(str(source)) as before:
        heard, said = (len(list(one.decode(audio=0))) for one in (given, before))
        assert abs(heard - said) <= 1  # what .mp4 leaves out at the start of AAC
        assert given.streams.video[0].codec_context.name == "ffv1"


@pytest.mark.parametrize("size", [(48, 64), (38, 54), (66, 34)])
def test_sizes_need_not_divide(size: tuple[int, int], tmp_path: Path) -> None:
    source, layers, whole = (tmp_path / name for name in ("a.mp4", "layers.mkv", "b.mp4"))
    write_clip(source, 3, size, sound=False)
    assert layer_video(source, layers, OWN).frames == 3
    assert unlayer_video(layers, whole).frames == 3
    assert planes(whole)[0][0].shape[1:] == size
    assert decibel(planes(whole), planes(source)) > 32


def test_full_chroma_becomes_what_h264_has(tmp_path: Path) -> None:
    source, layers, whole = (tmp_path / name for name in ("a.mp4", "layers.mkv", "b.mkv"))
    write_clip(source, 2, (41, 55), sound=False, form="yuv444p")
    assert layer_video(source, layers, OWN).notes == ("chroma of full size is halved",)
    assert unlayer_video(layers, whole).frames == 2
    assert planes(whole)[0][0].shape[1:] == (41, 55)
    unlayer_video(layers, tmp_path / "b.mp4")
    assert planes(tmp_path / "b.mp4")[0][0].shape[1:] == (42, 56)  # H.264 has no odd sides


def test_times_are_kept(tmp_path: Path) -> None:
    source, layers, whole = (tmp_path / name for name in ("a.mkv", "layers.mkv", "b.mkv"))
    times = [0, 1, 5, 6, 20]
    write_clip(source, 5, (48, 64), sound=False, times=times)
    layer_video(source, layers, OWN)
    unlayer_video(layers, whole)
    for path in (layers, whole):
        with av.open(str(path)) as given:
            found = [frame.time for frame in given.decode(video=0)]
        assert [round(25 * (t - found[0])) for t in found] == times


def test_a_lossless_difference_gives_every_sample_back(tmp_path: Path) -> None:
    source, layers, whole = (tmp_path / name for name in ("a.mp4", "layers.mkv", "b.mkv"))
    write_clip(source, 2, (48, 64), sound=False)
    layer_video(source, layers, VideoSettings(own=OwnCoder(Settings(lossless=True))))
    unlayer_video(layers, whole)
    assert decibel(planes(whole), planes(source)) == float("inf")


@pytest.mark.parametrize(("broken", "lost"), [(4, 1), (1, 4)])
def test_broken_differences_show_the_base_and_are_reported(
    broken: int, lost: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, layers, whole = (tmp_path / name for name in ("a.mp4", "layers.mkv", "b.mkv"))
    write_clip(source, 4, (48, 64), sound=False)
    layer_video(source, layers, OWN)
    seen: list[bytes] = []

    def split(data: bytes) -> tuple[bytes, bytes]:
        seen.append(data)
        return split_frame(data if len(seen) != broken else data[:-9])

    monkeypatch.setattr(video_frames, "split_frame", split)
    done = unlayer_video(layers, whole)
    assert done.problems and f"{lost} of 4 frames" in done.problems[0]  # all stand on the first
    assert decibel(planes(whole), planes(source)) > 15


def test_a_source_that_breaks_off_keeps_what_was_there(tmp_path: Path) -> None:
    source, layers, whole = (tmp_path / name for name in ("a.mkv", "layers.mkv", "b.mkv"))
    write_clip(source, 30, (96, 128), sound=False)
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 2 // 3])
    done = layer_video(source, layers, OWN)
    assert 0 < done.frames < 30
    assert unlayer_video(layers, whole).frames == done.frames


def test_what_is_no_video_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    with pytest.raises(VideoError, match=r"a\.mp4"):
        layer_video(tmp_path / "a.mp4", tmp_path / "b.mkv", OWN)
    write_clip(tmp_path / "c.mkv", 2, (32, 32), sound=False)
    with pytest.raises(VideoError, match="found none"):
        unlayer_video(tmp_path / "c.mkv", tmp_path / "d.mkv")
    with pytest.raises(VideoError, match="overwrite"):
        layer_video(tmp_path / "c.mkv", tmp_path / "c.mkv", OWN)
    layer_video(tmp_path / "c.mkv", tmp_path / "layers.mkv", OWN)
    with monkeypatch.context() as patch:
        patch.setattr(video._Together, "show", lambda self, last=False: None)
        with pytest.raises(VideoError, match="found none that can be shown"):
            unlayer_video(tmp_path / "layers.mkv", tmp_path / "d.mkv")
    assert not (tmp_path / "b.mkv").exists() and not (tmp_path / "d.mkv").exists()
    for label in ("", "zz", "00", "000404648c010202020000689001ff7f"):
        with pytest.raises(ValueError, match="track"):
            track_of(label)


def test_commands_of_videos(tmp_path: Path) -> None:
    from codec.__main__ import main

    write_clip(tmp_path / "a.mp4", 3, (48, 64))
    out = tmp_path / "out.mkv"
    fast = ["--effort", "fast"]
    assert main(["layer", str(tmp_path / "a.mp4"), "-o", str(out), *fast]) == 0
    assert main(["unlayer", str(out), "-o", str(tmp_path / "b.mp4")]) == 0
    assert main(["unlayer", str(out), "-o", str(tmp_path / "folder")]) == 0
    assert decibel(planes(tmp_path / "folder/out.mkv"), planes(tmp_path / "a.mp4")) > 33
    mixed = [str(tmp_path / "a.mp4"), str(tmp_path / "a.png")]
    assert main(["layer", *mixed, "-o", str(tmp_path)]) == 1


@pytest.mark.parametrize(
    "option",
    ["--levels=3", "--base=avif", "--package", "--smooth", "--ssimulacra2=70", "--blocks=2x2",
     "--differences=zip"],
)  # fmt: skip
def test_options_that_videos_have_not_are_refused(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from codec.__main__ import main

    (tmp_path / "a.mp4").touch()
    assert main(["layer", str(tmp_path / "a.mp4"), "-o", str(tmp_path / "b.mkv"), option]) == 1
    assert "videos" in capsys.readouterr().err


def test_a_missing_track_is_reported(tmp_path: Path) -> None:
    source, layers, fewer = (tmp_path / name for name in ("a.mp4", "layers.mkv", "fewer.mkv"))
    write_clip(source, 3, (48, 64), sound=False)
    layer_video(source, layers, VideoSettings(own=None, division=Division((2,), (1,))))
    with av.open(str(layers)) as given, av.open(str(fewer), "w") as made:
        tracks = {s.index: made.add_stream_from_template(s) for s in given.streams.video[:2]}
        for stream in given.streams.video[:2]:
            tracks[stream.index].metadata.update(stream.metadata)
        for packet in given.demux(*given.streams.video[:2]):
            if packet.size:
                packet.stream = tracks[packet.stream.index]
                made.mux(packet)
    done = unlayer_video(fewer, tmp_path / "b.mkv")
    assert "3 of 3 frames" in done.problems[0]
    assert decibel(planes(tmp_path / "b.mkv"), planes(source)) > 15


def test_labels_are_kept_and_frames_turned(tmp_path: Path) -> None:
    source, layers, whole = (tmp_path / name for name in ("a.mp4", "layers.mkv", "b.mkv"))
    array = np.full((48, 64, 3), 40, dtype=np.uint8)
    array[:12, :12] = 220
    with av.open(str(source), "w") as made:
        stream = made.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        stream.set_display_rotation(90)
        context = stream.codec_context
        context.colorspace = context.color_primaries = 9
        context.color_trc, context.sample_aspect_ratio = 16, Fraction(4, 3)
        made.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        made.mux(stream.encode())
    assert layer_video(source, layers, OWN).notes == ("10 bits of a sample become 8",)
    unlayer_video(layers, whole)
    for path in (layers, whole):
        with av.open(str(path)) as given:
            video = given.streams.video[0]
            context = video.codec_context
            assert (int(context.colorspace), int(context.color_primaries)) == (9, 9)
            assert int(context.color_trc) == 16
            assert video.sample_aspect_ratio == Fraction(3, 4)  # as it lies on its side
    with av.open(str(source)) as given:
        (upright,) = (
            np.rot90(f.to_ndarray(format="gray"), f.rotation // 90) for f in given.decode()
        )
    (found,) = (luma[0].numpy() for luma, _, _ in planes(whole))
    assert found.shape == upright.shape == (64, 48)
    assert np.abs(found.astype(int) - upright).mean() < 12
    bright = np.argwhere(found > 150).mean(0)
    assert np.abs(bright - np.argwhere(upright > 150).mean(0)).max() < 2


def test_folders_of_videos_and_names_that_do_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from codec.__main__ import main

    write_clip(tmp_path / "in/a.mp4", 2, (32, 48), sound=False)
    layers, whole = tmp_path / "layers", tmp_path / "whole"
    fast = ["--effort", "fast"]
    assert main(["layer", str(tmp_path / "in"), "-o", str(layers), *fast]) == 0
    assert main(["unlayer", str(layers), "-o", str(whole)]) == 0
    assert planes(whole / "a.mkv")[0][0].shape[1:] == (32, 48)
    capsys.readouterr()
    for given, out in (("a.mkv", "b.mkv"), ("a.mkv", "b.png"), ("a.mkv", "b.avi")):
        assert main(["layer", str(layers / given), "-o", str(tmp_path / out), *fast]) == 1
        assert not (tmp_path / out).exists()
    assert "in layers already" in capsys.readouterr().err
    for options in (["-o", "b.avi"], ["-o", "b.png"], ["-o", "b.mkv", "--level", "0"]):
        options[1] = str(tmp_path / options[1])
        assert main(["unlayer", str(layers / "a.mkv"), *options]) == 1
    assert main(["layer", str(tmp_path / "in"), "-o", str(layers), "--ratio", "1x1"]) == 1


def test_rates_and_lengths_are_kept(tmp_path: Path) -> None:
    source, layers = tmp_path / "a.mp4", tmp_path / "layers.mkv"
    write_clip(source, 4, (32, 48), sound=False)
    layer_video(source, layers, OWN)
    unlayer_video(layers, tmp_path / "b.mkv")
    unlayer_video(layers, tmp_path / "b.mp4")
    for path in (layers, tmp_path / "b.mkv", tmp_path / "b.mp4"):
        with av.open(str(path)) as given:
            assert given.streams.video[0].average_rate == 25
            assert given.duration == 160_000  # microseconds: the last frame shows as long as others
