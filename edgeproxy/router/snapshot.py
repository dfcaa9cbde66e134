"""All that a decision rests on, as of one moment; never changed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from edgeproxy.router.beliefs import Beliefs
from edgeproxy.router.coverage import Coverage
from edgeproxy.router.nodes import RouteNode
from edgeproxy.router.place import Place
from edgeproxy.router.refusals import Eligible


@dataclass(frozen=True, slots=True)
class RouteRules:
    """What an operator may turn. Milliseconds, seconds, shares."""

    access_ms: float = 10.0  # what the last mile adds to distance
    queue_ms: float = 5.0  # what half a load costs
    caution: float = 0.5  # deviations added to an estimate
    near_share: float = 1.10  # nodes within this and the budget of the best share the objects among them
    affinity_budget_ms: float = 10.0
    affinity_budget_large_ms: float = 25.0
    full: float = 0.85  # beyond this a node gives clients away; by DNS it takes no new ones in
    overfull: float = 0.95
    share_max: float = 1.25  # of its part of what the pool has in flight
    keep_share: float = 0.90  # a client group moves for a gain of so much ...
    keep_ms: float = 3.0  # ... and so many milliseconds, seen twice ...
    keep_seconds: float = 30.0  # ... so far apart; 0: once is enough
    explore_share: float = 0.01
    explore_below: float = 0.6
    access_min_ms: float = 2.0
    slow_start_seconds: float = 120.0
    slow_start_share: float = 0.10
    map_seconds: float = 300.0  # an older snapshot is said to be old, and used all the same
    ttl_least: float = 15.0
    ttl_most: float = 60.0


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a client group is served, and which better node has been seen when."""

    node: str
    better: str = ""
    seen: float = 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`kept` is where groups are now; `generation` numbers the map, `made_at` is wall-clock time.
    `worked_out` is what follows from it for many clients, kept by who decides; another snapshot has none."""

    nodes: tuple[RouteNode, ...]
    beliefs: Beliefs = Beliefs()
    coverage: Coverage = Coverage()
    rules: RouteRules = RouteRules()
    kept: Mapping[Hashable, Kept] = field(default_factory=dict)
    generation: int = 0
    made_at: float = 0.0
    worked_out: WorkedOut = field(default_factory=lambda: WorkedOut(), init=False, compare=False, repr=False)


@dataclass(slots=True)
class WorkedOut:
    """What is the same for many clients of a snapshot. `standings`: queue and policy of each node, in ms.
    `distances`: of each node, in km, by the place of a client. `eligible`: by what it depends on. Both are
    bounded by who keeps them."""

    standings: tuple[tuple[float, float], ...] | None = None
    is_by_address: bool | None = None
    eligible: dict[Hashable, Eligible] = field(default_factory=dict)
    distances: dict[Place, list[float | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RouteObject:
    """What is asked for: `key` without signatures and queries. `is_large`: megabytes that never change."""

    key: str
    digest: int = 0
    is_large: bool = False
    is_private: bool = False
