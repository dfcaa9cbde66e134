"""A fill of a large body: any number of ranged exchanges put one body together for all its readers.

    RUNNING -> all bytes there -> digest compared -> committed: COMPLETE (or SUPERSEDED by a purge)
       |                               +-- mismatch: FAILED, readers cut off, the bytes in quarantine
       +-- nobody reads, and it need not go on: ABANDONED; what is there stays for the next time
       +-- upstream has another representation, or gives nothing any more: FAILED

What is fetched next is decided by policy.claims whenever a reader lacks something, an exchange ends or
a second has passed. The digest follows the contiguous bytes from the start in a thread, behind the
fetching, so that it is known soon after the last byte."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from msgspec.structs import replace

from edgeproxy.errors import BodyAborted, ProxyError, StorageError, UpstreamError
from edgeproxy.pipeline.blame import told
from edgeproxy.pipeline.exchange import Answer
from edgeproxy.pipeline.fill_end import FillEnd
from edgeproxy.pipeline.fill_parts import FillParts
from edgeproxy.pipeline.growing_digest import GrowingDigest
from edgeproxy.pipeline.pace import Pace
from edgeproxy.pipeline.ranged_source import RangedSource, RangesRefused, RepresentationChanged
from edgeproxy.pipeline.refusal import WrongBytes
from edgeproxy.pipeline.sparse_body import SparseBody
from edgeproxy.policy.claims import plan_claims
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.site import Plan
from edgeproxy.storage.integrity import segment_bytes
from edgeproxy.storage.store import PartialBody

TICK_SECONDS = 0.5
IDLE_SECONDS = 1.0  # a fill nobody reads is kept this long: clients come back for the next range
COMMIT_WAIT_SECONDS = 1.0  # a slow disk may delay the end of a body this long, not longer
# What is fetched ahead of every reader (the rest of a segment, of a body) gives way to who waits for an
# answer.
AHEAD_BYTES = 8 << 20
AHEAD_RATE = 128 << 20  # bytes a second, at most


@dataclass(slots=True, eq=False)
class _Fetch:
    """One running exchange: it brings [position, end); what it has brought is there up to `landed`."""

    position: int
    end: int
    landed: int
    task: asyncio.Task[None] | None = None


def _always() -> bool:
    return True


@dataclass(slots=True, eq=False)
class LargeFill:
    """`stored` is the response as it will be committed. `aliases` are responses under other keys that are
    made of the same bytes. A `wanted` fill goes on without readers."""

    plan: Plan
    site: str
    stored: StoredResponse
    partial: PartialBody
    source: RangedSource
    parts: FillParts
    sequence: int
    wanted: bool = False
    end: FillEnd = FillEnd.RUNNING
    kept: StoredResponse | None = None
    error: UpstreamError | None = None
    aliases: dict[str, StoredResponse] = field(default_factory=dict)
    body: SparseBody = field(init=False)
    _fetches: list[_Fetch] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _pace: Pace = field(init=False)
    _digest: GrowingDigest = field(init=False)
    _begun: asyncio.Event = field(default_factory=asyncio.Event)
    _was_read_whole: bool = False
    _idle_since: float = 0.0
    closed: asyncio.Event = field(default_factory=asyncio.Event)  # the parts have been let go

    def __post_init__(self) -> None:
        self.body = SparseBody(
            self.partial,
            hold=bool(self.stored.digest or self.plan.expected.git_sha1),
            needed=self._needed,
            left=self._changed.set,
            fallback=self._directly,
        )
        self._digest = GrowingDigest(
            self.partial, self.parts.hashing, with_git=bool(self.plan.expected.git_sha1)
        )
        self.source.may_skip = lambda: self.body.store_failed or len(self._fetches) <= 1
        self._idle_since = _now()
        self._pace = Pace(self.size, self.parts.settings.parallel, self._idle_since)

    def __repr__(self) -> str:
        return f"<LargeFill {self.end} {self.plan.key} {self.body} fetches={len(self._fetches)}>"

    @property
    def size(self) -> int:
        return self.partial.size

    @property
    def is_joinable(self) -> bool:
        """Whether a new reader could still get every byte."""
        joinable = self.end in (FillEnd.RUNNING, FillEnd.COMPLETE, FillEnd.SUPERSEDED)
        return joinable and self.error is None and not self.closed.is_set() and not self.body.store_failed

    async def begun(self) -> None:
        """Until upstream has given something: then an answer may be begun as well. Raises UpstreamError if
        it gives nothing."""
        await self._begun.wait()
        if self.error is not None and not self._pace.received:
            raise self.error

    # -- life ----------------------------------------------------------------------------------

    async def run(self, first: Answer | None, position: int, stop: int) -> None:
        """To the end, and until the last reader has left. `first` is an exchange already begun, which
        brings [position, stop)."""
        hashing = self.parts.tasks.start(self._digest.run(), "digest")
        hashing.add_done_callback(lambda _: self._changed.set())
        try:
            if first is not None:
                # In one step with what is fetched beside it: read before that, it has others begin later.
                self._begun.set()
                is_fresh = first.response.is_fresh
                stop = self._pace.first_stop(position, stop, first.seconds, _now(), is_fresh=is_fresh)
                self._fetch(position, stop, first)
            await self._fill(hashing)
            if self.end is FillEnd.RUNNING:
                await self._finish(hashing.result())
        except UpstreamError as error:
            self._fail(error)
        finally:
            if self.end is FillEnd.RUNNING:
                self._fail(UpstreamError(ProxyError.PROXY_INTERNAL_ERROR, "the node is stopping"))
            hashing.cancel()
            await self._stop_fetches()
            self.parts.metrics.count("fills_total", self.site, self.end.value)
            await self._close()

    async def _fill(self, hashing: asyncio.Task[tuple[str, str]]) -> None:
        """Until all bytes are there and hashed, or nobody wants them."""
        while not hashing.done():
            if self.error is not None:
                raise self.error
            if self.body.store_failed:
                await self._until_unread(FillEnd.GIVEN_UP)
                return
            if self._is_unwanted():
                self.end = FillEnd.ABANDONED
                return
            self._schedule()
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), TICK_SECONDS)
            self._measure()

    def _is_unwanted(self) -> bool:
        now = _now()
        if self.body.has_readers or self._goes_on:
            self._idle_since = now
            return False
        return now - self._idle_since >= IDLE_SECONDS

    @property
    def _goes_on(self) -> bool:
        """Whether it is worth fetching what nobody reads (design section 7)."""
        there = self.partial.spans.total
        if self.plan.rules.offline and there < self.size:
            return False
        if self.wanted or self.plan.finish_without_readers or there == self.size:
            return True
        self._was_read_whole = self._was_read_whole or self.body.is_read_whole
        return self._was_read_whole and there >= self.parts.settings.finish_share * self.size

    async def _until_unread(self, end: FillEnd) -> None:
        self.end = end
        await self._stop_fetches()
        while self.body.has_readers:
            self._changed.clear()
            await self._changed.wait()

    async def _close(self) -> None:
        try:
            if self.end is FillEnd.COMPLETE or self.end is FillEnd.SUPERSEDED:
                await self._until_unread(self.end)
            elif self.end is FillEnd.FAILED and isinstance(self.error, RepresentationChanged):
                await self.partial.discard()
            while self.body.has_readers:  # who was cut off is about to leave
                self._changed.clear()
                await self._changed.wait()
        finally:
            self._begun.set()
            self.partial.close()
            self.body.close()
            self.source.may_skip = _always
            self.closed.set()

    def _fail(self, error: UpstreamError) -> None:
        if self.end in (FillEnd.RUNNING, FillEnd.COMPLETE):
            self.end = FillEnd.FAILED
        self.error = error
        self._begun.set()
        self.body.fail(error)

    # -- fetching ------------------------------------------------------------------------------

    def _needed(self, offset: int) -> None:
        """A reader waits for `offset`: unless it will be there in a moment, look what to fetch."""
        for fetch in self._fetches:
            if fetch.landed <= offset < fetch.end and offset - fetch.landed <= self._pace.near_bytes(_now()):
                return
        self._changed.set()

    def _schedule(self) -> None:
        settings = self.parts.settings
        if self.plan.rules.offline:  # only who asks for what is there has been let in
            return
        if self.source.refuses_ranges:
            self._schedule_in_order()
            return
        claims = plan_claims(
            self.partial.spans,
            [(fetch.landed, fetch.end) for fetch in self._fetches],
            self.body.wants(),
            size=self.size,
            segment=segment_bytes(self.size),
            whole=self._goes_on,
            parallel=self._pace.count,
            windowed=self._pace.is_windowed,
            claims_max=settings.fetches,
            near=self._pace.near_bytes(_now()),
        )
        for number, end in claims.cut.items():
            self._fetches[number].end = end
        for start, end in claims.start:
            self._fetch(start, end, None)

    def _schedule_in_order(self) -> None:
        """Without ranges there is one exchange, and it brings everything up to what is there already."""
        hole = next(self.partial.spans.holes(0, self.size), None)
        if self._fetches:
            fetch = min(self._fetches, key=lambda fetch: fetch.position)
            fetch.end = max(fetch.end, self.partial.spans.next(fetch.position) or self.size)
        elif hole is not None:
            self._fetch(hole[0], hole[1], None)

    def _fetch(self, start: int, end: int, first: Answer | None) -> None:
        if not self._fetches:
            self._pace.resumed(_now())
        fetch = _Fetch(start, end, start)
        self._fetches.append(fetch)
        fetch.task = self.parts.tasks.start(self._run_fetch(fetch, first), f"fetch {start}-{end}")

    async def _run_fetch(self, fetch: _Fetch, first: Answer | None) -> None:
        try:
            writing: asyncio.Task[None] | None = None
            chunks = self.source.chunks(fetch.position, lambda: fetch.end, first)
            try:
                async for chunk in chunks:
                    is_first = writing is None
                    writing = await self._take(fetch, chunk, writing)
                    if is_first:  # who waits for it goes first, and the rest of the answer is read then
                        await asyncio.sleep(0)
                    if fetch.position >= fetch.end or self.body.store_failed:
                        break
                    if not self.body.is_read_near(fetch.position - AHEAD_BYTES, fetch.end):
                        await asyncio.sleep(len(chunk) / AHEAD_RATE)
            finally:
                await chunks.aclose()  # type: ignore[attr-defined]
                if writing is not None:
                    await writing
        except RangesRefused:
            pass  # another exchange brings the whole
        except UpstreamError as error:
            self.error = self.error or error
        finally:
            self._fetches.remove(fetch)
            self._changed.set()

    async def _take(
        self, fetch: _Fetch, chunk: bytes, before: asyncio.Task[None] | None
    ) -> asyncio.Task[None]:
        """Begin to write a piece while the next one arrives; the one `before` has to be there first."""
        start = fetch.position
        data: bytes | memoryview = chunk
        if start + len(chunk) > fetch.end:
            data = memoryview(chunk)[: fetch.end - start]
        fetch.position = start + len(data)
        if not self._pace.received:  # now it is known how far upstream is
            self._changed.set()
        self._pace.received += len(data)
        self._begun.set()
        self.body.coming(start, data)
        writing = self.parts.tasks.start(self._write(fetch, start, data), "write a piece")
        writing.add_done_callback(lambda _: self.body.landed(start))
        if before is not None:
            await before
        return writing

    async def _write(self, fetch: _Fetch, start: int, data: bytes | memoryview) -> None:
        end = start + len(data)
        try:
            await self.partial.write(start, [data])
        except StorageError:
            self.body.storing_failed()
            self._begun.set()
            self._changed.set()
            return
        # A later piece may land first: what lies before it is still claimed until it is there.
        fetch.landed = min(self.partial.spans.upto(fetch.landed), fetch.position)
        self._begun.set()
        self.body.arrived(start, end)
        self._digest.grew(start)

    async def _stop_fetches(self) -> None:
        tasks = [fetch.task for fetch in self._fetches if fetch.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _measure(self) -> None:
        now = _now()
        if self.source.head_seconds is not None:
            self._pace.answered(self.source.head_seconds, now)
        self._pace.measure(now, refuses_ranges=self.source.refuses_ranges)

    async def _directly(self, start: int, end: int) -> AsyncIterator[bytes]:
        """Bytes for one reader alone, because the store takes no more."""
        position = start
        try:
            async for chunk in self.source.chunks(start, lambda: end):
                chunk = chunk[: end - position]
                position += len(chunk)
                yield chunk
                if position >= end:
                    return
        except UpstreamError as error:
            raise BodyAborted(f"the fill ended early: {error}") from error

    # -- the end -------------------------------------------------------------------------------

    async def _finish(self, digests: tuple[str, str]) -> None:
        """All bytes are there. Judge them, keep them, then show the end."""
        digest, git = digests
        expected, expected_git = self.stored.digest, self.plan.expected.git_sha1
        if (expected and digest != expected) or (expected_git and git != expected_git):
            await self._mismatch(digest if expected else git, expected or expected_git)
        commit = self.parts.tasks.start(self._commit(digest), "commit")
        done, _ = await asyncio.wait({commit}, timeout=COMMIT_WAIT_SECONDS)
        if not done:
            self.body.complete()
        await commit
        self.body.complete()

    async def _commit(self, digest: str) -> None:
        self.stored = replace(self.stored, digest=digest)
        try:
            self.kept = await self.partial.commit(self.stored, digest)
        except StorageError:
            self.kept = None
        self.end = FillEnd.COMPLETE if self.kept is not None else FillEnd.SUPERSEDED
        if self.kept is not None:
            for alias in self.aliases.values():
                await self.parts.store.link(
                    replace(alias, digest=digest, body_bytes=self.size, sequence=self.sequence)
                )

    async def _mismatch(self, digest: str, expected: str) -> None:
        said = f"the content has digest {digest} where {expected} is expected"
        self.parts.metrics.count("digest_mismatch_total", self.site)
        what = f"{self.plan.key}{told(self.source.sources)}"
        self.parts.report(f"{what}: {said}; clients were cut off, the bytes are in quarantine")
        names = (self.plan.key, self.stored.digest)
        self.parts.distrust.add(*names)
        error = WrongBytes(said, may_try_again=self.parts.exchange.blame.add(self.source.sources, *names))
        self._fail(error)
        await self.partial.quarantine(said)
        raise error


def _now() -> float:
    return asyncio.get_running_loop().time()
