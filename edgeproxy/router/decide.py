"""The decision of the router: which nodes, in which order, for a client. Pure: the same question about the
same snapshot at the same time has the same answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edgeproxy.router.choice import Candidate, Choice, choose
from edgeproxy.router.client import Client
from edgeproxy.router.cost import cost_of
from edgeproxy.router.exploring import explored
from edgeproxy.router.nodes import RouteNode
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


class Choosing(Protocol):
    """Puts candidates, of which there is at least one, in order; the second value is to be remembered."""

    def __call__(
        self,
        candidates: Sequence[Candidate],
        client: Client,
        asked: RouteObject | None,
        snapshot: Snapshot,
        now: float,
        asking: Asking,
    ) -> tuple[Choice, Kept | None]: ...


def decide(
    client: Client, asked: RouteObject | None, snapshot: Snapshot, now: float, asking: Asking = Asking()
) -> Decision:
    """By what is known of distances, loads and round trips."""
    return decide_by(nearest, client, asked, snapshot, now, asking)


def decide_by(
    choosing: Choosing,
    client: Client,
    asked: RouteObject | None,
    snapshot: Snapshot,
    now: float,
    asking: Asking = Asking(),
) -> Decision:
    """Who may serve is the same whoever chooses among them."""
    found = eligible(
        snapshot.nodes,
        client,
        snapshot.coverage,
        family=asking.family,
        scheme=asking.scheme,
        excluded=asking.excluded,
    )
    candidates = candidates_for(client, asked, found.nodes, snapshot, now) if found.nodes else []
    return concluded(choosing, found, candidates, client, asked, snapshot, now, asking)


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
    choice = choose(candidates, asked, str(client.group), rules, now)
    if asked is None:
        return settled(choice, snapshot.kept.get(client.group), rules, now)
    return explored(choice, asked, rules, asking.chance), None


def candidates_for(
    client: Client,
    asked: RouteObject | None,
    nodes: tuple[RouteNode, ...],
    snapshot: Snapshot,
    now: float,
) -> list[Candidate]:
    """Each node with what is believed of it. What was observed of nodes that are not among them counts as well.
    A snapshot that nobody makes anew keeps what it knew: without news a doubt is no better founded."""
    rules = snapshot.rules
    if snapshot.made_at:
        now = min(now, snapshot.made_at + rules.map_seconds)
    estimates = snapshot.beliefs.estimates(client, snapshot.nodes, now, access_ms=rules.access_ms)
    wanted = {node.name for node in nodes}
    return [
        Candidate(node, estimate, cost_of(estimate, node, asked, rules))
        for node, estimate in zip(snapshot.nodes, estimates, strict=True)
        if node.name in wanted
    ]


def _reason(choice: Choice, covered: str, *, panic: bool) -> str:
    told = [f"by the coverage map ({covered})"] if covered else []
    told.append(choice.reason)
    if panic:
        told.append("most nodes seem down, which is not believed")
    return "; ".join(told)
