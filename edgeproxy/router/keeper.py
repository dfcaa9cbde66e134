"""The one owner of the map: takes every signal, and makes a new immutable Snapshot of them now and then.

Beliefs and loads are published every few seconds, since answers made of a map are worth keeping; what
clients must not wait for (a node down, back, drained, gone) at once. Where signals stop the last map stays
and is said to be old: an old map is worth more than none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace

from edgeproxy.message import Clock
from edgeproxy.router.announcement import RoundTrip
from edgeproxy.router.client import Address, Client, Geography, identify
from edgeproxy.router.complaints import NOBODY, Complaints, number_of
from edgeproxy.router.coverage import Coverage
from edgeproxy.router.crowding import crowded_out
from edgeproxy.router.decide import Decision
from edgeproxy.router.judging import OWN, Judging
from edgeproxy.router.learner import Learner
from edgeproxy.router.learning import Learning
from edgeproxy.router.moving import Bookings, Weights
from edgeproxy.router.nodes import NodeState, RouteNode
from edgeproxy.router.place import Place
from edgeproxy.router.registry import Registry
from edgeproxy.router.snapshot import Kept, RouteRules, Snapshot
from edgeproxy.router.suspicions import Suspicions
from edgeproxy.router.votes import VoteRules

OVERDUE = 6.0  # maps that may be made in a hurry without new beliefs
LEARN_REST_SECONDS = 0.01  # for others, between two slices of what is to be learned
IDLE_REST_SECONDS = 0.25


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
        self._places: dict[str, Place | None] = {}
        self.learning = Learning(
            Learner(entries_max=settings.groups_max, access_ms=rules.access_ms),
            geography,
            places=lambda: self._places,
            clock=clock,
        )
        self._judging = Judging(settings.votes)
        self._complaints = Complaints()
        self._suspicions = Suspicions()
        self._look: Callable[[str], None] = lambda _: None
        self._weights = Weights(settings.groups_max)
        self._bookings = Bookings(settings.move_share)
        self._kept: dict[Hashable, Kept] = {}
        self._has_moved = False  # since they were copied into a map
        self._watchers: list[Callable[[], None]] = []
        self._due = asyncio.Event()
        self._signalled_at = clock()
        self._was_panic = False
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
            return
        if kept.better:
            # It moves from `seen` + keep_seconds on: booked for when there is room for another move.
            wait = self._rules.keep_seconds
            weight, total = self._weights.of(group), self._weights.total
            kept = replace(kept, seen=self._bookings.book(weight, total, now + wait, now) - wait)
        self._kept.pop(group, None)
        self._kept[group] = kept
        crowded_out(self._kept, self._settings.groups_max)
        self._has_moved = True
        self._weights.least = len(self._kept)

    def complained(self, client: Client, node: str, *, lasts: bool = False) -> None:
        if node not in self._judging.nodes:
            return
        now, group = self._clock(), client.group
        kept = self._kept.get(group)
        if kept is not None and kept.node == node:
            del self._kept[group]
            self._has_moved = True
        if self._suspicions.raised(group, node, now):
            self._look(node)
        if lasts and client.address is not None:
            self._complaints.excluded(number_of(client.address), node, now)
        if self._complaints.made(group, node, now):
            self._judged(self._judging.looked("clients", node, False, now), node)

    def excluded(self, client: Client) -> frozenset[str]:
        address = client.address
        if address is None or self._complaints.is_empty:
            return NOBODY
        return self._complaints.of(number_of(address), self._clock())

    def watch(self, changed: Callable[[], None]) -> None:
        self._watchers.append(changed)

    # -- signals ---------------------------------------------------------------------------------

    def looked(self, node: str, alive: bool) -> None:
        """This router has asked a node whether it lives."""
        self._signalled_at = now = self._clock()
        self._judged(self._judging.looked(OWN, node, alive, now), node)

    def lives(self, node: str) -> None:
        """The node says so itself, and this map is in it: nobody else may be looking at it."""
        self._judged(self._judging.told("itself", node, True, self._clock()), node)

    def is_suspicious(self, node: str) -> bool:
        return self._judging.is_suspicious(node)

    def failed(self, client: Client, node: str, *, unreachable: bool) -> None:
        """A request of `client` that was passed on to a node failed there; `unreachable`: before the node
        can have seen it, so that it says more of the node than of the request."""
        now = self._clock()
        if node not in self._judging.nodes or not self._suspicions.raised(client.group, node, now):
            return
        if unreachable and self._suspicions.counts_as_look(node, now):
            self.looked(node, False)
        self._look(node)

    def look_by(self, look: Callable[[str], None]) -> None:
        """`look` is called with a node that should be looked at soon."""
        self._look = look

    def saw(self, point: str, node: str, alive: bool, rtt: float = 0.0) -> None:
        """The node `point` tells what it sees of another; `rtt` in ms, 0 if it is unknown."""
        self._signalled_at = now = self._clock()
        nodes = self._judging.nodes
        if point not in nodes or node not in nodes or point == node:
            return
        self._judged(self._judging.told(point, node, alive, now), node)
        if rtt > 0:
            self.learning.between(point, node, rtt)

    def round_trips(self, node: str, told: Iterable[RoundTrip]) -> None:
        """What `node` measured of its clients; it is learned from when there is time."""
        self._signalled_at = self._clock()
        self.learning.clients(node, told)

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
            await self._learn_until_due()
            age = self._clock() - self.learning.believed_at
            if not self._due.is_set() or not 0 <= age < OVERDUE * self._settings.publish_seconds:
                await self.learning.believe()
            self.publish(is_urgent=self._due.is_set())
            await asyncio.sleep(self._settings.urgent_seconds)

    async def _learn_until_due(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._settings.publish_seconds
        while not self._due.is_set() and (left := end - loop.time()) > 0:
            rest = LEARN_REST_SECONDS if self.learning.take() else min(left, IDLE_REST_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._due.wait()

    def publish(self, *, is_urgent: bool = False) -> None:
        """Make a map of what is known now, and tell those who watch. Where groups are is left for the next
        one if it is urgent: of 200 000 groups that is a copy of 10 ms."""
        self._due.clear()
        now, before = self._clock(), self._snapshot
        silent = self._registry.expire(now)
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
            self.learning.beliefs,
            before.coverage,
            self._rules_of_map(is_old=is_old),
            self._kept_of_map(is_urgent=is_urgent),
            before.generation + 1,
            self._signalled_at if is_old else now,
        )
        for changed in self._watchers:
            changed()

    def _kept_of_map(self, *, is_urgent: bool) -> Mapping[Hashable, Kept]:
        if is_urgent or not self._has_moved:
            return self._snapshot.kept
        self._has_moved = False
        return dict(self._kept)

    def _rules_of_map(self, *, is_old: bool) -> RouteRules:
        """Where nothing is heard any more, groups move for a larger gain only."""
        rules = self._rules
        if not is_old:
            return rules
        return replace(rules, keep_share=rules.keep_share * 0.8, keep_ms=rules.keep_ms * 2)

    def _warn_of_panic(self, nodes: tuple[RouteNode, ...]) -> None:
        down = sum(node.state is NodeState.DOWN for node in nodes)
        is_panic = len(nodes) > 1 and down * 2 > len(nodes)
        if is_panic and not self._was_panic:
            self._report(f"{down} of {len(nodes)} nodes seem down, which is not believed: all stay in use")
        self._was_panic = is_panic
