"""A whole node under hostile clients of HTTP/2: nothing of theirs reaches the origin, nothing grows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest
from stands.http2_client import (
    CALM,
    CANCEL,
    PING,
    PREFACE,
    Http2Client,
    asking,
    data,
    frame,
    headers,
    reset,
    settings,
    window,
)
from stands.node import Node, eventually
from stands.origin import Origin, echo

StartNode = Callable[..., Node]


def site(origin: Origin) -> list[dict[str, str]]:
    return [{"name": "all", "mount": "/", "origin": origin.url}]


# Each would be another request, or two, once spelled as HTTP/1.1.
SMUGGLED: dict[str, list[tuple[str, str]]] = {
    "line break in a value": asking("/h2", ("x", "y\r\n\r\nGET /stolen HTTP/1.1\r\nHost: a")),
    "line feed in a value": asking("/h2", ("x", "y\nz: a")),
    "line break in a name": asking("/h2", ("x: y\r\nz", "a")),
    "colon in a name": asking("/h2", ("x:", "y")),
    "line break in the path": asking("/h2 HTTP/1.1\r\nX: y"),
    "space in the path": asking("/h2 /stolen"),
    "line break in the method": asking("/h2", method="GET / HTTP/1.1\r\nx: y\r\n\r\nGET"),
    "line break in the authority": asking("/h2", authority="a\r\nx: y"),
    "space in the authority": asking("/h2", authority="a b"),
    "Host beside the authority": asking("/h2", ("host", "b")),
    "transfer-encoding": asking("/h2", ("transfer-encoding", "chunked"), method="POST"),
    "connection": asking("/h2", ("connection", "keep-alive, x-secret")),
    "upgrade": asking("/h2", ("upgrade", "websocket")),
    "te": asking("/h2", ("te", "chunked")),
    "two lengths": asking("/h2", ("content-length", "0"), ("content-length", "5"), method="POST"),
    "length with a sign": asking("/h2", ("content-length", "+0"), method="POST"),
    "length without content": asking("/h2", ("content-length", "5"), method="POST"),
    "path of another form": asking("http://elsewhere/h2"),
    "tunnel": [(":method", "CONNECT"), (":authority", "127.0.0.1:80")],
}


@pytest.mark.parametrize("name", SMUGGLED)
async def test_what_would_be_another_message_over_http_1_never_leaves(
    node: Node, recording: Origin, name: str
) -> None:
    before = len(recording.journal.exchanges)
    client = await Http2Client.connect(node.http)
    answer = await client.ask(1, SMUGGLED[name])
    assert answer.reset is not None or 400 <= answer.status < 500
    assert len(recording.journal.exchanges) == before
    client.close()


async def test_content_of_another_length_than_announced_never_looks_whole_upstream(
    start_node: StartNode, origin: Origin
) -> None:
    origin.paths["/post"] = echo
    node = start_node(site(origin))
    client = await Http2Client.connect(node.http)
    fields = asking("/post", ("content-length", "10"), method="POST")
    client.send(headers(1, fields, ended=False), data(1, b"12345", ended=True))
    assert (await client.answer(1)).reset is not None
    client.send(headers(3, fields, ended=False), data(3, b"1234567890x", ended=True))
    assert (await client.answer(3)).reset is not None
    assert (await client.ask(5, fields, b"1234567890")).status == 200
    client.close()
    assert [e.body for e in origin.journal.exchanges if len(e.body) >= 10] == [b"1234567890"]


async def test_pings_to_a_client_that_does_not_read_are_bounded(
    start_node: StartNode, origin: Origin
) -> None:
    node = start_node(site(origin), {"limits": {"idle_frames": 1 << 30}})
    origin.put("/large", 30_000_000)
    assert node.get("/large").status == 200
    before = node.resident_bytes()
    client = await Http2Client.connect(node.http, generous=False, values=[(4, 1 << 30)], limit=1)
    client.send(window(0, 1 << 30), headers(1, asking("/large")))
    pings = frame(PING, 0, 0, bytes(8)) * 1000
    with contextlib.suppress(OSError, TimeoutError):
        for _ in range(600):  # more than sockets hold, however large they have grown
            client.send(pings)
            await asyncio.wait_for(client.drain(), 2)
    assert node.resident_bytes() - before < 30 << 20
    assert eventually(lambda: node.metric("http2_faults_total", code="enhance_your_calm") == 1)
    client.close()


@pytest.mark.parametrize("by_us", [False, True])
async def test_twenty_thousand_resets_cost_a_hundred_requests(
    start_node: StartNode, origin: Origin, by_us: bool
) -> None:
    origin.put("/slow", 10, delay=0.5)
    node = start_node(site(origin))
    client = await Http2Client.connect(node.http)
    pieces: list[bytes] = []
    for stream in range(1, 40_001, 2):
        end = window(stream, 0) if by_us else reset(stream, CANCEL)
        pieces.append(headers(stream, asking(f"/slow?{stream}")) + end)
    client.send(*pieces)
    assert await client.ended() == CALM
    assert node.get("/alive").status in (200, 404)
    assert len(origin.journal.exchanges) < 250
    assert node.metric("http2_resets_total") < 250


async def test_idle_connections_are_cheap(start_node: StartNode, origin: Origin) -> None:
    node = start_node(site(origin))
    node.get("/missing")
    node.metric("connections")  # who answers that is loaded by now, and all that is loaded later
    before = node.resident_bytes()
    clients = await asyncio.gather(*(Http2Client.connect(node.http) for _ in range(500)))
    for client in clients:
        await client.ponged()
    assert (node.resident_bytes() - before) / len(clients) < 20 << 10
    await asyncio.gather(*(client.gone() for client in clients))
    assert eventually(lambda: node.metric("connections") == 0)


async def test_nobody_is_waited_for_for_ever(start_node: StartNode, origin: Origin) -> None:
    impatient = {"head_timeout": "1s", "body_timeout": "1s", "idle_timeout": "1s"}
    node = start_node(site(origin), {"limits": impatient})

    async def wait(*sent: bytes) -> None:
        reader, writer = await asyncio.open_connection(*node.http)
        writer.write(b"".join(sent))
        with contextlib.suppress(OSError):
            await asyncio.wait_for(reader.read(), 15)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    post = headers(1, asking("/a", method="POST"), ended=False)
    await asyncio.gather(
        wait(PREFACE[:10]),
        wait(PREFACE, b"\0\0\0"),
        wait(PREFACE, settings(), headers(1, asking("/a"))[:20]),
        wait(PREFACE, settings(), post),
        wait(PREFACE, settings(), post, data(1, b"x" * 100)[:50]),
    )
    assert eventually(lambda: node.metric("connections") == 0)
