"""Which pictures belong together, and what files say of when and where."""

import io
import struct

import pytest
from PIL import ExifTags, Image

from codec.album.gazetteer import UnknownPlace, city_at, city_called
from codec.album.groups import (
    ByCity,
    ByDay,
    ByPlace,
    ByTime,
    ByTimeAndPlace,
    clock,
    group,
    metres,
    utc,
)
from codec.pictures.capture import Capture, capture_of
from codec.store.records import Item

NOON = 1_715_940_000.0  # 2024-05-17 10:00:00
IN_WORDS = "2024:05:17 10:00:00"


def picture(exif: Image.Exif) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def said(detail: dict[int, object] | None = None, gps: dict[int, object] | None = None) -> Capture:
    """What is read from a file with these tags."""
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif).update(detail or {})
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(gps or {})
    exif[ExifTags.Base.Make] = "a maker"
    return capture_of(picture(exif))


def test_time_and_its_zone() -> None:
    tags = {0x9003: IN_WORDS}
    assert said(tags) == Capture(NOON)
    assert said(tags | {0x9291: "25"}) == Capture(NOON + 0.25)
    assert said(tags | {0x9011: "+02:00"}) == Capture(NOON, 7200)
    assert said(tags | {0x9011: "-03:30", 0x9291: "x"}) == Capture(NOON, -12600)
    assert said(tags | {0x9011: "+99:00"}) == Capture(NOON)
    assert said({0x9004: IN_WORDS, 0x9012: "+00:00"}) == Capture(NOON, 0)


@pytest.mark.parametrize(
    "text", ["", "0000:00:00 00:00:00", "1700:01:01 00:00:00", "2999:01:01 00:00:00", "yesterday"]
)
def test_times_that_cannot_be(text: str) -> None:
    assert said({0x9003: text}) == Capture()


def test_places() -> None:
    berlin = {1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)}
    assert said(gps=berlin) == Capture(None, None, pytest.approx(52.52), pytest.approx(13.405))
    south_west = said(gps=berlin | {1: "S", 3: "W"})
    assert south_west[2:] == (pytest.approx(-52.52), pytest.approx(-13.405))


@pytest.mark.parametrize(
    "gps",
    [
        {1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)},
        {1: "N", 2: (95.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)},
        {1: "N", 2: (52.0, 31.0, 12.0)},
        {1: "N", 2: "here", 3: "E", 4: (13.0, 24.0, 18.0)},
    ],
)
def test_places_that_cannot_be(gps: dict[int, object]) -> None:
    try:
        found = said(gps=gps)
    except (TypeError, ValueError, struct.error):
        pytest.skip("Pillow does not write it")
    assert found == Capture()


@pytest.mark.parametrize("data", [b"", b"text", picture(Image.Exif())[:300]])
def test_files_that_say_nothing(data: bytes) -> None:
    assert capture_of(data) == Capture()


def item(name: str, taken: float | None = None, zone: int | None = None, *place: float) -> Item:
    where = place or (None, None)
    return Item(name, b"", b"", 0, 0, taken, zone, *where)  # type: ignore[arg-type]


def names(items: list[Item], rules: list[object], least: int = 2) -> list[str]:
    found = group(items, rules, least)  # type: ignore[arg-type]
    return ["".join(items[n].name for n in one) for _, one in found]


def test_by_time() -> None:
    """Each at most the gap after the one before, in any order; what has no time is in no group."""
    times = {"d": 100.0, "a": 0.0, "b": 30.0, "c": 60.5, "x": None, "e": 100.0}
    items = [item(name, time) for name, time in times.items()]
    assert names(items, [ByTime(30)]) == ["ab", "de"]
    assert names(items, [ByTime(30.5)]) == ["abc", "de"]
    assert names(items, [ByTime(30)], 3) == []
    assert names(items, [ByTime(1000)], 3) == ["abcde"]


