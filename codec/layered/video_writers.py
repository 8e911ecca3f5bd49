"""Writers of tracks of differences, in this codec and as US 2018/0007375 has them.

Axes: H W pixels of a plane.
"""

from fractions import Fraction
from typing import Any

from codec.layered.differences import OwnCoder, clamp_and_shift
from codec.layered.geometry import Size, Window
from codec.layered.video_frames import FrameCoder, InOrder, Layered, base_frame
from codec.layered.video_tracks import (
    LABEL,
    OFFSET,
    OWN,
    Planes,
    Track,
    VideoSettings,
    frame_of,
    guesses_of,
    part_of_plane,
    planes_of,
    take_time,
    windows_of,
)


def writers_for(
    made: Any, size: Size, padded: Size, rate: Fraction, settings: VideoSettings
) -> "list[OwnWriter | OffsetWriter]":
    """One for each track of differences."""
    if settings.own is not None:
        track = Track(OWN, settings.ratio, size, 1, 1, 1, Window(0, 0, *padded), 0)
        return [OwnWriter(made, track, settings.own, rate)]
    windows = windows_of(padded, settings.division)
    columns, rows = len({w.left for w in windows}), len({w.top for w in windows})
    return [
        OffsetWriter(
            made,
            Track(OFFSET, settings.ratio, size, columns, rows, number, w, settings.offset),
            settings,
            rate,
        )
        for number, w in enumerate(windows, start=1)
    ]


class OwnWriter:
    """A track of frames in this codec, see `codec.layered.video_frames`."""

    def __init__(self, made: Any, track: Track, coder: OwnCoder, rate: Fraction):
        padded = Size(track.window.height, track.window.width)
        self._frames = InOrder(FrameCoder(track.ratio, padded, coder).encode)
        # Matroska takes no codec that FFmpeg has not heard of, and no player asks for this track.
        self._stream = made.add_mux_stream(
            "mjpeg", rate=rate, width=track.size.width, height=track.size.height
        )
        self._unit = 1 / rate
        _describe(self._stream, track)

    def write(self, made: Any, wanted: Planes, frame: Any) -> None:
        """Take a frame and its base; it is coded once those that it stands on are."""
        self._unit = frame.time_base
        self._mux(made, self._frames.push(Layered(base_frame(frame), wanted)))

    def finish(self, made: Any) -> None:
        self._mux(made, self._frames.finish())

    def _mux(self, made: Any, coded: list[tuple[int, bytes]]) -> None:
        import av

        for time, data in coded:
            packet = av.Packet(data)
            packet.stream = self._stream
            packet.pts = packet.dts = time
            packet.time_base = self._unit
            packet.is_keyframe = True
            made.mux(packet)


class OffsetWriter:
    """A track of one block's differences as H.264, clamped and shifted (paragraphs 112-117)."""

    def __init__(self, made: Any, track: Track, settings: VideoSettings, rate: Fraction):
        self.track = track
        self.stream = made.add_stream("libx264", rate=rate)
        self.stream.width, self.stream.height = track.window.width, track.window.height
        self.stream.pix_fmt = "yuv420p"
        self.stream.options = {"crf": str(settings.difference_crf)}
        self.stream.time_base = self.stream.codec_context.time_base = Fraction(1, 1000)
        _describe(self.stream, track)

    def write(self, made: Any, wanted: Planes, frame: Any) -> None:
        """Code the difference of a frame to that of its base."""
        guesses = guesses_of(planes_of(frame), self.track.window, self.track.ratio)
        shifted = []
        for number, (x, guess) in enumerate(zip(wanted, guesses, strict=True)):
            part = part_of_plane(self.track.window, number).of(x)
            shifted.append(clamp_and_shift(part.int() - guess.pixels(), self.track.offset))
        out = frame_of(shifted)
        take_time(out, frame)
        made.mux(self.stream.encode(out))

    def finish(self, made: Any) -> None:
        made.mux(self.stream.encode())


def _describe(stream: Any, track: Track) -> None:
    """Say in a stream what it is, and that players are not to choose it."""
    from av.stream import Disposition

    stream.metadata[LABEL] = track.label()
    stream.metadata["title"] = f"difference {track.columns}x{track.rows} {track.number}"
    stream.disposition = Disposition(0)
