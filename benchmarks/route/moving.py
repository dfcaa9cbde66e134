"""PlanetLab and Seattle: round trips that hardly move, and ones that jump. No places are known of either."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.report import Limit, Result, Table
from benchmarks.route import data
from benchmarks.route.figures import percentile
from benchmarks.route.world import NOW, client
from edgeproxy.router.client import Client
from edgeproxy.router.decide import decide
from edgeproxy.router.learner import Learner
from edgeproxy.router.nodes import RouteNode
from edgeproxy.router.snapshot import Kept, RouteRules, Snapshot

SEATTLE_TAKEN = 5  # of the eight devices there are, the first ones
SEATTLE_DEVICES = (59, 10, 36, 6, 75, 60, 32, 80)
# 10 % and 2 ms, at once: slices are means of many samples already.
PROMPT = RouteRules(keep_share=0.90, keep_ms=2.0, keep_seconds=0.0, caution=0.0)
PLANETLAB_TAKEN, PLANETLAB_ROUNDS, PLANETLAB_SECONDS = 10, 20, 30.0


@dataclass(frozen=True, slots=True)
class Moment:
    """Round trips in ms by client and node; 0 where missing."""

    at: float
    seen: Sequence[Sequence[float]]
    connections: int = 1


@dataclass
class Walk:
    """Clients that ask again and again, with what was learned until then."""

    rtts: list[float] = field(default_factory=list)
    best: list[float] = field(default_factory=list)
    asked: int = 0
    moved: int = 0

    @property
    def mean(self) -> float:
        return sum(self.rtts) / len(self.rtts)

    @property
    def excess(self) -> float:
        return self.mean / (sum(self.best) / len(self.best)) - 1.0

    @property
    def moves_per_1000(self) -> float:
        return 1000 * self.moved / self.asked


def walked(
    nodes: Sequence[RouteNode],
    clients: Sequence[Client],
    moments: Iterator[tuple[Moment, Sequence[Sequence[float]]]],
    rules: RouteRules,
) -> Walk:
    """Each moment comes with the round trips that an answer given then will have."""
    learner, kept, walk = Learner(), dict[object, Kept](), Walk()
    numbers = {node.name: number for number, node in enumerate(nodes)}
    for moment, truth in moments:
        for asking, row in zip(clients, moment.seen, strict=True):
            for node, rtt in zip(nodes, row, strict=True):
                if rtt:
                    learner.told(asking, node.name, None, rtt, moment.at, connections=moment.connections)
        snapshot = Snapshot(tuple(nodes), learner.beliefs(), rules=rules, kept=kept)
        for asking, row in zip(clients, truth, strict=True):
            decision = decide(asking, None, snapshot, moment.at)
            assert decision.node is not None
            assert decision.kept is not None
            before = kept.get(asking.group)
            walk.asked += 1
            walk.moved += before is not None and before.node != decision.node.name
            kept[asking.group] = decision.kept
            rtt = row[numbers[decision.node.name]]
            if rtt:
                walk.rtts.append(rtt)
                walk.best.append(min(value for value in row if value))
    return walk


def seattle(rules: RouteRules, *, slices: int = data.SEATTLE_SLICES, spikes: float = 0.0) -> Walk:
    """`spikes`: the share of samples that come 1.5 to 4 times too long."""
    numbers, chance = data.seattle(), random.Random(7)
    people = [n for n in range(data.SEATTLE_CLIENTS) if n not in SEATTLE_DEVICES[:SEATTLE_TAKEN]]
    nodes = [RouteNode(f"device-{number}") for number in SEATTLE_DEVICES[:SEATTLE_TAKEN]]

    def matrix(number: int) -> list[list[float]]:
        start = number * data.SEATTLE_CLIENTS
        first = [(start + one) * data.SEATTLE_NODES for one in people]
        return [[float(value) for value in numbers[at : at + SEATTLE_TAKEN]] for at in first]

    def moments() -> Iterator[tuple[Moment, list[list[float]]]]:
        for number in range(slices - 1):
            seen = matrix(number)
            if spikes:
                seen = [
                    [v * chance.uniform(1.5, 4) if chance.random() < spikes else v for v in row]
                    for row in seen
                ]
            yield Moment(NOW + number * data.SEATTLE_SLICE_SECONDS, seen, 5), matrix(number + 1)

    return walked(nodes, [client(n) for n in people], moments(), rules)


def seattle_static(slices: int = data.SEATTLE_SLICES) -> float:
    """The mean for clients that stay where they would have had the least mean, known only afterwards."""
    numbers, rtts = data.seattle(), []
    for one in range(data.SEATTLE_CLIENTS):
        if one in SEATTLE_DEVICES[:SEATTLE_TAKEN]:
            continue
        ways = []
        for node in range(SEATTLE_TAKEN):
            step = data.SEATTLE_CLIENTS * data.SEATTLE_NODES
            way = numbers[one * data.SEATTLE_NODES + node : slices * step : step]
            ways.append([value for value in way if value])
        rtts += min(ways, key=lambda way: sum(way) / max(1, len(way)))
    return sum(rtts) / len(rtts)


def planetlab(seed: int, rules: RouteRules, *, rounds: int = PLANETLAB_ROUNDS) -> Walk:
    """Ten nodes at random; each round a sample of every pair, 8 % noise; three snapshots in a row."""
    chance = random.Random(seed)
    drawn = chance.sample(range(data.PLANETLAB_NODES), PLANETLAB_TAKEN)
    people = [n for n in range(data.PLANETLAB_NODES) if n not in drawn]
    whole = [data.planetlab(number) for number in data.PLANETLAB_SNAPSHOTS]
    people = [n for n in people if all(any(shot[n][d] for d in drawn) for shot in whole)]
    nodes = [RouteNode(f"host-{number}") for number in drawn]

    def moments() -> Iterator[tuple[Moment, list[list[float]]]]:
        at = NOW
        for shot in whole:
            truth = [[shot[n][d] for d in drawn] for n in people]
            for _ in range(rounds):
                seen = [[value * math.exp(chance.gauss(0, 0.08)) for value in row] for row in truth]
                yield Moment(at, seen), truth
                at += PLANETLAB_SECONDS

    return walked(nodes, [client(n) for n in people], moments(), rules)


def measure(result: Result, *, quick: bool) -> None:
    slices = 60 if quick else data.SEATTLE_SLICES
    rows = [["static best, known afterwards", f"{seattle_static(slices):.1f}", "-", "0"]]
    prompt = seattle(PROMPT, slices=slices)
    oracle = sum(prompt.best) / len(prompt.best)
    rows.append(["oracle", f"{oracle:.1f}", f"{percentile(prompt.best, 0.95):.0f}", "-"])
    walks = {
        "geo+rtt, moves at 10 % and 2 ms at once": prompt,
        "the same, 5 % of samples 1.5 to 4 times too long": seattle(PROMPT, slices=slices, spikes=0.05),
        "geo+rtt, the rules by default": seattle(RouteRules(), slices=slices),
    }
    for name, walk in walks.items():
        rows.append(
            [name, f"{walk.mean:.1f}", f"{percentile(walk.rtts, 0.95):.0f}", f"{walk.moves_per_1000:.0f}"]
        )
        result.data[f"seattle: {name}"] = {"mean": walk.mean, "moves": walk.moves_per_1000}
    title = "Seattle: personal devices, 5 of them as nodes, the round trip in the next slice"
    result.tables.append(Table(["policy", "mean ms", "p95", "moves in 1000"], rows, title))
    told = f"{prompt.mean:.1f} ms, {prompt.moves_per_1000:.0f} moves"
    is_met = prompt.mean <= 115 and prompt.moves_per_1000 <= 75
    result.limits.append(
        Limit("Seattle (10 % and 2 ms, at once): mean, moves in 1000", "<= 115 ms, <= 75", told, is_met)
    )
    _planetlab(result, *((1, PLANETLAB_ROUNDS // 4) if quick else (4, PLANETLAB_ROUNDS)))


def _planetlab(result: Result, seeds: int, rounds: int) -> None:
    walks = [planetlab(seed, RouteRules(), rounds=rounds) for seed in range(seeds)]
    rows = [
        [
            str(seed),
            f"{sum(walk.best) / len(walk.best):.1f}",
            f"{walk.mean:.1f}",
            f"{walk.excess:.1%}",
            f"{walk.moves_per_1000:.2f}",
        ]
        for seed, walk in enumerate(walks)
    ]
    title = "PlanetLab: ten hosts at random as nodes, the rules by default"
    result.tables.append(Table(["seed", "oracle", "geo+rtt", "above", "moves in 1000"], rows, title))
    excess, moves = [walk.excess for walk in walks], [walk.moves_per_1000 for walk in walks]
    means = sum(excess) / len(excess), sum(moves) / len(moves)
    told = f"+ {means[0]:.1%}, {means[1]:.1f} moves (most + {max(excess):.1%}, {max(moves):.2f})"
    is_met = means[0] <= 0.02 and means[1] <= 2
    what = f"PlanetLab, mean of {seeds} seeds: round trip, moves"
    result.limits.append(Limit(what, "<= oracle + 2 %, <= 2 in 1000", told, is_met))
