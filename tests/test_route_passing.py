"""What a router without a store passes on, and how."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent / "router"))

from router_asking import SECRET, StandingStill, address_at
from router_world import NOW, node

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers, Request, Response
from edgeproxy.metrics import Metrics
from edgeproxy.route_passing import PassOn
from edgeproxy.router.client import parse
from edgeproxy.router.hop import Came, Signer
from edgeproxy.router.snapshot import Snapshot
from edgeproxy.upstream.upstream import PIECE_BYTES, Reach, UpstreamRequest

SIGNER = Signer(SECRET)


class Answer:
    """Implements UpstreamResponse."""

    version, source, is_fresh = "1.1", "", True

    def __init__(self, method: str) -> None:
        self.status = 200
        self.headers = Headers((("Content-Length", "5"), ("ETag", '"e"'), ("Connection", "close")))
        self.content_length = 0 if method == "HEAD" else 5

    async def chunks(self, most: int = PIECE_BYTES) -> AsyncIterator[bytes]:
        yield b"hello"

    async def aclose(self) -> None:
        return None


class Nodes:
    """Implements Upstream; those that are `dead` refuse."""

    def __init__(
        self, *dead: str, sent: bool = False, error: ProxyError = ProxyError.CONNECTION_REFUSED
    ) -> None:
        self.dead, self.sent, self.error = dead, sent, error
        self.asked: list[UpstreamRequest] = []

    async def fetch(self, request: UpstreamRequest) -> Answer:
        self.asked.append(request)
        if request.origin.host.partition(".")[0] in self.dead:
            raise UpstreamError(self.error, "failed", sent=self.sent)
        return Answer(request.method)

    async def aclose(self) -> None:
        return None


class Content:
    length = 3

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"abc"


def passing_on(nodes: Nodes, snapshot: Snapshot | None = None, **changes: Any) -> PassOn:
    world = snapshot or Snapshot(tuple(node(city) for city in ("paris", "tokyo", "denver")))
    settings: dict[str, Any] = {
        "via": "the-router",
        "reach": Reach(),
        "signer": SIGNER,
        "retry_after": "7",
        "metrics": Metrics(),
        "clock": lambda: NOW,
        "draw": lambda: 0.9,
    }
    return PassOn(StandingStill(world), nodes, **{**settings, **changes})


def passed(
    nodes: Nodes, snapshot: Snapshot | None = None, failed: Any = lambda *_, **__: None, **changes: Any
) -> tuple[Response, bytes]:
    passing = passing_on(nodes, snapshot, failed=failed)
    fields = {
        "method": "GET",
        "target": "/a?b",
        "authority": "router.example",
        "client": address_at("berlin"),
    }

    async def ask() -> tuple[Response, bytes]:
        response = await passing(Request(**{**fields, **changes}))
        data = b"".join([bytes(part) async for part in response.body.parts()])  # type: ignore[arg-type]
        await response.body.aclose()
        return response, data

    return asyncio.run(ask())


def hosts(nodes: Nodes) -> list[str]:
    return [one.origin.host.partition(".")[0] for one in nodes.asked]


def test_the_nearest_is_asked_under_the_name_the_client_used() -> None:
    nodes = Nodes()
    response, data = passed(nodes)
    (asked,) = nodes.asked
    assert (response.status, data, asked.host) == (200, b"hello", "router.example")
    assert asked.headers.get("X-Forwarded-For") == address_at("berlin")
    assert SIGNER.arrived(asked.target, "", NOW).came is Came.MARKED
    assert SIGNER.arrived(asked.target, "", NOW).target == "/a?b"
    assert "Connection" not in response.headers
    assert "the-router" in response.headers.get("Via")


def test_head_tells_the_length_and_sends_nothing() -> None:
    response, data = passed(Nodes(), method="HEAD")
    assert (response.body.length, data) == (5, b"")


def test_another_node_is_asked_where_one_does_not_answer() -> None:
    nodes = Nodes("paris")
    assert passed(nodes)[0].status == 200
    assert hosts(nodes)[0] == "paris"
    assert len(hosts(nodes)) == 2


def test_if_none_answers_it_is_said_whose_fault_it_is() -> None:
    nodes = Nodes("paris", "tokyo", "denver")
    response, _ = passed(nodes)
    assert (response.status, len(nodes.asked)) == (502, 3)
    assert "connection_refused" in response.headers.get("Proxy-Status")


@pytest.mark.parametrize("changes", [{"method": "POST"}, {"method": "GET", "body": Content()}])
def test_what_may_change_something_is_sent_once(changes: dict[str, Any]) -> None:
    nodes = Nodes("paris", "tokyo", "denver", sent=True)
    assert passed(nodes, **changes)[0].status == 502
    assert hosts(nodes) == ["paris"]


def test_without_nodes_it_is_said_when_to_ask_again() -> None:
    response, data = passed(Nodes(), Snapshot(()))
    assert (response.status, response.headers.get("Retry-After"), data.count(b"\n")) == (503, "7", 1)


def test_what_has_been_here_is_not_passed_on_again() -> None:
    nodes = Nodes()
    response, _ = passed(nodes, headers=Headers((("Via", "1.1 the-router"),)))
    assert (response.status, nodes.asked) == (508, [])


def test_a_path_in_the_url_of_a_node_is_put_before_the_target() -> None:
    nodes = Nodes()
    place = node("paris")
    from dataclasses import replace

    passed(nodes, Snapshot((replace(place, url="http://paris.example/cache"),)))
    assert nodes.asked[0].target.startswith("/cache/a?b")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ProxyError.CONNECTION_REFUSED, [("paris", True)]),
        (ProxyError.CONNECTION_TIMEOUT, [("paris", True)]),
        (ProxyError.TLS_CERTIFICATE_ERROR, [("paris", True)]),
        # What the client asks for may be the cause of these.
        (ProxyError.HTTP_RESPONSE_TIMEOUT, [("paris", False)]),
        (ProxyError.CONNECTION_TERMINATED, [("paris", False)]),
        # And this router of these.
        (ProxyError.CONNECTION_LIMIT_REACHED, []),
        (ProxyError.PROXY_INTERNAL_ERROR, []),
    ],
)
def test_a_node_that_fails_is_told_of_with_the_client_it_failed(
    error: ProxyError, told: list[tuple[str, bool]]
) -> None:
    found: list[tuple[str, bool]] = []

    def failed(client: Any, name: str, *, unreachable: bool) -> None:
        assert str(client.address) == address_at("berlin")
        found.append((name, unreachable))

    assert passed(Nodes("paris", error=error), failed=failed)[0].status == 200
    assert found == told


def test_a_node_that_could_not_be_reached_a_moment_ago_is_tried_last() -> None:
    nodes = Nodes("paris")
    now = NOW
    passing = passing_on(nodes, signer=None, clock=lambda: now)

    def ask(method: str = "GET") -> int:
        return asyncio.run(passing(Request(method, "/a", client=address_at("berlin")))).status

    assert ask() == 200
    assert hosts(nodes)[0] == "paris"
    asked = len(nodes.asked)
    assert (ask(), ask("POST")) == (200, 200)
    assert "paris" not in hosts(nodes)[asked:]
    now += 6.0
    nodes.dead = ()
    asked = len(nodes.asked)
    assert ask() == 200
    assert hosts(nodes)[asked:] == ["paris"]


def test_who_has_complained_of_a_node_is_not_passed_to_it_while_there_are_others() -> None:
    world = Snapshot(tuple(node(city) for city in ("paris", "tokyo")))
    routing, nodes = StandingStill(world), Nodes()
    passing = PassOn(
        routing,
        nodes,
        via="the-router",
        reach=Reach(),
        signer=None,
        retry_after="7",
        metrics=Metrics(),
        clock=lambda: NOW,
        draw=lambda: 0.9,
    )
    request = Request("GET", "/a", client=address_at("berlin"))
    client = routing.client(parse(request.client))
    for name in ("paris", "tokyo"):
        assert asyncio.run(passing(request)).status == 200
        routing.complained(client, name, lasts=True)
    assert asyncio.run(passing(request)).status == 200
    assert hosts(nodes) == ["paris", "tokyo", "paris"]
