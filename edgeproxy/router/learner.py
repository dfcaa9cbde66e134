"""Takes round trips in and turns them into beliefs."""

from __future__ import annotations

import math
from collections.abc import Hashable

from edgeproxy.router.beliefs import ALL_NODES, CELL, EVERYBODY, PREFIX, Beliefs, Key, Observed, prior_of
from edgeproxy.router.client import LEVELS, Client
from edgeproxy.router.neighbours import Told, fitted
from edgeproxy.router.pair import Pair, begun, updated
from edgeproxy.router.place import Place

RTT_MS_LEAST, RTT_MS_MOST = 0.01, 30_000.0
COUNT_MOST = 1e6
CELLS_MAX = 512  # of one node: the newest


class Learner:
    """One owner. What `beliefs` has handed out is not changed by `told`. Its tables hold at most
    `entries_max` each; the longest untold leave first."""

    def __init__(self, *, entries_max: int = 200_000, access_ms: float = 10.0) -> None:
        self._observed: dict[Key, Observed] = {}
        self._pairs: dict[tuple[Hashable, str], Pair] = {}
        self._entries_max = entries_max
        self._access_ms = access_ms

    def beliefs(self) -> Beliefs:
        """Takes about 1 us for each entry: for every few seconds, not for every answer."""
        cells: dict[str, list[tuple[Hashable, Observed]]] = {}
        for (level, group, node), found in self._observed.items():
            if level == CELL:
                cells.setdefault(node, []).append((group, found))
        newest = max((found.at for told in cells.values() for _, found in told), default=0.0)
        return Beliefs(
            dict(self._observed),
            fitted(
                Told(group, found.place, node, found.mean, count / (count + 1.0))
                for node, told in cells.items()
                for group, found in told[-CELLS_MAX:]
                if found.place is not None and (count := found.decayed(newest, CELL)) > 0
            ),
        )

    def told(
        self,
        client: Client,
        node: str,
        place: Place | None,
        rtt: float,
        now: float,
        *,
        connections: int = 1,
        finest: int = PREFIX,
    ) -> None:
        """A round trip (ms) between `client` and `node` at `place`; the least of `connections`. `finest` is
        the finest level it says something about: a probe between nodes is a sample of a cell, not of a
        prefix. What cannot be a round trip is not believed."""
        if not RTT_MS_LEAST <= rtt <= RTT_MS_MOST:
            return
        prior, _, _ = prior_of(client.place, place, access_ms=self._access_ms)
        variance = 0.0
        if finest == PREFIX:
            pair = self._smoothed(client, node, rtt, connections)
            rtt, variance = pair.rtt, (pair.deviation / pair.rtt) ** 2
        value = math.log(rtt / prior)
        for level in range(finest, LEVELS):
            group = client.groups[level]
            if group is not None:
                whose = ALL_NODES if level == EVERYBODY else node
                where = client.place if level == CELL else None
                if level == PREFIX:  # smoothed already, and may have been set anew
                    self._set((level, group, whose), value, variance, now, float(connections))
                else:
                    self._note((level, group, whose), value, now, float(connections), where)

    def _smoothed(self, client: Client, node: str, rtt: float, connections: int) -> Pair:
        key = (client.group, node)
        pair = self._pairs.pop(key, None)
        pair = begun(rtt) if pair is None else updated(pair, rtt, connections)
        self._pairs[key] = pair
        if len(self._pairs) > self._entries_max:
            del self._pairs[next(iter(self._pairs))]
        return pair

    def _set(self, key: Key, value: float, variance: float, now: float, weight: float) -> None:
        before = self._observed.pop(key, None)
        kept = 0.0 if before is None else before.decayed(now, key[0])
        self._put(key, Observed(min(kept + weight, COUNT_MOST), value, variance, now))

    def _note(self, key: Key, value: float, now: float, weight: float, where: Place | None) -> None:
        level = key[0]
        before = self._observed.pop(key, None)
        if before is None:
            after = Observed(weight, value, 0.0, now, where)
        else:
            kept = before.decayed(now, level)
            count = kept + weight
            away = value - before.mean
            mean = before.mean + away * weight / count
            variance = (kept * before.variance + weight * away * (value - mean)) / count
            after = Observed(min(count, COUNT_MOST), mean, max(0.0, variance), now, before.place or where)
        self._put(key, after)

    def _put(self, key: Key, after: Observed) -> None:
        """At the end: the longest untold leave first."""
        self._observed[key] = after
        if len(self._observed) > self._entries_max:
            del self._observed[next(iter(self._observed))]
