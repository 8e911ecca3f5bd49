"""What lies beside the pictures: there afterwards, or said."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from defilter.analysis import NO_ANALYSERS
from defilter.video import VideoDone, VideoError, render_video
from defilter.video_labels import _PLAIN
from defilter.video_tracks import _AAC_RATES
from tests.defilter.test_video import first_frame, frames_with_message, grey_frames, identity

MILLI = Fraction(1, 1000)


@contextmanager
def video(path: Path, **options: str) -> Iterator[tuple[Any, Any]]:
    """An output and its stream of pictures, which are written at the end."""
    with av.open(str(path), "w", container_options=options) as made:
        pictures: Any = made.add_stream("libx264", rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        yield made, pictures
        for number, frame in enumerate(grey_frames()):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            made.mux(pictures.encode(frame))
        made.mux(pictures.encode(None))


def packet(stream: Any, data: bytes, at: int = 0, duration: int = 40) -> av.Packet:
    made: Any = av.Packet(data)
    made.pts = made.dts = at
    made.duration, made.time_base, made.stream = duration, MILLI, stream
    return made


def rendered(source: Path) -> tuple[VideoDone, Path]:
    target = source.with_name("out") / "out.mp4"
    return render_video(identity(), source, target, NO_ANALYSERS), target


def packets(path: Path, kind: str) -> list[tuple[int, bytes]]:
    """Time in 1/1000 s and data of what is not empty."""
    with av.open(str(path)) as given:
        stream = next(s for s in given.streams if s.type == kind)
        return [
            (round(p.pts * p.time_base * 1000), bytes(p))
            for p in given.demux(stream)
            if p.pts is not None and p.size > 2
        ]


def test_pixels_keep_their_shape_also_when_turned(tmp_path: Path) -> None:
    for name, turned, aspect in (("a.mp4", 0, Fraction(4, 3)), ("b.mp4", 90, Fraction(3, 4))):
        with video(tmp_path / name) as (_, pictures):
            pictures.codec_context.sample_aspect_ratio = Fraction(4, 3)
            if turned:
                pictures.set_display_rotation(turned)
        _, target = rendered(tmp_path / name)
        with av.open(str(target)) as made:
            assert made.streams.video[0].sample_aspect_ratio == aspect


def test_labels_of_a_phone_travel(tmp_path: Path) -> None:
    labels = {
        "title": "Holiday",
        "creation_time": "2026-01-02T03:04:05.000000Z",
        "location": "+48.0000+011.0000/",
        "com.apple.quicktime.model": "phone",
        "com.apple.quicktime.location.ISO6709": "+48.0000+011.0000+500.000/",
        "com.android.version": "13",
    }
    with video(tmp_path / "in.mp4", movflags="use_metadata_tags") as (made, pictures):
        made.metadata.update(labels)
        pictures.metadata.update({"title": "Main", "language": "deu"})
        chapters = [(0, 80, "one"), (80, 240, "zwei")]
        made.set_chapters(
            [
                {"id": i, "start": a, "end": b, "time_base": MILLI, "metadata": {"title": name}}
                for i, (a, b, name) in enumerate(chapters)
            ]
        )
    done, target = rendered(tmp_path / "in.mp4")
    assert done.notes == ()
    with av.open(str(target)) as given:
        assert {key: given.metadata.get(key) for key in labels} == labels
        assert len(given.streams) == 2  # pictures and chapters
        own = given.streams.video[0].metadata
        assert (own["name"], own["language"]) == ("Main", "deu")
        assert [(c["start"], c["metadata"]["title"]) for c in given.chapters()] == [
            (0, "one"),
            (80, "zwei"),
        ]
    assert b"com.apple.quicktime.model" in target.read_bytes()


def test_a_time_code_travels(tmp_path: Path) -> None:
    with video(tmp_path / "in.mp4") as (_, pictures):
        pictures.metadata["timecode"] = "01:00:00:00"
    done, target = rendered(tmp_path / "in.mp4")
    assert done.notes == ()
    with av.open(str(target)) as given:
        assert [s.metadata.get("timecode") for s in given.streams] == ["01:00:00:00"] * 2


def test_plain_labels_get_the_tags_that_every_player_reads(tmp_path: Path) -> None:
    labels = {key: f"some {key}" for key in _PLAIN}
    labels |= {"creation_time": "2026-01-02T03:04:05.000000Z", "date": "2024"}
    labels["location"] = "+48.0000+011.0000/"
    with video(tmp_path / "in.mp4", movflags="use_metadata_tags") as (made, _):
        made.metadata.update(labels)
    done, target = rendered(tmp_path / "in.mp4")
    assert done.notes == ()
    with av.open(str(target)) as given:
        assert {key: given.metadata.get(key) for key in labels} == labels
    data = target.read_bytes()
    assert "\u00a9nam".encode("latin-1") in data and b"mdta" not in data


def test_a_label_that_mp4_cannot_hold_is_said(tmp_path: Path) -> None:
    with video(tmp_path / "in.mkv") as (made, pictures):
        made.metadata["title"] = "Holiday"
        pictures.metadata["mood"] = "cheerful"
    assert rendered(tmp_path / "in.mkv")[0].notes == ("label left out: MOOD = cheerful",)


def test_times_and_permissions_are_those_of_the_source(tmp_path: Path) -> None:
    with video(tmp_path / "in.mp4"):
        pass
    (tmp_path / "in.mp4").chmod(0o640)
    os.utime(tmp_path / "in.mp4", ns=(1_600_000_000_123_456_789,) * 2)
    _, target = rendered(tmp_path / "in.mp4")
    assert target.stat().st_mtime_ns == 1_600_000_000_123_456_789
    assert target.stat().st_mode & 0o777 == 0o640


SRT = """1
00:00:00,040 --> 00:00:00,120
Hello <i>you</i>

