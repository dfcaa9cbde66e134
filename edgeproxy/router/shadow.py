"""A second policy beside the one that steers: it is asked the same, and only counted.

What it would have cost is told by the beliefs of the moment, which are the same for both, not by its own: a
policy that knows nothing of round trips is judged by them all the same."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, replace

from edgeproxy.router.client import Client
from edgeproxy.router.decide import PLAIN, Asking, Decision, candidates_for
from edgeproxy.router.policies import Policy
from edgeproxy.router.snapshot import Kept, RouteObject, Snapshot

GROUPS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of the decisions of one policy beside the live one. `unanswered`: one of the two named no node (`lost`
    of them are those in which only the live one did). Milliseconds; expected costs are over those that both
    answered."""

    decisions: int = 0
    different: int = 0
    unanswered: int = 0
    lost: int = 0
    live_ms: float = 0.0
    shadow_ms: float = 0.0

    @property
    def answered(self) -> int:
        return self.decisions - self.unanswered

    @property
    def live_mean_ms(self) -> float:
        return self.live_ms / self.answered if self.answered else 0.0

    @property
    def shadow_mean_ms(self) -> float:
        return self.shadow_ms / self.answered if self.answered else 0.0


def compared(before: Comparison, live: str | None, shadow: str | None, costs: dict[str, float]) -> Comparison:
    """With one more decision: the names of the two nodes, None where there was none, and what each node
    costs."""
    before = replace(before, decisions=before.decisions + 1, different=before.different + (live != shadow))
    if live is None or shadow is None or live not in costs or shadow not in costs:
        lost = live is not None and shadow is None
        return replace(before, unanswered=before.unanswered + 1, lost=before.lost + lost)
    return replace(before, live_ms=before.live_ms + costs[live], shadow_ms=before.shadow_ms + costs[shadow])


class Remembering:
    """A policy that keeps, as the live one does, where it has its client groups. Is a Policy itself."""

    def __init__(self, policy: Policy, *, groups_max: int = GROUPS_MAX) -> None:
        self._policy = policy
        self._groups_max = groups_max
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()

    @property
    def name(self) -> str:
        return self._policy.name

    def decide(
        self,
        client: Client,
        asked: RouteObject | None,
        snapshot: Snapshot,
        now: float,
        asking: Asking = PLAIN,
    ) -> Decision:
        """What `snapshot` says of where groups are is the live policy's, and not looked at."""
        decision = self._policy.decide(client, asked, replace(snapshot, kept=self._kept), now, asking)
        if decision.kept is not None:
            self._kept[client.group] = decision.kept
            self._kept.move_to_end(client.group)
            if len(self._kept) > self._groups_max:
                self._kept.popitem(last=False)
        return decision


class Shadow:
    """One owner. `comparison` is what has been counted so far."""

    def __init__(self, policy: Policy, *, groups_max: int = GROUPS_MAX) -> None:
        self._policy = Remembering(policy, groups_max=groups_max)
        self.comparison = Comparison()

    @property
    def name(self) -> str:
        return self._policy.name

    def saw(
        self,
        live: Decision,
        client: Client,
        asked: RouteObject | None,
        snapshot: Snapshot,
        now: float,
        asking: Asking = PLAIN,
    ) -> Decision:
        """`live` was decided for these arguments; what this policy would have decided."""
        own = self._policy.decide(client, asked, snapshot, now, asking)
        costs = costs_of(client, asked, snapshot, now)
        self.comparison = compared(self.comparison, named(live), named(own), costs)
        return own


def costs_of(client: Client, asked: RouteObject | None, snapshot: Snapshot, now: float) -> dict[str, float]:
    """What each node of the map is believed to cost, in ms."""
    known = candidates_for(client, asked, snapshot.nodes, snapshot, now)
    return {one.name: one.cost.total for one in known}


def named(decision: Decision) -> str | None:
    return None if decision.node is None else decision.node.name
