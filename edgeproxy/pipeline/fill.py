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
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, assert_never

from msgspec.structs import replace

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers, Request
from edgeproxy.pipeline.exchange import Answer
from edgeproxy.pipeline.fill_end import FillEnd
from edgeproxy.pipeline.fill_head import (
    Failed,
    Freshened,
    Head,
    Large,
    StaleInstead,
    Streaming,
    Unshared,
)
from edgeproxy.pipeline.fill_parts import Examiner, FillParts
from edgeproxy.pipeline.growing_body import GrowingBody
from edgeproxy.pipeline.hedge import hedged
from edgeproxy.pipeline.large_fill import LargeFill
from edgeproxy.pipeline.receiving import Digests, Receiving
from edgeproxy.pipeline.refusal import MISSING, WrongBytes, bad_answer, refused
from edgeproxy.pipeline.resume import Resuming
from edgeproxy.policy import repr_digest
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
PROVEN_BYTES = 64 << 10  # a body up to this size, whose digest is known, is proven before its head is told
RETRY_SECONDS = 0.1
CUT = frozenset({ProxyError.HTTP_RESPONSE_INCOMPLETE, ProxyError.CONNECTION_TERMINATED})
CONDITIONS = ("If-None-Match", "If-Modified-Since")


Adopt: TypeAlias = "Callable[[Fill, StoredResponse, Answer], Awaitable[LargeFill | None]]"


