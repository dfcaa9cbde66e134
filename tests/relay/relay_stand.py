"""Both ends of a relay in one loop: a filler's listener with a handler chosen by the test, and a server's
Relay that asks it over a real socket."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeproxy.message import FileSlice, Handler, Headers, KeptFile, Part, Request, Response
from edgeproxy.metrics import Metrics
from edgeproxy.policy.timed_fields import TimedFields
from edgeproxy.relay.handler import Channels, Relay
from edgeproxy.relay.listener import RelayListener
from edgeproxy.relay.marks import Marks
from edgeproxy.relay.recall import Recall
from edgeproxy.relay.table import SharedTable
from edgeproxy.tasks import Tasks

NOW = 1_000_000.0


@dataclass
class Stand:
    path: str
    listener: RelayListener
    relay: Relay
    table: SharedTable
    marks: Marks
    recall: Recall
    metrics: Metrics
    tasks: Tasks
    reports: list[str] = field(default_factory=list)

    async def get(self, target: str = "/", **options: Any) -> Response:
        return await self.relay(Request("GET", target, **options))

    async def aclose(self) -> None:
        self.relay.channels.aclose()
        await self.listener.drain(1.0)
        await self.tasks.aclose()


def listening_at(path: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(64)
    return listening


def stand(
    directory: Path, handler: Handler, *, recall_bytes: int = 1 << 20, **listener_options: Any
) -> Stand:
    reports: list[str] = []
    metrics, table = Metrics(), SharedTable(16)
    tasks = Tasks(lambda name, error: reports.append(f"{name}: {error!r}"))
    marks = Marks(table)
    path = str(directory / "filler")
    listener = RelayListener(
        handler,
        listening_at(path),
        marks=marks,
        tasks=tasks,
        metrics=metrics,
        clock=lambda: NOW,
        report=reports.append,
        **listener_options,
    )
    listener.start()
    recall = Recall(table, recall_bytes)
    relay = Relay(Channels(path), tasks, recall)
    return Stand(path, listener, relay, table, marks, recall, metrics, tasks, reports)


@dataclass
class Body:
    """A message.Body of given parts; what it raises at the end, and how far it was walked."""

    given: Sequence[Part]
    length: int | None = None
    error: Exception | None = None
    walked: int = 0
    closed: int = 0

    async def parts(self) -> AsyncIterator[Part]:
        for part in self.given:
            self.walked += 1
            yield part
        if self.error is not None:
            raise self.error

    async def aclose(self) -> None:
        self.closed += 1


@dataclass
class Content:
    """A message.RequestBody."""

    pieces: Sequence[bytes]
    error: Exception | None = None
    read: int = 0

    @property
    def length(self) -> int | None:
        return None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.read += 1
            yield piece
        if self.error is not None:
            raise self.error


@dataclass
class HeldCopy:
    """A message.Held."""

    fresh_until: float = NOW + 100
    sequence: int = 0
    retired: Callable[[], None] | None = None

    def retire(self) -> None:
        self.fresh_until = 0.0
        if self.retired is not None:
            self.retired()


@dataclass
class Repeats:
    """A message.Reuse with fields that do not change."""

    held: HeldCopy
    data: bytes
    source: HeldCopy | None = None
    uses: int = 0
    is_timed: bool = True
    file: KeptFile | None = None

    @property
    def size(self) -> int:
        return len(self.data)

    def fields(self, now: float) -> Headers:
        return Headers((("X-A", "b"),))

    def timed(self, now: float, *, is_proven: bool = False) -> TimedFields | None:
        return TimedFields(self.fields(now).pairs, ()) if self.is_timed else None

    def used(self) -> None:
        self.uses += 1


def content_of(part: Part) -> bytes:
    if isinstance(part, FileSlice):
        return os.pread(part.file.fileno(), part.length, part.offset)
    return bytes(part)


async def read(response: Response) -> bytes:
    """All of a body, closed afterwards."""
    try:
        return b"".join([content_of(part) async for part in response.body.parts()])
    finally:
        await response.body.aclose()


async def until(question: Callable[[], bool], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not question():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


Answer = Callable[[Request], Awaitable[Response]]
