"""What is believed about the round trip between a client and a node, and how firmly.

Distance gives a first guess, the prior. Whatever is observed is kept as ln(rtt / prior) for every group that
the client belongs to, so that a neighbour's observation says how much better or worse than distance the way
is. What all ways have in common (their access, the detours of fibre) is known from every node together;
neighbours count the more the nearer they are; and a fine group with few observations is drawn towards the
coarser one (shrinkage). How far the finest one with data is from the client decides how far the estimate may
be off."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from edgeproxy.router.client import Client
from edgeproxy.router.place import Place, distance_km

PREFIX, BGP_PREFIX, AS, CELL, EVERYBODY = range(5)
LEVEL_NAMES = ("prefix", "BGP prefix", "AS", "neighbours", "everybody")
HALF_LIFE_SECONDS = (900.0, 3600.0, 3600.0, 21600.0, 86400.0)
SPREAD = (0.05, 0.15, 0.15, 0.25, 0.30)  # by the finest level that has data
PRIOR_SPREAD = 0.30  # the log-normal spread of round trips around distance is 0.28
STRENGTH = 4.0  # observations that a coarser group counts for
NEIGHBOUR_STRENGTH = 1.0  # what everybody counts for beside neighbours
NEIGHBOUR_KM = 1500.0  # a neighbour so far away counts for a third
NEIGHBOURS_LEAST = 0.3  # less than that is no neighbourhood
UNCERTAIN_KM = 200.0
MS_PER_100_KM = 1.5
UNKNOWN_DISTANCE_KM = 5000.0
SAME_AS_SHARE = 0.8
ALL_NODES = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Milliseconds. `source` names the finest group whose observations took part, "distance" if none did."""

    rtt: float
    deviation: float
    prior: float
    distance_km: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Observed:
    """Of ln(rtt / prior): decayed count, mean and variance as of `at`. `place` is where a cell is."""

    count: float
    mean: float
    variance: float
    at: float
    place: Place | None = None

    def decayed(self, now: float, level: int) -> float:
        """What is left of the count."""
        return self.count * math.exp2(-max(0.0, now - self.at) / HALF_LIFE_SECONDS[level])


Key = tuple[int, Hashable, str]


def prior_of(
    client: Place | None, node: Place | None, *, access_ms: float, same_as: bool = False
) -> tuple[float, float, float | None]:
    """The round trip that distance suggests, what the client's radius adds to its deviation (both ms), and
    the distance (km; None if unknown)."""
    if client is None or node is None:
        distance, radius = None, UNKNOWN_DISTANCE_KM
    else:
        distance, radius = distance_km(client, node), client.radius_km
    guess = access_ms + MS_PER_100_KM * (UNKNOWN_DISTANCE_KM if distance is None else distance) / 100
    spread = MS_PER_100_KM * radius / 100 if radius > UNCERTAIN_KM else 0.0
    return guess * (SAME_AS_SHARE if same_as else 1.0), spread, distance


@dataclass(frozen=True, slots=True)
class Beliefs:
    """Never changed. `cells` are the observations of cells by node."""

    observed: Mapping[Key, Observed] = field(default_factory=dict)
    cells: Mapping[str, tuple[Observed, ...]] = field(default_factory=dict)

    def estimate(
        self,
        client: Client,
        node: str,
        place: Place | None,
        now: float,
        *,
        access_ms: float = 10.0,
        asn: int = 0,
    ) -> Estimate:
        same_as = bool(asn) and asn == client.whereabouts.asn
        prior, radius, distance = prior_of(client.place, place, access_ms=access_ms, same_as=same_as)
        mean, finest = self._from_afar(client, node, now)
        count, variance = 0.0, 0.0
        for level in (AS, BGP_PREFIX, PREFIX):
            group = client.groups[level]
            found = self.observed.get((level, group, node)) if group is not None else None
            if found is not None:
                count, variance = found.decayed(now, level), found.variance
                mean = (count * found.mean + STRENGTH * mean) / (count + STRENGTH)
                finest = level
        spread = PRIOR_SPREAD if finest is None else SPREAD[finest]
        rtt = prior * math.exp(mean)
        deviation = rtt * math.sqrt(variance / (count + STRENGTH) + spread * spread)
        if finest is None or finest >= CELL:  # where the client is still matters
            deviation = math.hypot(deviation, radius)
        source = "distance" if finest is None else LEVEL_NAMES[finest]
        return Estimate(rtt, deviation, prior, distance, source)

    def _from_afar(self, client: Client, node: str, now: float) -> tuple[float, int | None]:
        """What everybody, and then the neighbours of the client, say; and the finer of the two that spoke."""
        mean, finest = 0.0, None
        everybody = self.observed.get((EVERYBODY, "", ALL_NODES))
        if everybody is not None:
            count = everybody.decayed(now, EVERYBODY)
            mean, finest = count * everybody.mean / (count + STRENGTH), EVERYBODY
        if client.place is None:
            return mean, finest
        total = weights = 0.0
        for cell in self.cells.get(node, ()):
            if cell.place is not None:
                # Many observations of one cell are still one neighbour: the square root keeps it in bounds.
                weight = math.sqrt(cell.decayed(now, CELL))
                weight *= math.exp(-distance_km(client.place, cell.place) / NEIGHBOUR_KM)
                total += weight * cell.mean
                weights += weight
        if weights > NEIGHBOURS_LEAST:
            finest = CELL
        return (total + NEIGHBOUR_STRENGTH * mean) / (weights + NEIGHBOUR_STRENGTH), finest
