"""Azure, five nodes: what is lost where few ways, or all, have been measured."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

from benchmarks.report import Limit, Result, Table
from benchmarks.route.data import azure
from benchmarks.route.figures import figures, percentile
from benchmarks.route.world import NOW, World, azure_world, some_nodes
from edgeproxy.router import beliefs, neighbours
from edgeproxy.router.policies import Geo, GeoRtt, Policy
from edgeproxy.router.snapshot import RouteRules, Snapshot

NODES = 5
RULES = RouteRules()
SETS, DRAWS = 100, 10  # a seed set is the mean of ten draws


@dataclass(frozen=True, slots=True)
class Drawn:
    """The mean round trips of one draw of nodes, known pairs and noise."""

    oracle: float
    geo: float
    geo_rtt: float


def picked(world: World, policy: Policy, snapshot: Snapshot) -> list[float]:
    """Where each client is sent: the true round trip."""
    numbers, found = world.numbers, []
    for asking, truth in zip(world.clients, world.truth, strict=True):
        node = policy.decide(asking, None, snapshot, NOW).node
        assert node is not None
        found.append(truth[numbers[node.name]])
    return found


def drawn(seed: int, known: float, rules: RouteRules = RULES) -> Drawn:
    chance = random.Random(seed)
    data = azure()
    world = azure_world(data, some_nodes(data, NODES, chance), known, chance)
    snapshot = world.snapshot(rules)
    oracle, geo, both = (
        sum(values) / len(values)
        for values in (
            [min(truth) for truth in world.truth],
            picked(world, Geo(), snapshot),
            picked(world, GeoRtt(), snapshot),
        )
    )
    return Drawn(oracle, geo, both)


def sets(known: float, count: int = SETS, rules: RouteRules = RULES) -> list[list[Drawn]]:
    """Seeds 0 to 999 are for this alone: strengths were chosen with seeds from 5000 on."""
    return [[drawn(number * DRAWS + one, known, rules) for one in range(DRAWS)] for number in range(count)]


def _above(draws: Sequence[Drawn]) -> tuple[float, float]:
    """Milliseconds above the oracle: geo alone, and with round trips."""
    count = len(draws)
    geo = sum(one.geo - one.oracle for one in draws) / count
    return geo, sum(one.geo_rtt - one.oracle for one in draws) / count


def measure(result: Result, *, quick: bool) -> None:
    rows = []
    for known in (0.0, 0.25, 0.5, 1.0):
        count = SETS if known == 0.25 else 10
        if quick:
            count = 10 if known == 0.25 else 3
        found = sets(known, count)
        rows.append(_row(known, found))
        if known == 0.25:
            _judge_quarter(result, found)
    columns = ["pairs known", "oracle", "geo", "geo+rtt", "geo above oracle", "geo+rtt above: p50", "p95"]
    columns += ["better than geo: sets", "better, equal, worse: draws"]
    title = "Azure, five nodes at random on at least four continents, the other 38 regions are clients"
    result.tables.append(Table(columns, rows, title))
    _judge_known(result, 2 if quick else 10)
    result.tables.append(_ablations(1 if quick else 20))


def _row(known: float, found: Sequence[Sequence[Drawn]]) -> list[str]:
    singles = [one for draws in found for one in draws]
    above = [_above(draws) for draws in found]
    geo, _ = _above(singles)
    ours = [both for _, both in above]
    better = sum(one.geo_rtt < one.geo - 1e-9 for one in singles)
    worse = sum(one.geo_rtt > one.geo + 1e-9 for one in singles)
    return [
        f"{known:.0%}",
        *(f"{sum(values) / len(singles):.1f}" for values in _means(singles)),
        f"{geo:.1f}",
        f"{percentile(ours, 0.5):.1f}",
        f"{percentile(ours, 0.95):.1f}",
        f"{sum(both < geo for geo, both in above)} of {len(above)}",
        f"{better}, {len(singles) - better - worse}, {worse}",
    ]


def _means(draws: Sequence[Drawn]) -> tuple[list[float], list[float], list[float]]:
    return [d.oracle for d in draws], [d.geo for d in draws], [d.geo_rtt for d in draws]


def _judge_quarter(result: Result, found: Sequence[Sequence[Drawn]]) -> None:
    above = [_above(draws) for draws in found]
    half = percentile([both for _, both in above], 0.5)
    better = sum(both < geo for geo, both in above)
    least = 0.95 * len(above)
    result.data["a quarter known"] = [{"geo": geo, "geo-rtt": both} for geo, both in above]
    what = f"Azure, 5 nodes, 25 % known: excess over the oracle, p50 of {len(above)} seed sets"
    result.limits.append(Limit(what, "<= 5 ms", f"{half:.2f} ms", half <= 5.0))
    what = f"the same: seed sets in which it is better than geo alone, of {len(above)}"
    result.limits.append(Limit(what, f">= {least:.0f}", str(better), better >= least))


def _judge_known(result: Result, count: int) -> None:
    """All pairs measured, each 8 % off for good."""
    chosen: list[float] = []
    best: list[float] = []
    for seed in range(count * DRAWS):
        chance = random.Random(seed)
        world = azure_world(azure(), some_nodes(azure(), NODES, chance), 1.0, chance)
        chosen += picked(world, GeoRtt(), world.snapshot())
        best += [min(truth) for truth in world.truth]
    found = figures(chosen, best)
    mean = f"{found.mean:.2f} = oracle + {found.excess:.2f} ms"
    result.limits += [
        Limit("Azure, 5 nodes, all known, 8 % noise: mean", "<= oracle + 1 ms", mean, found.excess <= 1.0),
        Limit("the same: p99 excess", "<= 15 ms", f"{found.excess_p99:.1f} ms", found.excess_p99 <= 15.0),
    ]


_NONE = math.inf
_LEFT_OUT: tuple[tuple[str, dict[str, float], dict[str, float]], ...] = (
    ("nothing", {}, {}),
    ("the node's peculiarity", {"NODE_STRENGTH": _NONE}, {}),
    ("the region's peculiarity", {"REGION_STRENGTH": _NONE}, {}),
    ("the neighbours' ways to the node", {"WAY_STRENGTH": _NONE}, {}),
    ("the client's other ways", {}, {"GROUP_STRENGTH": _NONE}),
    (
        "all four",
        {"NODE_STRENGTH": _NONE, "REGION_STRENGTH": _NONE, "WAY_STRENGTH": _NONE},
        {"GROUP_STRENGTH": _NONE},
    ),
)


def _ablations(count: int) -> Table:
    rows = []
    for what, of_neighbours, of_beliefs in _LEFT_OUT:
        with changed(neighbours, of_neighbours), changed(beliefs, of_beliefs):
            rows.append([what, *_ablated(sets(0.25, count))])
    rows.append(["doubt (no deviations in the cost)", *_ablated(sets(0.25, count, RouteRules(caution=0.0)))])
    title = "The same with 25 % known, one part of the estimate left out"
    return Table(["left out", "mean above oracle", "draws better than geo", "worse"], rows, title)


def _ablated(found: Sequence[Sequence[Drawn]]) -> list[str]:
    singles = [one for draws in found for one in draws]
    _, above = _above(singles)
    better = sum(one.geo_rtt < one.geo - 1e-9 for one in singles)
    worse = sum(one.geo_rtt > one.geo + 1e-9 for one in singles)
    return [f"{above:.2f}", f"{better} of {len(singles)}", f"{worse}"]


@contextmanager
def changed(module: ModuleType, values: Mapping[str, float]) -> Iterator[None]:
    """Constants of a module, for as long as it lasts."""
    before = {name: getattr(module, name) for name in values}
    try:
        for name, value in values.items():
            setattr(module, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)
