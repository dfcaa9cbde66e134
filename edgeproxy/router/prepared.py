"""What a map says about a kind of client, worked out once: for who decides for thousands of them a second.

Who may serve a client and how far nodes are from it is the same for all clients of one place, AS and country,
unless something was observed of a finer group, or the operator's map names one. What belongs to the object
and to the moment (affinity, spill, exploration) is decided for each question by the same function as ever."""

from __future__ import annotations

from collections.abc import Hashable

from edgeproxy.router.beliefs import AS, BGP_PREFIX, PREFIX
from edgeproxy.router.choice import Candidate
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
    round trips are as old as the first question about the kind of client."""

    def __init__(self, snapshot: Snapshot, now: float) -> None:
        self._snapshot = snapshot
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
        return self._numbers.setdefault(kind, len(self._numbers)) if self._has_room(kind) else None

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
