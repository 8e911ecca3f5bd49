"""Labels of a video: title, times, places, languages, chapters; and which of them .mp4 lost."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.stream import Disposition

# What .mp4 has tags of its own for, which every player reads; anything else needs the tags of
# QuickTime, which take any key but replace the others.
_PLAIN = {
    "title",
    "artist",
    "album_artist",
    "composer",
    "album",
    "date",
    "comment",
    "genre",
    "copyright",
    "lyrics",
    "description",
    "synopsis",
    "show",
    "episode_id",
    "network",
    "keywords",
    "creation_time",
    "location",
    "grouping",
}
# What describes a file and not what it shows; every program writes its own.
_TECHNICAL = {
    "encoder",
    "major_brand",
    "minor_version",
    "compatible_brands",
    "handler_name",
    "vendor_id",
    "duration",
    "bps",
    "number_of_frames",
    "number_of_bytes",
    "rotate",
}
_REWRITTEN = ("creation_time",)  # may be written in another way

Say = Callable[[str], object]  # takes a note; what it has been told before does not count


def muxer_options(given: InputContainer) -> dict[str, str]:
    """What the muxer of .mp4 needs so that it writes all labels of a file."""
    plain = all(key in _PLAIN for key in _own(given.metadata))
    return {} if plain else {"movflags": "use_metadata_tags"}


def copy_file_labels(given: InputContainer, made: OutputContainer) -> None:
    """Labels and chapters of the whole file; before the first packet."""
    made.metadata.update(_own(given.metadata))
    chapters = given.chapters()
    if chapters:
        made.set_chapters(chapters)


def copy_labels(like: Any, stream: Any) -> None:
    """Title, language, time code, and what a stream is for; before the first packet."""
    labels = {"title" if key == "name" else key: x for key, x in _own(like.metadata).items()}
    if "handler_name" in like.metadata:
        labels["handler_name"] = like.metadata["handler_name"]
    stream.metadata.update(labels)
    stream.disposition = like.disposition


def labels_of(container: Any) -> list[dict[str, str]]:
    """Of the file, then of each stream that is no cover."""
    streams = [s for s in container.streams if not s.disposition & Disposition.attached_pic]
    return [_own(container.metadata), *(_own(stream.metadata) for stream in streams)]


def say_lost(given: InputContainer, wanted: list[dict[str, str]], target: Path, say: Say) -> None:
    """Look into a finished file for what it should hold.

    Args:
        wanted: `labels_of` the output before it was closed.
    """
    with av.open(str(target)) as made:
        for labels, found in zip(wanted, labels_of(made), strict=False):
            for key, value in labels.items():
                if value not in found.values() and not (key in found and key in _REWRITTEN):
                    say(f"label left out: {key} = {value}")
        if len(made.chapters()) < len(given.chapters()):
            say(f"{len(given.chapters()) - len(made.chapters())} chapters left out")


def _own(labels: dict[str, str]) -> dict[str, str]:
    """Without what is technical, and without a second copy that names its language."""
    return {
        key: value
        for key, value in labels.items()
        if key.lower().split("-")[0] not in _TECHNICAL
        and not key.startswith("_STATISTICS")
        and not ("-" in key and labels.get(key.rpartition("-")[0]) == value)
    }
