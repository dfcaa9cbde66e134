"""A real listener on loopback with a handler chosen by the test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop

from edgeproxy.config import Limits, Listen, Log
from edgeproxy.message import BytesBody, Handler, Headers, Request, Response
from edgeproxy.metrics import Metrics
from edgeproxy.serving.access_log import AccessLog
from edgeproxy.serving.listener import Listeners
from edgeproxy.tasks import Tasks


@pytest.fixture(scope="session")
def event_loop_policy() -> uvloop.EventLoopPolicy:
    return uvloop.EventLoopPolicy()


async def echo(request: Request) -> Response:
    """Says what the handler saw."""
    content = b""
    if request.body is not None:
        async for piece in request.body:
            content += piece
    seen = f"{request.method} {request.authority} {request.target} {request.client}|".encode()
    return Response(200, Headers([("X-Seen", "yes")]), BytesBody(seen + content))


@dataclass
class Served:
    """A started listener, what it reported and counted, and raw clients of it."""

    listeners: Listeners
    bound: list[str]
    metrics: Metrics
    tasks: Tasks
    reports: list[str]
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    log: AccessLog | None = None

    async def connect(self, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.bound[0].rpartition(":")
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), **options)
        self.writers.append(writer)
        return reader, writer

    async def say(self, *pieces: bytes, gap: float = 0.0) -> bytes:
        """Send `pieces` and return all that comes until the server ends the connection."""
        reader, writer = await self.connect()
        for piece in pieces:
            writer.write(piece)
            if gap:
                await asyncio.sleep(gap)
        return await asyncio.wait_for(reader.read(), 10)


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    started: list[Served] = []

    async def start(
        handler: Handler = echo,
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
        sequence: Callable[[], int] = lambda: 0,
        log: Log | None = None,
        **listen: Any,
    ) -> Served:
        reports: list[str] = []
        metrics = Metrics()
        tasks = Tasks(lambda name, error: reports.append(f"{name}: {error!r}"))
        access_log = AccessLog(log or Log(access="off"), metrics)
        access_log.start()
        listeners = Listeners(
            handler,
            Listen(**{"http": ["127.0.0.1:0"], **listen}),
            limits or Limits(drain_timeout=0.2),
            clock=clock,
            sequence=sequence,
            tasks=tasks,
            metrics=metrics,
            access_log=access_log,
            report=reports.append,
        )
        served = Served(listeners, await listeners.start(), metrics, tasks, reports, log=access_log)
        started.append(served)
        return served

    yield start
    for served in started:
        for writer in served.writers:
            writer.close()
        await served.listeners.drain()
        await served.tasks.aclose()
        assert served.log is not None
        served.log.close()


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for a condition that others bring about."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
