"""Exchanges for one client alone: unsafe methods, what may not be stored, HEAD of what is absent."""

from __future__ import annotations

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import CacheOutcome, Clock, ForwardReason, Outcome, Request, Response
from edgeproxy.metrics import Metrics
from edgeproxy.pipeline.answer import Answers
from edgeproxy.pipeline.content import HeadContent, PassingContent
from edgeproxy.pipeline.exchange import Answer, Exchange
from edgeproxy.pipeline.fills import Fills
from edgeproxy.pipeline.refusal import counts_as_failure
from edgeproxy.policy import forwarding
from edgeproxy.policy.decision import after_head
from edgeproxy.policy.invalidation import invalidated
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.site import Plan
from edgeproxy.storage.store import Store


class Passing:
    """Forwards a request as its client made it, and its answer back."""

    def __init__(
        self,
        *,
        via: str,
        exchange: Exchange,
        store: Store,
        fills: Fills,
        answers: Answers,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._via = via
        self._exchange = exchange
        self._store = store
        self._fills = fills
        self._answers = answers
        self._metrics = metrics
        self._clock = clock

    async def forward(
        self, request: Request, plan: Plan, site: str, reason: ForwardReason, *, detail: str = ""
    ) -> Response:
        """Neither looked up, nor stored, nor shared."""
        if plan.rules.offline:
            return self._answers.refused(plan, site, 504, "offline")
        try:
            answer = await self._ask(request, plan, site)
        except UpstreamError as error:
            return self._answers.failed(plan, site, error)
        await self._invalidate(request, plan, answer)
        return self.answer(request, plan, site, answer, reason, detail)

    async def head(
        self, request: Request, plan: Plan, site: str, reason: ForwardReason, stored: StoredResponse | None
    ) -> Response:
        """HEAD of what is not fresh here: upstream's answer tells about the stored GET as well (RFC
        9111 section 4.3.5)."""
        try:
            answer = await self._ask(request, plan, site)
        except UpstreamError as error:
            return self._answers.failed(plan, site, error)
        if stored is not None and answer.response.status == 200:
            freshened = after_head(stored, answer.response.headers, plan.rules, self._clock())
            if freshened is None:
                await self._store.remove(stored)
            else:
                await self._store.freshen(stored, freshened)
        return self.answer(request, plan, site, answer, reason, "")

    async def _ask(self, request: Request, plan: Plan, site: str) -> Answer:
        """Raises UpstreamError also for statuses that the site counts as failures."""
        headers = forwarding.upstream_headers(
            request,
            self._via,
            shared=False,
            keep_authorization=plan.keep_authorization,
            strip_cookie=plan.rules.strip_cookie,
        )
        answer = await self._exchange.ask(plan, site, request.method, headers, request.body, request.interim)
        status = answer.response.status
        if counts_as_failure(plan, status):
            await answer.response.aclose()
            raise UpstreamError(ProxyError.DESTINATION_UNAVAILABLE, f"the upstream answered {status}")
        return answer

    def answer(
        self, request: Request, plan: Plan, site: str, answer: Answer, reason: ForwardReason, detail: str
    ) -> Response:
        """Upstream's response as it is, for this client."""
        response = answer.response
        outcome = Outcome(
            CacheOutcome.MISS if request.method in ("GET", "HEAD") else CacheOutcome.BYPASS,
            site,
            forward=reason,
            forward_status=response.status,
            detail=detail,
            upstream_seconds=answer.seconds,
        )
        headers = self._answers.passing_headers(response, outcome)
        if request.method == "HEAD":
            length = response.headers.get("Content-Length")
            plain = length.isascii() and length.isdigit() and len(length) < 19
            return Response(
                response.status, headers, HeadContent(int(length) if plain else None, response), outcome
            )
        content = PassingContent(response, lambda n: self._metrics.count("upstream_bytes_total", site, by=n))
        return Response(response.status, headers, content, outcome)

    async def _invalidate(self, request: Request, plan: Plan, answer: Answer) -> None:
        """What an unsafe method has changed is not what is stored any more (RFC 9111 section 4.4)."""
        response = answer.response
        for key in invalidated(request, plan.key, response.status, response.headers):
            self._fills.supersede(key)
            for stored in await self._store.lookup(key):
                await self._store.remove(stored)
