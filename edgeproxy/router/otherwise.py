"""What would change an answer: found by deciding again with one thing other than it is."""

from __future__ import annotations

from dataclasses import replace

from edgeproxy.router.choice import Candidate
from edgeproxy.router.client import Client
from edgeproxy.router.cost import cost_of
from edgeproxy.router.coverage import Coverage
from edgeproxy.router.decide import Asking, Decision, candidates_for, decide, nearest
from edgeproxy.router.nodes import NodeState, RouteNode
from edgeproxy.router.refusals import Refusal
from edgeproxy.router.snapshot import RouteObject, Snapshot

RIVALS = 3  # of the candidates that were not chosen, the cheapest
REFUSED_MAX = 8
STEPS = 24  # of a search for the estimate that would be low enough
LOADS = tuple(step / 100 for step in range(101))


def otherwise(
    client: Client,
    asked: RouteObject | None,
    snapshot: Snapshot,
    now: float,
    asking: Asking,
    decision: Decision,
) -> list[str]:
    """Sentences. Exploration is left out: it is chance."""
    asking = replace(asking, chance=1.0)
    if decision.node is None:
        return _of_refused(client, asked, snapshot, now, asking, decision)
    first = decision.ranked[0]
    found = []
    rivals = sorted(decision.ranked[1:], key=lambda one: (one.cost.total, one.name))[:RIVALS]
    for rival in rivals:
        below = _low_enough(rival, decision, client, asked, snapshot, now, asking)
        if below is not None:
            found.append(
                f"{rival.name} would be chosen if its estimate fell below {below:.0f} ms "
                f"(it is {rival.estimate.rtt:.0f})"
            )
    dead = _with(snapshot, replace(first.node, state=NodeState.MAINTENANCE))
    found.append(f"{_named(decide(client, asked, dead, now, asking))} if {first.name} were out of service")
    loaded = _load(first, client, asked, snapshot, now, asking)
    if loaded:
        found.append(loaded)
    return found + _of_refused(client, asked, snapshot, now, asking, decision)


def _low_enough(
    rival: Candidate,
    decision: Decision,
    client: Client,
    asked: RouteObject | None,
    snapshot: Snapshot,
    now: float,
    asking: Asking,
) -> float | None:
    """The estimate (ms) below which the rival would be the first; None if there is none."""

    def is_first(rtt: float) -> bool:
        share = rtt / rival.estimate.rtt
        estimate = rival.estimate._replace(rtt=rtt, deviation=rival.estimate.deviation * share)
        changed = Candidate(rival.node, estimate, cost_of(estimate, rival.node, asked, snapshot.rules))
        others = [changed if one is rival else one for one in decision.ranked]
        choice, _ = nearest(others, client, asked, snapshot, now, asking)
        return choice.ranked[0].name == rival.name

    low, high = 0.0, rival.estimate.rtt
    if not is_first(low):
        return None
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_first(middle) else (low, middle)
    return low


def _load(
    first: Candidate,
    client: Client,
    asked: RouteObject | None,
    snapshot: Snapshot,
    now: float,
    asking: Asking,
) -> str:
    for used in LOADS:
        if used <= first.node.utilisation:
            continue
        decision = decide(client, asked, _with(snapshot, replace(first.node, utilisation=used)), now, asking)
        if decision.node is not None and decision.node.name != first.name:
            now_at = f"it is at {first.node.utilisation:.0%}"
            return f"{decision.node.name} if {first.name} were at {used:.0%} load ({now_at})"
    return ""


def _of_refused(
    client: Client,
    asked: RouteObject | None,
    snapshot: Snapshot,
    now: float,
    asking: Asking,
    decision: Decision,
) -> list[str]:
    """Of the refused ones, those that would be the first if they were not."""
    nodes = {node.name: node for node in snapshot.nodes}
    found = []
    for one in decision.refused[:REFUSED_MAX]:
        node = _able(nodes[one.node], asking)
        world = _with(snapshot, node)
        if one.reason is Refusal.COVERAGE:
            world = replace(world, coverage=Coverage())
        ranked = [candidate.node for candidate in decision.ranked]
        there = (*ranked, node)
        candidates = candidates_for(client, asked, there, world, now)
        choice, _ = nearest(candidates, client, asked, world, now, asking)
        if choice.ranked[0].name == node.name:
            found.append(f"{node.name} would be chosen were it not for: {one.reason.value}")
    return found


def _able(node: RouteNode, asking: Asking) -> RouteNode:
    """The node without anything that could keep a client from it."""
    return replace(
        node,
        state=NodeState.UP,
        countries=frozenset(),
        networks=(),
        asns=frozenset(),
        scheme=asking.scheme or node.scheme,
    )


def _with(snapshot: Snapshot, node: RouteNode) -> Snapshot:
    nodes = tuple(node if one.name == node.name else one for one in snapshot.nodes)
    return replace(snapshot, nodes=nodes)


def _named(decision: Decision) -> str:
    return "no node" if decision.node is None else decision.node.name
