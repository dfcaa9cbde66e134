"""A body that breaks off is asked for again from the byte where it stopped: its readers only wait.

The rest may come only from the same representation. That is so when its strong validator and its length
are those pinned at the start (RFC 9110 section 13.1.5), or when the whole will be compared with a digest
known beforehand. An origin that answers with the whole again is read up to where we were. Where a parent
or a sibling breaks off, the next candidate is asked at once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers
from edgeproxy.pipeline.blame import is_avoidable
from edgeproxy.pipeline.exchange import Answer
from edgeproxy.policy import entity_tag
from edgeproxy.upstream.upstream import UpstreamResponse

ATTEMPTS_MAX = 8
IDLE_ATTEMPTS_MAX = 2  # in a row without a new byte
BACKOFF_SECONDS = 0.1  # doubled with each attempt in a row

_BROKEN = frozenset(
    {
        ProxyError.HTTP_RESPONSE_INCOMPLETE,
        ProxyError.CONNECTION_TERMINATED,
        ProxyError.CONNECTION_READ_TIMEOUT,
    }
)
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", re.ASCII)

Ask = Callable[[Headers, frozenset[str]], Awaitable[Answer]]


class Resuming:
    """The content of `answer` to its end. `ask` repeats the request with further fields, avoiding sources."""

    def __init__(self, answer: Answer, ask: Ask, *, digest_known: bool) -> None:
        self._response = answer.response
        self._ask = ask
        self._size = answer.response.content_length
        tag = answer.response.headers.get("ETag")
        self._tag = tag if entity_tag.strongly_equal(tag, tag) else ""
        self._digest_known = digest_known
        self._offset = 0
        self._skip = 0
        self._avoid: set[str] = set()
        self.sources: set[str] = set()  # whoever has sent a byte

    def _can_resume(self, source: str) -> bool:
        is_known = self._size is not None and bool(self._tag or self._digest_known)
        return is_known and (self._offset > 0 or is_avoidable(source))

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises UpstreamError when the rest cannot be had; the caller closes the first response."""
        response, first = self._response, self._response
        idle = 0
        for attempt in range(ATTEMPTS_MAX):
            before = self._offset
            try:
                async for chunk in response.chunks():
                    rest = self._rest(chunk)
                    if rest:
                        self.sources.add(response.source)
                        self._offset += len(rest)
                        yield rest
                return
            except UpstreamError as error:
                broken = error
            finally:
                if response is not first:
                    await response.aclose()
            if not self._can_resume(response.source):
                raise broken
            if self._leave(response.source):
                response = await self._again(broken)
                continue
            idle = idle + 1 if self._offset == before else 0
            if broken.error not in _BROKEN or idle >= IDLE_ATTEMPTS_MAX:
                raise broken
            await asyncio.sleep(BACKOFF_SECONDS * 2 ** min(attempt, 4))
            response = await self._again(broken)
        raise broken

    def _leave(self, source: str) -> bool:
        """Whether there may be another candidate than `source`, which is avoided from now on."""
        if not is_avoidable(source) or source in self._avoid:
            return False
        self._avoid.add(source)
        return True

    def _rest(self, chunk: bytes) -> bytes:
        """What of a piece is new; an origin that began again sends what we have once more."""
        if not self._skip:
            return chunk
        cut = min(self._skip, len(chunk))
        self._skip -= cut
        return chunk[cut:]

    async def _again(self, broken: UpstreamError) -> UpstreamResponse:
        fields = [("Range", f"bytes={self._offset}-")]
        if self._tag:
            fields.append(("If-Range", self._tag))
        while True:
            response = (await self._ask(Headers(fields), frozenset(self._avoid))).response
            if self._continues(response):
                return response
            await response.aclose()
            if not self._leave(response.source):
                raise broken

    def _continues(self, response: UpstreamResponse) -> bool:
        """Whether `response` brings the rest of the same representation."""
        tag = response.headers.get("ETag")
        if not self._digest_known and not entity_tag.strongly_equal(tag, self._tag):
            return False
        if response.status == 200:
            self._skip = self._offset
            return response.content_length == self._size
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range"))
        if response.status != 206 or match is None or self._size is None:
            return False
        self._skip = 0
        start, last, size = (int(group) for group in match.groups())
        return (start, last + 1, size) == (self._offset, self._size, self._size)