@dataclass(slots=True, eq=False)
class Fill:
    """One fill. `stored` is what is being revalidated, `first` an exchange already begun for it. With an
    `examiner` the head is told only when the whole body has been judged and committed. A `shared` fill may
    be joined while its `sequence` is still the store's. `adopt` takes large bodies over, `replace_wrong`
    begins anew where clients were cut off from bytes that others may have right. `kept` is the response as
    committed."""

    plan: Plan
    site: str
    request: Request
    headers: Headers
    stored: StoredResponse | None
    parts: FillParts
    shared: bool
    sequence: int
    adopt: Adopt | None = None
    first: Answer | None = None
    examiner: Examiner | None = None
    on_missing: Callable[[], None] | None = None
    replace_wrong: Callable[[Fill], None] | None = None
    examined: Any = None
    kept: StoredResponse | None = None
    head: asyncio.Future[Head] = field(init=False)
    end: FillEnd = FillEnd.RUNNING
    owner_waits: bool = True
    wanted: bool = False  # goes on without readers
    waiters: int = 0
    started: float = 0.0
    body: GrowingBody | None = None
    is_continued: bool = False  # `first` was asked for with a range, and the whole came
    _writer: BodyWriter | None = None
    _left: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.head = asyncio.get_running_loop().create_future()
        self.is_continued = self.first is not None

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
            if self.body is not None:
                self.body.advanced()

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
            await self._run_until_right()
        except UpstreamError as error:
            self._failed(error)
            if isinstance(error, WrongBytes) and error.may_try_again and self.replace_wrong is not None:
                self.replace_wrong(self)
        finally:
            self._settle(_stopping())  # does nothing unless cancelled or broken by a bug
            if self.end is not FillEnd.HANDED_OVER:
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

    async def _run_until_right(self) -> None:
        """Wrong bytes that nobody has seen are fetched again from somebody else, if there is anybody."""
        while True:
            try:
                await self._run()
                return
            except WrongBytes as wrong:
                if self.head.done() or not wrong.may_try_again:
                    raise
            self._begin_again()

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
                if self.head.done() or error.status == 504:
                    raise
                if self.body is not None and not self._may_come_whole(error):
                    raise
                self._begin_again()
                await asyncio.sleep(RETRY_SECONDS)
        return await self._ask()

    def _may_come_whole(self, error: UpstreamError) -> bool:
        """Whether a body that nobody has seen yet may come right when it is asked for anew."""
        is_cut = error.error in CUT and self.end is FillEnd.RUNNING
        return is_cut or isinstance(error, WrongBytes)

    def _begin_again(self) -> None:
        """Nothing has been told of what came so far."""
        writer, self._writer, self.body = self._writer, None, None
        if writer is not None:
            writer.close()

    async def _ask(self) -> bool:
        """One exchange; False if it has to be repeated without conditions."""
        self.started = self.parts.clock()
        answer, self.first = self.first, None
        if answer is None:
            answer = await self._first_answer()
        handed_over = False
        try:
            self._refuse(answer)
            decision = self._decide(answer.response)
            if isinstance(decision, PassThrough) and decision.refetch:
                return False
            handed_over = await self._act(answer, decision)
            return True
        finally:
            if not handed_over:
                await answer.response.aclose()

    async def _first_answer(self) -> Answer:
        bulk = (self.plan.expected.size or 0) > self.parts.settings.sparse
        ask = partial(self.parts.exchange.ask, self.plan, self.site, "GET", self.headers, bulk=bulk)
        first, after = partial(ask, interim=self.request.interim), self.plan.rules.hedge_after
        return await (first() if after is None else hedged(first, ask, after, self.parts.tasks))

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
                return await self._adopted(answer, decision.stored) or await self._keep(
                    answer, decision.stored
                )
            case _:
                assert_never(decision)

    def _refuse(self, answer: Answer) -> None:
        response = answer.response
        refusal = refused(self.plan, response.status, response.content_length)
        if refusal is None:
            return
        if response.status in MISSING:
            self._tell_missing()
        if response.status == 200:
            self.parts.metrics.count("digest_mismatch_total", self.site)
        if response.status in (200, 206):
            again = self.parts.exchange.blame.add((answer.source,), self.plan.key, self.plan.expected.sha256)
            raise WrongBytes(str(refusal), may_try_again=again)
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

    async def _adopted(self, answer: Answer, stored: StoredResponse) -> bool:
        """Whether this is a large body, which has been handed over to a fill of its own kind."""
        size, plan = answer.response.content_length, self.plan
        if self.adopt is None or size is None or self.examiner is not None or plan.otherwise is not None:
            return False
        large = await self.adopt(self, replace(stored, body_bytes=size), answer)
        if large is None:
            return False
        large.wanted = large.wanted or self.wanted
        self.end = FillEnd.HANDED_OVER
        self.head.set_result(Large(large, answer))
        return True

    async def _keep(self, answer: Answer, stored: StoredResponse) -> bool:
        plan, response, settings = self.plan, answer.response, self.parts.settings
        memory_only = plan.rules.negative_in_memory and stored.status in (404, 410)
        writer = self._writer = self.parts.store.writer(
            plan.key,
            sequence=self.sequence,
            expected_bytes=response.content_length,
            memory_only=memory_only,
        )
        size = response.content_length
        digests = self._digests(stored, answer)
        hold = min(HOLD_BYTES, (size or 2 * HOLD_BYTES) // 2) if digests.is_known else 0
        body = self.body = GrowingBody(size, hold=hold, window_bytes_max=settings.window)
        body.store_in(writer)
        body.on_left = self._left.set
        body.is_awaited = lambda: bool(self.waiters)
        stored = _named(stored, plan, answer)
        streaming = Streaming(stored, body, answer)
        # What is proven before it is told of can be fetched once more if it is wrong, and nobody notices.
        is_proven_first = size == 0 or (digests.is_known and size is not None and size <= PROVEN_BYTES)
        if self.examiner is None and plan.otherwise is None and not is_proven_first:
            self.head.set_result(streaming)
        receiving = Receiving(
            plan,
            self.site,
            self.parts,
            stored,
            body,
            writer,
            digests,
            self.examiner,
            is_awaited=lambda: bool(self.waiters),
            is_wanted=lambda: self.wanted or plan.finish_without_readers,
        )
        try:
            await receiving.run(Resuming(answer, self._ask_again, digest_known=digests.is_known))
        finally:
            self.end, self.kept, self.examined = receiving.end, receiving.kept, receiving.examined
            body.received_all()
        if not self.head.done():
            self.head.set_result(streaming)
        return False

    def _digests(self, stored: StoredResponse, answer: Answer) -> Digests:
        expected, size = self.plan.expected, answer.response.content_length
        if stored.status != 200:
            return Digests("", "", None)
        sha256 = expected.sha256 or repr_digest.sha256_of(answer.response.headers)
        return Digests(sha256, expected.git_sha1, size if size is not None else expected.size)

    async def _ask_again(self, fields: Headers, avoid: frozenset[str]) -> Answer:
        headers = self.headers.without(CONDITIONS).adding(fields)
        return await self.parts.exchange.ask(self.plan, self.site, "GET", headers, avoid=avoid)

    def _failed(self, error: UpstreamError) -> None:
        if self.end is FillEnd.RUNNING:
            self.end = FillEnd.FAILED
        if not self.head.done():
            stale = after_failure(self.request, self.stored, self.plan.rules, self.parts.clock())
            if stale is not None:
                self.head.set_result(StaleInstead(stale.stored, f"{stale.detail}: {error}", None))
        self._settle(error)


def _named(stored: StoredResponse, plan: Plan, answer: Answer) -> StoredResponse:
    if plan.known is not None and stored.status == 200:
        stored = replace(stored, fields=plan.known.pairs)
    tags = (*stored.tags, *plan.tags)
    return replace(stored, tags=tags, name=plan.name, group=plan.group, url=answer.url)


def _stopping() -> UpstreamError:
    return UpstreamError(ProxyError.PROXY_INTERNAL_ERROR, "the node is stopping")
