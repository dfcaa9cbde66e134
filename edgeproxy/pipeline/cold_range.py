"""The first range of something unknown: the client's own range goes upstream, and what comes tells
whether it is part of a body to be kept in parts."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from edgeproxy.message import Headers, Request
from edgeproxy.pipeline.exchange import Answer
from edgeproxy.pipeline.fill_parts import FillParts
from edgeproxy.policy import ranges
from edgeproxy.policy.decision import Store, after
from edgeproxy.policy.partial_content import content_range
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.site import Plan

_ANY_SIZE = 1 << 60
_RANGES_MAX = 16
_CONDITIONS = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")


@dataclass(frozen=True, slots=True)
class Came:
    """`part` is [start, end) that the answer brings and `stored` the whole it belongs to, as it would be
    stored; None if it is no 206 of something storable. `is_lie`: not the range that was asked for."""

    answer: Answer
    part: tuple[int, int] | None = None
    stored: StoredResponse | None = None
    is_lie: bool = False


def range_of(request: Request) -> str | None:
    """The Range to send for a request: its own, or the first of several; None if it is not worth it."""
    text = request.headers.get("Range")
    parsed = ranges.parse(text, _ANY_SIZE, _RANGES_MAX)
    if not isinstance(parsed, ranges.Slices) or any(name in request.headers for name in _CONDITIONS):
        return None
    return text.partition(",")[0] if "," in text else text


class ColdRange:
    """One exchange."""

    def __init__(self, parts: FillParts, plan: Plan, site: str, request: Request) -> None:
        self._parts, self._plan, self._site, self._request = parts, plan, site, request

    async def ask(self, headers: Headers, text: str) -> Came:
        """Raises UpstreamError."""
        parts, plan = self._parts, self._plan
        started = parts.clock()
        answer = await parts.exchange.ask(
            plan, self._site, "GET", headers.adding((("Range", text),)), interim=self._request.interim
        )
        response = answer.response
        if response.status != 206:
            return Came(answer)
        said = content_range(response.headers)
        if (
            said is None
            or not _answers(text, said)
            or response.content_length not in (None, said[1] - said[0])
        ):
            return Came(answer, is_lie=True)
        start, end, size = said
        # An incomplete response is stored as the complete one would be (RFC 9111 section 3.3).
        whole = response.headers.without(("Content-Range", "Content-Length"))
        decision = after(
            self._request, 200, whole, None, plan.rules, started, parts.clock(), plan.key, self._site
        )
        if not isinstance(decision, Store):
            return Came(answer)
        return Came(answer, (start, end), replace(decision.stored, body_bytes=size))


def _answers(text: str, said: tuple[int, int, int]) -> bool:
    """Whether a Content-Range begins where the Range asked for."""
    start, _, size = said
    parsed = ranges.parse(text, size, 1)
    return isinstance(parsed, ranges.Slices) and parsed.slices[0][0] == start
