"""Which pictures belong together: by time, by place, by both, by day, or by a place's name.

Rules only nominate: whether a picture is predicted from another is decided by trying it.
"""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Protocol

from codec.album.gazetteer import City, city_at, city_called
from codec.store.records import Item

GAP = 30.0  # seconds
NEAR = 50.0  # metres
LEAST = 2  # pictures of a group
_EARTH = 6_371_000.0  # metres


class Rule(Protocol):
    """What makes pictures belong together."""

    def groups(self, items: Sequence[Item]) -> list[list[int]]:
        """Numbers of items that belong together, in their order; one in one list only."""

    def label(self, items: Sequence[Item]) -> str:
        """Why these do, for people."""


@dataclass(frozen=True)
class ByTime:
    """Pictures each of which was taken at most `gap` seconds after the one before."""

    gap: float = GAP

    def groups(self, items: Sequence[Item]) -> list[list[int]]:
        when = _times(items)
        return _linked(_by_time(items), lambda one, other: when[other] - when[one] <= self.gap)

    def label(self, items: Sequence[Item]) -> str:
        return _moment(items)


@dataclass(frozen=True)
class ByPlace:
    """Pictures each of which was taken at most `near` metres from another."""

    near: float = NEAR

    def groups(self, items: Sequence[Item]) -> list[list[int]]:
        parents = list(range(len(items)))
        placed = sorted(
            (n for n, item in enumerate(items) if item.latitude is not None),
            key=lambda n: items[n].latitude or 0.0,
        )
        degrees = math.degrees(self.near / _EARTH)
        first = 0
        for at, one in enumerate(placed):
            # Only what lies on about the same latitude can be near.
            while (items[one].latitude or 0) - (items[placed[first]].latitude or 0) > degrees:
                first += 1
            for other in placed[first:at]:
                if metres(items[one], items[other]) <= self.near:
                    parents[_root(parents, one)] = _root(parents, other)
        return _together(placed, lambda n: _root(parents, n))

    def label(self, items: Sequence[Item]) -> str:
        return _spot(items)


@dataclass(frozen=True)
class ByTimeAndPlace:
    """Pictures within `gap` seconds and `near` metres of the one before; where a place is not
    known, time alone counts."""

    gap: float = GAP
    near: float = NEAR

    def groups(self, items: Sequence[Item]) -> list[list[int]]:
        when = _times(items)

        def linked(one: int, other: int) -> bool:
            there = items[one].latitude is not None and items[other].latitude is not None
            near = not there or metres(items[one], items[other]) <= self.near
            return near and when[other] - when[one] <= self.gap

        return _linked(_by_time(items), linked)

    def label(self, items: Sequence[Item]) -> str:
        return _moment(items)


@dataclass(frozen=True)
class ByDay:
    """Pictures of one day, by the clock where they were taken."""

    def groups(self, items: Sequence[Item]) -> list[list[int]]:
        return _together(_by_time(items), lambda n: clock(items[n])[:10])

    def label(self, items: Sequence[Item]) -> str:
        return clock(items[0])[:10]


@dataclass(frozen=True)
class ByCity:
    """Pictures of one city; of given ones, or of whichever they were taken in.

    Attributes:
        names: of cities, in any language; none is all of them.
    """

    names: Sequence[str] = ()

    def groups(self, items: Sequence[Item]) -> list[list[int]]:
        wanted = {city_called(name) for name in self.names}
        found: dict[City, list[int]] = {}
        for number, item in enumerate(items):
            city = self._city(item)
            if city is not None and (not wanted or city in wanted):
                found.setdefault(city, []).append(number)
        return list(found.values())

    def _city(self, item: Item) -> City | None:
        if item.latitude is None or item.longitude is None:
            return None
        return city_at(item.latitude, item.longitude)

    def label(self, items: Sequence[Item]) -> str:
        city = self._city(items[0])
        return "one city" if city is None else city.name


def group(
    items: Sequence[Item], rules: Sequence[Rule], least: int = LEAST
) -> list[tuple[Rule, list[int]]]:
    """Groups of items, by the first rule that has at least so many of them left.

    Args:
        items: in any order.
        rules: later ones see what earlier ones have left.
        least: pictures of a group.
    """
    found: list[tuple[Rule, list[int]]] = []
    left = list(range(len(items)))
    for rule in rules:
        some = [items[n] for n in left]
        chosen = [[left[n] for n in one] for one in rule.groups(some) if len(one) >= least]
        found += [(rule, one) for one in chosen]
        taken = {n for one in chosen for n in one}
        left = [n for n in left if n not in taken]
    return found


def utc(items: Sequence[Item]) -> Callable[[Item], float]:
    """What tells the time of items in UTC; the zone that most of them name is that of others."""
    zones = Counter(item.zone for item in items if item.zone is not None)
    usual = zones.most_common(1)[0][0] if zones else 0
    return lambda item: (item.taken or 0.0) - (usual if item.zone is None else item.zone)


def metres(one: Item, other: Item) -> float:
    """The distance of the places of two items, which both have one."""
    assert one.latitude is not None and one.longitude is not None
    assert other.latitude is not None and other.longitude is not None
    a, b = math.radians(one.latitude), math.radians(other.latitude)
    half = math.sin((a - b) / 2) ** 2
    turn = math.sin(math.radians(one.longitude - other.longitude) / 2) ** 2
    return 2 * _EARTH * math.asin(min(1.0, math.sqrt(half + math.cos(a) * math.cos(b) * turn)))


def _times(items: Sequence[Item]) -> list[float]:
    return list(map(utc(items), items))


def _by_time(items: Sequence[Item]) -> list[int]:
    when = _times(items)
    known = (n for n, item in enumerate(items) if item.taken is not None)
    return sorted(known, key=lambda n: (when[n], items[n].name))


def _linked(order: Sequence[int], linked: Callable[[int, int], bool]) -> list[list[int]]:
    """An order cut where neighbours are not linked."""
    found: list[list[int]] = []
    for one in order:
        if found and linked(found[-1][-1], one):
            found[-1].append(one)
        else:
            found.append([one])
    return found


def _together(order: Sequence[int], key: Callable[[int], Hashable]) -> list[list[int]]:
    found: dict[Hashable, list[int]] = {}
    for one in order:
        found.setdefault(key(one), []).append(one)
    return list(found.values())


def _root(parents: list[int], one: int) -> int:
    while parents[one] != one:
        parents[one] = parents[parents[one]]
        one = parents[one]
    return one


def clock(item: Item) -> str:
    """The time of a picture by the clock where it was taken, as `2024-05-17 18:32:07`."""
    return datetime.fromtimestamp(item.taken or 0.0, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def _moment(items: Sequence[Item]) -> str:
    times = sorted(clock(item) for item in items)
    return times[0] if times[0] == times[-1] else f"{times[0]} to {times[-1][11:]}"


def _spot(items: Sequence[Item]) -> str:
    first = next((item for item in items if item.latitude is not None), None)
    if first is None or first.latitude is None or first.longitude is None:
        return "one place"
    north, east = "NS"[first.latitude < 0], "EW"[first.longitude < 0]
    return f"{abs(first.latitude):.4f} {north}, {abs(first.longitude):.4f} {east}"
