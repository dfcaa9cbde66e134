"""A router and nodes as they are: announcements over a real listener, probes, looks at each other."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from router.router_keeping import ALLOWED, Plain
from router.router_server import OK, Stub, until
from router.router_world import node

from edgeproxy.config import Limits, Listen, Log
from edgeproxy.metrics import Metrics
from edgeproxy.router.announcement import Announcement, RoundTrip
from edgeproxy.router.announcements import Announcements
from edgeproxy.router.announcer import Announcer, AnnouncerSettings
from edgeproxy.router.keeper import Keeper, KeeperSettings
from edgeproxy.router.mesh import Mesh, MeshSettings
from edgeproxy.router.nodes import NodeState, RouteNode
from edgeproxy.router.prober import Prober, ProbeSettings
from edgeproxy.router.registry import Listed, Registry
from edgeproxy.serving.access_log import AccessLog
from edgeproxy.serving.listener import Listeners
from edgeproxy.tasks import Tasks

QUICK = ProbeSettings(every_seconds=0.3, again_seconds=0.05, timeout_seconds=2.0)


class Router:
    """Knows berlin and paris by its configuration, anybody else by announcement."""

    def __init__(self, tasks: Tasks, nodes: list[Listed]) -> None:
        self.lines: list[str] = []
        self.registry = Registry(ALLOWED)
        self.registry.configure(nodes)
        self.keeper = Keeper(
            self.registry,
            Plain(),
            KeeperSettings(publish_seconds=0.3, urgent_seconds=0.02),
            clock=time.time,
            report=self.lines.append,
        )
        self.prober = Prober(
            lambda: self.registry.listed(time.time()), self.keeper, QUICK, tasks=tasks, timer=time.monotonic
        )
        metrics = Metrics()
        self.listeners = Listeners(
            Announcements(self.registry, self.keeper, clock=time.time, report=self.lines.append),
            Listen(http=["127.0.0.1:0"]),
            Limits(drain_timeout=1.0),
            clock=time.time,
            sequence=lambda: 0,
            tasks=tasks,
            metrics=metrics,
            access_log=AccessLog(Log(access="off"), metrics),
            report=self.lines.append,
        )
        tasks.start(self.keeper.run(), "keeper")
        tasks.start(self.prober.run(), "prober")

    def state(self, name: str) -> NodeState | None:
        return next((one.state for one in self.keeper.snapshot.nodes if one.name == name), None)


class Node:
    """Answers probes, looks at the others, tells the router."""

    def __init__(self, name: str, server: Stub, router: str, tasks: Tasks) -> None:
        self.name, self.server = name, server
        self.trips: list[RoundTrip] = []
        self.lines: list[str] = []
        settings = MeshSettings(probe=QUICK, burst_seconds=0.2)
        self.mesh = Mesh(settings, tasks=tasks, timer=time.monotonic, changed=lambda: self.announcer.hurry())
        self.announcer = Announcer(
            AnnouncerSettings((router,), "all", heartbeat_seconds=0.7, least_seconds=0.55),
            self.gathered,
            clock=time.time,
            tasks=tasks,
            report=self.lines.append,
            heard=self.mesh.look_at,
        )
        self.running = [
            tasks.start(self.mesh.run(), f"mesh of {name}"),
            tasks.start(self.announcer.run(), f"announcer of {name}"),
        ]

    def gathered(self, now: float) -> Announcement:
        trips, self.trips = self.trips, []
        url = f"https://{self.name}.edge.example"
        return Announcement(self.name, now, url=url, round_trips=trips, seen=self.mesh.seen())

    def die(self) -> None:
        self.server.stop()
        for task in self.running:
            task.cancel()


class House:
    def __init__(self) -> None:
        self.tasks = Tasks(lambda name, error: pytest.fail(f"{name}: {error!r}"))
        self.nodes: dict[str, Node] = {}

    async def start(self) -> None:
        servers = {name: Stub(OK) for name in ("berlin", "paris", "tokyo")}
        for server in servers.values():
            await server.start()
        listed = [Listed(node(name), probe=server.url) for name, server in servers.items()]
        self.router = Router(self.tasks, listed)
        bound = await self.router.listeners.start()
        self.nodes = {
            name: Node(name, server, f"http://{bound.http[0]}", self.tasks)
            for name, server in servers.items()
        }

    async def stop(self) -> None:
        await self.router.listeners.drain()
        await self.tasks.aclose()
        for one in self.nodes.values():
            one.server.stop()

    def opinions(self, of: str) -> set[str]:
        """The points that have an opinion of a node; "" is the router."""
        return set(self.router.keeper._judging._opinions.get(of, {}))


@pytest.fixture
async def house() -> AsyncIterator[House]:
    found = House()
    await found.start()
    yield found
    await found.stop()


async def test_a_node_that_dies_is_down_by_the_word_of_several_points_and_comes_back(house: House) -> None:
    router, berlin = house.router, house.nodes["berlin"]
    await until(lambda: house.opinions("berlin") == {"", "paris", "tokyo"})
    assert router.state("berlin") is NodeState.UP
    berlin.die()
    await until(lambda: router.state("berlin") is NodeState.DOWN)
    assert any(line.startswith("node berlin is down (") for line in router.lines)
    assert {router.state("paris"), router.state("tokyo")} == {NodeState.UP}
    port = int(berlin.server.url.rpartition(":")[2])
    await berlin.server.start(port)
    await until(lambda: router.state("berlin") is NodeState.UP)
    assert router.keeper.snapshot.nodes[0].started is not None


async def test_what_nodes_measure_reaches_the_beliefs(house: House) -> None:
    house.nodes["paris"].trips = [RoundTrip("8.0.1.0/24", 33.0, 5)]
    beliefs = house.router.keeper.learning
    await until(lambda: (0, "8.0.1.0/24", "paris") in beliefs.beliefs.observed)
    # What was measured between them on loopback is faster than light, and is not believed.
    assert all(key[0] != 3 or key[1] != "" for key in beliefs.beliefs.observed)


async def test_a_node_that_is_in_no_configuration_announces_itself_and_is_found(house: House) -> None:
    server = Stub(OK)
    await server.start()
    oslo = Node("oslo", server, house.nodes["paris"].announcer._settings.routers[0], house.tasks)
    router = house.router
    await until(lambda: router.state("oslo") is not None)
    found: RouteNode = router.keeper.snapshot.nodes[-1]
    assert (found.name, found.url) == ("oslo", "https://oslo.edge.example")
    assert oslo.lines == []
    oslo.die()
