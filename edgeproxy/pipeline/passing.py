"""Exchanges for one client alone: unsafe methods, what may not be stored, HEAD of what is absent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import (
    Body,
    BytesBody,
    CacheOutcome,
    Clock,
    ForwardReason,
    Outcome,
    Request,
    Response,
)
from edgeproxy.metrics import Metrics
from edgeproxy.pipeline.answer import Answers
from edgeproxy.pipeline.content import HeadContent, PassingContent
from edgeproxy.pipeline.exchange import Answer, Exchange
from edgeproxy.pipeline.fills import Fills
from edgeproxy.pipeline.proven_content import ProvenContent
from edgeproxy.pipeline.receiving import Digests
from edgeproxy.pipeline.refusal import bad_answer, counts_as_failure, refused
from edgeproxy.policy import forwarding
from edgeproxy.policy.decision import after_head
from edgeproxy.policy.invalidation import invalidated
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.site import Plan, Transform, Unacceptable
from edgeproxy.storage.store import Store
from edgeproxy.upstream.upstream import UpstreamResponse

TRANSFORMED_BYTES_MAX = 64 << 20


@dataclass(frozen=True, slots=True)
class ReadContent:
    """The content of a request that a site has read already: a message.RequestBody."""

    data: bytes

    @property
    def length(self) -> int:
        return len(self.data)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.data:
            yield self.data


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
        threads: Executor,
        clock: Clock,
        report: Callable[[str], None],
    ) -> None:
        self._report = report
        self.invalidate_parts: Callable[[str], Awaitable[None]] | None = None
        self._threads = threads
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
        if plan.transform is not None and request.method != "HEAD":
            return await self._transformed(plan.transform, request, plan, site, answer, reason)
        return self.answer(request, plan, site, answer, reason, detail)

    async def _transformed(
        self,
        transform: Transform,
        request: Request,
        plan: Plan,
        site: str,
        answer: Answer,
        reason: ForwardReason,
    ) -> Response:
        """The site's own version of the content, which is taken in as a whole."""
        response = self.answer(request, plan, site, answer, reason, "")
        data = bytearray()
        loop = asyncio.get_running_loop()
        try:
            async for chunk in answer.response.chunks():
                self._metrics.count("upstream_bytes_total", site, by=len(chunk))
                data += chunk
                if len(data) > TRANSFORMED_BYTES_MAX:
                    raise bad_answer(f"more than {TRANSFORMED_BYTES_MAX} bytes where a page is expected")
            headers, content = await loop.run_in_executor(
                self._threads, transform, response.status, response.headers, bytes(data)
            )
        except Unacceptable as error:
            return self._answers.failed(plan, site, bad_answer(str(error)))
        except UpstreamError as error:
            return self._answers.failed(plan, site, error)
        finally:
            await answer.response.aclose()
        return replace(response, headers=headers, body=BytesBody(content))

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
        if request.headers.get("TE").lower() == "trailers":
            headers = headers.adding((("TE", "trailers"),))  # they are passed on where both sides can
        body = request.body if request.content is None else ReadContent(request.content)
        answer = await self._exchange.ask(plan, site, request.method, headers, body, request.interim)
        status = answer.response.status
        if counts_as_failure(plan, status):
            await answer.response.aclose()
            raise UpstreamError(ProxyError.DESTINATION_UNAVAILABLE, f"the upstream answered {status}")
        refusal = refused(plan, status, answer.response.content_length) if status == 200 else None
        if refusal is not None and request.method == "GET":
            self._metrics.count("digest_mismatch_total", site)
            await answer.response.aclose()
            raise refusal
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
            source=answer.source,
        )
        headers = self._answers.passing_headers(response, outcome)
        if plan.relay is not None:
            headers = plan.relay(response.status, headers, answer.url or plan.origin.url + plan.target)
        if request.method == "HEAD":
            length = response.headers.get("Content-Length")
            plain = length.isascii() and length.isdigit() and len(length) < 19
            return Response(
                response.status, headers, HeadContent(int(length) if plain else None, response), outcome
            )
        content = self._content(plan, site, response)
        return Response(response.status, headers, content, outcome)

    def _content(self, plan: Plan, site: str, response: UpstreamResponse) -> Body:
        content = PassingContent(response, lambda n: self._metrics.count("upstream_bytes_total", site, by=n))
        expected, size = plan.expected, response.content_length
        digests = Digests(expected.sha256, expected.git_sha1, expected.size if size is None else size)
        if response.status != 200 or not digests.is_known:
            return content
        return ProvenContent(content, digests, lambda said: self._mismatched(plan, site, said))

    def _mismatched(self, plan: Plan, site: str, said: str) -> None:
        self._metrics.count("digest_mismatch_total", site)
        self._report(f"{plan.key}: {said}; its client was cut off")

    async def _invalidate(self, request: Request, plan: Plan, answer: Answer) -> None:
        """What an unsafe method has changed is not what is stored any more (RFC 9111 section 4.4)."""
        response = answer.response
        for key in invalidated(request, plan.key, response.status, response.headers):
            self._fills.supersede(key)
            if self.invalidate_parts is not None:
                await self.invalidate_parts(key)
            for stored in await self._store.lookup(key):
                await self._store.remove(stored)
