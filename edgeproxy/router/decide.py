"""The decision of the router: which nodes, in which order, for a client. Pure: the same question about the
same snapshot at the same time has the same answer."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from edgeproxy.router.beliefs import distances_of
from edgeproxy.router.choice import Candidate, Choice, choose
from edgeproxy.router.client import Client
from edgeproxy.router.cost import cost_of, standing_of
from edgeproxy.router.crowding import crowded_out
from edgeproxy.router.exploring import explored
from edgeproxy.router.nodes import RouteNode
from edgeproxy.router.place import Place
from edgeproxy.router.refusals import Eligible, Refused, eligible
from edgeproxy.router.snapshot import Kept, RouteObject, Snapshot
from edgeproxy.router.staying import settled


@dataclass(frozen=True, slots=True)
class Asking:
    """How a question came. `family` 4 or 6 where only that can be used; `excluded`: nodes the client has
    complained of; `chance` in [0, 1), drawn anew for each question, lets one in a hundred explore."""

    family: int = 0
    scheme: str = ""
    excluded: frozenset[str] = frozenset()
    chance: float = 1.0


@dataclass(frozen=True, slots=True)
class Decision:
    """`ranked` is empty if no node may serve; `to_origin`: the client goes to the original URL. `scope` is
    the prefix for which the same answer holds, "" for everybody. `ttl` in seconds. `kept` is to be
    remembered for the client's group. `is_old`: the snapshot is older than it should be."""

    ranked: tuple[Candidate, ...]
    refused: tuple[Refused, ...]
    scope: str
    ttl: float
    reason: str
    to_origin: bool = False
    kept: Kept | None = None
    is_old: bool = False

    @property
    def node(self) -> RouteNode | None:
        return self.ranked[0].node if self.ranked else None


PLAIN = Asking()
PLACES_MAX = 1024  # of which one snapshot keeps how far they are from nodes
ELIGIBLE_MAX = 4096  # kinds of clients of which one snapshot keeps who may serve them

Choosing = Callable[
    [Sequence[Candidate], Client, RouteObject | None, Snapshot, float, Asking], tuple[Choice, Kept | None]
]
"""Puts candidates, of which there is at least one, in order; the second value is to be remembered."""


def decide(
    client: Client, asked: RouteObject | None, snapshot: Snapshot, now: float, asking: Asking = PLAIN
) -> Decision:
    """By what is known of distances, loads and round trips."""
    return decide_by(nearest, client, asked, snapshot, now, asking)


def decide_by(
    choosing: Choosing,
    client: Client,
    asked: RouteObject | None,
    snapshot: Snapshot,
    now: float,
    asking: Asking = PLAIN,
) -> Decision:
    """Who may serve is the same whoever chooses among them."""
    found = eligible_for(client, snapshot, asking)
    candidates = candidates_for(client, asked, found.nodes, snapshot, now) if found.nodes else []
    return concluded(choosing, found, candidates, client, asked, snapshot, now, asking)


def eligible_for(client: Client, snapshot: Snapshot, asking: Asking) -> Eligible:
    """Who may serve; worked out once for all clients of whom the same is to be said."""
    worked, where = snapshot.worked_out, client.whereabouts
    if worked.is_by_address is None:
        worked.is_by_address = any(node.networks for node in snapshot.nodes)
    key: Hashable = None
    if not worked.is_by_address and not asking.excluded:
        entry = snapshot.coverage.entry(client)
        key = (asking.family, asking.scheme, where.country, where.asn, entry[1] if entry is not None else "")
        held = worked.eligible.get(key)
        if held is not None:
            return held
    found = eligible(
        snapshot.nodes,
        client,
        snapshot.coverage,
        family=asking.family,
        scheme=asking.scheme,
        excluded=asking.excluded,
    )
    if key is not None:
        worked.eligible[key] = found
        crowded_out(worked.eligible, ELIGIBLE_MAX)
    return found


def concluded(
    choosing: Choosing,
    found: Eligible,
    candidates: list[Candidate],
    client: Client,
    asked: RouteObject | None,
    snapshot: Snapshot,
    now: float,
    asking: Asking,
) -> Decision:
    """The decision, when it is known who may serve and what each would cost."""
    rules = snapshot.rules
    is_old = bool(snapshot.made_at) and now - snapshot.made_at > rules.map_seconds
    if found.to_origin:
        return Decision((), (), client.prefix, rules.ttl_most, f"{found.covered} is not served here", True)
    if not found.nodes:
        return Decision((), found.refused, client.prefix, rules.ttl_least, "no node may serve", is_old=is_old)
    choice, kept = choosing(candidates, client, asked, snapshot, now, asking)
    reason = _reason(choice, found.covered, panic=found.panic)
    ttl = rules.ttl_least if found.panic else rules.ttl_most
    return Decision(choice.ranked, found.refused, client.prefix, ttl, reason, kept=kept, is_old=is_old)


def nearest(
    candidates: Sequence[Candidate],
    client: Client,
    asked: RouteObject | None,
    snapshot: Snapshot,
    now: float,
    asking: Asking,
) -> tuple[Choice, Kept | None]:
    """The one that costs the client least, where the object belongs among near ones, and not full."""
    rules = snapshot.rules
    if asked is None:
        kept = snapshot.kept.get(client.group)
        at = "" if kept is None else kept.node
        choice = choose(candidates, asked, str(client.group), rules, now, at)
        return settled(choice, kept, rules, now)
    choice = choose(candidates, asked, str(client.group), rules, now)
    return explored(choice, asked, rules, asking.chance), None


def candidates_for(
    client: Client,
    asked: RouteObject | None,
    nodes: tuple[RouteNode, ...],
    snapshot: Snapshot,
    now: float,
) -> list[Candidate]:
    """Each node with what is believed of it. What was observed of nodes that are not among them counts as
    well. A snapshot that nobody makes anew keeps what it knew: without news a doubt is no better founded."""
    rules = snapshot.rules
    if snapshot.made_at:
        now = min(now, snapshot.made_at + rules.map_seconds)
    worked = snapshot.worked_out
    estimates = snapshot.beliefs.estimates(
        client, snapshot.nodes, now, access_ms=rules.access_ms, distances=_distances(client.place, snapshot)
    )
    if worked.standings is None:
        worked.standings = tuple(standing_of(node, rules) for node in snapshot.nodes)
    candidates = [
        Candidate(node, estimate, cost_of(estimate, node, asked, rules, standing))
        for node, estimate, standing in zip(snapshot.nodes, estimates, worked.standings, strict=True)
    ]
    if len(nodes) == len(candidates):
        return candidates
    wanted = {node.name for node in nodes}
    return [one for one in candidates if one.name in wanted]


def _distances(place: Place | None, snapshot: Snapshot) -> list[float | None]:
    """Most clients are at the place of their country, or city."""
    if place is None:
        return [None] * len(snapshot.nodes)
    known = snapshot.worked_out.distances
    found = known.get(place)
    if found is None:
        found = known[place] = distances_of(place, snapshot.nodes)
        crowded_out(known, PLACES_MAX)
    return found


def _reason(choice: Choice, covered: str, *, panic: bool) -> str:
    told = [f"by the coverage map ({covered})"] if covered else []
    told.append(choice.reason)
    if panic:
        told.append("most nodes seem down, which is not believed")
    return "; ".join(told)
