"""What it costs a client to be served by a node: milliseconds, so that every term can be argued with."""

from __future__ import annotations

from typing import NamedTuple

from edgeproxy.router.beliefs import Estimate
from edgeproxy.router.nodes import NodeState, RouteNode
from edgeproxy.router.snapshot import RouteObject, RouteRules

UTILISATION_MOST = 0.99
DEGRADED_MS = 50.0


class Cost(NamedTuple):
    """Milliseconds: the way, what it may be off by, the queue, a probable miss, what the operator
    adds. A tuple, because a decision among fifty nodes makes fifty."""

    network: float
    doubt: float
    queue: float
    miss: float
    policy: float

    @property
    def total(self) -> float:
        return self.network + self.doubt + self.queue + self.miss + self.policy

    def __str__(self) -> str:
        terms = (
            ("network", self.network),
            ("doubt", self.doubt),
            ("queue", self.queue),
            ("miss", self.miss),
            ("policy", self.policy),
        )
        return " + ".join(f"{value:.1f} {name}" for name, value in terms if round(value, 1))


def standing_of(node: RouteNode, rules: RouteRules) -> tuple[float, float]:
    """Queue and policy of a node, which are the same for all clients."""
    used = node.utilisation
    used = UTILISATION_MOST if used > UTILISATION_MOST else used if used > 0.0 else 0.0
    policy = node.policy_ms
    if node.state is NodeState.DEGRADED:
        policy += DEGRADED_MS
    return rules.queue_ms * used / (1.0 - used), policy


def cost_of(
    estimate: Estimate,
    node: RouteNode,
    asked: RouteObject | None,
    rules: RouteRules,
    standing: tuple[float, float] | None = None,
) -> Cost:
    """`standing` is the node's `standing_of`, for who decides about it often."""
    queue, policy = standing_of(node, rules) if standing is None else standing
    return Cost(
        estimate.rtt,
        rules.caution * estimate.deviation,
        queue,
        0.0 if asked is None or not node.fill_ms or _has(node, asked) else node.fill_ms,
        policy,
    )


def _has(node: RouteNode, asked: RouteObject) -> bool:
    return node.holds is not None and asked.digest in node.holds
