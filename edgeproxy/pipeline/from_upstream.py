"""Answers that need an upstream: start a fill or join one, and answer with what its head tells."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from typing import assert_never

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import CacheOutcome, Clock, ForwardReason, Outcome, Request, Response
from edgeproxy.pipeline.answer import Answers, stale_outcome
from edgeproxy.pipeline.asked import Asked, Source
from edgeproxy.pipeline.exchange import Answer
from edgeproxy.pipeline.fill import CONDITIONS, Adopt, Fill
from edgeproxy.pipeline.fill_head import Failed, Freshened, Head, Large, StaleInstead, Streaming, Unshared
from edgeproxy.pipeline.fills import Fills
from edgeproxy.pipeline.from_store import FromStore
from edgeproxy.pipeline.large_bodies import LargeBodies
from edgeproxy.pipeline.large_fill import LargeFill
from edgeproxy.pipeline.large_fills import LargeFills
from edgeproxy.pipeline.passing import Passing
from edgeproxy.pipeline.views import ViewExaminer, Views, learn_from
from edgeproxy.policy import conditionals, forwarding, ranges
from edgeproxy.policy.decision import (
    Hit,
    Miss,
    Revalidate,
    after_failure,
    before,
    is_collapsible,
    shareable,
)
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.policy.validation import conditions
from edgeproxy.sites.site import Derived, Plan, Site

NEAR_BYTES = 1 << 20  # a range starting this close to the frontier waits for the fill


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of upstream, for whom and why."""

    request: Request
    plan: Plan
    site: Site
    decision: Miss | Revalidate

    @property
    def stored(self) -> StoredResponse | None:
        return self.decision.stored if isinstance(self.decision, Revalidate) else None

    @property
    def reason(self) -> ForwardReason:
        return self.decision.reason


