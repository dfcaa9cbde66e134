"""The first bytes of an accepted socket, looked at while they stay in the kernel.

What belongs to a PROXY header is taken out; the ClientHello after it is only looked at, and the TLS library
reads it from the socket again. So nothing that came before a handshake can end up behind it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TypeAlias

from edgeproxy.serving.client_hello import HELLO_BYTES_MAX, ClientHello, NotTls, parse_client_hello
from edgeproxy.serving.proxy_protocol import ProxyHeaderError, parse_proxy_header

_PAUSE_SECONDS = 0.001  # a message in two packets: the second one is on its way
_PAUSE_SECONDS_MAX = 0.1
_PROXY_BYTES_MAX = 4 << 10
HEAD_BYTES_MAX = 16 << 10

# What came first: a ClientHello, or why there is none. TimeoutError is an OSError.
Said: TypeAlias = ClientHello | NotTls | OSError


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


class HelloWatch:
    """Waits, without a task and for at most `seconds`, for the ClientHello that comes first, and leaves it
    where it is. `told` is told once: of the hello, of NotTls, of TimeoutError, or of another OSError if the
    other side leaves. It answers whether somebody else watches the socket from there on: a watch that is
    replaced (loop.add_reader) costs nothing, and one that ends and begins anew a good part of what else a
    connection takes. It begins with `look` where the first bytes may be here, else with `watch`."""

    __slots__ = ("_connection", "_is_watching", "_loop", "_number", "_pause", "_retry", "_timer", "_told")

    def __init__(self, connection: socket.socket, seconds: float, told: Callable[[Said], bool]) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._number = connection.fileno()
        self._told: Callable[[Said], bool] | None = told
        self._pause = _PAUSE_SECONDS
        self._retry: asyncio.TimerHandle | None = None
        self._is_watching = False
        self._timer = self._loop.call_later(seconds, self._late)

    def watch(self) -> None:
        if not self._is_watching:
            self._is_watching = True
            self._loop.add_reader(self._number, self.look)

    def look(self) -> None:
        if self._told is None:
            return  # over, and its successor has not replaced it yet
        try:
            seen = self._connection.recv(HELLO_BYTES_MAX, socket.MSG_PEEK)
            hello = parse_client_hello(seen)
        except (BlockingIOError, InterruptedError):
            self.watch()
        except (OSError, NotTls) as error:
            self._fail(error)
        else:
            if hello is not None:
                told = self._end()
                if not told(hello) and self._is_watching:
                    self._loop.remove_reader(self._number)
            elif not seen:
                self._fail(ConnectionResetError("the other side left"))
            else:  # what is there already keeps the socket readable, so watching it would be spinning
                self._unwatch()
                self._retry = self._loop.call_later(self._pause, self.look)
                self._pause = min(2 * self._pause, _PAUSE_SECONDS_MAX)

    def _late(self) -> None:
        self._fail(TimeoutError())

    def _fail(self, error: NotTls | OSError) -> None:
        told = self._end()
        self._unwatch()
        told(error)

    def _end(self) -> Callable[[Said], bool]:
        told, self._told = self._told, None
        assert told is not None
        self._timer.cancel()
        if self._retry is not None:
            self._retry.cancel()
        return told

    def _unwatch(self) -> None:
        if self._is_watching:
            self._is_watching = False
            self._loop.remove_reader(self._number)

    def cancel(self) -> None:
        """Nothing is told any more."""
        self._end()
        self._unwatch()


def close_watched(connection: socket.socket) -> None:
    """Close a socket that may still be watched: the loop must not know a number that others get."""
    number = connection.fileno()
    if number >= 0:
        asyncio.get_running_loop().remove_reader(number)
        connection.close()


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


def hello_now(connection: socket.socket) -> ClientHello | None:
    """The ClientHello, if it has come first and is whole, left where it is."""
    try:
        return parse_client_hello(look_now(connection, HELLO_BYTES_MAX))
    except NotTls:
        return None


def has_hello(connection: socket.socket) -> bool:
    """Whether a whole ClientHello has come first."""
    return hello_now(connection) is not None


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
