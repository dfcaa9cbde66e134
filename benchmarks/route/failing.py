"""What a dead node, a flapping one, and a centre that is cut off cost."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field, replace

from benchmarks.report import Limit, Result, Table
from benchmarks.route.data import azure
from benchmarks.route.five import world_of
from benchmarks.route.world import NOW, World, at, azure_world, some_nodes
from edgeproxy.router.client import Client
from edgeproxy.router.decide import decide
from edgeproxy.router.nodes import NodeState, RouteNode
from edgeproxy.router.snapshot import Kept, Snapshot
from edgeproxy.router.votes import Looks, Verdict, judged, looked

GROUPS = 40  # client groups in each region, all of one weight
PROBE_SECONDS, POINTS = 5, 3
LOAD_SECONDS = 5  # between two heartbeats
TTL = 60  # a group asks again after it
HEADROOM = 1.6  # capacity of a node by what it has when all are well, or by half the mean
KILLED_AT, BACK_AT, END = 300, 900, 1500


class Judges:
    """Points that look at one node, each every five seconds, not at the same time."""

    def __init__(self) -> None:
        self._looks = [Looks()] * POINTS
        self.verdict = Verdict()

    def tick(self, second: int, alive: bool) -> None:
        for point in range(POINTS):
            if second % PROBE_SECONDS == point:
                self._looks[point] = looked(self._looks[point], alive, NOW + second)
        opinions = [one.opinion for one in self._looks if one.opinion is not None]
        self.verdict = judged(self.verdict, opinions, NOW + second)


@dataclass
class Town:
    """Client groups that ask whenever their answers have grown old, and go where they are sent."""

    nodes: tuple[RouteNode, ...]
    clients: list[Client]
    snapshot: Snapshot
    kept: dict[Hashable, Kept] = field(default_factory=dict)
    where: dict[Hashable, str] = field(default_factory=dict)

    def tick(self, second: int) -> list[tuple[Client, str, str]]:
        """Who asked: the client, where it was, where it goes."""
        told = []
        for number, asking in enumerate(self.clients):
            if (second + number * 7) % TTL:
                continue
            decision = decide(asking, None, self.snapshot, NOW + second)
            assert decision.node is not None
            assert decision.kept is not None
            told.append((asking, self.where.get(asking.group, ""), decision.node.name))
            self.kept[asking.group] = decision.kept
            self.where[asking.group] = decision.node.name
        return told

    def loads(self) -> Counter[str]:
        return Counter(self.where.values())

    def set_nodes(self, changes: Iterable[RouteNode]) -> None:
        self.nodes = tuple(changes)
        self.snapshot = replace(self.snapshot, nodes=self.nodes, kept=self.kept)


def town() -> tuple[Town, World]:
    """With the capacities that `HEADROOM` gives them over what they have when all are well."""
    world, data = world_of(1.0, 1), azure()
    others = [site for site in data.sites if site.name not in world.numbers]
    clients = [at(site, 100 + n) for n, site in enumerate(other for other in others for _ in range(GROUPS))]
    made = Town(world.nodes, clients, world.snapshot())
    for second in range(TTL):
        made.tick(second)
    loads = made.loads()
    least = len(clients) / len(world.nodes) / 2  # also of a node that nobody is nearest to
    made.set_nodes(replace(node, capacity=HEADROOM * max(least, loads[node.name])) for node in world.nodes)
    return made, world


@dataclass
class Fall:
    """Seconds are since the death (`last_bad`) and since the return (`back`)."""

    dead: str
    share: int = 0
    last_bad: int = 0
    moved: int = 0
    moved_others: int = 0
    most_used: float = 0.0
    sum_used: float = 0.0
    after: list[str] = field(default_factory=list)
    returned: list[tuple[int, int]] = field(default_factory=list)


def killed() -> Fall:
    made, _ = town()
    dead = max(made.loads().items(), key=lambda item: (item[1], item[0]))[0]
    judges, fall = Judges(), Fall(dead)
    for second in range(END):
        is_alive = not KILLED_AT <= second < BACK_AT
        judges.tick(second, is_alive)
        if second == KILLED_AT:
            fall.share = made.loads()[dead]
        if second % LOAD_SECONDS == 0:
            made.set_nodes(_stated(made, dead, judges.verdict))
        for _, before, after in made.tick(second):
            if KILLED_AT <= second < BACK_AT:
                if after == dead:
                    fall.last_bad = second - KILLED_AT
                if before != after:
                    fall.moved += 1
                    fall.moved_others += before != dead
        if KILLED_AT <= second < BACK_AT:
            used = {node.name: made.loads()[node.name] / node.capacity for node in made.nodes}
            fall.most_used = max(fall.most_used, *(value for name, value in used.items() if name != dead))
        if second >= BACK_AT and (second - BACK_AT) % 60 == 0:
            fall.returned.append((second - BACK_AT, made.loads()[dead]))
    return fall


def _stated(made: Town, dead: str, verdict: Verdict) -> list[RouteNode]:
    loads, nodes = made.loads(), []
    for node in made.nodes:
        used = loads[node.name] / node.capacity
        state, started = NodeState.UP, node.started
        if node.name == dead:
            state, started = NodeState.DOWN if verdict.is_down else NodeState.UP, verdict.returned
        nodes.append(replace(node, utilisation=used, state=state, started=started))
    return nodes


def flapping(seconds: int = 3600, half: int = 10) -> int:
    """How often the router changes its mind of a node that is up and down by turns."""
    judges = Judges()
    for second in range(seconds):
        judges.tick(second, second // half % 2 == 0)
    return judges.verdict.changes


def cut(known: float, *, fades: bool) -> tuple[float, float, int]:
    """Mean round trips with a new map and with one an hour old, and decisions that failed. `fades`: what was
    observed is forgotten while there is no news, which the router does not do."""
    chance = random.Random(11)
    fresh: list[float] = []
    old: list[float] = []
    failed = 0
    for _ in range(20):
        world = azure_world(azure(), some_nodes(azure(), 5, chance), known, chance)
        snapshot = replace(world.snapshot(), made_at=NOW)
        for moment, rtts in ((NOW, fresh), (NOW + 3600, old)):
            seen = replace(snapshot, made_at=0.0) if fades else snapshot
            for number, asking in enumerate(world.clients):
                node = decide(asking, None, seen, moment).node
                failed += node is None
                if node is not None:
                    rtts.append(world.rtt(number, node.name))
    return sum(fresh) / len(fresh), sum(old) / len(old), failed


def measure(result: Result) -> None:
    fall = killed()
    others = f"{fall.moved_others} of others"
    rows = [
        ["groups of the dead node", str(fall.share)],
        ["seconds from its death to the last answer that names it", str(fall.last_bad)],
        ["groups that moved while it was dead", f"{fall.moved} ({others})"],
        ["most used receiver", f"{fall.most_used:.0%}"],
        ["its groups after its return", ", ".join(f"{count} at {after} s" for after, count in fall.returned)],
    ]
    title = (
        f"Five nodes, {GROUPS * 38} client groups that ask every {TTL} s; {fall.dead} dies; each node can do "
        f"{HEADROOM} times what it has, or half the mean if that is more"
    )
    result.tables.append(Table(["what", "measured"], rows, title))
    moved = fall.moved / fall.share
    changes = flapping()
    result.limits += [
        Limit("node killed: last answer that names it", "<= 15 s", f"{fall.last_bad} s", fall.last_bad <= 15),
        Limit("node killed: groups moved by groups it had", "<= 1.05", f"{moved:.2f}", moved <= 1.05),
        Limit("node killed: most used receiver", "<= 95 %", f"{fall.most_used:.0%}", fall.most_used <= 0.95),
        Limit("node up and down every 10 s: changes in an hour", "<= 4", str(changes), changes <= 4),
    ]
    _cut(result)


def _cut(result: Result) -> None:
    rows, worst, failures = [], 0.0, 0
    for known in (0.25, 1.0):
        for fades in (False, True):
            fresh, old, failed = cut(known, fades=fades)
            if not fades:
                worst, failures = max(worst, old / fresh - 1), failures + failed
            what = "it would fade" if fades else "it is kept"
            rows.append(
                [f"{known:.0%}", what, f"{fresh:.1f}", f"{old:.1f}", f"{old / fresh - 1:+.1%}", str(failed)]
            )
    columns = ["pairs known", "what was learned", "mean ms, new map", "an hour later", "more", "failed"]
    result.tables.append(
        Table(columns, rows, "Centre cut off: the same map for an hour (100 nodes in 20 draws)")
    )
    told = f"{failures} failed, {worst:+.1%}"
    result.limits.append(
        Limit(
            "centre cut for 1 h: failed decisions, mean",
            "0, within 5 %",
            told,
            not failures and worst <= 0.05,
        )
    )
