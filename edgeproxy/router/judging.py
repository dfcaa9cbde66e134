"""Which nodes are down: every point's opinions of every node, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from edgeproxy.router.nodes import NodeState, RouteNode
from edgeproxy.router.votes import Looks, Opinion, Verdict, VoteRules, is_cut_off, judged, looked

OWN = ""  # the point that is this router
POINTS_MAX = 32  # of one node: a majority needs no more


class Judging:
    """Bounded by the nodes it is told to `keep`."""

    def __init__(self, rules: VoteRules) -> None:
        self._rules = rules
        self._verdicts: dict[str, Verdict] = {}
        self._looks: dict[str, dict[str, Looks]] = {}  # node, point
        self._opinions: dict[str, dict[str, Opinion]] = {}  # node, point

    @property
    def nodes(self) -> Iterable[str]:
        return self._verdicts.keys()

    def keep(self, names: Iterable[str]) -> None:
        """These nodes there are; what is known of others is forgotten, and of what they said."""
        wanted = dict.fromkeys(names)
        self._verdicts = {name: self._verdicts.get(name, Verdict()) for name in wanted}
        for table in (self._looks, self._opinions):
            for name in [name for name in table if name not in wanted]:
                del table[name]

    def looked(self, point: str, node: str, alive: bool, now: float) -> str:
        """A look of a point that tells each by itself. The change that follows, in words; "" if none."""
        if node not in self._verdicts:
            return ""
        looks = self._looks.setdefault(node, {})
        looks[point] = looked(looks.get(point, Looks()), alive, now, self._rules)
        opinion = looks[point].opinion
        return self._opined(point, node, opinion, now) if opinion is not None else ""

    def told(self, point: str, node: str, alive: bool, now: float) -> str:
        """The opinion of a point that has counted its looks itself."""
        return self._opined(point, node, Opinion(alive, now), now) if node in self._verdicts else ""

    def _opined(self, point: str, node: str, opinion: Opinion, now: float) -> str:
        opinions = self._opinions.setdefault(node, {})
        opinions.pop(point, None)
        opinions[point] = opinion
        if len(opinions) > POINTS_MAX:
            del opinions[next(one for one in opinions if one != OWN)]
        fresh = {p: o for p, o in opinions.items() if now - o.at <= self._rules.fresh_seconds}
        if fresh.keys() <= {OWN} and self._is_cut_off():
            return ""
        if fresh.keys() == {"clients"}:
            return ""  # what clients say is never enough by itself
        before = self._verdicts[node]
        after = self._verdicts[node] = judged(before, fresh.values(), now, self._rules)
        if before.is_down == after.is_down:
            return ""
        seen = sum(one.alive is not after.is_down for one in fresh.values())
        return f"{'down' if after.is_down else 'back'} ({seen} of {len(fresh)} points say so)"

    def _is_cut_off(self) -> bool:
        return is_cut_off([looks[OWN] for looks in self._looks.values() if OWN in looks])

    def is_suspicious(self, node: str) -> bool:
        """Whether this router should look again soon."""
        return self._looks.get(node, {}).get(OWN, Looks()).is_suspicious

    def stated(self, node: RouteNode) -> RouteNode:
        """The node in the state that follows from what its operator means and what is seen of it."""
        verdict = self._verdicts.get(node.name, Verdict())
        if verdict.is_down and node.state is not NodeState.MAINTENANCE:
            return replace(node, state=NodeState.DOWN)
        return replace(node, started=verdict.returned if verdict.returned is not None else node.started)
