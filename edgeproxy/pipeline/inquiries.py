"""What a site has to know before it can plan a request: asked once for everybody who waits.

Answers come through the store like any other response, so what a site knows survives a restart, is
revalidated, and is served stale when upstream fails. Reading them is done in a thread."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import replace

from edgeproxy.errors import BodyAborted, RequestError, StorageError
from edgeproxy.message import (
    CacheOutcome,
    Clock,
    FileSlice,
    Headers,
    Request,
    Response,
)
from edgeproxy.metrics import Metrics
from edgeproxy.sites.site import ContentWanted, Inquiry, Plan, Planned, Seen, Site, Unacceptable
from edgeproxy.storage.store import Store
from edgeproxy.tasks import Tasks

ROUNDS_MAX = 256
READ_BYTES = 1 << 20
_FORBIDDEN = (401, 403)
FIELDS = Headers((("Accept", "*/*"), ("Accept-Encoding", "identity")))

Fetch = Callable[[Request, Plan, Site], Awaitable[Response]]


class Inquiries:
    """`fetch` answers a request for a plan through the store (the pipeline's own way)."""

    def __init__(
        self, *, store: Store, metrics: Metrics, tasks: Tasks, threads: Executor, clock: Clock
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._tasks = tasks
        self._threads = threads
        self._clock = clock
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}
        self.fetch: Fetch | None = None

    async def plan(self, request: Request, site: Site, path: str) -> tuple[Request, Plan | Response]:
        """Ask whatever the site wants to know, until it has a plan or an answer. Raises RequestError."""
        for _ in range(ROUNDS_MAX):
            planned: Planned = site.plan(request, path)
            if isinstance(planned, Inquiry):
                await self._ask(planned, site, request)
            elif isinstance(planned, ContentWanted):
                request = replace(request, content=await _content(request, planned.bytes_max))
            else:
                return request, planned
        raise RequestError(508, f"the site {site.name} asks for ever", close=False)

    async def _ask(self, inquiry: Inquiry, site: Site, request: Request) -> None:
        key = (site.name, inquiry.id)
        task = self._running.get(key)
        if task is None:
            asking = Request(
                inquiry.method,
                inquiry.plan.target,
                FIELDS.adding(_way_so_far(request)),
                client=request.client,
                peer=request.peer,
                listener=request.listener,
                id=request.id,
                traceparent=request.traceparent,
                received_at=self._clock(),
            )
            task = self._running[key] = self._tasks.start(
                self._learn(inquiry, site, asking), f"inquiry {inquiry.id[:200]}"
            )
            task.add_done_callback(lambda _: self._running.pop(key, None))
        await asyncio.shield(task)

    async def _learn(self, inquiry: Inquiry, site: Site, request: Request) -> None:
        seen = await self._see(inquiry, site, request)
        if seen.status in _FORBIDDEN:
            await self._forget(inquiry.plan.key)
        loop = asyncio.get_running_loop()
        try:
            learned = await loop.run_in_executor(self._threads, inquiry.read, seen)
        except Unacceptable as error:
            self._metrics.count("unacceptable_total", site.name)
            failed = Seen(0, error=str(error), at=seen.at)
            learned = error.learned
            if learned is None:
                learned = await loop.run_in_executor(self._threads, inquiry.read, failed)
        site.learn(learned)

    async def _forget(self, key: str) -> None:
        """What was public is not any more: after a restart nobody would know."""
        for stored in await self._store.lookup(key):
            await self._store.remove(stored)

    async def _see(self, inquiry: Inquiry, site: Site, request: Request) -> Seen:
        assert self.fetch is not None
        response = await self.fetch(request, inquiry.plan, site)
        now = self._clock()
        outcome = response.outcome
        try:
            if outcome.cache in (CacheOutcome.ERROR, CacheOutcome.REFUSED):
                said = response.headers.get("X-Edge-Error") or outcome.detail or "no answer"
                return Seen(0, response.headers, error=said, at=now)
            data = await _gathered(response, inquiry.content_bytes_max)
        except (BodyAborted, StorageError) as error:
            return Seen(0, response.headers, error=str(error), at=now)
        finally:
            await response.body.aclose()
        is_stale = outcome.cache is CacheOutcome.STALE
        return Seen(response.status, response.headers, data, is_stale=is_stale, at=now)


def _way_so_far(request: Request) -> list[tuple[str, str]]:
    """The fields by which nodes that are each other's parent notice that they ask in a circle."""
    return [(name, value) for name in ("Via", "CDN-Loop") if (value := request.headers.get(name))]


async def _gathered(response: Response, bytes_max: int) -> bytes:
    """The content of an answer. Raises BodyAborted, StorageError."""
    loop = asyncio.get_running_loop()
    data = bytearray()
    async for part in response.body.parts():
        if isinstance(part, FileSlice):
            data += await loop.run_in_executor(None, _read, part)
        else:
            data += part
        if len(data) > bytes_max:
            raise BodyAborted(f"more than {bytes_max} bytes")
    return bytes(data)


def _read(part: FileSlice) -> bytes:
    data = bytearray()
    fd, offset, end = part.file.fileno(), part.offset, part.offset + part.length
    while offset < end:
        more = os.pread(fd, min(READ_BYTES, end - offset), offset)
        if not more:
            raise StorageError("a stored body ends early")
        data += more
        offset += len(more)
    return bytes(data)


async def _content(request: Request, bytes_max: int) -> bytes:
    """The whole content of a request. Raises RequestError 413."""
    if request.content is not None:
        raise RequestError(500, "the content is there already", close=False)
    if request.body is None:
        return b""
    data = bytearray()
    if (request.body.length or 0) > bytes_max:
        raise RequestError(413, f"at most {bytes_max} bytes are taken here")
    async for chunk in request.body:
        data += chunk
        if len(data) > bytes_max:
            raise RequestError(413, f"at most {bytes_max} bytes are taken here")
    return bytes(data)
