"""A handshake without a task; how real clients fare with it is for test_serving_handshakes."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from serving_stand import force_engine, until
from stands.authority import Authority
from test_serving_client_hello import hello

from edgeproxy.config import Tls
from edgeproxy.serving.handshakes import quiet_handshakes
from edgeproxy.serving.securing import Securing
from edgeproxy.serving.tls import Sources, load

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A socket as it is accepted, and its client."""
    accepted, client = socket.socketpair()
    accepted.setblocking(False)
    yield accepted, client
    accepted.close()
    client.close()


@pytest.fixture(params=["", "fallback", "socket"])
def context(request: Any, tls: Tls, tmp_path: Any) -> ssl.SSLContext:
    contexts = load(Sources(tls, tmp_path), ("http/1.1",), 1_800_000_000.0)
    force_engine(contexts, request.param)
    return contexts.default


class Echo(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())


async def test_a_protocol_is_connected_and_that_is_told_once(
    ends: Ends, context: ssl.SSLContext, authority: Authority
) -> None:
    accepted, client = ends
    told: list[OSError | None] = []

    def talk() -> bytes:
        with authority.client().wrap_socket(client, server_hostname="localhost") as secured:
            secured.sendall(b"word")
            return secured.recv(10)

    Securing(accepted, context, Echo(), 5.0, told.append)
    assert await asyncio.to_thread(talk) == b"WORD"
    assert told == [None]
    await until(lambda: accepted.fileno() < 0)  # its client has left


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", ssl.SSLError),
        (b"", OSError),
        (hello()[:40], OSError),
    ],
    ids=["no TLS", "nothing", "half a hello"],
)
async def test_what_fails_is_told_with_its_reason(
    ends: Ends, context: ssl.SSLContext, sent: bytes, error: type[OSError]
) -> None:
    accepted, client = ends
    told: list[OSError | None] = []
    asyncio.get_running_loop().set_exception_handler(quiet_handshakes)
    Securing(accepted, context, Echo(), 5.0, told.append)
    client.sendall(sent)
    client.shutdown(socket.SHUT_WR)
    await until(lambda: len(told) == 1)
    assert isinstance(told[0], error)


async def test_who_keeps_silent_is_not_waited_for(ends: Ends, context: ssl.SSLContext) -> None:
    accepted, _ = ends
    told: list[OSError | None] = []
    Securing(accepted, context, Echo(), 0.05, told.append)
    await until(lambda: len(told) == 1)
    assert isinstance(told[0], ConnectionAbortedError)


async def test_who_breaks_off_is_told_nothing(ends: Ends, context: ssl.SSLContext) -> None:
    accepted, client = ends
    told: list[OSError | None] = []
    securing = Securing(accepted, context, Echo(), 5.0, told.append)
    securing.cancel()
    await until(lambda: accepted.fileno() < 0)
    assert client.recv(10) == b""
    assert told == []
