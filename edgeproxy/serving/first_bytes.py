"""The first bytes of an accepted socket, looked at while they stay in the kernel.

What belongs to a PROXY header is taken out; the ClientHello after it is only looked at, and the TLS library
reads it from the socket again. So nothing that came before a handshake can end up behind it."""

from __future__ import annotations

import asyncio
import socket

from edgeproxy.serving.client_hello import HELLO_BYTES_MAX, ClientHello, NotTls, parse_client_hello
from edgeproxy.serving.proxy_protocol import ProxyHeaderError, parse_proxy_header

_PAUSE_SECONDS = 0.001  # a message in two packets: the second one is on its way
_PAUSE_SECONDS_MAX = 0.1
_PROXY_BYTES_MAX = 4 << 10
HEAD_BYTES_MAX = 16 << 10


async def take_proxy_header(connection: socket.socket) -> str:
    """Take a PROXY header off; the client's address it tells, "" if it tells none. Raises
    ProxyHeaderError, ConnectionError if the other side leaves."""
    taken = b""
    while True:
        seen = await _look(connection, _PROXY_BYTES_MAX)
        header = parse_proxy_header(taken + seen)
        # What is not whole yet belongs to the header as far as it goes.
        count = len(seen) if header is None else header.size - len(taken)
        taken += connection.recv(count)
        if header is not None:
            return header.client or ""
        if len(taken) >= _PROXY_BYTES_MAX:
            raise ProxyHeaderError("a PROXY protocol header too long")


async def look_at_hello(connection: socket.socket) -> ClientHello:
    """The ClientHello that comes first. Raises NotTls, ConnectionError if the other side leaves."""
    pause = _PAUSE_SECONDS
    while True:
        hello = parse_client_hello(await _look(connection, HELLO_BYTES_MAX))
        if hello is not None:
            return hello
        # What is there already keeps the socket readable, so waiting for that would be spinning.
        await asyncio.sleep(pause)
        pause = min(2 * pause, _PAUSE_SECONDS_MAX)


async def look_at_head(connection: socket.socket) -> bytes:
    """The first bytes, up to the end of a request head if there is one among the first HEAD_BYTES_MAX. Raises
    ConnectionError if the other side leaves."""
    pause = _PAUSE_SECONDS
    while True:
        seen = await _look(connection, HEAD_BYTES_MAX)
        end = seen.find(b"\r\n\r\n")
        if end >= 0 or len(seen) >= HEAD_BYTES_MAX or not seen[:1].isalpha():
            return seen if end < 0 else seen[: end + 4]
        await asyncio.sleep(pause)
        pause = min(2 * pause, _PAUSE_SECONDS_MAX)


def has_hello(connection: socket.socket) -> bool:
    """Whether a whole ClientHello has come first."""
    try:
        return parse_client_hello(look_now(connection, HELLO_BYTES_MAX)) is not None
    except NotTls:
        return False


def look_now(connection: socket.socket, most: int) -> bytes:
    """What is there already, left where it is; b"" too if the other side has left."""
    try:
        return connection.recv(most, socket.MSG_PEEK)
    except OSError:
        return b""


async def _look(connection: socket.socket, most: int) -> bytes:
    """At least one byte, left where it is."""
    while True:
        try:
            seen = connection.recv(most, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            await _readable(connection)
            continue
        if not seen:
            raise ConnectionResetError("the other side left")
        return seen


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def ready() -> None:
        if not waiter.done():
            waiter.set_result(None)

    loop.add_reader(connection.fileno(), ready)
    try:
        await waiter
    finally:
        loop.remove_reader(connection.fileno())
