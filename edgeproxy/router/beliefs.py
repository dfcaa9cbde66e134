"""What is believed about the round trip between a client and a node, and how firmly.

Distance gives a first guess, the prior. Whatever is observed is kept as ln(rtt / prior) for every group that
the client belongs to. What is known from afar (`neighbours`) is the beginning; then each finer group, if
anything was observed of it, tells twice: how it differs from that on all its ways (a slow last mile is slow
to every node), and what its own way to a node is. A group with few observations is drawn towards the coarser
one (shrinkage). How far the finest one with data is from the client decides how far the estimate may be
off."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edgeproxy.router.client import Client
from edgeproxy.router.neighbours import Neighbours
from edgeproxy.router.nodes import RouteNode
from edgeproxy.router.place import Place, distance_km, distances_from

PREFIX, BGP_PREFIX, AS, CELL, EVERYBODY = range(5)
LEVEL_NAMES = ("prefix", "BGP prefix", "AS", "neighbours", "everybody")
HALF_LIFE_SECONDS = (900.0, 3600.0, 21600.0, 86400.0, 86400.0)
SPREAD = (0.05, 0.15, 0.15, 0.25, 0.30)  # by the finest level that has data
PRIOR_SPREAD = 0.30  # the log-normal spread of round trips around distance is 0.28
STRENGTH = 4.0  # observations that a coarser group counts for
GROUP_STRENGTH = 2.0  # ways on which a group has to differ before half of it is believed of all its ways
APART_MOST = 0.7  # a way that is off by more than twice says something of itself, or of a client misplaced
UNCERTAIN_KM = 200.0
MS_PER_100_KM = 1.5
UNKNOWN_DISTANCE_KM = 5000.0
SAME_AS_SHARE = 0.8
ALL_NODES = ""


class Estimate(NamedTuple):
    """Milliseconds. `source` names the finest group whose observations took part, "distance" if none did."""

    rtt: float
    deviation: float
    prior: float
    distance_km: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Observed:
    """Of ln(rtt / prior), the prior without a common AS: decayed count, mean and variance as of `at`. `place`
    is where a cell is."""

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
    distance = None if client is None or node is None else distance_km(client, node)
    guess = _guess(distance, access_ms)
    return guess * (SAME_AS_SHARE if same_as else 1.0), _spread(client, distance), distance


def _guess(distance: float | None, access_ms: float) -> float:
    return access_ms + MS_PER_100_KM * (UNKNOWN_DISTANCE_KM if distance is None else distance) / 100


def _spread(client: Place | None, distance: float | None) -> float:
    radius = UNKNOWN_DISTANCE_KM if client is None or distance is None else client.radius_km
    return MS_PER_100_KM * radius / 100 if radius > UNCERTAIN_KM else 0.0


def distances_of(place: Place | None, nodes: Sequence[RouteNode]) -> list[float | None]:
    """In km, None where it is not known."""
    if place is None:
        return [None] * len(nodes)
    away = distances_from(place)
    return [None if node.place is None else away(node.place) for node in nodes]


@dataclass(frozen=True, slots=True)
class Beliefs:
    """Never changed."""

    observed: Mapping[Key, Observed] = field(default_factory=dict)
    neighbours: Neighbours = Neighbours()

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
        """Of one node, without what the client's ways to others tell."""
        alone = (RouteNode(node, place=place, asn=asn),)
        return self.estimates(client, alone, now, access_ms=access_ms)[0]

    def estimates(
        self,
        client: Client,
        nodes: Sequence[RouteNode],
        now: float,
        *,
        access_ms: float = 10.0,
        distances: Sequence[float | None] | None = None,
    ) -> list[Estimate]:
        """In the order of `nodes`; what was observed of one of them helps with the others. `distances` (km)
        are those of the client, where they are known already."""
        place, asn = client.place, client.whereabouts.asn
        if distances is None:
            distances = distances_of(place, nodes)
        ways = self._from_afar(place, nodes, distances, now, access_ms)
        if asn:
            for number, node in enumerate(nodes):
                if node.asn == asn:
                    ways.shares[number] = SAME_AS_SHARE
                    ways.means[number] += math.log(SAME_AS_SHARE)
        for level in (AS, BGP_PREFIX, PREFIX):
            group = client.groups[level]
            if group is not None:
                self._refine(ways, nodes, level, group, now)
        return ways.estimates()

    def _from_afar(
        self,
        place: Place | None,
        nodes: Sequence[RouteNode],
        distances: Sequence[float | None],
        now: float,
        access_ms: float,
    ) -> _Ways:
        """What distance and the neighbourhood of a place tell of the ways to nodes."""
        unplaced, placed = _spread(None, None), _spread(place, 0.0)
        priors = [_guess(distance, access_ms) for distance in distances]
        radii = [unplaced if distance is None else placed for distance in distances]
        if place is None or not self.neighbours.cells:
            mean, finest = self._everybody(now)
            return _Ways(priors, radii, distances, [mean] * len(nodes), [finest] * len(nodes))
        around = self.neighbours.around(place)
        known, other = around.nodes.get, around.other
        afar = [known(node.name, other) for node in nodes]
        finests: list[int | None] = [CELL if is_near else EVERYBODY for _, is_near in afar]
        return _Ways(priors, radii, distances, [mean for mean, _ in afar], finests)

    def _everybody(self, now: float) -> tuple[float, int | None]:
        """What all ways have in common, where nothing is known of places."""
        everybody = self.observed.get((EVERYBODY, "", ALL_NODES))
        if everybody is None:
            return 0.0, None
        count = everybody.decayed(now, EVERYBODY)
        return count * everybody.mean / (count + STRENGTH), EVERYBODY

    def _refine(
        self, ways: _Ways, nodes: Sequence[RouteNode], level: int, group: Hashable, now: float
    ) -> None:
        observed, means = self.observed.get, ways.means
        found = [
            (number, one, one.decayed(now, level))
            for number, node in enumerate(nodes)
            if (one := observed((level, group, node.name))) is not None
        ]
        if not found:
            return
        weights = [count / (count + 1.0) for _, _, count in found]
        apart = sum(
            weight * max(-APART_MOST, min(APART_MOST, one.mean - means[number]))
            for weight, (number, one, _) in zip(weights, found, strict=True)
        )
        shift = apart / (sum(weights) + GROUP_STRENGTH)
        means = ways.means = [mean + shift for mean in means]
        for number, one, count in found:
            means[number] = (count * one.mean + STRENGTH * means[number]) / (count + STRENGTH)
            ways.refined[number] = one.variance / (count + STRENGTH)
            ways.finests[number] = level


@dataclass(slots=True)
class _Ways:
    """Estimates in the making, a place in each list for each way; `means` of ln(rtt / prior), and of those
    that were `refined` its variance, shrunk. `shares` are those of priors that a common AS leaves."""

    priors: list[float]
    radii: list[float]
    distances: Sequence[float | None]
    means: list[float]
    finests: list[int | None]
    refined: dict[int, float] = field(default_factory=dict)
    shares: dict[int, float] = field(default_factory=dict)

    def estimates(self) -> list[Estimate]:
        made, refined, shares, exp = [], self.refined, self.shares, math.exp
        for number, (prior, radius, distance, mean, finest) in enumerate(
            zip(self.priors, self.radii, self.distances, self.means, self.finests, strict=True)
        ):
            spread = PRIOR_SPREAD if finest is None else SPREAD[finest]
            rtt = prior * exp(mean)
            deviation = rtt * math.sqrt(refined.get(number, 0.0) + spread * spread)
            if finest is None or finest >= CELL:  # where the client is still matters
                deviation = math.hypot(deviation, radius)
            source = "distance" if finest is None else LEVEL_NAMES[finest]
            prior *= shares.get(number, 1.0)
            made.append(Estimate(rtt, deviation, prior, distance, source))
        return made
