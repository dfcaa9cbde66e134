"""A whole pipeline between two fakes: a scripted upstream and a store that is a dictionary."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest

from edgeproxy.config import Fill as FillSettings
from edgeproxy.errors import StorageError, UpstreamError
from edgeproxy.message import FileSlice, Headers, Part, Request, Response
from edgeproxy.metrics import Metrics
from edgeproxy.pipeline.answer import Answers
from edgeproxy.pipeline.blame import Blame
from edgeproxy.pipeline.children import Children
from edgeproxy.pipeline.distrust import Distrust
from edgeproxy.pipeline.exchange import Exchange
from edgeproxy.pipeline.fill_parts import FillParts
from edgeproxy.pipeline.fills import Fills
from edgeproxy.pipeline.from_store import FromStore
from edgeproxy.pipeline.from_upstream import FromUpstream
from edgeproxy.pipeline.handler import Pipeline
from edgeproxy.pipeline.inquiries import Inquiries
from edgeproxy.pipeline.large_bodies import LargeBodies
from edgeproxy.pipeline.large_fills import LargeFills
from edgeproxy.pipeline.passing import Passing
from edgeproxy.pipeline.prefetch import Prefetch
from edgeproxy.pipeline.purges import Purges
from edgeproxy.pipeline.refresh import Refresh
from edgeproxy.pipeline.views import Views
from edgeproxy.policy.rules import Rules
from edgeproxy.policy.spans import Spans
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.proxy.elsewhere import Elsewhere
from edgeproxy.proxy.welcome import Welcome
from edgeproxy.sites.registry import Place, SiteTable
from edgeproxy.sites.site import Plan
from edgeproxy.storage.store import Purge, StoreStatistics
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.upstream import PIECE_BYTES, Origin, Reach, UpstreamRequest

NOW = 1_800_000_000.0
DATE = "Fri, 15 Jan 2027 08:00:00 GMT"
ORIGIN = Origin("http", "origin.test", 80)


class DictStore:
    """The Store interface over a dictionary; `fail_writes_after` bytes its writers raise."""

    def __init__(self) -> None:
        self.kept: dict[str, list[StoredResponse]] = {}
        self.bodies: dict[str, bytes] = {}
        self.reusables: dict[str, DictReusable] = {}
        self.sequence = 0
        self.fail_writes_after: int | None = None
        self.partials: list[DictPartial] = []
        self.quarantined: list[str] = []
        self.aside: list[tuple[str, bytes, str]] = []

    def lookup_memory(self, key: str) -> tuple[StoredResponse, ...] | None:
        return tuple(self.kept.get(key, ()))

    def peek(self, key: str) -> tuple[StoredResponse, ...] | None:
        return self.lookup_memory(key)

    async def lookup(self, key: str) -> tuple[StoredResponse, ...]:
        return tuple(self.kept.get(key, ()))

    def open_memory(self, stored: StoredResponse) -> DictBody | None:
        data = self.bodies.get(stored.body)
        return None if data is None else DictBody(data)

    async def open(self, stored: StoredResponse) -> DictBody | None:
        return self.open_memory(stored)

    def reusable(self, stored: StoredResponse) -> DictReusable | None:
        data = self.bodies.get(stored.body)
        if data is None:
            return None
        made = DictReusable(stored.fresh_until, self.sequence, data)
        held = self.reusables.setdefault(stored.body, made)  # the same one, as long as it says the same
        if held != made:
            held = self.reusables[stored.body] = made
        return held

    def writer(self, key: str, *, sequence: int, expected_bytes: int | None, memory_only: bool) -> DictWriter:
        return DictWriter(self, key, sequence)

    async def lookup_partial(self, key: str, digest: str = "") -> tuple[StoredResponse, ...]:
        return tuple(
            one.stored
            for one in self.partials
            if one.sequence == self.sequence and (one.stored.key == key or one.stored.digest == digest != "")
        )

    async def open_partial(self, stored: StoredResponse) -> DictPartial | None:
        for one in self.partials:
            if one.stored.body == stored.body and not one.is_open:
                one.is_open = True
                return one
        return None

    async def create_partial(self, stored: StoredResponse, *, sequence: int) -> DictPartial:
        if self.fail_writes_after == 0:
            raise StorageError("no space")
        body = f"partial-{len(self.partials)}-{len(self.bodies)}"
        partial = DictPartial(self, msgspec.structs.replace(stored, body=body), sequence)
        self.partials.append(partial)
        return partial

    async def link(self, stored: StoredResponse) -> StoredResponse | None:
        for variants in self.kept.values():
            for one in variants:
                if one.digest == stored.digest:
                    linked = msgspec.structs.replace(stored, body=one.body, body_bytes=one.body_bytes)
                    self.put(linked)
                    return linked
        return None

    async def freshen(self, old: StoredResponse, new: StoredResponse) -> StoredResponse:
        self.put(new)
        return new

    async def remove(self, stored: StoredResponse) -> None:
        variants = self.kept.get(stored.key, [])
        self.kept[stored.key] = [one for one in variants if one.selecting != stored.selecting]

    async def purge(self, purge: Purge) -> None:
        self.sequence += 1
        self.kept.clear()

    def stored_keys(self, keys: Sequence[str]) -> frozenset[str]:
        return frozenset(key for key in keys if self.kept.get(key))

    def statistics(self) -> StoreStatistics:
        return StoreStatistics(0, 0, len(self.kept), 0, 0, 0, 0, 0, 0, "ok")

    def put(self, stored: StoredResponse) -> None:
        variants = self.kept.setdefault(stored.key, [])
        variants[:] = [one for one in variants if one.selecting != stored.selecting] + [stored]


@dataclass
class DictBody:
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    async def check(self, start: int, end: int) -> None:
        return None

    def slice(self, start: int, end: int) -> Part:
        return self.data[start:end]

    def close(self) -> None:
        self.data = b""  # whoever looks after closing sees nothing


class DictPartial:
    """A PartialBody in memory."""

    def __init__(self, store: DictStore, stored: StoredResponse, sequence: int) -> None:
        self.store, self.stored, self.sequence = store, stored, sequence
        self.size = stored.body_bytes
        self.spans = Spans()
        self.data = bytearray(self.size)
        self.is_open = True
        self.taken = 0
        self.bad: set[int] = set()  # offsets that `check` will find damaged

    async def write(self, offset: int, chunks: Sequence[bytes | memoryview]) -> None:
        assert self.is_open
        limit = self.store.fail_writes_after
        if limit is not None and self.taken >= limit:
            raise StorageError("no space")
        for chunk in chunks:
            end = offset + len(chunk)
            assert end <= self.size
            assert list(self.spans.holes(offset, end)) == [(offset, end)], "a byte was fetched twice"
            self.data[offset:end] = chunk
            self.spans.add(offset, end)
            self.taken += len(chunk)
            offset = end

    async def check(self, start: int, end: int) -> None:
        found = {offset for offset in self.bad if start <= offset < end}
        if found:
            self.bad -= found
            for offset in found:
                self.spans.remove(offset, offset + 1)
            raise StorageError("not what was written")

    def slice(self, start: int, end: int) -> Part:
        assert self.is_open, "read after close"
        assert self.spans.holds(start, end)
        return bytes(self.data[start:end])

    def read(self, start: int, end: int) -> bytes:
        return bytes(self.data[start:end])

    async def freshen(self, stored: StoredResponse) -> None:
        self.stored = msgspec.structs.replace(stored, body=self.stored.body)

    async def sync(self) -> None:
        return None

    async def commit(self, stored: StoredResponse, digest: str) -> StoredResponse | None:
        assert self.spans.holds(0, self.size)
        self.store.partials.remove(self)
        if self.sequence != self.store.sequence:
            return None
        self.store.bodies[self.stored.body] = bytes(self.data)
        kept = msgspec.structs.replace(stored, body=self.stored.body, digest=digest)
        self.store.put(kept)
        return kept

    async def discard(self) -> None:
        if self in self.store.partials:
            self.store.partials.remove(self)

    async def quarantine(self, why: str) -> None:
        self.store.quarantined.append(why)
        await self.discard()

    def close(self) -> None:
        assert self.is_open
        self.is_open = False


@dataclass
class DictReusable:
    fresh_until: float
    sequence: int
    data: bytes
    file: None = None

    def used(self) -> None:
        return None


@dataclass
class DictWriter:
    store: DictStore
    key: str
    sequence: int
    data: bytearray = field(default_factory=bytearray)
    is_closed: bool = False

    @property
    def written(self) -> int:
        return len(self.data)

    async def write(self, chunks: Sequence[bytes]) -> None:
        limit = self.store.fail_writes_after
        if limit is not None and len(self.data) >= limit:
            raise StorageError("no space")
        self.data += b"".join(chunks)

    def slice(self, start: int, end: int) -> Part:
        assert not self.is_closed, "read after close"
        return bytes(self.data[start:end])

    async def commit(self, stored: StoredResponse, digest: str) -> StoredResponse | None:
        if self.sequence != self.store.sequence:
            return None
        identity = f"{len(self.store.bodies)}"
        self.store.bodies[identity] = bytes(self.data)
        kept = msgspec.structs.replace(
            stored, key=self.key, body=identity, body_bytes=len(self.data), digest=digest
        )
        self.store.put(kept)
        return kept

    async def abort(self) -> None:
        return None

    async def quarantine(self, stored: StoredResponse, why: str) -> None:
        self.store.aside.append((stored.digest, bytes(self.data), why))

    def close(self) -> None:
        self.is_closed = True


@dataclass
class Scripted:
    """One answer of the upstream. `pieces` may hold events to wait for and errors to raise."""

    status: int = 200
    fields: tuple[tuple[str, str], ...] = (("Cache-Control", "max-age=60"),)
    pieces: tuple[Any, ...] = (b"hello world",)
    length: int | None = -1  # -1: that of the pieces
    version: str = "1.1"
    closed: bool = False
    source: str = ""
    is_fresh: bool = True

    @property
    def headers(self) -> Headers:
        fields = Headers(self.fields)
        return fields if "Date" in fields else fields.adding((("Date", DATE),))

    @property
    def content_length(self) -> int | None:
        if self.length != -1:
            return self.length
        return sum(len(piece) for piece in self.pieces if isinstance(piece, bytes))

    async def chunks(self, most: int = PIECE_BYTES) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, asyncio.Event):
                await piece.wait()
            elif isinstance(piece, Exception):
                raise piece
            else:
                yield piece

    async def aclose(self) -> None:
        self.closed = True


class ScriptedUpstream:
    """Answers with what `script` holds for a target, in turn; the last answer repeats."""

    def __init__(self) -> None:
        self.script: dict[str, list[Any]] = {}
        self.requests: list[UpstreamRequest] = []
        self.given: list[Scripted] = []
        self.gate: asyncio.Event | None = None

    def answers(self, target: str, *answers: Any) -> None:
        self.script[target] = list(answers)

    async def fetch(self, request: UpstreamRequest) -> Scripted:
        self.requests.append(request)
        if self.gate is not None:
            await self.gate.wait()
        queue = self.script.get(request.target) or [Scripted(404, pieces=(b"no",))]
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(answer, UpstreamError):
            raise answer
        if callable(answer):
            answer = answer(request)
        assert isinstance(answer, Scripted)
        self.given.append(replace(answer, closed=False))
        return self.given[-1]

    async def aclose(self) -> None:
        return None


@dataclass
class OneSite:
    """A site that passes paths through under `rules`; `shape` may change each plan."""

    name: str = "one"
    rules: Rules = Rules()
    shape: Callable[[Plan], Plan] = lambda plan: plan
    learned: list[Any] = field(default_factory=list)

    def plan(self, request: Request, path: str) -> Plan | Response:
        return self.shape(Plan(ORIGIN, path, self.rules, keep_authorization=True))

    def learn(self, learned: Any) -> None:
        self.learned.append(learned)


class House:
    """A pipeline with its fakes, its clock, and what a client sees."""

    def __init__(self, settings: FillSettings | None = None) -> None:
        self.now = NOW
        self.store = DictStore()
        self.upstream = ScriptedUpstream()
        self.site = OneSite()
        self.metrics = Metrics()
        self.reports: list[str] = []
        self.failed_tasks: list[BaseException] = []
        self.tasks = Tasks(lambda _, error: self.failed_tasks.append(error))
        self.threads = ThreadPoolExecutor(2)
        clock = lambda: self.now  # noqa: E731 - one clock, read where it is needed
        self.blame = Blame(clock)
        exchange = Exchange(self.upstream, self.metrics, self.blame)
        self.distrust = Distrust(clock)
        parts = FillParts(
            exchange,
            self.store,
            settings or FillSettings(window=1 << 20),
            self.metrics,
            clock,
            self.threads,
            self.tasks,
            self.reports.append,
            self.distrust,
        )
        self.parts = parts
        self.fills, self.large_fills = Fills(parts), LargeFills(parts)
        views = Views(self.store, self.tasks, self.threads)
        answers = Answers(
            node="edge", via="edge", ranges_max=16, store=self.store, clock=clock, distrust=self.distrust
        )
        passing = Passing(
            report=self.reports.append,
            via="edge",
            exchange=exchange,
            store=self.store,
            fills=self.fills,
            answers=answers,
            metrics=self.metrics,
            threads=self.threads,
            clock=clock,
        )
        from_store = FromStore(self.store, views, answers)
        self.large = LargeBodies(
            parts, self.large_fills, via="edge", answers=answers, passing=passing, from_store=from_store
        )
        passing.invalidate_parts = self.large_fills.invalidate
        from_upstream = FromUpstream(
            via="edge",
            fills=self.fills,
            large=self.large,
            large_fills=self.large_fills,
            views=views,
            passing=passing,
            from_store=from_store,
            answers=answers,
            clock=clock,
        )
        self.refresh = Refresh(self.store, from_upstream, clock)
        self.inquiries = Inquiries(
            store=self.store, metrics=self.metrics, tasks=self.tasks, threads=self.threads, clock=clock
        )
        self.purges = Purges(self.store, origins=lambda site: (ORIGIN,), tasks=self.tasks)
        self.children = Children((), self.purges)
        self.prefetch = Prefetch(tasks=self.tasks, metrics=self.metrics, clock=clock, jobs=1)
        self.handler = Pipeline(
            via="edge",
            sites=SiteTable([Place(self.site, "", frozenset())]),
            store=self.store,
            views=views,
            passing=passing,
            from_store=from_store,
            from_upstream=from_upstream,
            refresh=self.refresh,
            inquiries=self.inquiries,
            prefetch=self.prefetch,
            children=self.children,
            elsewhere=Elsewhere(
                None,
                Reach(),
                lambda _scheme, _host, _port: False,
                lambda _origin: None,
                Welcome({}, None, is_proxy=False),
                self.metrics,
            ),
            answers=answers,
            clock=clock,
        )

    async def ask(self, target: str, method: str = "GET", **fields: str) -> Response:
        pairs = ((name.replace("_", "-"), value) for name, value in fields.items())
        request = Request(
            method, target, Headers(pairs), authority="node.test", client="192.0.2.1", received_at=self.now
        )
        return await self.handler(request)

    async def get(self, target: str, method: str = "GET", **fields: str) -> tuple[int, bytes, str]:
        """Status, content and outcome of one exchange, body read to its end."""
        response = await self.ask(target, method, **fields)
        return response.status, await content(response), response.outcome.cache.value

    async def fills_end(self) -> None:
        """Wait until no fill runs any more."""
        running = [task for task in asyncio.all_tasks() if "fill " in task.get_name()]
        if running:
            await asyncio.wait(running)

    async def settle(self) -> None:
        """Let background work go on until nothing of it can."""
        for _ in range(50):
            await asyncio.sleep(0)


async def content(response: Response) -> bytes:
    """The content of an answer, as a server would send it."""
    taken = bytearray()
    try:
        async for part in response.body.parts():
            assert not isinstance(part, FileSlice)
            taken += part
    finally:
        await response.body.aclose()
    return bytes(taken)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    yield house
    with contextlib.suppress(asyncio.CancelledError):
        await house.tasks.aclose()
    house.threads.shutdown()
    assert house.failed_tasks == []