2
00:00:00,160 --> 00:00:00,220
Zwei
Zeilen, ja

"""


def subtitled(path: Path, text: Path) -> None:
    with av.open(str(text)) as given, video(path) as (made, _):
        stream = made.add_stream_from_template(given.streams.subtitles[0])
        stream.metadata.update({"language": "deu", "title": "Texte"})
        stream.disposition = Disposition.forced
        for part in given.demux():
            if part.dts is not None:
                part.stream = stream
                made.mux(part)


def test_subtitles_become_those_of_mp4_and_then_stay(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text(SRT)
    subtitled(tmp_path / "in.mkv", tmp_path / "a.srt")
    done, target = rendered(tmp_path / "in.mkv")
    assert [note.split(": ")[1][:24] for note in done.notes] == ["srt became mov_text, whic"[:24]]
    again = target.rename(tmp_path / "again.mp4")
    done, target = rendered(again)
    assert done.notes == ()
    for path in (again, target):
        found = packets(path, "subtitle")
        assert [at for at, _ in found] == [40, 160]
        assert found[0][1].startswith(b"\0\x09Hello youstyl"[:11])
        assert found[1][1] == b"\0\x0fZwei\nZeilen, ja"
        with av.open(str(path)) as given:
            stream = given.streams.subtitles[0]
            assert (stream.metadata["language"], stream.metadata["name"]) == ("deu", "Texte")
            assert stream.disposition & Disposition.forced


def test_lines_that_overlap_are_kept_and_said(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text(SRT.replace("00:00:00,160", "00:00:00,040"))
    subtitled(tmp_path / "in.mkv", tmp_path / "a.srt")
    done, target = rendered(tmp_path / "in.mkv")
    assert [at for at, _ in packets(target, "subtitle")] == [40, 41]
    assert any("a line ends where the next begins" in note for note in done.notes)


def test_a_cover_is_copied_and_never_taken_for_the_video(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (40, 32), (200, 10, 10)).save(file, "JPEG")
    with av.open(str(tmp_path / "in.mp4"), "w") as made:
        cover: Any = made.add_mux_stream("mjpeg", width=40, height=32)
        cover.disposition = Disposition.attached_pic
        pictures: Any = made.add_stream("libx264", rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        made.mux(packet(cover, file.getvalue()))
        for number, frame in enumerate(grey_frames()):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            made.mux(pictures.encode(frame))
        made.mux(pictures.encode(None))
    done, target = rendered(tmp_path / "in.mp4")
    assert done.frames == 6 and done.notes == ()
    with av.open(str(target)) as given:
        (found,) = (s for s in given.streams if s.disposition & Disposition.attached_pic)
        assert next(bytes(p) for p in given.demux(found)) == file.getvalue()


def test_a_cover_alone_is_no_video(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (40, 32)).save(file, "JPEG")
    with av.open(str(tmp_path / "in.mp4"), "w") as made:
        cover: Any = made.add_mux_stream("mjpeg", width=40, height=32)
        cover.disposition = Disposition.attached_pic
        sound: Any = made.add_stream("aac", rate=8000)
        made.mux(packet(cover, file.getvalue()))
        made.mux(sound.encode(silence(8000)))
        made.mux(sound.encode(None))
    with pytest.raises(VideoError, match="expected a video, found no picture"):
        rendered(tmp_path / "in.mp4")


def test_measurements_of_a_camera_are_copied(tmp_path: Path) -> None:
    with video(tmp_path / "in.mp4") as (made, _):
        stream = made.add_data_stream("bin_data")
        for number in range(3):
            made.mux(packet(stream, b"DATA%d" % number, 80 * number, 80))
    done, target = rendered(tmp_path / "in.mp4")
    assert done.notes == ()
    expected = [(80 * number, b"DATA%d" % number) for number in range(3)]
    assert packets(target, "data") == expected


def pictures_as_subtitles(made: Any) -> None:
    stream = made.add_mux_stream("hdmv_pgs_subtitle")
    made.mux(packet(stream, b"1234"))


def font(made: Any) -> None:
    made.add_attachment("letters.ttf", "font/ttf", b"1234")


def second_video(made: Any) -> None:
    stream = made.add_stream("mpeg4", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    stream.metadata["title"] = "Other side"
    for number, frame in enumerate(grey_frames()):
        frame.pts, frame.time_base = number, Fraction(1, 25)
        made.mux(stream.encode(frame))
    made.mux(stream.encode(None))


def unknown_data(made: Any) -> None:
    made.mux(packet(made.add_data_stream("klv"), b"1234"))


def silence(rate: int, layout: str = "mono", kind: str = "fltp") -> av.AudioFrame:
    channels = av.AudioLayout(layout).nb_channels
    samples = np.zeros((channels, 2048) if kind == "fltp" else (1, 2048 * channels))
    frame = av.AudioFrame.from_ndarray(
        samples.astype(np.float32 if kind == "fltp" else np.int16), kind, layout
    )
    frame.sample_rate = rate
    return frame


def fast_sound(made: Any) -> None:
    stream = made.add_stream("pcm_s16le", rate=192000, layout="hexadecagonal")
    made.mux(stream.encode(silence(192000, "hexadecagonal", "s16")))


@pytest.mark.parametrize(
    ("name", "add", "notes"),
    [
        ("in.mkv", pictures_as_subtitles, ["subtitle track 1 left out: .mp4 has no place for"]),
        ("in.mkv", font, ["attachment track 1 left out"]),
        ("in.mkv", second_video, ["video track 1 (Other side) left out"]),
        ("in.ts", unknown_data, ["data track 1 left out"]),
        (
            "in.mkv",
            fast_sound,
            [
                "audio track 1: pcm_s16le became AAC",
                "audio track 1: 16 channels became 2",
                "audio track 1: 192000 samples a second became 96000",
            ],
        ),
    ],
)
def test_what_mp4_has_no_place_for_is_said(
    name: str, add: Callable[[Any], None], notes: list[str], tmp_path: Path
) -> None:
    with video(tmp_path / name) as (made, _):
        add(made)
    done, target = rendered(tmp_path / name)
    assert done.frames == 6 and done.note == ""
    assert len(done.notes) == len(notes)
    for note, start in zip(done.notes, notes, strict=True):
        assert note.startswith(start)
    assert first_frame(target).width == 64


def test_sound_keeps_its_channels_and_says_what_is_broken(tmp_path: Path) -> None:
    with video(tmp_path / "in.mkv") as (made, _):
        stream = made.add_stream("flac", rate=48000, layout="mono")
        whole = stream.encode(silence(48000, "mono", "s16")) + stream.encode(None)
        surround = made.add_stream("pcm_s16le", rate=48000, layout="5.1")
        made.mux(whole)
        made.mux(surround.encode(silence(48000, "5.1", "s16")))
    done, target = rendered(tmp_path / "in.mkv")
    assert done.notes == ("audio track 2: pcm_s16le became AAC",)
    with av.open(str(target)) as given:
        assert [s.codec_context.layout.nb_channels for s in given.streams.audio] == [1, 6]
        assert [s.codec_context.name for s in given.streams.audio] == ["flac", "aac"]


def test_aac_knows_the_rates_that_are_asked_of_it(tmp_path: Path) -> None:
    for rate in _AAC_RATES:
        with av.open(str(tmp_path / f"{rate}.mp4"), "w") as made:
            stream: Any = made.add_stream("aac", rate=rate, layout="stereo")
            made.mux(stream.encode(silence(rate, "stereo")))
            made.mux(stream.encode(None))


def test_captions_inside_the_pictures_are_said(tmp_path: Path) -> None:
    """CEA-708 in H.264, as broadcasts have them."""
    captions = bytes.fromhex("b50031474139340341fffc9420ff")
    frames_with_message(tmp_path / "in.mkv", grey_frames(), 4, captions)
    assert rendered(tmp_path / "in.mkv")[0].notes == ("closed captions left out",)
