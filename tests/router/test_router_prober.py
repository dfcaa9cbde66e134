from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from router.router_server import OK, stub, until

from edgeproxy.router.nodes import RouteNode
from edgeproxy.router.prober import Prober, ProbeSettings, is_alive
from edgeproxy.router.registry import Listed
from edgeproxy.router.votes import Looks, looked
from edgeproxy.tasks import Tasks

QUICK = ProbeSettings(every_seconds=0.2, again_seconds=0.02, timeout_seconds=0.5)
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


class Judge:
    def __init__(self) -> None:
        self.looks: dict[str, Looks] = {}
        self.counted: Counter[str] = Counter()

    def looked(self, node: str, alive: bool) -> None:
        self.looks[node] = looked(self.looks.get(node, Looks()), alive, 0.0)
        self.counted[node] += 1

    def is_suspicious(self, node: str) -> bool:
        return self.looks.get(node, Looks()).is_suspicious

    def alive(self, node: str) -> bool | None:
        return self.looks.get(node, Looks()).alive


@contextlib.asynccontextmanager
async def probing(targets: dict[str, str], settings: ProbeSettings = QUICK) -> AsyncIterator[Judge]:
    judge, tasks = Judge(), Tasks(lambda name, error: pytest.fail(f"{name}: {error!r}"))
    prober = Prober(
        lambda: [Listed(RouteNode(name), probe=url) for name, url in targets.items()],
        judge,
        settings,
        tasks=tasks,
        timer=time.monotonic,
    )
    tasks.start(prober.run(), "prober")
    try:
        yield judge
    finally:
        await tasks.aclose()


async def test_nodes_live_fail_and_come_back() -> None:
    async with (
        stub() as one,
        stub() as other,
        probing({"one": f"{one.url}/healthz", "other": other.url}) as judge,
    ):
        await until(lambda: judge.alive("one") is True and judge.alive("other") is True)
        assert one.asked[0].startswith(b"GET /healthz HTTP/1.1\r\n")
        other.answer = BUSY
        await until(lambda: judge.alive("other") is False)
        assert judge.alive("one") is True
        other.answer = OK
        await until(lambda: judge.alive("other") is True)


@pytest.mark.parametrize("dead", ["stopped", "silent", "nonsense"])
async def test_a_node_that_does_not_answer_fails(dead: str) -> None:
    async with stub() as server, probing({"one": server.url}) as judge:
        await until(lambda: judge.alive("one") is True)
        if dead == "stopped":
            server.stop()
        else:
            server.answer = None if dead == "silent" else b"\0" * 40_000
        await until(lambda: judge.alive("one") is False)


async def test_a_node_that_is_silent_is_asked_again_soon() -> None:
    """Three failures are there long before three intervals have passed."""
    settings = ProbeSettings(every_seconds=3600.0, again_seconds=0.02, timeout_seconds=0.05)
    async with stub(None) as server:
        targets = {"one": server.url}
        judge, tasks = Judge(), Tasks(lambda name, error: pytest.fail(f"{name}: {error!r}"))
        listed = [Listed(RouteNode(name), probe=url) for name, url in targets.items()]
        now = 0.0
        prober = Prober(lambda: listed, judge, settings, tasks=tasks, timer=lambda: now)
        prober.look()
        now = 3600.0
        judge.looked("one", True)
        for count in (2, 3, 4):
            prober.look()
            await until(lambda count=count: judge.counted["one"] >= count)  # type: ignore[misc]
            now += 1.0
        assert judge.alive("one") is False
        await tasks.aclose()


async def test_a_node_that_somebody_doubts_is_looked_at_soon_but_not_all_the_time() -> None:
    settings = ProbeSettings(every_seconds=3600.0, again_seconds=1.0, timeout_seconds=5.0)
    async with stub() as server:
        judge, tasks = Judge(), Tasks(lambda name, error: pytest.fail(f"{name}: {error!r}"))
        listed = [Listed(RouteNode("one"), probe=server.url)]
        now = 0.0
        prober = Prober(lambda: listed, judge, settings, tasks=tasks, timer=lambda: now)
        prober.soon("one")  # it is not known yet
        prober.look()
        prober.soon("one")
        prober.look()
        await until(lambda: judge.counted["one"] == 1)
        for at in (0.5, 0.9, 1.0, 1.5, 1.9):
            now = at
            prober.soon("one")
            prober.look()
        await until(lambda: judge.counted["one"] == 2)
        prober.soon("nobody")
        assert len(server.asked) == 2
        await tasks.aclose()


async def test_probes_are_bounded_and_nobody_is_asked_twice_at_a_time() -> None:
    async with stub(None) as server:
        targets = {f"n{number}": server.url for number in range(20)}
        settings = ProbeSettings(every_seconds=0.05, again_seconds=0.05, timeout_seconds=30.0, at_once=3)
        async with probing(targets, settings):
            await until(lambda: len(server.asked) == 3)
            await asyncio.sleep(0.3)
            assert len(server.asked) == 3


async def test_what_is_listed_no_more_is_not_asked_and_not_judged() -> None:
    async with stub() as server:
        targets = {"one": server.url, "other": server.url}
        async with probing(targets) as judge:
            await until(lambda: judge.counted["one"] > 0 and judge.counted["other"] > 0)
            del targets["other"]
            await until(lambda: judge.counted["one"] > 3)
            seen = judge.counted["other"]
            await until(lambda: judge.counted["one"] > 6)
            assert judge.counted["other"] <= seen + 1


@pytest.mark.parametrize(
    ("status", "alive"), [(200, True), (404, True), (302, True), (500, False), (503, False)]
)
def test_an_error_is_no_life(status: int, alive: bool) -> None:
    assert is_alive(status) is alive
