"""Bytes of one representation from upstream, from any offset: asked for by Range, checked to belong to
it, asked for again from where they stopped when they break off.

Every exchange may end anywhere else (a redirect to a signed URL that expires): where the last one ended
is asked first, and when it refuses, the way from the start is gone again.

A parent or sibling that breaks off, lies, or has another representation is left for the next candidate at
once, and for a while; what an origin says of its own resource is final."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers
from edgeproxy.metrics import Metrics
from edgeproxy.pipeline.blame import is_avoidable
from edgeproxy.pipeline.exchange import Answer, Exchange
from edgeproxy.pipeline.refusal import bad_answer
from edgeproxy.policy.partial_content import Bytes, Changed, Lie, Pinned, judge
from edgeproxy.sites.site import Plan
from edgeproxy.upstream.upstream import UpstreamResponse

SLOW_ATTEMPTS_MAX = 32  # in a row that brought next to nothing
PROGRESS_BYTES = 64 << 10
GATHERED_BYTES = 1 << 20  # each piece costs a task, a thread hop and a look at what is there
IDLE_ATTEMPTS_MAX = 7  # in a row without a new byte, once there was one
FIRST_ATTEMPTS_MAX = 4  # while there was none: who waits for an answer is told soon
BACKOFF_SECONDS = 0.1  # doubled with each attempt in a row without a new byte: six seconds in all
TOO_MANY = 429
AVOID_SECONDS = 30.0  # whoever broke off is asked again after that
EXPIRED = (400, 401, 403, 404, 410)  # what a signed URL that has expired is answered with

_FOR_GOOD = frozenset(
    {
        ProxyError.TLS_CERTIFICATE_ERROR,
        ProxyError.DESTINATION_IP_PROHIBITED,
        ProxyError.PROXY_LOOP_DETECTED,
        ProxyError.PROXY_INTERNAL_ERROR,
    }
)


class RepresentationChanged(UpstreamError):
    """Upstream has another representation now: what is there belongs to none any more."""

    def __init__(self, detail: str) -> None:
        super().__init__(ProxyError.HTTP_PROTOCOL_ERROR, f"the content has changed upstream: {detail}")


class RangesRefused(UpstreamError):
    """Upstream sends the whole for a part, and somebody else is reading it already."""

    def __init__(self) -> None:
        super().__init__(ProxyError.HTTP_PROTOCOL_ERROR, "the upstream does not serve ranges")


class AskedToWait(UpstreamError):
    """Upstream wants to be left alone for longer than a client waits for its first byte."""

    def __init__(self) -> None:
        super().__init__(ProxyError.DESTINATION_UNAVAILABLE, "the upstream asks to wait (429)")


class _OthersMayKnow(UpstreamError):
    """One candidate has something else, or nothing that makes sense."""

    def __init__(self, detail: str) -> None:
        super().__init__(ProxyError.HTTP_PROTOCOL_ERROR, detail)


class RangedSource:
    """`headers` are the fields of the request without Range and conditions. `refuses_ranges` becomes true
    when upstream has sent the whole for a part; only when `may_skip` says so is it then read over."""

    def __init__(
        self,
        exchange: Exchange,
        plan: Plan,
        site: str,
        headers: Headers,
        pinned: Pinned,
        metrics: Metrics,
        *,
        located: str = "",
        refuses_ranges: bool = False,
    ) -> None:
        self.pinned = pinned
        self.refuses_ranges = refuses_ranges
        self._exchange = exchange
        self._plan, self._site = plan, site
        self._headers = headers
        self._metrics = metrics
        self._located = located
        self.may_skip: Callable[[], bool] = lambda: True
        self._has_begun = False
        self.head_seconds: float | None = None  # that the last response head took
        self._avoid: dict[str, float] = {}
        self.sources: set[str] = set()  # whoever has sent a byte

    def _avoiding(self) -> frozenset[str]:
        now = time.monotonic()
        return frozenset(source for source, until in self._avoid.items() if now < until)

    def _leave(self, source: str) -> bool:
        """Whether there may be another candidate than `source`, which is left for a while."""
        if not is_avoidable(source) or source in self._avoiding():
            return False
        self._avoid[source] = time.monotonic() + AVOID_SECONDS
        return True

    async def chunks(
        self, offset: int, stop: Callable[[], int], first: Answer | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes from `offset` on; the caller leaves when it has come to `stop()`, which may move
        towards it meanwhile. `first` is an exchange already begun, whose content starts at `offset`.
        Raises UpstreamError when they cannot be had."""
        idle = slow = 0
        while slow < SLOW_ATTEMPTS_MAX:
            before = offset
            response: UpstreamResponse | None = None
            elsewhere = False
            try:
                if first is not None:
                    (response, skip), first = (first.response, 0), None
                else:
                    response, skip = await self._open(offset, stop())
                async for chunk in response.chunks(GATHERED_BYTES):
                    fresh = chunk
                    if skip:
                        cut = min(skip, len(chunk))
                        skip -= cut
                        fresh = chunk[cut:]
                    if fresh:
                        self._has_begun = True
                        self.sources.add(response.source)
                        offset += len(fresh)
                        self._metrics.count("upstream_bytes_total", self._site, by=len(fresh))
                        yield fresh
                broken = UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "the range ended early")
                if offset >= stop():
                    return
            except UpstreamError as error:
                if isinstance(error, RepresentationChanged | RangesRefused) or error.error in _FOR_GOOD:
                    raise
                if isinstance(error, AskedToWait) and not self._has_begun:
                    raise
                if (
                    not self._has_begun
                    and error.error is ProxyError.DESTINATION_UNAVAILABLE
                    and not error.sent
                ):
                    raise  # nobody can be asked, and who asks is waiting
                broken = error
                elsewhere = isinstance(error, _OthersMayKnow)
            finally:
                if response is not None:
                    await response.aclose()
            if response is not None:
                elsewhere = self._leave(response.source)
            if elsewhere:
                self._metrics.count("fill_resumes_total", self._site)
                continue
            idle = idle + 1 if offset == before else 0
            slow = slow + 1 if offset - before < PROGRESS_BYTES else 0
            if idle >= (IDLE_ATTEMPTS_MAX if self._has_begun else FIRST_ATTEMPTS_MAX):
                break
            self._metrics.count("fill_resumes_total", self._site)
            await asyncio.sleep(BACKOFF_SECONDS * 2 ** (idle - 1) if idle else 0)
        raise broken

    async def _open(self, offset: int, end: int) -> tuple[UpstreamResponse, int]:
        """A response that brings `offset`, and how many of its bytes come before that."""
        headers = self._headers
        whole = offset == 0 and end >= self.pinned.size
        if not whole:
            fields = [("Range", f"bytes={offset}-{end - 1}")]
            if self.pinned.tag and not self.pinned.digest_known:
                fields.append(("If-Range", self.pinned.tag))
            headers = headers.adding(fields)
        answer = await self._ask(headers)
        response, self.head_seconds = answer.response, answer.seconds
        judged = judge(response.status, response.headers, response.content_length, offset, self.pinned)
        match judged:
            case Bytes(start, _, is_whole):
                self._located = answer.url
                if is_whole and not whole:
                    self.refuses_ranges = True
                    if offset and not self.may_skip():
                        await response.aclose()
                        raise RangesRefused
                return response, offset - start
            case Changed(detail):
                await response.aclose()
                if self._leave(response.source):
                    raise _OthersMayKnow(detail)
                self._metrics.count("upstream_changed_total", self._site)
                # What has come so far is outdated: not to be asked of the same again.
                self._exchange.blame.add(self.sources, self._plan.key)
                raise RepresentationChanged(detail)
            case Lie(detail):
                await response.aclose()
                if response.status == TOO_MANY:
                    raise AskedToWait
                self._metrics.count("upstream_lies_total", self._site)
                if self._leave(response.source):
                    raise _OthersMayKnow(detail)
                raise bad_answer(detail)

    async def _ask(self, headers: Headers) -> Answer:
        if self._located:
            try:
                answer = await self._exchange.ask(
                    self._plan,
                    self._site,
                    "GET",
                    headers,
                    at=self._located,
                    bulk=True,
                    avoid=self._avoiding(),
                )
            except UpstreamError:
                self._located = ""
                raise
            if answer.response.status not in EXPIRED:
                return answer
            await answer.response.aclose()
            self._located = ""
        return await self._exchange.ask(
            self._plan, self._site, "GET", headers, bulk=True, avoid=self._avoiding()
        )
