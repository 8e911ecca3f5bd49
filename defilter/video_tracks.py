"""What travels beside the pictures of a video: sound, subtitles, covers, data.

A track is copied where .mp4 has a place for it and else made anew; what cannot travel is said.
"""

from collections.abc import Callable
from typing import Any, Protocol

from av.codec.codec import Properties
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.stream import Discard, Disposition, Stream

from defilter.video_labels import Say, copy_labels

_COPIED_SOUND = ("aac", "mp3", "mp3float", "ac3", "eac3", "alac", "opus", "libopus", "flac")
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
_AAC_RATES = sorted(  # samples a second, ISO/IEC 14496-3 table 1.18
    base * factor for base in (8000, 11025, 12000) for factor in (1, 2, 4, 8)
)
_COVERS = ("mjpeg", "png", "bmp")  # what the covr atom has numbers for


class MonotonicTimes:
    """Times that rise: where a file starts anew in its middle, what follows is moved."""

    def __init__(self) -> None:
        self.last: int | None = None
        self.moved = 0
        self.step = 1

    def __call__(self, time: int | None, step: int | None = None) -> int:
        """The time of the next frame or packet.

        Args:
            time: in the stream's unit; None follows the last.
            step: usual distance; None is that of the last two.
        """
        self.step = step or self.step
        if self.last is None:
            self.last = 0 if time is None else time
            return self.last
        if time is None:
            self.last += self.step
            return self.last
        if time + self.moved <= self.last:
            self.moved = self.last + self.step - time
        if step is None:
            self.step = time + self.moved - self.last
        self.last = time + self.moved
        return self.last


class Track(Protocol):
    """A stream of an output that is no picture."""

    def put(self, packet: Any) -> None: ...

    def finish(self) -> None: ...


def tracks_beside(
    given: InputContainer, made: OutputContainer, pictures: Stream, say: Say
) -> dict[int, Track]:
    """A track of the output for each stream that can travel, by the index of its source."""
    tracks: dict[int, Track] = {}
    for stream in given.streams:
        if stream.index == pictures.index:
            continue
        track = _MAKERS.get(stream.type, _left_out)(made, stream, say)
        if track is not None:
            tracks[stream.index] = track
    return tracks


def _named(stream: Stream) -> str:
    """A stream in a note."""
    title = stream.metadata.get("title") or stream.metadata.get("name")
    return f"{stream.type} track {stream.index}" + (f" ({title})" if title else "")


def _left_out(made: OutputContainer, stream: Any, say: Say) -> Track | None:
    say(f"{_named(stream)} left out")
    return None


def _sound(made: OutputContainer, stream: Any, say: Say) -> Track | None:
    if stream.codec_context is None:
        return _left_out(made, stream, say)
    if stream.codec_context.name in _COPIED_SOUND:
        return _Copied(made, stream)
    return _EncodedSound(made, stream, say)


def _subtitles(made: OutputContainer, stream: Any, say: Say) -> Track | None:
    context = stream.codec_context
    if context is not None and context.name == "mov_text":
        return _Copied(made, stream)
    if context is None or not context.codec.properties & Properties.TEXT_SUB.value:
        say(f"{_named(stream)} left out: .mp4 has no place for subtitles that are pictures")
        return None
    say(f"{_named(stream)}: {context.name} became mov_text, which knows simple styles only")
    return _EncodedSubtitles(made, stream, say)


def _cover(made: OutputContainer, stream: Any, say: Say) -> Track | None:
    context = stream.codec_context
    is_cover = stream.disposition & Disposition.attached_pic
    if not is_cover or context is None or context.name not in _COVERS:
        return _left_out(made, stream, say)
    return _Copied(made, stream)


def _data(made: OutputContainer, stream: Any, say: Say) -> Track | None:
    """Measurements of action cameras are copied; chapters and time codes travel as labels."""
    if stream.discard == Discard.all or "timecode" in stream.metadata:
        return None
    if stream.name == "bin_data" and "mp4" in stream.container.format.name:
        return _Copied(made, stream)
    return _left_out(made, stream, say)


_MAKERS: dict[str, Callable[[OutputContainer, Any, Say], Track | None]] = {
    "audio": _sound,
    "subtitle": _subtitles,
    "video": _cover,
    "data": _data,
}


class _Copied:
    """Packets as they are, at times that rise."""

    def __init__(self, made: OutputContainer, like: Any):
        self.made, self.times = made, MonotonicTimes()
        self.stream = made.add_stream_from_template(like)
        copy_labels(like, self.stream)

    def put(self, packet: Any) -> None:
        if not packet.size:
            return  # the end
        decoded = packet.dts if packet.dts is not None else packet.pts
        shown_later = 0 if packet.pts is None or decoded is None else packet.pts - decoded
        packet.dts = self.times(decoded, packet.duration)
        packet.pts = packet.dts + shown_later
        packet.stream = self.stream
        self.made.mux(packet)

    def finish(self) -> None:
        pass


class _EncodedSound:
    """Sound that players do not expect in .mp4, as AAC."""

    def __init__(self, made: OutputContainer, like: Any, say: Say):
        self.made, self.say, self.name = made, say, _named(like)
        context = like.codec_context
        channels = context.layout.nb_channels
        layout = _LAYOUTS.get(channels, "stereo")
        rate = next((r for r in _AAC_RATES if r >= context.sample_rate), _AAC_RATES[-1])
        self.stream = made.add_stream("aac", rate=rate, layout=layout)
        copy_labels(like, self.stream)
        say(f"{self.name}: {context.name} became AAC")
        if channels not in _LAYOUTS:
            say(f"{self.name}: {channels} channels became 2")
        if rate < context.sample_rate:
            say(f"{self.name}: {context.sample_rate} samples a second became {rate}")

    def put(self, packet: Any) -> None:
        try:
            for frame in packet.decode():
                self.made.mux(self.stream.encode(frame))
        except FFmpegError as error:
            self.say(f"{self.name}: a part could not be decoded ({error.strerror})")

    def finish(self) -> None:
        self.made.mux(self.stream.encode(None))


class _EncodedSubtitles:
    """Text with simple styles."""

    def __init__(self, made: OutputContainer, like: Any, say: Say):
        self.made, self.say, self.name = made, say, _named(like)
        self.decoder = like.codec_context
        self.decoder.open(strict=False)  # which makes the header
        self.stream = made.add_stream("mov_text")
        self.stream.time_base = like.time_base
        self.stream.codec_context.subtitle_header = self.decoder.subtitle_header
        copy_labels(like, self.stream)
        self.last, self.end = -1, 0

    def put(self, packet: Any) -> None:
        if packet.pts is None:
            return  # the end
        try:
            found = self.decoder.decode2(packet)
            if found is None:
                return
            text = self.stream.codec_context.encode_subtitle(found)
        except FFmpegError as error:
            self.say(f"{self.name}: a part could not be decoded ({error.strerror})")
            return
        if packet.pts < self.end:
            self.say(f"{self.name}: a line ends where the next begins")
        self.last = text.pts = text.dts = max(packet.pts, self.last + 1)
        self.end = packet.pts + (packet.duration or 0)
        text.duration, text.time_base = packet.duration, packet.time_base
        text.stream = self.stream
        self.made.mux(text)

    def finish(self) -> None:
        pass
