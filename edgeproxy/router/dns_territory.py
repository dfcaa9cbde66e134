"""Where on Earth each address is, as ranges: what the map of answers begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edgeproxy.router.client import Whereabouts
from edgeproxy.router.country_table import UNKNOWN, Countries, CountryTable


@dataclass(frozen=True, slots=True)
class Areas:
    """`starts` ascend from 0; the addresses from `starts[i]` to the next are at `kinds[indexes[i]]`."""

    starts: Sequence[int]
    indexes: Sequence[int]
    kinds: tuple[Whereabouts, ...]


NO_AREAS = Areas((0,), (0,), (Whereabouts(),))


class Territory(Protocol):
    """The areas as they are known now; the same object as long as nothing has changed. Few kinds (hundreds):
    each costs a decision whenever the map is made."""

    def areas(self, version: int) -> Areas:
        """`version` is 4 or 6."""
        ...


class CountryTerritory:
    """The countries of the embedded table."""

    def __init__(self, countries: Countries) -> None:
        self._areas = {4: _areas(countries, countries.v4), 6: _areas(countries, countries.v6)}

    def areas(self, version: int) -> Areas:
        return self._areas[version]


def _areas(countries: Countries, table: CountryTable) -> Areas:
    kinds = [Whereabouts("" if code == UNKNOWN else code, countries.place(code)) for code in table.codes]
    starts = [start << table.shift for start in table.starts]
    indexes = list(table.indexes)
    if starts[0]:
        kinds.append(Whereabouts())
        starts.insert(0, 0)
        indexes.insert(0, len(kinds) - 1)
    return Areas(starts, indexes, tuple(kinds))
