"""Connections at a listener whose clients begin with CONNECT."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from serving_stand import Serve, Served, until

from edgeproxy.config import Limits
from edgeproxy.message import BytesBody, CacheOutcome, Headers, Outcome, Request, Response
from edgeproxy.serving import newcomer
from edgeproxy.serving.service import Reset, Service

NEAR = b"CONNECT near.example:443 HTTP/1.1\r\nHost: x\r\n\r\n"
FAR = NEAR.replace(b"near.", b"far.")
GET = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
ESTABLISHED = b"HTTP/1.1 200 There\r\n\r\n"


class Near:
    """Answers a CONNECT to near.example at once, and refuses all others when it is asked."""

    head = ESTABLISHED
    upgrades = None

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.early: list[bytes] = []
        self.served: Served | None = None

    def at_once(self, service: Service, request: Request) -> Any:
        self.asked.append(f"{request.client} {request.authority}")
        self.gave_up = service.gave_up
        return self if request.authority == "near.example:443" else None

    async def reach(self, service: Service, request: Request) -> Response:
        return Response(403, Headers(), BytesBody(b"no\n"), Outcome(CacheOutcome.REFUSED), close=True)

    def take(self, connected: socket.socket, early: bytes, resets: Reset | None = None) -> None:
        """Says back what comes."""
        loop = asyncio.get_running_loop()
        self.early.append(early)
        self.gave_up("127.0.0.1")

        def back() -> None:
            if data := connected.recv(100):
                connected.send(data)
            else:
                loop.remove_reader(connected.fileno())
                connected.close()

        connected.setblocking(False)
        loop.add_reader(connected.fileno(), back)

    def drop(self) -> None:
        raise AssertionError


@pytest.fixture
async def near(serve: Serve) -> Near:
    """One whose listener expects CONNECT: the first connection of it was one."""
    made = Near()
    made.served = await serve(connects=made)
    assert await through(made, NEAR) == ESTABLISHED + b"word"
    return made


async def through(near: Near, *pieces: bytes) -> bytes:
    """What comes for a CONNECT and for a word behind it."""
    assert near.served is not None
    reader, writer = await near.served.connect()
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0.01)
    told = await reader.readuntil(b"\r\n\r\n")
    writer.write(b"word")
    told += await reader.readexactly(4)
    writer.close()
    return told


def is_expected(near: Near) -> bool:
    assert near.served is not None
    return near.served.listeners._services[-1].expects_connect


async def test_a_connect_is_answered_where_the_socket_stands(near: Near) -> None:
    assert near.served is not None
    opened = near.served.metrics.value("connections_total")
    assert is_expected(near)
    for _ in range(3):
        assert await through(near, NEAR) == ESTABLISHED + b"word"
        assert near.served.listeners.connections == 0
    assert near.asked == ["127.0.0.1 near.example:443"] * 4
    assert near.early == [b""] * 4
    assert near.served.metrics.value("connections_total") == opened + 3


@pytest.mark.parametrize("pieces", [(NEAR[:20], NEAR[20:]), (NEAR[:-2], NEAR[-2:])])
async def test_one_in_pieces_is_read_like_any_other(near: Near, pieces: tuple[bytes, ...]) -> None:
    assert await through(near, *pieces) == ESTABLISHED + b"word"


async def test_what_is_sent_early_is_told_as_early(near: Near) -> None:
    assert near.served is not None
    reader, writer = await near.served.connect()
    writer.write(NEAR + b"early")
    assert await reader.readuntil(b"\r\n\r\n") == ESTABLISHED
    assert near.early == [b"", b"early"]
    writer.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [(GET, 200), (FAR, 403), (b"CONNECT near.example HTTP/1.1\r\n\r\n", 400), (b"\x16\x03\x01\r\n\r\n", 400)],
    ids=["a request", "another host", "malformed", "no HTTP"],
)
async def test_anything_else_is_answered_as_ever_and_no_connect_is_expected_then(
    near: Near, sent: bytes, status: int
) -> None:
    assert near.served is not None
    answer = await near.served.say(sent)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert not is_expected(near)
    assert await through(near, NEAR) == ESTABLISHED + b"word"
    assert is_expected(near)


async def test_who_says_nothing_is_soon_like_any_other_that_is_idle(near: Near) -> None:
    assert near.served is not None
    _, writer = await near.served.connect()
    await until(lambda: near.served is not None and near.served.listeners.connections == 1)
    writer.close()
    await until(lambda: near.served is not None and near.served.listeners.connections == 0)


async def test_who_leaves_without_a_word_is_forgotten(near: Near) -> None:
    assert near.served is not None
    _, writer = await near.served.connect()
    writer.close()
    door = near.served.listeners._door
    await until(lambda: not door.entering and not door.connections)


async def test_who_has_said_nothing_sees_the_end_when_the_node_drains(near: Near) -> None:
    assert near.served is not None
    entering = near.served.metrics.value("connections_total") + 1
    reader, _ = await near.served.connect()
    await until(
        lambda: near.served is not None and near.served.metrics.value("connections_total") == entering
    )
    await near.served.listeners.drain()
    assert await asyncio.wait_for(reader.read(), 5) == b""


async def test_heads_are_understood_anew_under_other_limits(near: Near) -> None:
    assert near.served is not None
    assert await through(near, NEAR) == ESTABLISHED + b"word"
    near.served.listeners.limit(Limits(uri=10, drain_timeout=0.2))
    assert (await near.served.say(NEAR)).startswith(b"HTTP/1.1 414 ")


async def test_the_heads_that_are_kept_are_bounded(near: Near, monkeypatch: pytest.MonkeyPatch) -> None:
    assert near.served is not None
    monkeypatch.setattr(newcomer, "_HEADS_MAX", 4)
    for number in range(9):
        assert await through(near, NEAR.replace(b"Host: x", b"Host: x%d" % number)) == ESTABLISHED + b"word"
    kept = [service.connect_heads for service in near.served.listeners._services]
    assert 0 < max(map(len, kept)) <= 4
