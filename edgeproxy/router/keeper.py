"""The one owner of the map: takes every signal, and makes a new immutable Snapshot of them now and then.

Beliefs and loads are published every few seconds, since answers made of a map are worth keeping; what
clients must not wait for (a node down, back, drained, gone) at once. Where signals stop the last map stays
and is said to be old: an old map is worth more than none."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace

from edgeproxy.message import Clock
from edgeproxy.router.announcement import RoundTrip
from edgeproxy.router.beliefs import CELL, Beliefs
from edgeproxy.router.client import Address, Client, Geography, identify
from edgeproxy.router.complaints import Complaints
from edgeproxy.router.coverage import Coverage
from edgeproxy.router.decide import Decision
from edgeproxy.router.judging import OWN, Judging
from edgeproxy.router.learner import Learner
from edgeproxy.router.moving import Bookings, Weights
from edgeproxy.router.nodes import NodeState, RouteNode
from edgeproxy.router.place import Place
from edgeproxy.router.registry import Registry
from edgeproxy.router.samples import client_in_cell, is_possible, network_of
from edgeproxy.router.snapshot import Kept, RouteRules, Snapshot
from edgeproxy.router.votes import VoteRules

CONNECTIONS_MAX = 50  # that one report of a prefix may stand for: no reporter outweighs all others


@dataclass(frozen=True, slots=True)
class KeeperSettings:
    """Seconds, counts, shares."""

    publish_seconds: float = 10.0
    urgent_seconds: float = 0.2  # between two maps, at least
    groups_max: int = 200_000
    move_share: float = 0.05  # of the weight of all requests, in a minute
    votes: VoteRules = VoteRules()


class Keeper:
    """Implements Routing. Used on the loop only. `run` lasts until cancelled; `publish` makes a map now.
    `report` takes one line for the log."""

    def __init__(
        self,
        registry: Registry,
        geography: Geography,
        settings: KeeperSettings,
        *,
        clock: Clock,
        report: Callable[[str], None],
        coverage: Coverage | None = None,
        rules: RouteRules | None = None,
    ) -> None:
        self._registry = registry
        self._geography = geography
        self._settings = settings
        self._clock = clock
        self._report = report
        self._rules = rules = rules or RouteRules()
        self._learner = Learner(entries_max=settings.groups_max, access_ms=rules.access_ms)
        self._beliefs = Beliefs()
        self._believed_at = float("-inf")
        self._has_news = False
        self._judging = Judging(settings.votes)
        self._complaints = Complaints(settings.groups_max)
        self._weights = Weights(settings.groups_max)
        self._bookings = Bookings(settings.move_share)
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()
        self._watchers: list[Callable[[], None]] = []
        self._due = asyncio.Event()
        self._signalled_at = clock()
        self._was_panic = False
        self._places: dict[str, Place | None] = {}
        self._snapshot = Snapshot((), coverage=coverage or Coverage(), rules=rules)
        self.publish()

    # -- Routing ---------------------------------------------------------------------------------

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    def client(self, address: Address | None, *, bits: int | None = None) -> Client:
        return identify(address, self._geography, bits=bits)

    def decided(self, client: Client, decision: Decision) -> None:
        now, group, kept = self._clock(), client.group, decision.kept
        self._weights.asked(group, now)
        if kept is None:
            return
        before = self._kept.get(group)
        if before is not None and (before.node, before.better) == (kept.node, kept.better):
            self._kept.move_to_end(group)
            return
        if kept.better:
            # It moves from `seen` + keep_seconds on: booked for when there is room for another move.
            wait = self._rules.keep_seconds
            weight, total = self._weights.of(group), self._weights.total
            kept = replace(kept, seen=self._bookings.book(weight, total, kept.seen + wait, now) - wait)
        self._kept[group] = kept
        self._kept.move_to_end(group)
        if len(self._kept) > self._settings.groups_max:
            self._kept.popitem(last=False)

    def complained(self, client: Client, node: str) -> None:
        if node not in self._judging.nodes:
            return
        now, group = self._clock(), client.group
        kept = self._kept.get(group)
        if kept is not None and kept.node == node:
            del self._kept[group]
        if self._complaints.made(group, node, now):
            self._judged(self._judging.looked("clients", node, False, now), node)

    def excluded(self, client: Client) -> frozenset[str]:
        """Nodes that the client's group has complained of lately."""
        return self._complaints.of(client.group, self._clock())

    def watch(self, changed: Callable[[], None]) -> None:
        self._watchers.append(changed)

    # -- signals ---------------------------------------------------------------------------------

    def looked(self, node: str, alive: bool) -> None:
        """This router has asked a node whether it lives."""
        self._signalled_at = now = self._clock()
        self._judged(self._judging.looked(OWN, node, alive, now), node)

    def is_suspicious(self, node: str) -> bool:
        return self._judging.is_suspicious(node)

    def failed(self, node: str) -> None:
        """A request that was passed on to a node failed there."""
        self.looked(node, False)

    def saw(self, point: str, node: str, alive: bool, rtt: float = 0.0) -> None:
        """The node `point` tells what it sees of another; `rtt` in ms, 0 if it is unknown."""
        self._signalled_at = now = self._clock()
        nodes = self._judging.nodes
        if point not in nodes or node not in nodes or point == node:
            return
        self._judged(self._judging.told(point, node, alive, now), node)
        if rtt > 0:
            self._between(point, node, rtt, now)
            self._between(node, point, rtt, now)

    def _between(self, one: str, other: str, rtt: float, now: float) -> None:
        """The way from where `one` is to `other`: what clients near `one` may expect."""
        here, there = self._place(one), self._place(other)
        if here is None or there is None or not is_possible(here, there, rtt):
            return
        self._learner.told(client_in_cell(here), other, there, rtt, now, finest=CELL)
        self._has_news = True

    def round_trips(self, node: str, told: Iterable[RoundTrip]) -> int:
        """What `node` measured of its clients. How many were believed."""
        self._signalled_at = now = self._clock()
        place, taken = self._place(node), 0
        for one in told:
            address, bits = network_of(one.prefix)
            client = self.client(address, bits=bits)
            if address is None or client.is_private or not is_possible(client.place, place, one.rtt):
                continue
            self._learner.told(
                client, node, place, one.rtt, now, connections=min(one.connections, CONNECTIONS_MAX)
            )
            taken += 1
        if taken:
            self._has_news = True
        return taken

    def _place(self, node: str) -> Place | None:
        return self._places.get(node)

    def configure(self, *, coverage: Coverage, rules: RouteRules) -> None:
        """Another configuration, or the registry has other nodes."""
        self._rules = rules
        self._snapshot = replace(self._snapshot, coverage=coverage, rules=rules)
        self.publish()

    def changed(self) -> None:
        """Something else has changed (a node joined, drains, is fuller): there is to be a map soon."""
        self._due.set()

    def _judged(self, change: str, node: str) -> None:
        if change:
            self._report(f"node {node} is {change}")
            self._due.set()

    # -- the map ---------------------------------------------------------------------------------

    async def run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.publish_seconds):
                    await self._due.wait()
            self.publish()
            await asyncio.sleep(self._settings.urgent_seconds)

    def publish(self) -> None:
        """Make a map of what is known now, and tell those who watch."""
        self._due.clear()
        now, before = self._clock(), self._snapshot
        silent = self._registry.expire(now)
        if self._has_news and now - self._believed_at >= self._settings.publish_seconds:
            self._beliefs, self._has_news, self._believed_at = self._learner.beliefs(), False, now
        listed = [one.node for one in self._registry.listed(now)]
        self._judging.keep(node.name for node in listed)
        self._places = {node.name: node.place for node in listed}
        for name in silent:
            if name in self._places:  # the operator's: its silence is one sign among others
                self._judging.told("heartbeat", name, False, now)
            else:
                self._report(f"node {name} is gone: it has not been heard of")
        nodes = tuple(self._judging.stated(node) for node in listed)
        self._warn_of_panic(nodes)
        is_old = now - self._signalled_at > self._rules.map_seconds
        self._snapshot = Snapshot(
            nodes,
            self._beliefs,
            before.coverage,
            _wary(self._rules) if is_old else self._rules,
            dict(self._kept),
            before.generation + 1,
            self._signalled_at if is_old else now,
        )
        for changed in self._watchers:
            changed()

    def _warn_of_panic(self, nodes: tuple[RouteNode, ...]) -> None:
        down = sum(node.state is NodeState.DOWN for node in nodes)
        is_panic = len(nodes) > 1 and down * 2 > len(nodes)
        if is_panic and not self._was_panic:
            self._report(f"{down} of {len(nodes)} nodes seem down, which is not believed: all stay in use")
        self._was_panic = is_panic


def _wary(rules: RouteRules) -> RouteRules:
    """Where nothing is heard any more, groups move for a larger gain only."""
    return replace(rules, keep_share=rules.keep_share * 0.8, keep_ms=rules.keep_ms * 2)
