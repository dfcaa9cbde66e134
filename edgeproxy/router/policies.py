"""Ways to choose a node, behind one interface, so that they can be compared and shadowed.

All of them ask the same who may serve at all (states, coverage, countries), and all tell of each candidate
what is really believed of it: what a policy does not look at does not change its candidates, only their
order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from edgeproxy.router.beliefs import Beliefs
from edgeproxy.router.choice import Candidate, Choice
from edgeproxy.router.client import Client
from edgeproxy.router.cost import cost_of
from edgeproxy.router.decide import PLAIN, Asking, Decision, decide, decide_by, nearest
from edgeproxy.router.snapshot import Kept, RouteObject, Snapshot


class Policy(Protocol):
    """May count what it was asked; the answer is otherwise one to its arguments."""

    @property
    def name(self) -> str: ...

    def decide(
        self,
        client: Client,
        asked: RouteObject | None,
        snapshot: Snapshot,
        now: float,
        asking: Asking = PLAIN,
    ) -> Decision: ...


class GeoRtt:
    """Distance and round trips, load, what a miss costs, and where the object belongs: `decide`."""

    name = "geo-rtt"

    def decide(
        self,
        client: Client,
        asked: RouteObject | None,
        snapshot: Snapshot,
        now: float,
        asking: Asking = PLAIN,
    ) -> Decision:
        return decide(client, asked, snapshot, now, asking)


class Geo:
    """The same without any round trip: distance alone tells how far a node is."""

    name = "geo"

    def decide(
        self,
        client: Client,
        asked: RouteObject | None,
        snapshot: Snapshot,
        now: float,
        asking: Asking = PLAIN,
    ) -> Decision:
        return decide_by(_by_distance, client, asked, snapshot, now, asking)


class Turns:
    """Counts questions: each begins with the candidate behind that of the one before."""

    def __init__(self) -> None:
        self._asked = 0

    def next(self, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        first = self._asked % len(candidates)
        self._asked += 1
        return (*candidates[first:], *candidates[:first])


class RoundRobin:
    """Each answer begins with the node behind that of the one before."""

    name = "round-robin"

    def __init__(self) -> None:
        self._turns = Turns()

    def decide(
        self,
        client: Client,
        asked: RouteObject | None,
        snapshot: Snapshot,
        now: float,
        asking: Asking = PLAIN,
    ) -> Decision:
        return decide_by(self._in_turn, client, asked, snapshot, now, asking)

    def _in_turn(self, candidates: Sequence[Candidate], *_: object) -> tuple[Choice, Kept | None]:
        return Choice(self._turns.next(candidates), "its turn"), None


class LeastConnections:
    """The node with the least in flight for its capacity; of equal ones the one whose turn it is."""

    name = "least-connections"

    def __init__(self) -> None:
        self._turns = Turns()

    def decide(
        self,
        client: Client,
        asked: RouteObject | None,
        snapshot: Snapshot,
        now: float,
        asking: Asking = PLAIN,
    ) -> Decision:
        return decide_by(self._least, client, asked, snapshot, now, asking)

    def _least(self, candidates: Sequence[Candidate], *_: object) -> tuple[Choice, Kept | None]:
        ranked = sorted(
            self._turns.next(candidates), key=lambda one: one.node.in_flight / max(one.node.capacity, 1e-9)
        )
        return Choice(tuple(ranked), "the least in flight"), None


POLICIES: Mapping[str, Callable[[], Policy]] = {
    GeoRtt.name: GeoRtt,
    Geo.name: Geo,
    LeastConnections.name: LeastConnections,
    RoundRobin.name: RoundRobin,
}
DEFAULT = GeoRtt.name


def policy(name: str) -> Policy:
    """A new one, which has counted nothing. Raises ValueError."""
    made = POLICIES.get(name)
    if made is None:
        raise ValueError(f"{name!r} is no policy: there are {', '.join(POLICIES)}")
    return made()


def _by_distance(
    candidates: Sequence[Candidate],
    client: Client,
    asked: RouteObject | None,
    snapshot: Snapshot,
    now: float,
    asking: Asking,
) -> tuple[Choice, Kept | None]:
    rules = snapshot.rules
    guesses = Beliefs().estimates(client, [one.node for one in candidates], now, access_ms=rules.access_ms)
    guessed = [
        Candidate(one.node, guess, cost_of(guess, one.node, asked, rules))
        for one, guess in zip(candidates, guesses, strict=True)
    ]
    choice, kept = nearest(guessed, client, asked, snapshot, now, asking)
    believed = {one.name: one for one in candidates}
    return replace(choice, ranked=tuple(believed[one.name] for one in choice.ranked)), kept
