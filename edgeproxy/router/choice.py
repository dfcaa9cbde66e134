"""One of the candidates: near enough, where the object belongs, and not full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeproxy.router.beliefs import Estimate
from edgeproxy.router.cost import Cost
from edgeproxy.router.nodes import RouteNode
from edgeproxy.router.rendezvous import ranked, share
from edgeproxy.router.snapshot import RouteObject, RouteRules


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that may serve, what is believed of the way to it, and what it costs."""

    node: RouteNode
    estimate: Estimate
    cost: Cost

    @property
    def name(self) -> str:
        return self.node.name


@dataclass(frozen=True, slots=True)
class Choice:
    """Candidates in the order in which they should be tried, and why the first is first."""

    ranked: tuple[Candidate, ...]
    reason: str


def choose(
    candidates: Sequence[Candidate],
    asked: RouteObject | None,
    group: str,
    rules: RouteRules,
    now: float,
    at: str | None = None,
) -> Choice:
    """`candidates` are not empty. Without an object (DNS) the client group is what belongs to a node. `at` is
    the node that the group is at, "" if it is at none: the other nodes take it in only while they have room
    to spare, since what comes within the time to live of answers is not seen in their load yet. None where
    nothing of that is known."""
    by_cost = sorted(candidates, key=_order)
    pool = pool_of(by_cost, asked, rules)
    key = asked.key if asked is not None else group
    in_pool = pool
    if len(pool) > 1:
        weights = [(one.name, one.node.weight * _warmth(one.node, rules, now)) for one in pool]
        order = {name: place for place, name in enumerate(ranked(key, weights))}
        in_pool = sorted(pool, key=lambda one: order.get(one.name, len(order)))
    if len(pool) == 1 and _is_cold(pool[0].node, group, rules, now) and len(by_cost) > 1:
        return _spilt(
            by_cost, in_pool, group, rules, "the nearest has come back and takes clients little by little"
        )
    flying = sum(one.node.in_flight for one in pool)
    capacity = sum(one.node.capacity for one in pool) or 1.0
    for one in in_pool:
        is_new = at is not None and one.name != at
        if _takes(one.node, group, flying, capacity, rules, is_new=is_new):
            return _with_first(one, in_pool, by_cost, _why(one, by_cost, len(pool)))
    return _spilt(by_cost, in_pool, group, rules, "the near nodes are full")


def _order(one: Candidate) -> tuple[float, str]:
    network, doubt, queue, miss, policy = one.cost
    return network + doubt + queue + miss + policy, one.node.name


def pool_of(by_cost: Sequence[Candidate], asked: RouteObject | None, rules: RouteRules) -> list[Candidate]:
    """Those near enough to share the objects among them."""
    bound = pool_bound(by_cost[0].cost.total, asked, rules)
    return [one for one in by_cost if one.cost.total <= bound]


def pool_bound(best: float, asked: RouteObject | None, rules: RouteRules) -> float:
    """The cost up to which a node is near enough, in ms, where the best one costs `best`."""
    if asked is None:
        return best  # without an object there is nothing to be gained from a farther node
    budget = rules.affinity_budget_large_ms if asked.is_large else rules.affinity_budget_ms
    return best * rules.near_share + budget


def _warmth(node: RouteNode, rules: RouteRules, now: float) -> float:
    """A node that has come back takes clients little by little: its cache is cold."""
    if node.started is None or rules.slow_start_seconds <= 0:
        return 1.0
    passed = max(0.0, now - node.started) / rules.slow_start_seconds
    return min(1.0, rules.slow_start_share + (1.0 - rules.slow_start_share) * passed)


def _is_cold(node: RouteNode, group: str, rules: RouteRules, now: float) -> bool:
    """Whether it is not yet this group's turn. Where several share the objects their weights see to it."""
    warmth = _warmth(node, rules, now)
    return warmth < 1.0 and share(group, node.name, "warm") >= warmth


def _takes(
    node: RouteNode, group: str, flying: int, capacity: float, rules: RouteRules, *, is_new: bool
) -> bool:
    """A node that is nearly full keeps a share of its groups, always the same ones."""
    room = rules.overfull - rules.full
    full = rules.full - room if is_new else rules.full
    if node.utilisation >= full:
        leaving = (node.utilisation - full) / max(room, 1e-9)
        if share(group, node.name, "spill") < leaving:
            return False
    share_of_pool = node.capacity / capacity
    return node.in_flight + 1 <= max(2.0, rules.share_max * share_of_pool * (flying + 1))


def _spilt(
    by_cost: Sequence[Candidate],
    in_pool: Sequence[Candidate],
    group: str,
    rules: RouteRules,
    why: str,
) -> Choice:
    inside = {one.name for one in in_pool}
    for one in (one for one in by_cost if one.name not in inside):
        if one.node.utilisation < rules.full:
            return _with_first(one, in_pool, by_cost, why)
    with_room = {one.name: one for one in by_cost if one.node.utilisation < rules.overfull}
    if with_room:  # spread by how much room there is: the nearest alone would be flooded
        weights = [
            (name, one.node.capacity * (rules.overfull - one.node.utilisation))
            for name, one in with_room.items()
        ]
        first = with_room[ranked(group, weights)[0]]
        return _with_first(first, in_pool, by_cost, "all are nearly full: one of those with room")
    least = min(by_cost, key=lambda one: (one.node.utilisation, one.name))
    return _with_first(least, in_pool, by_cost, "all are full: the least used")


def _with_first(
    first: Candidate, in_pool: Sequence[Candidate], by_cost: Sequence[Candidate], reason: str
) -> Choice:
    placed = {first.name, *(one.name for one in in_pool)}
    behind = [one for one in in_pool if one is not first]
    behind += [one for one in by_cost if one.name not in placed]
    return Choice((first, *behind), reason)


def _why(first: Candidate, by_cost: Sequence[Candidate], pool: int) -> str:
    if pool == 1:
        return "the nearest by cost"
    if first is by_cost[0]:
        return f"the nearest, and where this belongs among {pool} near ones"
    return f"where this belongs among {pool} near ones"
