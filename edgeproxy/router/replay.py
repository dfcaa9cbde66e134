"""What each policy would have done with the questions of a log.

The map is that of now: what is compared are policies, not days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from edgeproxy.router.client import Address, Client
from edgeproxy.router.decide import Decision
from edgeproxy.router.decision_log import LoggedDecision, UnusableLine, read
from edgeproxy.router.policies import POLICIES, Policy, policy
from edgeproxy.router.shadow import Comparison, Remembering, compared, costs_of, named
from edgeproxy.router.snapshot import Snapshot

ERRORS_MAX = 20

Identify = Callable[[Address | None, int | None], Client]
"""Who is at an address, of which the given number of bits was told (None: all of it)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one policy. `answered`, `to_origin` and `unanswered` are all decisions; `by_node` those that each
    node would have got; `expected_ms` the mean of what they are believed to cost. `beside_log` compares with
    what was logged, over the lines that name a node of the map: `live` there is the log."""

    policy: str
    answered: int = 0
    to_origin: int = 0
    unanswered: int = 0
    expected_ms: float = 0.0
    by_node: dict[str, int] = field(default_factory=dict)
    beside_log: Comparison = Comparison()


@dataclass(frozen=True, slots=True)
class Replayed:
    """`errors` are the first lines that could not be used: the number of the line and why; `unusable` counts
    all. `unknown_nodes`: lines whose node is not in the map; `others`: what nodes and routers asked each
    other, which is no question of a client."""

    lines: int
    unusable: int
    unknown_nodes: int
    others: int
    errors: tuple[tuple[int, str], ...]
    first: float | None
    last: float | None
    outcomes: tuple[Outcome, ...]


def replay(
    lines: Iterable[bytes | str],
    snapshot: Snapshot,
    identify: Identify,
    names: Sequence[str] = tuple(POLICIES),
) -> Replayed:
    """`lines` of a log of decisions (`decision_log`) or an access log in JSON, empty ones are passed over.
    Takes some 0.1 ms for a line and policy: for a thread or a command. Raises ValueError for a policy there
    is none of that name."""
    counting = [_Counting(policy(name)) for name in names]
    known = {node.name for node in snapshot.nodes}
    count = unusable = unknown = others = 0
    errors: list[tuple[int, str]] = []
    times: list[float] = []
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        count += 1
        try:
            line = read(text)
        except UnusableLine as error:
            unusable += 1
            if len(errors) < ERRORS_MAX:
                errors.append((number, str(error)))
            continue
        if not line.is_question:
            others += 1
            continue
        times = [min([*times[:1], line.at]), max([*times[1:], line.at])]
        logged = line.chosen
        unknown += bool(logged) and logged not in known
        _ask(counting, line, snapshot, identify, logged if logged in known else "")
    return Replayed(
        count,
        unusable,
        unknown,
        others,
        tuple(errors),
        times[0] if times else None,
        times[1] if times else None,
        tuple(one.outcome() for one in counting),
    )


def _ask(
    counting: Sequence[_Counting], line: LoggedDecision, snapshot: Snapshot, identify: Identify, logged: str
) -> None:
    client, asked = identify(*line.address()), line.asked
    costs = costs_of(client, asked, snapshot, line.at)
    for one in counting:
        one.count(one.policy.decide(client, asked, snapshot, line.at, line.asking), logged, costs)


class _Counting:
    """One policy, and what it would have done so far."""

    def __init__(self, made: Policy) -> None:
        self.policy = Remembering(made)
        self._by_node: Counter[str] = Counter()
        self._to_origin = self._unanswered = 0
        self._cost = 0.0
        self._beside_log = Comparison()

    def count(self, decision: Decision, logged: str, costs: dict[str, float]) -> None:
        name = named(decision)
        if name is not None:
            self._by_node[name] += 1
            self._cost += costs[name]
        elif decision.to_origin:
            self._to_origin += 1
        else:
            self._unanswered += 1
        if logged:
            self._beside_log = compared(self._beside_log, logged, name, costs)

    def outcome(self) -> Outcome:
        answered = self._by_node.total()
        return Outcome(
            self.policy.name,
            answered,
            self._to_origin,
            self._unanswered,
            self._cost / answered if answered else 0.0,
            dict(self._by_node.most_common()),
            self._beside_log,
        )
