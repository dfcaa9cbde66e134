"""Exchanges over HTTP/2 on both sides of a node: content in both directions at once, trailers, and windows
that a slow client closes up to the parent; with one process and with several."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from stands.http2_client import DATA, Http2Client, asking, data, headers, window
from stands.http2_server import Answer, Asked, Http2Server
from stands.node import Node

StartNode = Callable[..., Node]
Behind = Callable[[Answer], Awaitable[tuple[Http2Server, Node]]]
NOWHERE = "http://127.0.0.1:9"
MIB = 1 << 20
SIZE = 64 * MIB
SENT_MAX = 24 * MIB  # of what nobody reads: the window of a stream, and what all buffers on the way hold

pytestmark = pytest.mark.parametrize("servers", [1, 2])


@pytest.fixture
async def behind(start_node: StartNode, servers: int) -> AsyncIterator[Behind]:
    """Start a node below a parent that answers so."""
    running: list[Http2Server] = []

    async def start(answer: Answer) -> tuple[Http2Server, Node]:
        server = Http2Server(answer)
        await server.start()
        running.append(server)
        parent = {"name": "up", "url": server.url, "http2": "prior-knowledge"}
        sections: dict[str, Any] = {"parent": [parent], "upstream": {"origin": "never"}}
        sections["node"] = {"workers": servers}
        site = {"name": "all", "mount": "/", "origin": NOWHERE}
        return server, await asyncio.to_thread(start_node, [site], sections)

    yield start
    for server in running:
        await server.stop()


async def echo(asked: Asked) -> None:
    """Says each piece of content again, and at the end how many there were."""
    await asked.head(200, ("content-type", "application/grpc"), ("trailer", "grpc-status"))
    count = 0
    async for piece in asked.content():
        count += 1
        await asked.send(piece[::-1])
    await asked.end(("grpc-status", "0"), ("pieces", str(count)), ("cache-control", "max-age=60"))


async def test_content_goes_both_ways_at_once_and_trailers_end_it(behind: Behind) -> None:
    server, node = await behind(echo)
    client = await Http2Client.connect(node.http)
    fields = (("te", "trailers"), ("content-type", "application/grpc"))
    client.send(headers(1, asking("/say", *fields, method="POST"), ended=False))
    said = b""
    for number in range(10):
        client.send(data(1, b"word %d." % number))
        said += (b"word %d." % number)[::-1]
        await client.until(lambda c: c.answers[1].body == said if 1 in c.answers else False)  # noqa: B023
    client.send(data(1, ended=True))
    answer = await client.answer(1)
    assert (answer.status, answer.reset, answer.ended) == (200, None, True)
    # What would change how the answer is kept or read is not taken from trailers.
    assert answer.trailers == [("grpc-status", "0"), ("pieces", "10")]
    assert server.asked[0].get("te") == "trailers"
    client.close()


async def test_trailers_of_an_answer_without_content_come_through(behind: Behind) -> None:
    async def refuse(asked: Asked) -> None:
        await asked.head(200, ("content-type", "application/grpc"))
        await asked.end(("grpc-status", "12"), ("grpc-message", "no such method"))

    _, node = await behind(refuse)
    client = await Http2Client.connect(node.http)
    answer = await client.ask(1, asking("/say", ("te", "trailers"), method="POST"), b"x")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.trailers == [("grpc-status", "12"), ("grpc-message", "no such method")]
    client.close()


async def test_a_head_that_ends_the_stream_is_one_for_the_client_too(behind: Behind) -> None:
    """How gRPC refuses a call: a client of it takes the same fields, followed by an empty DATA frame, for
    an answer that broke off."""

    async def refuse(asked: Asked) -> None:
        fields = (("content-type", "application/grpc"), ("grpc-status", "12"), ("grpc-message", "no"))
        await asked.head(200, *fields, ended=True)

    _, node = await behind(refuse)
    client = await Http2Client.connect(node.http)
    for stream in range(1, 41, 2):
        answer = await client.ask(stream, asking("/say", ("te", "trailers"), method="POST"), b"x")
        assert (answer.status, answer.get("grpc-status"), answer.ended) == (200, "12", True)
    assert all(one.kind != DATA for one in client.frames)
    client.close()


async def test_a_site_may_have_an_origin_that_speaks_http_2_at_once(
    start_node: StartNode, servers: int
) -> None:
    server = Http2Server(echo)
    await server.start()
    site = {"name": "calls", "mount": "/", "origin": server.url, "http2": "prior-knowledge"}
    node = await asyncio.to_thread(start_node, [site], {"node": {"workers": servers}})
    client = await Http2Client.connect(node.http)
    fields = (("te", "trailers"), ("content-type", "application/grpc"))
    answer = await client.ask(1, asking("/say", *fields, method="POST"), b"abc")
    assert (answer.status, answer.body) == (200, b"cba")
    assert answer.trailers == [("grpc-status", "0"), ("pieces", "1")]
    client.close()
    await server.stop()


async def test_who_asks_over_http_1_is_told_no_trailers(behind: Behind) -> None:
    _, node = await behind(echo)
    answer = await asyncio.to_thread(node.get, "/say", (), "POST", body=b"abc")
    assert (answer.status, answer.complete, answer.body) == (200, True, b"cba")
    assert answer.get("grpc-status") == ""


async def still(number: Callable[[], int]) -> int:
    """A number once it has not changed for half a second."""
    async with asyncio.timeout(30):
        while True:
            before = number()
            await asyncio.sleep(0.5)
            if before and number() == before:
                return before


async def test_a_client_that_does_not_read_pauses_the_parents_stream_and_no_other(behind: Behind) -> None:
    async def answer(asked: Asked) -> None:
        await asked.head(200, ("cache-control", "no-store"))
        if asked.get(":path") == "/large":
            for _ in range(SIZE // MIB):
                await asked.send(bytes(MIB))
        await asked.end()

    server, node = await behind(answer)
    pids = [node.pid, *node.pids().values()]

    def resident() -> int:
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids]
        return sum(pages) * 4096

    before = resident()
    slow = await Http2Client.connect(node.http, generous=False)
    slow.send(headers(1, asking("/large")))
    await slow.until(lambda c: 1 in c.answers and len(c.answers[1].body) >= 65_535)
    (asked,) = server.asked
    assert await still(lambda: asked.sent) < SENT_MAX, "the parent was not paused"
    other = await Http2Client.connect(node.http)
    for stream in (1, 3, 5):  # over the same connection to the parent
        assert (await other.ask(stream, asking("/small"))).status == 200
    assert await still(lambda: asked.sent) < SENT_MAX
    assert resident() - before < 48 * MIB
    slow.send(window(0, 1 << 30), window(1, 1 << 30))
    came = slow.answers[1]
    size = 0

    def is_whole(_: Http2Client) -> bool:
        nonlocal size
        size, came.body = size + len(came.body), b""
        return came.is_over

    await slow.until(is_whole, 60)
    assert (size, came.ended, came.reset, asked.sent) == (SIZE, True, None, SIZE)
    slow.close()
    other.close()
