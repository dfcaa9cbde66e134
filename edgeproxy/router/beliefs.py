"""What is believed about the round trip between a client and a node, and how firmly.

Distance gives a first guess, the prior. Whatever is observed is kept as ln(rtt / prior) for every group that
the client belongs to, so that a neighbour's observation says how much better or worse than distance the way
is. A fine group with few observations is drawn towards the coarser one that contains it (shrinkage); how far
the last one with data is from the client decides how far the estimate may be off."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field

from edgeproxy.router.client import LEVELS, Client
from edgeproxy.router.pair import Pair, begun, updated
from edgeproxy.router.place import Place, distance_km

HALF_LIFE_SECONDS = (900.0, 3600.0, 3600.0, 21600.0, 86400.0)
SPREAD = (0.05, 0.15, 0.15, 0.25, 0.30)  # by the finest level that has data
PRIOR_SPREAD = 0.30  # the log-normal spread of round trips around distance is 0.28
STRENGTH = 4.0  # observations that a coarser group counts for
UNCERTAIN_KM = 200.0
MS_PER_100_KM = 1.5
UNKNOWN_DISTANCE_KM = 5000.0
RTT_MS_LEAST, RTT_MS_MOST = 0.01, 30_000.0
SAME_AS_SHARE = 0.8
LEVEL_NAMES = ("prefix", "BGP prefix", "AS", "cell", "everybody")


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
    """Of ln(rtt / prior): decayed count, mean and variance as of `at`."""

    count: float
    mean: float
    variance: float
    at: float

    def decayed(self, now: float, half_life: float) -> float:
        """What is left of the count."""
        return self.count * math.exp2(-max(0.0, now - self.at) / half_life)


def prior_of(
    client: Place | None, node: Place | None, *, access_ms: float = 10.0, same_as: bool = False
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
    """Never changed: `with_sample` gives others. Keys are (level, group, node)."""

    observed: Mapping[tuple[int, Hashable, str], Observed] = field(default_factory=dict)
    pairs: Mapping[tuple[Hashable, str], Pair] = field(default_factory=dict)

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
        prior, radius_sd, distance = prior_of(client.place, place, access_ms=access_ms, same_as=same_as)
        mean, own_count, own_variance = 0.0, 0.0, 0.0
        finest: int | None = None
        for level, found in self._of(client, node):
            count = found.decayed(now, HALF_LIFE_SECONDS[level])
            mean = (count * found.mean + STRENGTH * mean) / (count + STRENGTH)
            if count >= 0.5 or finest is None:
                finest = level
            own_count, own_variance = count, found.variance
        spread = PRIOR_SPREAD if finest is None else SPREAD[finest]
        rtt = prior * math.exp(mean)
        deviation = rtt * math.sqrt(own_variance / (own_count + STRENGTH) + spread * spread)
        if finest is None or finest >= 3:  # the place still matters
            deviation = math.hypot(deviation, radius_sd)
        source = "distance" if finest is None else LEVEL_NAMES[finest]
        return Estimate(rtt, deviation, prior, distance, source)

    def _of(self, client: Client, node: str) -> Iterator[tuple[int, Observed]]:
        """From the coarsest group to the finest."""
        for level in range(LEVELS - 1, -1, -1):
            group = client.groups[level]
            found = self.observed.get((level, group, node)) if group is not None else None
            if found is not None:
                yield level, found


class Learner:
    """Takes samples in; one owner. `beliefs` may be handed out: it is not changed afterwards by `told`,
    which works on tables of its own, at most `entries_max` of each; the oldest leave first."""

    def __init__(self, *, entries_max: int = 200_000) -> None:
        self._observed: dict[tuple[int, Hashable, str], Observed] = {}
        self._pairs: dict[tuple[Hashable, str], Pair] = {}
        self._entries_max = entries_max

    def beliefs(self) -> Beliefs:
        return Beliefs(dict(self._observed), dict(self._pairs))

    def told(
        self,
        client: Client,
        node: str,
        place: Place | None,
        rtt: float,
        now: float,
        *,
        connections: int = 1,
        access_ms: float = 10.0,
        finest: int = 0,
    ) -> None:
        """A round trip (ms) between `client` and `node`. `finest` is the finest level it says something
        about: a probe between nodes is a sample of the cell, not of a prefix."""
        if not RTT_MS_LEAST <= rtt <= RTT_MS_MOST:
            return
        prior, _, _ = prior_of(client.place, place, access_ms=access_ms)
        if finest == 0:
            rtt = self._smoothed(client, node, rtt, connections)
        value = math.log(rtt / prior)
        for level in range(finest, LEVELS):
            group = client.groups[level]
            if group is not None:
                self._note(level, group, node, value, now, connections)

    def _smoothed(self, client: Client, node: str, rtt: float, connections: int) -> float:
        key = (client.group, node)
        pair = self._pairs.pop(key, None)
        pair = begun(rtt) if pair is None else updated(pair, rtt, connections)
        self._pairs[key] = pair
        if len(self._pairs) > self._entries_max:
            del self._pairs[next(iter(self._pairs))]
        return pair.rtt

    def _note(self, level: int, group: Hashable, node: str, value: float, now: float, weight: int) -> None:
        key = (level, group, node)
        before = self._observed.pop(key, None)
        if before is None:
            after = Observed(float(weight), value, 0.0, now)
        else:
            kept = before.decayed(now, HALF_LIFE_SECONDS[level])
            count = kept + weight
            away = value - before.mean
            mean = before.mean + away * weight / count
            if level == 0:
                mean = value  # smoothed already
            variance = (kept * before.variance + weight * away * (value - mean)) / count
            after = Observed(min(count, 1e6), mean, max(0.0, variance), now)
        self._observed[key] = after
        if len(self._observed) > self._entries_max:
            del self._observed[next(iter(self._observed))]
