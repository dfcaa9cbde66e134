"""A fill: one exchange with an upstream that answers a miss or a revalidation, for everybody who
asks meanwhile.

    start -> head decided -> body arrives -> digest known -> committed
                 |                |              |
                 |                +--------------+--> FAILED: readers are cut off, nothing is kept
                 +--> freshened | given up (not storable) | stale instead | failed

What waiters get is a value of `Head`, decided once. Bytes reach readers through a GrowingBody while
they arrive; the end of a body is shown to them only after it has been proven (framing, announced
length, digest) and committed. A purge while the fill runs makes it SUPERSEDED: those who wait still
get their answer, nobody later does."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, assert_never

from msgspec.structs import replace

from edgeproxy.errors import ProxyError, StorageError, UpstreamError
from edgeproxy.message import Headers, Request
from edgeproxy.pipeline.exchange import Answer
from edgeproxy.pipeline.fill_head import (
    Failed,
    FillEnd,
    Freshened,
    Head,
    StaleInstead,
    Streaming,
    Unshared,
)
from edgeproxy.pipeline.fill_parts import Examiner, FillParts
from edgeproxy.pipeline.growing_body import GrowingBody
from edgeproxy.pipeline.refusal import MISSING, bad_answer, refused
from edgeproxy.pipeline.resume import Resuming
from edgeproxy.policy.decision import (
    After,
    Freshen,
    PassThrough,
    ServeStale,
    Store,
    after,
    after_failure,
)
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.site import Plan
from edgeproxy.storage.store import BodyWriter
from edgeproxy.upstream.upstream import UpstreamResponse

HOLD_BYTES = 64 << 10  # of a body whose digest is known, until it matches
HASH_INLINE_BYTES = 64 << 10  # below, hashing costs less than a hop to a thread
COMMIT_WAIT_SECONDS = 1.0  # a slow disk may delay the end of a body this long, not longer
RETRY_SECONDS = 0.1
CONDITIONS = ("If-None-Match", "If-Modified-Since")
BUFFERED_BYTES_MAX = 64 << 20  # of a body that has to be looked at as a whole


@dataclass(slots=True, eq=False)
class Fill:
    """One fill. `stored` is what is being revalidated. With an `examiner` the head is told only when
    the whole body has been judged and committed. A `shared` fill may be joined while its `sequence`
    is still the store's. `kept` is the response as committed."""

    plan: Plan
    site: str
    request: Request
    headers: Headers
    stored: StoredResponse | None
    parts: FillParts
    shared: bool
    sequence: int
    examiner: Examiner | None = None
    on_missing: Callable[[], None] | None = None
    examined: Any = None
    kept: StoredResponse | None = None
    head: asyncio.Future[Head] = field(init=False)
    end: FillEnd = FillEnd.RUNNING
    owner_waits: bool = True
    wanted: bool = False  # goes on without readers
    waiters: int = 0
    started: float = 0.0
    body: GrowingBody | None = None
    _writer: BodyWriter | None = None
    _left: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.head = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        return f"<Fill {self.end} {self.plan.key} {self.body}>"

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Counts one who waits for the head and then becomes a reader; the fill stays for them."""
        self.waiters += 1
        try:
            yield
        finally:
            self.waiters -= 1
            self._left.set()

    async def disowned(self) -> None:
        """The one for whom an answer was meant left before taking it over."""
        self.owner_waits = False
        if self.head.done():
            head = self.head.result()
            if isinstance(head, Unshared):
                await head.answer.response.aclose()

    async def run(self) -> None:
        """To the end, and until the last reader has left. What goes wrong upstream is told to those
        who wait, not raised."""
        try:
            await self._run()
        except UpstreamError as error:
            self._failed(error)
        finally:
            self._settle(_stopping())  # does nothing unless cancelled or broken by a bug
            self.parts.metrics.count("fills_total", self.site, self.end.value)
            if self._writer is not None:
                await self._close(self._writer)

    def _settle(self, error: UpstreamError) -> None:
        if self.end is FillEnd.RUNNING:
            self.end = FillEnd.FAILED
        if self.body is not None and not self.body.is_complete and self.body.error is None:
            self.body.fail(error)
        if not self.head.done():
            self.head.set_result(Failed(error))

    async def _close(self, writer: BodyWriter) -> None:
        try:
            if self.end not in (FillEnd.COMPLETE, FillEnd.SUPERSEDED):
                await writer.abort()
            while self.waiters or (self.body is not None and self.body.has_readers):
                self._left.clear()
                await self._left.wait()
        finally:
            writer.close()

    async def _run(self) -> None:
        if await self._ask_or_retry():
            return
        # A 304 that is not about what is stored is no answer: once more, without conditions.
        self.stored = None
        self.headers = self.headers.without(CONDITIONS)
        if not await self._ask():
            raise bad_answer("304 came although nothing was asked conditionally")

    async def _ask_or_retry(self) -> bool:
        for _ in range(self.plan.rules.retries):
            try:
                return await self._ask()
            except UpstreamError as error:
                # Who has been silent so long is not asked to be silent once more.
                if self.head.done() or self.body is not None or error.status == 504:
                    raise
                await asyncio.sleep(RETRY_SECONDS)
        return await self._ask()

    async def _ask(self) -> bool:
        """One exchange; False if it has to be repeated without conditions."""
        self.started = self.parts.clock()
        answer = await self.parts.exchange.ask(
            self.plan, self.site, "GET", self.headers, interim=self.request.interim
        )
        handed_over = False
        try:
            self._refuse(answer.response)
            decision = self._decide(answer.response)
            if isinstance(decision, PassThrough) and decision.refetch:
                return False
            handed_over = await self._act(answer, decision)
            return True
        finally:
            if not handed_over:
                await answer.response.aclose()

    def _decide(self, response: UpstreamResponse) -> After:
        plan = self.plan
        return after(
            self.request,
            response.status,
            response.headers,
            self.stored,
            plan.rules,
            self.started,
            self.parts.clock(),
            plan.key,
            self.site,
        )

    async def _act(self, answer: Answer, decision: After) -> bool:
        """Do what policy says of the head; True if the response was handed to the owner."""
        response, store = answer.response, self.parts.store
        match decision:
            case Freshen():
                assert self.stored is not None
                freshened = await store.freshen(self.stored, decision.stored)
                self.end = FillEnd.FRESHENED
                self.head.set_result(Freshened(freshened, answer))
                return False
            case ServeStale():
                kept = decision.stored
                if self.stored is not None and kept != self.stored:
                    kept = await store.freshen(self.stored, kept)
                self.end = FillEnd.FAILED
                self.head.set_result(StaleInstead(kept, decision.detail, response.status))
                return False
            case PassThrough():
                if response.status in MISSING:
                    self._tell_missing()
                if decision.invalidate and self.stored is not None:
                    await store.remove(self.stored)
                return self._give_up(answer, decision.detail)
            case Store():
                if response.status in MISSING:
                    self._tell_missing()
                too_large = (response.content_length or 0) > self.plan.rules.body_bytes_max
                if too_large:
                    return self._give_up(answer, "larger than the largest body stored")
                await self._keep(answer, decision.stored)
                return False
            case _:
                assert_never(decision)

    def _refuse(self, response: UpstreamResponse) -> None:
        refusal = refused(self.plan, response.status, response.content_length)
        if refusal is None:
            return
        if response.status in MISSING:
            self._tell_missing()
        if response.status == 200:
            self.parts.metrics.count("digest_mismatch_total", self.site)
        raise refusal

    def _tell_missing(self) -> None:
        """A 404 or 410 that is believed: the site wants to know."""
        if self.on_missing is not None:
            self.on_missing()

    def _give_up(self, answer: Answer, detail: str) -> bool:
        self.end = FillEnd.GIVEN_UP
        self.head.set_result(Unshared(answer, detail))
        return self.owner_waits

    # -- storing -------------------------------------------------------------------------------

    async def _keep(self, answer: Answer, stored: StoredResponse) -> None:
        plan, response, settings = self.plan, answer.response, self.parts.settings
        memory_only = plan.rules.negative_in_memory and stored.status in (404, 410)
        writer = self._writer = self.parts.store.writer(
            plan.key,
            sequence=self.sequence,
            expected_bytes=response.content_length,
            memory_only=memory_only,
        )
        size = response.content_length
        hold = min(HOLD_BYTES, (size or 2 * HOLD_BYTES) // 2) if self._sha256(stored) else 0
        body = self.body = GrowingBody(size, hold=hold, window_bytes_max=settings.window)
        body.store_in(writer)
        body.on_left = self._left.set
        stored = _named(stored, plan, answer)
        streaming = Streaming(stored, body, answer)
        if not (self.examiner is not None or plan.otherwise is not None or size == 0):
            self.head.set_result(streaming)
        content = Resuming(answer, self._ask_again, digest_known=bool(self._sha256(stored)))
        await self._receive(content, body, writer, stored)
        if not self.head.done():
            self.head.set_result(streaming)

    def _sha256(self, stored: StoredResponse) -> str:
        return self.plan.expected.sha256 if stored.status == 200 else ""

    async def _ask_again(self, fields: Headers) -> Answer:
        headers = self.headers.without(CONDITIONS).adding(fields)
        return await self.parts.exchange.ask(self.plan, self.site, "GET", headers)

    async def _receive(
        self, content: Resuming, body: GrowingBody, writer: BodyWriter, stored: StoredResponse
    ) -> None:
        digest = hashlib.sha256()
        whole: list[bytes] | None = [] if self.examiner is not None and stored.status == 200 else None
        loop = asyncio.get_running_loop()
        async for chunk in content.chunks():
            body.append(chunk)
            self.parts.metrics.count("upstream_bytes_total", self.site, by=len(chunk))
            self._check_bounds(body, whole)
            if whole is not None:
                whole.append(chunk)
            hashing = None
            if len(chunk) > HASH_INLINE_BYTES:
                hashing = loop.run_in_executor(self.parts.hashing, digest.update, chunk)
            else:
                digest.update(chunk)
            await self._write(writer, body, chunk)
            if hashing is not None:
                await hashing
            await self._unless_abandoned(body)
        await self._ended(body, writer, stored, digest.hexdigest(), whole)

    def _check_bounds(self, body: GrowingBody, whole: list[bytes] | None) -> None:
        if whole is not None and body.received > BUFFERED_BYTES_MAX:
            raise bad_answer(f"more than {BUFFERED_BYTES_MAX} bytes where a page is expected")
        if body.received > self.plan.rules.body_bytes_max:
            body.storing_failed()

    async def _write(self, writer: BodyWriter, body: GrowingBody, chunk: bytes) -> None:
        if not body.store_failed:
            try:
                await writer.write([chunk])
                body.stored(writer.written)
                return
            except StorageError:
                body.storing_failed()
        await body.room()

    async def _unless_abandoned(self, body: GrowingBody) -> None:
        """Stops a fill nobody reads, unless it is wanted anyway or far enough (design section 7)."""
        if body.has_readers or self.waiters:
            return
        goes_on = self.wanted or self.plan.finish_without_readers or self._is_far_enough(body)
        if goes_on and not body.store_failed:
            return
        self.end = FillEnd.ABANDONED
        raise UpstreamError(ProxyError.CONNECTION_TERMINATED, "nobody reads this fill any more")

    def _is_far_enough(self, body: GrowingBody) -> bool:
        if body.size is None:
            return False
        rest = body.size - body.received
        return rest <= HOLD_BYTES or body.received >= self.parts.settings.finish_share * body.size

    async def _ended(
        self,
        body: GrowingBody,
        writer: BodyWriter,
        stored: StoredResponse,
        digest: str,
        whole: list[bytes] | None,
    ) -> None:
        """All bytes came, and the framing proved it. Judge them, keep them, then show the end."""
        if body.size is not None and body.received != body.size:
            raise UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "the body is not as long as announced")
        expected = self._sha256(stored)
        if expected and digest != expected:
            self.parts.metrics.count("digest_mismatch_total", self.site)
            self.parts.report(
                f"{self.plan.key}: the content has SHA-256 {digest} where {expected} is expected; "
                "clients were cut off and nothing was kept"
            )
            raise bad_answer(f"the content has SHA-256 {digest} where {expected} is expected")
        if whole is not None and self.examiner is not None:
            loop = asyncio.get_running_loop()
            data = b"".join(whole)
            examine = self.examiner.examine
            self.examined = await loop.run_in_executor(self.parts.hashing, examine, stored, data)
        if body.store_failed:
            self.end = FillEnd.GIVEN_UP
        else:
            await self._commit(writer, stored, digest)
            if self.kept is not None and self.examiner is not None and whole is not None:
                await self.examiner.keep(self.kept, self.examined)
        body.complete()

    async def _commit(self, writer: BodyWriter, stored: StoredResponse, digest: str) -> None:
        """A store that is slow to commit may not hold up the readers for long."""
        commit = self.parts.tasks.start(writer.commit(stored, digest), "commit")
        done, _ = await asyncio.wait({commit}, timeout=COMMIT_WAIT_SECONDS)
        if not done and self.body is not None and self.examiner is None:
            self.body.complete()
        try:
            kept = await commit
        except StorageError:
            kept = None
        self.end = FillEnd.COMPLETE if kept is not None else FillEnd.SUPERSEDED
        self.kept = kept

    def _failed(self, error: UpstreamError) -> None:
        if self.end is FillEnd.RUNNING:
            self.end = FillEnd.FAILED
        if not self.head.done():
            stale = after_failure(self.request, self.stored, self.plan.rules, self.parts.clock())
            if stale is not None:
                self.head.set_result(StaleInstead(stale.stored, f"{stale.detail}: {error}", None))
        self._settle(error)


def _named(stored: StoredResponse, plan: Plan, answer: Answer) -> StoredResponse:
    return replace(stored, tags=(*stored.tags, *plan.tags), name=plan.name, url=answer.url)


def _stopping() -> UpstreamError:
    return UpstreamError(ProxyError.PROXY_INTERNAL_ERROR, "the node is stopping")
