"""CONNECT on streams: what becomes of it is for test_journey_proxy_secured."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from serving_stand import Serve
from stands.http2_client import Http2Client, data, headers, reset, window

from edgeproxy.config import Limits
from edgeproxy.message import BytesBody, CacheOutcome, Headers, Outcome, Request, Response
from edgeproxy.serving.service import Reset, Service

ASKED = [(":method", "CONNECT"), (":authority", "far.example:443")]


class Far:
    """Takes every CONNECT, but for those to refused.example."""

    head = b""
    upgrades = None

    def __init__(self) -> None:
        self.taken: asyncio.Queue[tuple[socket.socket, Reset | None]] = asyncio.Queue()
        self.service: Service | None = None
        self.dropped = 0

    async def reach(self, service: Service, request: Request) -> Any:
        self.service = service
        if request.authority.startswith("refused."):
            return Response(
                407, Headers((("X-Why", "no"),)), BytesBody(b"no\n"), Outcome(CacheOutcome.REFUSED)
            )
        return self

    def take(self, connected: socket.socket, early: bytes, resets: Reset | None = None) -> None:
        connected.setblocking(False)
        self.taken.put_nowait((connected, resets))

    def drop(self) -> None:
        self.dropped += 1


@pytest.fixture
async def opened(serve: Serve) -> tuple[Far, Http2Client]:
    far = Far()
    served = await serve(connects=far)
    client = await served.http2(generous=False)
    return far, client


async def test_frames_are_bytes_and_each_end_is_its_own(opened: Any) -> None:
    far, client = opened
    loop = asyncio.get_running_loop()
    client.send(headers(1, ASKED, ended=False), data(1, b"up"))
    connected, resets = await far.taken.get()
    assert resets is not None
    assert await loop.sock_recv(connected, 10) == b"up"
    connected.send(b"down")
    await client.until(lambda one: 1 in one.answers and one.answers[1].body == b"down")
    assert client.answers[1].status == 200
    connected.shutdown(socket.SHUT_WR)
    await client.until(lambda one: one.answers[1].ended)
    client.send(data(1, b"more", ended=True))
    assert await loop.sock_recv(connected, 10) == b"more"
    assert await loop.sock_recv(connected, 10) == b""
    connected.close()
    await client.ponged()
    assert client.answers[1].reset is None


async def test_a_refusal_is_an_answer(opened: Any) -> None:
    _, client = opened
    client.send(headers(1, [(":method", "CONNECT"), (":authority", "refused.example:1")], ended=False))
    answer = await client.answer(1)
    assert (answer.status, answer.get("x-why"), answer.body) == (407, "no", b"no\n")


async def test_resets_are_told_in_both_directions(opened: Any) -> None:
    far, client = opened
    client.send(headers(1, ASKED, ended=False))
    connected, resets = await far.taken.get()
    told: list[str] = []
    resets.abort = told.append
    client.send(reset(1))
    await client.ponged()
    assert told
    connected.close()
    client.send(headers(3, ASKED, ended=False))
    connected, resets = await far.taken.get()
    resets.reset()
    connected.close()
    assert (await client.answer(3)).reset == 10


async def test_more_than_the_client_takes_is_not_read(opened: Any) -> None:
    far, client = opened
    client.send(headers(1, ASKED, ended=False))
    connected, _ = await far.taken.get()
    writing = asyncio.ensure_future(asyncio.get_running_loop().sock_sendall(connected, bytes(4 << 20)))
    await client.until(lambda one: 1 in one.answers and len(one.answers[1].body) == 65535)
    await client.ponged()
    assert not writing.done()
    client.send(window(0, 8 << 20), window(1, 8 << 20))
    await client.until(lambda one: len(one.answers[1].body) == 4 << 20)
    await writing
    connected.close()
    assert (await client.answer(1)).ended


async def test_many_small_pieces_are_no_attack(serve: Serve) -> None:
    """Each is answered with frames that widen windows."""
    far = Far()
    served = await serve(connects=far, limits=Limits(idle_frames=100))
    client = await served.http2()
    client.send(headers(1, ASKED, ended=False))
    connected, _ = await far.taken.get()
    loop = asyncio.get_running_loop()
    for number in range(1, 300):
        await loop.sock_sendall(connected, b"x")
        await client.until(lambda one: 1 in one.answers and len(one.answers[1].body) == number)  # noqa: B023
    connected.close()
    assert (await client.answer(1)).ended
    assert client.goaways == []


async def test_where_there_is_no_room_it_says_so(opened: Any) -> None:
    far, client = opened
    client.send(headers(1, ASKED, ended=False))
    connected, _ = await far.taken.get()
    far.service.admit = lambda _peer, _descriptor: "connections"
    client.send(headers(3, ASKED, ended=False))
    assert (await client.answer(3)).status == 503
    assert far.dropped == 1
    connected.close()
    await client.answer(1)


async def test_where_nobody_answers_connect_it_is_refused(serve: Serve) -> None:
    served = await serve()
    client = await served.http2()
    assert (await client.ask(1, ASKED)).status == 405
