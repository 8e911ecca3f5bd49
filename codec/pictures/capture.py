"""When and where a picture was taken, as its EXIF says (Exif 3.0, sections 4.6.5 and 4.6.7)."""

import io
import math
import time
from datetime import datetime, timezone
from typing import Any, NamedTuple

from PIL import ExifTags, Image


class Capture(NamedTuple):
    """When and where a picture was taken; None is not known.

    Attributes:
        taken: by the clock there, in seconds since 1970.
        zone: seconds by which that clock is ahead of UTC.
        latitude, longitude: in degrees.
    """

    taken: float | None = None
    zone: int | None = None
    latitude: float | None = None
    longitude: float | None = None


_FIRST_YEAR = 1826  # of the oldest photograph; cameras without a set clock say 0000 or 1904
_AHEAD = 2 * 86_400  # seconds that a clock may be ahead of ours
_MOST_HOURS = 14  # that a clock is ahead of UTC somewhere, and 12 behind
_EXIF, _GPS = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo
_TIMES = (  # tags of time, fraction of a second and zone, the most telling first
    (ExifTags.Base.DateTimeOriginal, 0x9291, 0x9011),
    (ExifTags.Base.DateTimeDigitized, 0x9292, 0x9012),
)


def capture_of(data: bytes) -> Capture:
    """What a file says; what is missing or cannot be is None."""
    try:
        exif = Image.open(io.BytesIO(data)).getexif()
        detail, gps = exif.get_ifd(_EXIF), exif.get_ifd(_GPS)
    except Exception:  # whatever is wrong with a file, it is stored
        return Capture()
    latitude = _degrees(gps, ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef, "S", 90)
    longitude = _degrees(gps, ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef, "W", 180)
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):
        latitude = longitude = None  # receivers without a fix say 0, 0
    taken, zone = _time(detail)
    return Capture(taken, zone, latitude, longitude)


def _time(detail: Any) -> tuple[float | None, int | None]:
    for when, fraction, offset in _TIMES:
        zone = _zone(detail.get(offset))
        seconds = _seconds(detail.get(when), detail.get(fraction))
        if seconds is not None and seconds - (zone or 0) < time.time() + _AHEAD:
            return seconds, zone
    return None, None


def _seconds(when: object, fraction: object) -> float | None:
    """Seconds since 1970 of a clock time such as `2024:05:17 18:32:07`, and `50` hundredths."""
    try:
        found = datetime.strptime(str(when).strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    if found.year < _FIRST_YEAR:
        return None
    digits = str(fraction).strip("\0 ")
    part = float(f"0.{digits}") if digits.isascii() and digits.isdigit() else 0.0
    return found.replace(tzinfo=timezone.utc).timestamp() + part


def _zone(text: object) -> int | None:
    """Seconds of an offset such as `+02:00`."""
    try:
        found = datetime.strptime(str(text).strip("\0 "), "%z").utcoffset()
    except ValueError:
        return None
    if found is None or abs(found.total_seconds()) > _MOST_HOURS * 3600:
        return None
    return int(found.total_seconds())


def _degrees(gps: Any, tag: int, reference: int, negative: str, most: float) -> float | None:
    try:
        degrees, minutes, seconds = (float(x) for x in gps[tag])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    found = degrees + minutes / 60 + seconds / 3600
    if not math.isfinite(found) or not 0 <= found <= most:
        return None
    return -found if str(gps.get(reference, "")).strip("\0 ").upper() == negative else found