def test_zones_count_and_the_usual_one_is_that_of_others() -> None:
    """Two clocks that show other hours at one moment, and a camera that does not know its zone."""
    items = [item("a", 7200, 7200), item("b", 7210, 7200), item("c", 3605, 3600), item("d", 7220)]
    assert list(map(utc(items), items)) == [0, 10, 5, 20]
    assert names(items, [ByTime()]) == ["acbd"]


def test_by_place() -> None:
    step = 40 / 111_195  # 40 m north
    items = [
        item(n, None, None, 50 + i * step, 9.0) for n, i in zip("abcz", (0, 1, 2, 99), strict=True)
    ]
    assert names([*items, item("x")], [ByPlace(50)]) == ["abc"]
    assert names(items, [ByPlace(30)]) == []
    assert metres(items[0], items[1]) == pytest.approx(40, rel=1e-3)
    # Across the date line, and at a pole.
    line = [item("p", None, None, 0.0, 179.9999), item("q", None, None, 0.0, -179.9999)]
    assert metres(*line) == pytest.approx(22.2, rel=0.01) and names(line, [ByPlace(50)]) == ["pq"]
    pole = [item("n", None, None, 90.0, 0.0), item("m", None, None, 90.0, 120.0)]
    assert metres(*pole) == pytest.approx(0, abs=1e-6)


def test_by_time_and_place() -> None:
    """A place that is not known is no reason against."""
    here, there = (50.0, 9.0), (51.0, 9.0)
    items = [item("a", 0, 0, *here), item("b", 5, 0, *here), item("c", 9, 0, *there), item("d", 12)]
    assert names(items, [ByTimeAndPlace()]) == ["ab", "cd"]
    assert names(items, [ByTimeAndPlace(30, 200_000)]) == ["abcd"]


def test_by_day_of_the_clock_there() -> None:
    midnight = 86_400.0
    items = [item("a", midnight - 1, 0), item("b", midnight + 1, 0), item("c", 2 * midnight - 1, 0)]
    assert names(items, [ByDay()]) == ["bc"]
    assert ByDay().label(items[1:]) == "1970-01-02" and clock(items[0]) == "1970-01-01 23:59:59"


def test_rules_take_turns() -> None:
    items = [item("a", 0, 0), item("b", 10, 0), item("c", 5000, 0), item("d", 9000, 0)]
    assert names(items, [ByTime(), ByDay()]) == ["ab", "cd"]
    assert names(items, [ByDay(), ByTime()]) == ["abcd"]


def test_labels_tell_when_and_where() -> None:
    items = [item("a", NOON, 0, 52.52, -13.405), item("b", NOON + 5, 0, 52.52, -13.405)]
    assert ByTime().label(items) == "2024-05-17 10:00:00 to 10:00:05"
    assert ByTimeAndPlace().label(items[:1]) == "2024-05-17 10:00:00"
    assert ByPlace().label(items) == "52.5200 N, 13.4050 W"


def test_by_city() -> None:
    """The seed's own example, in two languages, and a village that is nowhere."""
    forbidden_city, summer_palace = (39.916, 116.397), (39.999, 116.275)
    sea, eiffel_tower, louvre = (30.0, -40.0), (48.858, 2.294), (48.861, 2.336)
    where = {"a": forbidden_city, "b": eiffel_tower, "c": summer_palace, "d": louvre, "s": sea}
    items = [item(name, None, None, *place) for name, place in where.items()]
    items.append(item("x"))
    assert names(items, [ByCity()]) == ["ac", "bd"]
    assert names(items, [ByCity(["Beijing"])]) == names(items, [ByCity(["北京"])]) == ["ac"]
    assert ByCity().label(items[:1]) == "Beijing" and city_at(*sea) is None
    assert city_called("paris").name == "Paris" and city_called("München").name == "Munich"
    with pytest.raises(UnknownPlace, match="Nowhereville: expected a city"):
        names(items, [ByCity(["Nowhereville"])])
