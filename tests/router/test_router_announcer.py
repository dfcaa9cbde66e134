from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from router.router_keeping import Clock, announcement
from router.router_server import Stub, stub, until

from edgeproxy.router.announcement import Announcement, RoundTrip, parse
from edgeproxy.router.announcer import Announcer, AnnouncerSettings
from edgeproxy.tasks import Tasks

HEARD = msgspec.json.encode({"heartbeat": 10.0, "peers": [{"name": "paris", "probe": "http://p.example"}]})
TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(HEARD), HEARD)
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nnot here\n"


class Node:
    """A node that announces itself, and what it reported and heard."""

    def __init__(self, *servers: Stub, large: bool = False, **settings: float) -> None:
        self.clock = Clock()
        self.lines: list[str] = []
        self.peers: list[tuple[str, str]] = []
        self.gathered = 0
        self.large = large
        self.tasks = Tasks(lambda name, error: pytest.fail(f"{name}: {error!r}"))
        urls = tuple(server.url for server in servers)
        self.announcer = Announcer(
            AnnouncerSettings(urls, "secret", timeout_seconds=30.0, **settings),
            self.gather,
            clock=self.clock,
            tasks=self.tasks,
            report=self.lines.append,
            heard=self.peers.extend,
        )

    def gather(self, now: float) -> Announcement:
        self.gathered += 1
        trips = [RoundTrip("2001:db8:1234::/48" + "0" * 20, 12.5, 1)] * (20_000 if self.large else 1)
        return announcement(at=now, round_trips=trips)

    async def settled(self) -> None:
        await until(lambda: len(self.tasks) == 0)


async def test_every_router_is_told_the_same_and_says_whom_to_look_at() -> None:
    async with stub(TAKEN) as one, stub(TAKEN) as other:
        node = Node(one, other)
        node.announcer.announce()
        await node.settled()
        head, _, body = one.asked[0].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /route/v1/announce HTTP/1.1\r\n")
        assert b"Authorization: Bearer secret" in head
        assert body == other.asked[0].partition(b"\r\n\r\n")[2]
        assert parse(body).name == "oslo"
        assert node.gathered == 1
        assert node.peers == [("paris", "http://p.example")] * 2
        assert node.lines == []


async def test_a_router_that_does_not_take_it_is_tried_less_and_less_often() -> None:
    async with stub(REFUSED) as server:
        node = Node(server, least_seconds=1.0, most_seconds=8.0)
        tried = []
        for second in range(35):
            node.clock.now += 1.0
            before = len(server.asked)
            node.announcer.announce()
            await node.settled()
            if len(server.asked) > before:
                tried.append(second)
        assert [later - sooner for sooner, later in pairwise(tried)] == [1, 2, 4, 8, 8, 8]
        assert node.lines == [f"the router {server.url} did not take the announcement: 403 not here"]
        server.answer = TAKEN
        node.clock.now += 8.0
        node.announcer.announce()
        await node.settled()
        assert node.lines[1:] == [f"the router {server.url} takes announcements again"]


async def test_a_dead_router_holds_up_nobody() -> None:
    async with stub(None) as silent, stub(TAKEN) as other:
        node = Node(silent, other)
        for count in (1, 2, 3):
            node.clock.now += 10.0
            node.announcer.announce()
            await until(lambda count=count: len(other.asked) == count and len(node.tasks) == 1)  # type: ignore[misc]
        assert len(silent.asked) == 1, "it is not told again while it has not answered"
        await node.tasks.aclose()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{]}", TAKEN])
async def test_an_answer_that_says_nothing_is_enough(answer: bytes) -> None:
    async with stub(answer) as server:
        node = Node(server)
        node.announcer.announce()
        await node.settled()
        assert node.lines == []


async def test_what_is_too_large_is_not_sent() -> None:
    async with stub(TAKEN) as server:
        node = Node(server, large=True)
        node.announcer.announce()
        await node.settled()
        assert server.asked == []
        assert "too large" in node.lines[0]


async def test_news_do_not_wait_for_the_heartbeat() -> None:
    async with stub(TAKEN) as server:
        node = Node(server, heartbeat_seconds=3600.0, least_seconds=0.01)
        running = node.tasks.start(node.announcer.run(), "announcer")
        await until(lambda: len(server.asked) == 1)
        node.announcer.hurry()
        await until(lambda: len(server.asked) == 2)
        running.cancel()
        await node.settled()
