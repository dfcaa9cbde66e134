"""Connections that leave the server; where they lead is for test_journey_proxy and its like."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import pytest
from serving_stand import Serve
from stands.authority import Authority, trusting

from edgeproxy.config import Tls
from edgeproxy.message import BytesBody, CacheOutcome, Headers, Outcome, Request, Response
from edgeproxy.serving.service import Reset, Service

CONNECT = b"CONNECT %s HTTP/1.1\r\nHost: x\r\n\r\n"


class Far:
    """Takes every CONNECT, but for those to refused.example; at once those to near.example."""

    head = b"HTTP/1.1 200 There\r\n\r\n"
    upgrades = None

    def __init__(self) -> None:
        self.taken: asyncio.Queue[tuple[socket.socket, bytes]] = asyncio.Queue()

    def at_once(self, service: Service, request: Request) -> Any:
        return self if request.authority.startswith("near.") else None

    async def reach(self, service: Service, request: Request) -> Any:
        if request.authority.startswith("refused."):
            return Response(403, Headers(), BytesBody(b"no\n"), Outcome(CacheOutcome.REFUSED), close=True)
        return self

    def take(self, connected: socket.socket, early: bytes, resets: Reset | None = None) -> None:
        connected.setblocking(False)
        self.taken.put_nowait((connected, early))

    def drop(self) -> None:
        raise AssertionError


@pytest.mark.parametrize("host_asked", [b"far.example:443", b"near.example:443"])
@pytest.mark.parametrize("secured", [False, True])
async def test_bytes_go_both_ways_and_those_sent_early_are_not_lost(
    serve: Serve, tls: Tls, authority: Authority, secured: bool, host_asked: bytes
) -> None:
    far, loop = Far(), asyncio.get_running_loop()
    served = await serve(connects=far, tls=tls, https=["127.0.0.1:0"])
    options: dict[str, Any] = {}
    host, port = served.secure_address if secured else ("127.0.0.1", int(served.bound[0].rpartition(":")[2]))
    if secured:
        context: ssl.SSLContext = trusting(authority.file)
        options = {"ssl": context, "server_hostname": "localhost"}
    reader, writer = await asyncio.open_connection(host, port, **options)
    writer.write(CONNECT % host_asked + b"early")
    connected, early = await far.taken.get()
    got = early
    while got != b"early":
        got += await loop.sock_recv(connected, 100)
    assert await reader.readuntil(b"\r\n\r\n") == Far.head
    await loop.sock_sendall(connected, b"down" * 100_000)
    assert await reader.readexactly(400_000) == b"down" * 100_000
    writer.write(b"up")
    assert await loop.sock_recv(connected, 100) == b"up"
    connected.close()
    assert await reader.read() == b""
    writer.close()


async def test_a_refusal_is_the_end(serve: Serve) -> None:
    served = await serve(connects=Far())
    told = await served.say(CONNECT % b"refused.example:1")
    assert told.startswith(b"HTTP/1.1 403 ")
    assert told.endswith(b"\r\n\r\nno\n")