class FromUpstream:
    """Forwards questions. Any number of the same one make one exchange where policy permits."""

    def __init__(
        self,
        *,
        via: str,
        fills: Fills,
        large: LargeBodies,
        large_fills: LargeFills,
        views: Views,
        passing: Passing,
        from_store: FromStore,
        answers: Answers,
        clock: Clock,
    ) -> None:
        self._large = large
        self._large_fills = large_fills
        self._via = via
        self._fills = fills
        self._views = views
        self._passing = passing
        self._from_store = from_store
        self._answers = answers
        self._clock = clock

    async def answer(self, question: Question) -> Response:
        request, plan = question.request, question.plan
        failure = self._fills.recent_failure(plan.key)
        if failure is not None:
            return await self._instead(question, failure)
        running = self._fills.joinable(plan.key)
        if request.method == "HEAD" and plan.view is None and running is None:
            held = await self.held(question) if question.stored is None else None
            if held is not None:
                return held
            return await self._passing.head(
                question.request, plan, question.site.name, question.reason, question.stored
            )
        # What is known beforehand is storable; a refusal a moment ago tells nothing about it.
        is_open = question.stored is None and not plan.expected.is_provable
        if is_open and self._fills.is_uncacheable(plan.key):
            return await self._passing.forward(
                request, plan, question.site.name, question.reason, detail="not storable a moment ago"
            )
        shared = self._is_shared(question)
        if running is not None and shared:
            return await self._join(running, question, owner=False)
        first = None
        if question.stored is None:
            try:
                large = await self._large.answer(self._asked(question, shared))
            except UpstreamError as error:
                return await self._instead(question, error)
            if isinstance(large, Response):
                return large
            first = large
            meanwhile = await self._meanwhile(question, shared) if first is None else None
            if meanwhile is not None:
                return meanwhile
        return await self._join(self._start(question, shared=shared, first=first), question, owner=True)

    async def _meanwhile(self, question: Question, shared: bool) -> Response | None:
        """What somebody quicker has begun, handed over to a fill of a large body, or left in the store since
        these were looked at."""
        request, plan, site = question.request, question.plan, question.site
        try:
            large = await self._large.joined(self._asked(question, shared))
        except UpstreamError as error:
            return await self._instead(question, error)
        if large is not None:
            return large
        running = self._fills.joinable(plan.key)
        if running is not None and shared:
            return await self._join(running, question, owner=False)
        return await self._from_store.hit(request, plan, site, self._clock())

    async def held(self, question: Question) -> Response | None:
        """What can be answered without asking anybody although nothing whole is stored under the key."""
        return await self._large.held(self._asked(question, shared=True))

    @staticmethod
    def _asked(question: Question, shared: bool) -> Asked:
        return Asked(question.request, question.plan, question.site, question.reason, shared)

    def revalidate_in_background(
        self, request: Request, plan: Plan, site: Site, stored: StoredResponse
    ) -> None:
        """Bring `stored` up to date while clients get it stale (RFC 5861 section 3)."""
        if self._fills.joinable(plan.key) is not None or self._fills.recent_failure(plan.key) is not None:
            return
        decision = Revalidate(stored, conditions(stored), ForwardReason.STALE, "in the background")
        question = Question(request, plan, site, decision)
        shared = self._is_shared(question)
        self._fills.start_background(lambda: self._start(question, shared=shared))

    def _is_shared(self, question: Question) -> bool:
        """Whether others may wait for the same fill. HEAD is no hindrance where a whole body is needed
        anyway."""
        request = question.request
        if request.method == "HEAD" and (
            question.plan.view is not None or self._fills.joinable(question.plan.key)
        ):
            request = replace(request, method="GET")
        return is_collapsible(request, question.plan.rules)

    def _start(self, question: Question, *, shared: bool, first: Answer | None = None) -> Fill:
        request, plan, site = question.request, question.plan, question.site
        if request.method == "HEAD":  # of a view: it takes the whole to know its length
            request = replace(request, method="GET")
        headers = forwarding.upstream_headers(
            request,
            self._via,
            keep_authorization=plan.keep_authorization,
            strip_cookie=plan.rules.strip_cookie,
        )
        if isinstance(question.decision, Revalidate):
            headers = headers.adding(question.decision.conditions)
        stored = question.stored
        examiner = None
        if plan.view is not None:
            examiner = ViewExaminer(self._views, plan, plan.view, site, stored)
        on_missing = None if plan.missing is None else partial(site.learn, plan.missing)
        return self._fills.start(
            plan,
            site.name,
            request,
            headers,
            stored,
            shared=shared,
            examiner=examiner,
            on_missing=on_missing,
            adopt=_adopting(self._large_fills) if shared else None,
            first=first,
        )

    async def _join(self, fill: Fill, question: Question, *, owner: bool) -> Response:
        """Wait for the head of a fill and answer with it, if it is for us as well."""
        early = not fill.head.done()
        with fill.joined():
            try:
                head = await asyncio.wait_for(asyncio.shield(fill.head), self._patience(question))
            except TimeoutError:
                return await self._instead(question, _impatient())
            except asyncio.CancelledError:
                if owner:
                    await fill.disowned()
                raise
            finally:
                if owner and not fill.head.done():
                    fill.owner_waits = False
            if owner or self._is_for(question, head, early):
                return await self._answer(fill, head, question, collapsed=not owner)
        if isinstance(head, Unshared):
            request, plan = question.request, question.plan
            return await self._passing.forward(
                request, plan, question.site.name, question.reason, detail=head.detail
            )
        return await self._join(self._start(question, shared=False), question, owner=True)

    def _patience(self, question: Question) -> float | None:
        """How long upstream may take: without end, unless something stored can be served instead."""
        rules, stored = question.plan.rules, question.stored
        if rules.patience is None or after_failure(question.request, stored, rules, self._clock()) is None:
            return None
        return rules.patience

    def _is_for(self, question: Question, head: Head, early: bool) -> bool:
        """Whether one who joined may have what the fill brought. Who asked before the head was there
        may have it even if it may not be used again; who came later only what would be a hit."""
        request = question.request
        match head:
            case Streaming(stored, body):
                if not body.is_joinable:
                    return False
                return self._may_share(question, stored, early)
            case Large(fill):
                return fill.is_joinable and self._may_share(question, fill.stored, early)
            case Freshened(stored) | StaleInstead(stored):
                return shareable(request, stored)
            case Failed():
                return True
            case Unshared():
                return False
            case _:
                assert_never(head)

    def _may_share(self, question: Question, stored: StoredResponse, early: bool) -> bool:
        request = question.request
        if early and not stored.no_cache:
            return shareable(request, stored)
        return isinstance(before(request, [stored], question.plan.rules, self._clock()), Hit)

    async def _answer(self, fill: Fill, head: Head, question: Question, *, collapsed: bool) -> Response:
        request, plan, site = question.request, question.plan, question.site
        outcome = Outcome(
            CacheOutcome.MISS,
            site.name,
            forward=question.reason,
            collapsed=collapsed,
            detail=question.decision.detail,
        )
        match head:
            case Streaming():
                return await self._stream(fill, head, question, outcome)
            case Large(large, answer):
                outcome = replace(
                    outcome,
                    forward_status=answer.response.status,
                    stored=True,
                    lifetime=large.stored.fresh_until - self._clock(),
                    upstream_seconds=answer.seconds,
                    source=answer.source,
                )
                if large.is_joinable:
                    return self._answers.large(request, plan, large.stored, large.body, outcome)
                if large.kept is not None:
                    return await self._stored_or_again(question, large.kept, outcome)
                if large.error is not None:
                    return self._answers.failed(plan, site.name, large.error, collapsed=collapsed)
                # The store has failed meanwhile, and the fill has ended without it.
                return await self._join(self._start(question, shared=False), question, owner=True)
            case Freshened(stored, answer):
                outcome = replace(
                    outcome,
                    cache=CacheOutcome.REVALIDATED,
                    forward_status=304,
                    stored=True,
                    lifetime=stored.fresh_until - self._clock(),
                    upstream_seconds=answer.seconds,
                    source=answer.source,
                )
                return await self._stored_or_again(question, stored, outcome)
            case StaleInstead(stored, detail, forward_status):
                outcome = replace(
                    stale_outcome(stored, site.name, self._clock(), detail),
                    forward=question.reason,
                    forward_status=forward_status,
                    collapsed=collapsed,
                )
                return await self._stored_or_again(question, stored, outcome)
            case Unshared(answer, detail):
                return self._passing.answer(request, plan, site.name, answer, question.reason, detail)
            case Failed(error):
                learn_from(site, error)
                return self._answers.failed(plan, site.name, error, collapsed=collapsed)
            case _:
                assert_never(head)

    async def _stream(self, fill: Fill, head: Streaming, question: Question, outcome: Outcome) -> Response:
        request, plan = question.request, question.plan
        outcome = replace(
            outcome,
            forward_status=head.answer.response.status,
            stored=True,
            lifetime=head.stored.fresh_until - self._clock(),
            upstream_seconds=head.answer.seconds,
            source=head.answer.source,
        )
        if plan.view is not None and head.stored.status == 200:
            source = fill.kept if fill.kept is not None else head.stored
            same_view = fill.plan.view is not None and fill.plan.view.id == plan.view.id
            if same_view and isinstance(fill.examined, Derived):
                return self._answers.derived(request, plan, source, fill.examined, outcome)
            return await self._stored_or_again(question, source, outcome)
        if self._is_far(request, head):
            size = head.body.size
            fill.wanted = fill.wanted or (size is not None and size <= plan.prefetch_bytes_max)
            return await self._passing.forward(
                request, plan, outcome.site, ForwardReason.PARTIAL, detail="range far behind the fill"
            )
        return self._answers.streaming(request, plan, head, outcome, owner=not outcome.collapsed)

    def _is_far(self, request: Request, head: Streaming) -> bool:
        """A range that starts far behind what has arrived is asked for by itself, so that its client
        does not wait for everything before it."""
        text, size = request.headers.get("Range"), head.body.size
        if not text or size is None or head.stored.status != 200 or head.body.is_complete:
            return False
        if not conditionals.ranges_apply(request, head.stored.headers):
            return False
        slices = ranges.parse(text, size, 1)
        if not isinstance(slices, ranges.Slices):
            return False
        return slices.slices[0][0] > head.body.received + NEAR_BYTES

    async def _stored_or_again(
        self, question: Question, stored: StoredResponse, outcome: Outcome
    ) -> Response:
        """Serve what is stored; if its body cannot be had after all, fetch it whole."""
        response = await self._from_store.serve(
            question.request, question.plan, question.site, stored, outcome
        )
        if response is not None:
            return response
        miss = Miss(ForwardReason.MISS, "the stored body was gone or damaged")
        again = replace(question, decision=miss)
        return await self._join(self._start(again, shared=False), again, owner=True)

    async def _instead(self, question: Question, error: UpstreamError) -> Response:
        """Upstream will not answer in time: what is stored, if it may be served, else the failure."""
        request, plan, site = question.request, question.plan, question.site
        stale = after_failure(request, question.stored, plan.rules, self._clock())
        if stale is not None:
            outcome = stale_outcome(stale.stored, site.name, self._clock(), f"{stale.detail}: {error}")
            response = await self._from_store.serve(request, plan, site, stale.stored, outcome)
            if response is not None:
                return response
        return self._answers.failed(plan, site.name, error)


def _adopting(large: LargeFills) -> Adopt:
    async def adopt(fill: Fill, stored: StoredResponse, answer: Answer) -> LargeFill | None:
        refuses = fill.is_continued or answer.response.headers.get("Accept-Ranges").lower() == "none"
        source = Source(fill.plan, fill.site, fill.headers.without(CONDITIONS), refuses)
        return await large.adopt(source, stored, answer, (0, stored.body_bytes))

    return adopt


def _impatient() -> UpstreamError:
    return UpstreamError(ProxyError.HTTP_RESPONSE_TIMEOUT, "the upstream is slow")
