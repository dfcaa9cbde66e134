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


def cost_of(estimate: Estimate, node: RouteNode, asked: RouteObject | None, rules: RouteRules) -> Cost:
    used = node.utilisation
    used = UTILISATION_MOST if used > UTILISATION_MOST else used if used > 0.0 else 0.0
    policy = node.policy_ms
    if node.state is NodeState.DEGRADED:
        policy += DEGRADED_MS
    return Cost(
        estimate.rtt,
        rules.caution * estimate.deviation,
        rules.queue_ms * used / (1.0 - used),
        0.0 if asked is None or _has(node, asked) else node.fill_ms,
        policy,
    )


def _has(node: RouteNode, asked: RouteObject) -> bool:
    return node.holds is not None and asked.digest in node.holds
