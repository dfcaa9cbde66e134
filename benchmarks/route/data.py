"""Round trips that were measured, as values (data/NOTICE says whose they are)."""

from __future__ import annotations

import csv
import json
import lzma
import sys
from array import array
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgeproxy.router.place import Place

FOLDER = Path(__file__).parents[1] / "data"
PLANETLAB_NODES = 490
PLANETLAB_SNAPSHOTS = (1, 9, 18)
SEATTLE_SLICES, SEATTLE_CLIENTS, SEATTLE_NODES = 688, 99, 8
SEATTLE_SLICE_SECONDS = 15.7  # three hours in 688 slices


@dataclass(frozen=True, slots=True)
class Site:
    name: str
    city: str
    country: str
    continent: str
    place: Place


@dataclass(frozen=True, slots=True)
class Azure:
    """`rtt[a][b]` in ms from a to b; on the diagonal 1: a client in the city of a node."""

    sites: tuple[Site, ...]
    rtt: tuple[tuple[float, ...], ...]

    def number(self, name: str) -> int:
        return next(number for number, site in enumerate(self.sites) if site.name == name)


@cache
def azure() -> Azure:
    with (FOLDER / "azure-sites.csv").open(encoding="utf-8") as lines:
        sites = tuple(
            Site(row["site"], row["city"], row["cc"], row["continent"], _place(row))
            for row in csv.DictReader(lines)
        )
    with (FOLDER / "azure-p50-2023-07.csv").open(encoding="utf-8") as lines:
        told = {row["source"]: row for row in csv.DictReader(lines)}

    def rtt(one: str, other: str) -> float:
        if one == other:
            return 1.0
        return float(told[one][other] or told[other][one])  # one direction was published as zero

    names = [site.name for site in sites]
    return Azure(sites, tuple(tuple(rtt(a, b) for b in names) for a in names))


def _place(row: dict[str, str]) -> Place:
    return Place(float(row["lat"]), float(row["lon"]))


@cache
def planetlab(snapshot: int) -> tuple[tuple[float, ...], ...]:
    """Milliseconds; 0 where missing."""
    numbers = _numbers(f"planetlab-490.snap{snapshot:02}.u16le.xz")
    rows = range(0, len(numbers), PLANETLAB_NODES)
    return tuple(tuple(value / 10 for value in numbers[at : at + PLANETLAB_NODES]) for at in rows)


@cache
def seattle() -> array[int]:
    """Whole milliseconds at (slice * 99 + client) * 8 + node; 0 where missing."""
    return _numbers("seattle-688x99x8.u16le.xz")


@cache
def last_mile() -> dict[str, Any]:
    """The model of clients: stretch by pair of continents, access, jitter."""
    found: dict[str, Any] = json.loads((FOLDER / "model.json").read_text())
    return found


def _numbers(name: str) -> array[int]:
    numbers = array("H")
    numbers.frombytes(lzma.decompress((FOLDER / name).read_bytes()))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
