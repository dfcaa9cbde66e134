"""A raw HTTP/1.1 server in its own thread, for tests.

It reads requests as simply as possible: a head up to the blank line, then as many bytes of content
as Content-Length or chunks say. Whatever follows counts as a further request, so that anything
smuggled through a node shows up as an exchange nobody asked for."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from stands.ports import reserve


@dataclass(slots=True)
class Exchange:
    """One request as received, and how much of an answer left. Times are of the monotonic clock."""

    method: str
    target: str
    head: bytes
    fields: list[tuple[str, str]]  # names in lower case
    connection: int
    started: float
    body: bytes = b""
    sent: int = 0
    ended: float = 0.0

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]

    def get(self, name: str, default: str = "") -> str:
        return next(iter(self.all(name)), default)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


class Finished(Exception):
    """The connection has ended, on purpose or because the other side went away."""


class Wire:
    """The sending side of one exchange."""

    def __init__(
        self, exchange: Exchange, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.exchange = exchange
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            self.exchange.sent += len(data)
            await self._writer.drain()
        except OSError as error:
            raise Finished from error

    async def close(self) -> None:
        """End the connection with a FIN."""
        self._writer.close()
        raise Finished

    async def reset(self) -> None:
        """End the connection with an RST."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        raise Finished

    async def until_gone(self) -> None:
        """Say nothing more until the other side goes away."""
        with contextlib.suppress(OSError):
            while await self._reader.read(65536):
                pass
        await self.close()


Answer = Callable[[Exchange, Wire], Awaitable[None]]


async def not_found(_: Exchange, wire: Wire) -> None:
    await wire.send(b"HTTP/1.1 404 Not Found\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n")


async def _read_chunked(reader: asyncio.StreamReader) -> bytes:
    content = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        if size == 0:
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass
            return content
        content += await reader.readexactly(size)
        await reader.readexactly(2)


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Exchange:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    method, _, rest = lines[0].partition(" ")
    pairs = [line.partition(":") for line in lines[1:] if line]
    fields = [(name.lower(), value.strip(" \t")) for name, _, value in pairs]
    target = rest.rpartition(" ")[0]
    return Exchange(method, target, head, fields, connection, time.monotonic())


async def _read_content(exchange: Exchange, reader: asyncio.StreamReader) -> bytes:
    if exchange.get("transfer-encoding"):
        return await _read_chunked(reader)
    return await reader.readexactly(int(exchange.get("content-length", "0")))


@dataclass(slots=True)
class Journal:
    """What a server received: exchanges in order of their heads, bytes by connection."""

    exchanges: list[Exchange] = field(default_factory=list)
    malformed: list[bytes] = field(default_factory=list)
    connections: int = 0

    def to(self, path: str, method: str | None = None) -> list[Exchange]:
        """Exchanges whose path is `path`, of one method if it is named."""
        return [e for e in list(self.exchanges) if e.path == path and method in (None, e.method)]

    def count(self, path: str, method: str | None = None) -> int:
        return len(self.to(path, method))

    def sent(self, path: str) -> int:
        """Bytes sent for `path`, heads included."""
        return sum(exchange.sent for exchange in self.to(path))

    def at_once(self, path: str) -> int:
        """The most exchanges for `path` that ran at the same time."""
        events = [(e.started, 1) for e in self.to(path)] + [(e.ended, -1) for e in self.to(path) if e.ended]
        running = most = 0
        for _, step in sorted(events):
            running += step
            most = max(most, running)
        return most

    def targets(self, since: int = 0) -> list[tuple[str, str]]:
        return [(e.method, e.target) for e in self.exchanges[since:]]


class WireServer:
    """Accepts on `host` until `stop`; `answer` is called for every request in turn."""

    def __init__(self, answer: Answer, host: str = "127.0.0.1") -> None:
        self.answer = answer
        self.host = host
        self.journal = Journal()
        self.port = reserve(host)
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.open()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def open(self) -> None:
        """Listen, always at the same port."""
        self._call(self._open())

    def close(self) -> None:
        """Refuse new connections and break those that are open."""
        self._call(self._close())

    def stop(self) -> None:
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _call(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            await work

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(20)

    async def _open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(
                self._accepted, self.host, self.port, limit=1 << 20, backlog=4096
            )

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (Finished, OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort() if writer.is_closing() is False else writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.journal.connections += 1
        connection = self.journal.connections
        while True:
            try:
                exchange = await _read_request(reader, connection)
            except asyncio.IncompleteReadError as error:
                if error.partial:
                    self.journal.malformed.append(error.partial)
                writer.close()
                return
            self.journal.exchanges.append(exchange)
            try:
                exchange.body = await _read_content(exchange, reader)
                await self.answer(exchange, Wire(exchange, reader, writer))
            except (ValueError, asyncio.IncompleteReadError):
                self.journal.malformed.append(exchange.head)
                writer.close()
                return
            finally:
                exchange.ended = time.monotonic()
