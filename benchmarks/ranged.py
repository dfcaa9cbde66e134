"""Clients that take a body in parts: several connections, each asking for one range after the other.

Every byte is checked, on the one core of the load; a part that is not right is told with its reason."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from benchmarks import bodies

Result = TypeVar("Result")

_HEAD_MAX = 64 << 10
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)[ \t]*(?=\r\n|$)", re.IGNORECASE)
_RANGE = re.compile(rb"\r\ncontent-range: *bytes ([0-9]+)-([0-9]+)/([0-9]+)[ \t]*(?=\r\n|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes [start, end) of a body; `whole` asks for it without a Range."""

    start: int
    end: int
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """`problem` is why the part is not there whole and right, "" if it is. Seconds are from the request."""

    part: Part
    received: int
    first_byte_seconds: float
    seconds: float
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Fetching:
    """All that came of some clients. `unfinished` parts were still running, or not begun, at the end."""

    fetched: list[Fetched]
    seconds: float
    unfinished: int

    @property
    def problems(self) -> list[str]:
        return [one.problem for one in self.fetched if one.problem]

    @property
    def right_bytes(self) -> int:
        return sum(one.received for one in self.fetched if not one.problem)


class Connection(asyncio.BufferedProtocol):
    """One keep-alive connection. `pace` (bytes a second, 0 for none) is kept by not reading for a while."""

    def __init__(self, target: str, host: str, pace: int = 0) -> None:
        self._target, self._path, self._host = target, bodies.within(target), host
        self._pace = pace
        self._buffer = memoryview(bytearray(256 << 10 if not pace else 32 << 10))
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[Fetched] | None = None
        self.is_open = False
        self._wrong, self.received, self.first_byte_seconds = "", 0, 0.0

    @property
    def is_wrong(self) -> bool:
        """Whether a byte of the running answer was not right."""
        return bool(self._wrong)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by isinstance
        self.is_open = True

    def ask(self, part: Part) -> asyncio.Future[Fetched]:
        """The part, right or not; nothing is raised. One at a time."""
        self._part, self._head, self.received, self.first_byte_seconds = part, b"", 0, 0.0
        self._in_body, self._wrong = False, ""
        self._done = self._loop.create_future()
        self._begun = time.perf_counter()
        field = "" if part.whole else f"Range: bytes={part.start}-{part.end - 1}\r\n"
        self._transport.write(f"GET {self._target} HTTP/1.1\r\nHost: {self._host}\r\n{field}\r\n".encode())
        return self._done

    def given_up(self, problem: str) -> Fetched:
        """What the running answer is so far."""
        seconds = time.perf_counter() - self._begun
        return Fetched(self._part, self.received, self.first_byte_seconds or seconds, seconds, problem)

    def close(self) -> None:
        if self.is_open:
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        view = self._buffer[:count]
        if not self._in_body:
            self._head += bytes(view)
            head, found, rest = self._head.partition(b"\r\n\r\n")
            if not found:
                if len(self._head) > _HEAD_MAX:
                    self._end("a head without end")
                return
            if problem := _wrong_head(head, self._part):
                self._end(problem)
                return
            self._in_body, view = True, memoryview(rest)
        if view:
            self._take(view)

    def _take(self, view: memoryview) -> None:
        self.first_byte_seconds = self.first_byte_seconds or time.perf_counter() - self._begun
        position = self._part.start + self.received
        if not self._wrong and not bodies.matches(self._path, position, view):
            # Read on: a wrong body that is cut off before its end is no whole one.
            self._wrong = f"wrong bytes within {len(view)} from {position}"
        self.received += len(view)
        left = self._part.end - self._part.start - self.received
        if left <= 0:
            self._end("wrong: more than was asked for" if left else self._wrong)
        elif self._pace:
            early = self._begun + self.received / self._pace - time.perf_counter()
            if early > 0:
                self._transport.pause_reading()
                self._loop.call_later(early, self._resume)

    def _resume(self) -> None:
        if self.is_open:
            self._transport.resume_reading()

    def _end(self, problem: str) -> None:
        if self._done and not self._done.done():
            self._done.set_result(self.given_up(problem))
        if problem:
            self.close()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        if self._done and not self._done.done():
            self._end(f"cut off after {self.received} bytes" if self._in_body else "no answer")


def _wrong_head(head: bytes, part: Part) -> str:
    """Why this head does not announce the part, "" if it does."""
    expected = b"200" if part.whole else b"206"
    status = head[9:12]
    if status != expected:
        return f"status {status.decode('ascii', 'replace')} instead of {expected.decode()}"
    if not part.whole:
        found = _RANGE.search(head)
        if not found or (int(found[1]), int(found[2])) != (part.start, part.end - 1):
            return f"Content-Range {found[0].decode() if found else 'missing'}"
    length = _LENGTH.search(head)
    if not length:
        return "no Content-Length"
    if int(length[1]) != part.end - part.start:
        return f"Content-Length {int(length[1])} instead of {part.end - part.start}"
    return ""


async def connect(url: str, target: str, pace: int = 0) -> Connection:
    """A connection, within ten seconds. Raises OSError (TimeoutError is one)."""
    address = urlsplit(url)
    assert address.hostname
    assert address.port
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        _, connection = await loop.create_connection(
            lambda: Connection(target, address.netloc, pace), address.hostname, address.port
        )
    return connection


async def _client(url: str, target: str, parts: Iterator[Part], fetched: list[Fetched]) -> None:
    connection = await connect(url, target)
    try:
        for part in parts:
            if not connection.is_open:
                connection = await connect(url, target)
            fetched.append(await connection.ask(part))
    except asyncio.CancelledError:
        if connection.is_wrong:
            fetched.append(connection.given_up("no end, after wrong bytes"))
        raise
    finally:
        connection.close()


async def fetch_parts(
    url: str, target: str, queues: Sequence[Iterator[Part]], count: int, seconds_max: float
) -> Fetching:
    """One client for each queue (they may share one); `count` is how many parts there are in all."""
    fetched: list[Fetched] = []
    begun = time.perf_counter()
    clients = [asyncio.ensure_future(_client(url, target, queue, fetched)) for queue in queues]
    await asyncio.wait(clients, timeout=seconds_max)
    seconds = time.perf_counter() - begun
    for client in clients:
        client.cancel()
    fetched.extend(
        Fetched(Part(0, 0), 0, 0.0, 0.0, f"{type(ended).__name__}: {ended}")
        for ended in await asyncio.gather(*clients, return_exceptions=True)
        if isinstance(ended, OSError)
    )
    return Fetching(fetched, seconds, max(0, count - len(fetched)))


def apart(size: int, part_bytes: int) -> list[Part]:
    """A body in consecutive parts."""
    return [Part(at, min(size, at + part_bytes)) for at in range(0, size, part_bytes)]


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """asyncio.run, on the faster loop where it is installed."""
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.run(main)
    return asyncio.run(main)
