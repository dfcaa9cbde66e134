"""A real listener on loopback with a handler chosen by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from stands.http2_client import Http2Client

from edgeproxy.config import Limits, Log
from edgeproxy.message import BytesBody, Headers, Part, Request, Response
from edgeproxy.metrics import Metrics
from edgeproxy.serving.access_log import AccessLog
from edgeproxy.serving.client_address import Networks
from edgeproxy.serving.listener import Listeners
from edgeproxy.serving.log_line import LogEntry
from edgeproxy.serving.service import Service
from edgeproxy.serving.tls import Contexts
from edgeproxy.serving.tls_watch import TlsWatch
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
    secured: list[str] = field(default_factory=list)
    watch: TlsWatch | None = None

    @property
    def secure_address(self) -> tuple[str, int]:
        host, _, port = self.secured[0].rpartition(":")
        return host, int(port)

    def failures(self, reason: str) -> int:
        """TLS handshakes that failed for `reason`."""
        return self.metrics.value("tls_handshake_failures_total", reason)

    async def connect(self, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.bound[0].rpartition(":")
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), **options)
        self.writers.append(writer)
        return reader, writer

    async def http2(self, **options: Any) -> Http2Client:
        host, _, port = self.bound[0].rpartition(":")
        client = await Http2Client.connect((host.strip("[]"), int(port)), **options)
        self.writers.append(client.writer)
        return client

    async def say(self, *pieces: bytes, gap: float = 0.0) -> bytes:
        """Send `pieces` and return all that comes until the server ends the connection."""
        reader, writer = await self.connect()
        for piece in pieces:
            writer.write(piece)
            if gap:
                await asyncio.sleep(gap)
        return await asyncio.wait_for(reader.read(), 10)


def force_engine(contexts: Contexts, engine: str) -> None:
    """Have the TLS transport do what it does elsewhere: "fallback" where Python brings its own OpenSSL,
    "socket" where the kernel encrypts."""
    for context in {contexts.default, *contexts.by_name.values()}:
        if engine == "fallback":
            setattr(context, "_aiofastnet_force_fallback_ssl", True)  # noqa: B010 - no attribute it knows
        elif engine == "socket":
            setattr(context, "_aiofastnet_force_socket_bio", True)  # noqa: B010


Serve = Callable[..., Awaitable[Served]]


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for a condition that others bring about."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition belongs to others
            await asyncio.sleep(0.005)


class Parts:
    """A body made of given parts; an exception among them is raised in its place."""

    def __init__(self, *parts: Any, length: int | None = None) -> None:
        self._parts = parts
        self.length = length
        self.closed = 0

    async def parts(self) -> AsyncIterator[Part]:
        for part in self._parts:
            if isinstance(part, BaseException):
                raise part
            if isinstance(part, asyncio.Event):
                await part.wait()
            else:
                yield part

    async def aclose(self) -> None:
        self.closed += 1


def answering(body: Any, **fields: Any) -> Any:
    async def handler(request: Request) -> Response:
        return Response(200, body=body, **fields)

    return handler


def entry(**fields: Any) -> LogEntry:
    known: dict[str, Any] = {
        "time": 0.5,
        "id": "i",
        "trace": "t",
        "client": "192.0.2.1",
        "method": "GET",
        "authority": "a",
        "target": "/x?y=z",
        "version": "1.1",
        "status": 200,
        "bytes": 3,
        "seconds": 0.25,
    }
    return LogEntry(**{**known, **fields})


def service_of(
    handler: Any = echo, *, limits: Limits | None = None, log: AccessLog | None = None, trusted: Any = ()
) -> tuple[Service, list[str]]:
    """A service that stands alone at time 100, and what it reports."""
    metrics, reports = Metrics(), list[str]()
    service = Service(
        handler,
        "here:80",
        limits or Limits(),
        clock=lambda: 100.0,
        sequence=lambda: 0,
        tasks=Tasks(lambda name, error: reports.append(f"{name}: {error!r}")),
        metrics=metrics,
        log=log or AccessLog(Log(access="off"), metrics),
        report=reports.append,
        trusted=Networks(trusted),
        opened=lambda connection: None,
        lost=lambda connection, peer: None,
        turned=lambda connection, other: None,
    )
    return service, reports
