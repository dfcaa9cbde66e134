"""Takes round trips in and turns them into beliefs."""

from __future__ import annotations

import math
from collections.abc import Hashable
from itertools import islice

from edgeproxy.router.beliefs import ALL_NODES, CELL, EVERYBODY, PREFIX, Beliefs, Key, Observed, prior_of
from edgeproxy.router.client import LEVELS, Client
from edgeproxy.router.crowding import crowded_out
from edgeproxy.router.neighbours import Neighbours, Told, fitted
from edgeproxy.router.pair import Pair, begun, updated
from edgeproxy.router.place import Place

RTT_MS_LEAST, RTT_MS_MOST = 0.01, 30_000.0
RTT_MS_POSSIBLE = 600_000.0  # longer than RTT_MS_MOST tells that a way is dreadful; this is a broken clock
COUNT_MOST = 1e6
CELLS_MAX = 256  # of one node: the newest


class Learner:
    """One owner. What `beliefs` has handed out is not changed by `told`. Its tables hold at most
    `entries_max` each; the longest untold leave first."""

    def __init__(self, *, entries_max: int = 200_000, access_ms: float = 10.0) -> None:
        self._observed: dict[Key, Observed] = {}
        self._cells: dict[str, dict[Hashable, Observed]] = {}  # by node: those of level CELL
        self._neighbours = Neighbours()
        self._pairs: dict[tuple[Hashable, str], Pair] = {}
        self._entries_max = entries_max
        self._access_ms = access_ms

    def beliefs(self) -> Beliefs:
        """Takes 0.1 s where fifty nodes are known from a thousand cells, else far less: for every few
        seconds."""
        self._neighbours = fitted(self._cells_told(), self._former())
        return Beliefs(dict(self._observed), self._neighbours)

    def _cells_told(self) -> list[Told]:
        cells = self._cells
        newest = max((one.at for told in cells.values() for one in told.values()), default=0.0)
        found = []
        for node, told in cells.items():
            for group, one in islice(reversed(told.items()), CELLS_MAX):
                count = one.decayed(newest, CELL)
                if one.place is not None and count > 0:
                    found.append(Told(group, one.place, node, one.mean, count / (count + 1.0)))
        return found

    def _former(self) -> Neighbours | None:
        """None where most of its cells may be gone."""
        groups = {group for told in self._cells.values() for group in told}
        return self._neighbours if len(self._neighbours.numbers) <= 2 * len(groups) + 16 else None

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
        if not RTT_MS_LEAST <= rtt <= RTT_MS_POSSIBLE:
            return
        rtt = min(rtt, RTT_MS_MOST)
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
        crowded_out(self._pairs, self._entries_max)
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
        if key[0] == CELL:
            told = self._cells.setdefault(key[2], {})
            told.pop(key[1], None)
            told[key[1]] = after
        for level, group, node in crowded_out(self._observed, self._entries_max):
            if level == CELL:
                self._forget_cell(group, node)

    def _forget_cell(self, group: Hashable, node: str) -> None:
        told = self._cells[node]
        del told[group]
        if not told:
            del self._cells[node]
