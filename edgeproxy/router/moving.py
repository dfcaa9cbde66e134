"""How many client groups may change their node at a time.

A better node is seen by all groups at once; if all moved at once it would be flooded and its cache is cold.
So moves are booked: each minute takes moves of so many groups as make up a share of all requests."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

MINUTE = 60.0
AHEAD = 60  # minutes that are booked at most; who finds no place moves after the last


class Weights:
    """How much each client group asks: in this minute and the one before. Bounded; who is not known weighs
    one."""

    def __init__(self, groups_max: int) -> None:
        self._groups_max = groups_max
        self._minute = 0
        self._now: dict[Hashable, int] = {}
        self._before: dict[Hashable, int] = {}
        self._sum_now = self._sum_before = 0

    def asked(self, group: Hashable, now: float) -> None:
        self._turn(now)
        if group in self._now or len(self._now) < self._groups_max:
            self._now[group] = self._now.get(group, 0) + 1
            self._sum_now += 1

    def of(self, group: Hashable) -> int:
        return max(1, self._now.get(group, 0) + self._before.get(group, 0))

    @property
    def total(self) -> int:
        return self._sum_now + self._sum_before

    def _turn(self, now: float) -> None:
        minute = int(now // MINUTE)
        if minute == self._minute:
            return
        is_next = minute == self._minute + 1
        self._before, self._sum_before = (self._now, self._sum_now) if is_next else ({}, 0)
        self._now, self._sum_now, self._minute = {}, 0, minute


class Bookings:
    """Moves booked by the minute. `share` of all weight moves in one; a group that is heavier than that by
    itself has a minute for itself."""

    def __init__(self, share: float = 0.05) -> None:
        self._share = share
        self._booked: OrderedDict[int, float] = OrderedDict()

    def book(self, weight: float, total: float, earliest: float, now: float) -> float:
        """From when a group of `weight` may move: `earliest`, or the beginning of a later minute."""
        present = int(now // MINUTE)
        while self._booked and next(iter(self._booked)) < present:
            self._booked.popitem(last=False)
        first = int(earliest // MINUTE)
        minute = first
        for minute in range(first, first + AHEAD):
            booked = self._booked.get(minute, 0.0)
            if not booked or booked + weight <= self._share * total:
                break
        self._booked[minute] = self._booked.get(minute, 0.0) + weight
        self._booked = OrderedDict(sorted(self._booked.items()))
        return max(earliest, minute * MINUTE)
