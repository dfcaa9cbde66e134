"""A real listener on loopback with a handler chosen by the test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from edgeproxy.message import BytesBody, Headers, Request, Response
from edgeproxy.metrics import Metrics
from edgeproxy.serving.access_log import AccessLog
from edgeproxy.serving.listener import Listeners
from edgeproxy.tasks import Tasks


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


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for a condition that others bring about."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition belongs to others
            await asyncio.sleep(0.005)
