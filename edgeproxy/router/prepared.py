"""What a map says about a kind of client, worked out once: for who decides for thousands of them a second.

Who may serve a client and how far nodes are from it is the same for all clients of one place, AS and country,
unless something was observed of a finer group, or the operator's map names one. What belongs to the object
and to the moment (affinity, spill, exploration) is decided for each question by the same function as ever."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from edgeproxy.router.beliefs import AS, BGP_PREFIX, PREFIX
from edgeproxy.router.choice import Candidate, pool_of
from edgeproxy.router.client import Client
from edgeproxy.router.cost import cost_of
from edgeproxy.router.decide import Asking, Decision, candidates_for, concluded, decide, eligible_for, nearest
from edgeproxy.router.nodes import RouteNode
from edgeproxy.router.refusals import Eligible
from edgeproxy.router.snapshot import RouteObject, RouteRules, Snapshot

KINDS_MAX = 65_536
_FINER = (PREFIX, BGP_PREFIX, AS)


class Prepared:
    """Over one snapshot, by the policy geo-rtt. `decide` gives what router.decide.decide gives, but that
    round trips are as old as the first question about the kind of client. `by_order`: for shared kinds only
    the order of nodes and the reason matter, not what each is thought to cost."""

    def __init__(self, snapshot: Snapshot, now: float, *, by_order: bool = False) -> None:
        self._snapshot = snapshot
        self._by_order = by_order
        self._names = tuple(node.name for node in snapshot.nodes)
        self._by_address = any(node.networks for node in snapshot.nodes)
        self._has_misses = any(node.fill_ms for node in snapshot.nodes)
        # Then groups have no say, and time has none: what belongs to a node does until the next map.
        self._is_steady = not any(
            node.utilisation >= snapshot.rules.full or _is_starting(node, snapshot.rules, now)
            for node in snapshot.nodes
        )
        self._kinds: dict[Hashable, tuple[Eligible, list[Candidate]]] = {}
        self._numbers: dict[Hashable, int] = {}
        self._orders: dict[Hashable, Hashable] = {}  # by kind

    def stays(self, snapshot: Snapshot) -> bool:
        """Whether all that was worked out is right with a later map, too: it says the same, and nothing has
        been observed that fades with time."""
        mine = self._snapshot
        if not self._is_steady or mine.beliefs.observed or mine.beliefs.neighbours.cells:
            return False
        return (
            snapshot.made_at >= mine.made_at
            and snapshot.nodes == mine.nodes
            and snapshot.beliefs == mine.beliefs
            and snapshot.coverage == mine.coverage
            and snapshot.rules == mine.rules
        )

    def renew(self, snapshot: Snapshot) -> None:
        """Go on with a later map, with which it `stays`."""
        self._snapshot = snapshot

    def decide(self, client: Client, asked: RouteObject, now: float, asking: Asking) -> Decision:
        snapshot = self._snapshot
        if asking.excluded:
            return decide(client, asked, snapshot, now, asking)
        kind = self._kind(client, asking)
        held = self._kinds.get(kind)
        if held is None:
            held = self._prepare(client, now, asking)
            if len(self._kinds) >= KINDS_MAX:
                self._kinds.clear()
            self._kinds[kind] = held
        found, candidates = held
        if candidates and self._has_misses:
            rules = snapshot.rules
            candidates = [
                Candidate(one.node, one.estimate, cost_of(one.estimate, one.node, asked, rules))
                for one in candidates
            ]
        return concluded(nearest, found, candidates, client, asked, snapshot, now, asking)

    def shared_kind(self, client: Client, asking: Asking) -> int | None:
        """The number of a kind: all clients of it get the same for an object, but who explores. None if that
        is not so."""
        if not self._is_steady or asking.excluded:
            return None
        kind = self._kind(client, asking)
        if self._by_order:
            order = self._orders.get(kind)
            if order is None:
                if len(self._orders) >= KINDS_MAX:
                    self._orders.clear()
                order = self._orders[kind] = self._order(client, asking) or kind
            kind = order
        return self._numbers.setdefault(kind, len(self._numbers)) if self._has_room(kind) else None

    def _order(self, client: Client, asking: Asking) -> Hashable | None:
        """Nodes and reason, if these are the same for every object: one node is near, and all have room."""
        if self._has_misses:
            return None
        found, candidates = self._prepare(client, 0.0, asking)
        if not candidates or found.to_origin:
            return None
        rules, large = self._snapshot.rules, RouteObject("", is_large=True)
        by_cost = sorted(candidates, key=lambda one: one.cost.total)
        if len(pool_of(by_cost, large, rules)) > 1:  # small objects have no more of them
            return None
        decision = self.decide(client, large, 0.0, replace(asking, chance=1.0))
        return (*(one.name for one in decision.ranked), decision.reason)

    def _has_room(self, kind: Hashable) -> bool:
        """Numbers are never given twice, so they end with the room for them."""
        return kind in self._numbers or len(self._numbers) < KINDS_MAX

    def _prepare(self, client: Client, now: float, asking: Asking) -> tuple[Eligible, list[Candidate]]:
        snapshot = self._snapshot
        found = eligible_for(client, snapshot, asking)
        if not found.nodes:
            return found, []
        return found, candidates_for(client, None, found.nodes, snapshot, now)

    def _kind(self, client: Client, asking: Asking) -> Hashable:
        snapshot = self._snapshot
        entry = snapshot.coverage.entry(client)
        return (
            client.whereabouts,
            asking.family,
            asking.scheme,
            None if entry is None else entry[1],
            client.address if self._by_address else client.is_private,
            *(self._observed(level, client) for level in _FINER if snapshot.beliefs.observed),
        )

    def _observed(self, level: int, client: Client) -> Hashable:
        """The group of that level, if anything is known of it."""
        group, observed = client.groups[level], self._snapshot.beliefs.observed
        if group is None or not any((level, group, name) in observed for name in self._names):
            return None
        return group


def _is_starting(node: RouteNode, rules: RouteRules, now: float) -> bool:
    return node.started is not None and now - node.started < rules.slow_start_seconds
