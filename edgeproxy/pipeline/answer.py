"""Makes answers: the fields a client gets, conditionals, ranges, and the reason for everything."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from edgeproxy.errors import UpstreamError
from edgeproxy.message import (
    EMPTY,
    BytesBody,
    CacheOutcome,
    Clock,
    Headers,
    HeadOnly,
    KeptFile,
    Outcome,
    Request,
    Response,
)
from edgeproxy.pipeline.content import (
    Announced,
    Content,
    DataContent,
    GrowingContent,
    LaidOut,
    Piece,
    stored_content,
)
from edgeproxy.pipeline.distrust import Distrust
from edgeproxy.pipeline.fill_head import Streaming
from edgeproxy.pipeline.sparse_body import SparseBody, SparseContent
from edgeproxy.policy import cache_status, conditionals, forwarding, ranges, repr_digest
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.policy.timed_fields import TimedFields, timed
from edgeproxy.sites.site import Derived, Plan, Steady
from edgeproxy.storage.store import Reusable, Store, StoredBody
from edgeproxy.upstream.upstream import UpstreamResponse

RETRY_SECONDS = 2  # what clients are told where the site says nothing: the dead are probed that often


@dataclass(slots=True)
class HitReuse:
    """A hit as the request memo may repeat it. A view is good only while its source is, too."""

    answers: Answers
    plan: Plan
    site: str
    made_from: StoredResponse
    stored: StoredResponse
    held: Reusable
    source: Reusable | None

    @property
    def data(self) -> bytes:
        return self.held.data

    @property
    def file(self) -> KeptFile | None:
        return self.held.file

    @property
    def size(self) -> int:
        return self.stored.body_bytes

    def fields(self, now: float) -> Headers:
        outcome = Outcome(CacheOutcome.HIT, self.site, lifetime=self.made_from.fresh_until - now)
        return self.answers.fields(self.plan, self.made_from, self.stored.headers, outcome, now)

    def timed(self, now: float, *, is_proven: bool = False) -> TimedFields | None:
        """None for a presentation that may depend on time in ways of its own."""
        present = self.plan.present
        if present is not None and not isinstance(present, Steady):
            return None
        left = ("cache-status",) if present is None else ("cache-status", *present.left)
        made_from, fields = self.made_from, self.fields(now)
        found = timed(fields, born=made_from.born, fresh_until=made_from.fresh_until, left=left)
        if is_proven:
            return found
        # Held against the real ones, so that a presentation that is not what it says is not repeated.
        later = min(now + 1.5, (now + made_from.fresh_until) / 2)
        is_right = found.fields(now) == fields and found.fields(later) == self.fields(later)
        return found if is_right else None

    def used(self) -> None:
        self.held.used()


class Answers:
    """Builds every Response of the data plane."""

    def __init__(
        self, *, node: str, via: str, ranges_max: int, store: Store, clock: Clock, distrust: Distrust
    ) -> None:
        self._distrust = distrust
        self._node = node
        self._via = via
        self._ranges_max = ranges_max
        self._store = store
        self._clock = clock

    # -- fields --------------------------------------------------------------------------------

    def fields(
        self, plan: Plan, source: StoredResponse, headers: Headers, outcome: Outcome, now: float
    ) -> Headers:
        """The fields of a stored response (or a view of it) as of `now`."""
        sent = forwarding.stored_headers(headers.pairs, self._via, source.status in (200, 206))
        age = ("Age", str(int(source.age(now))))
        status = ("Cache-Status", self._cache_status(headers, outcome, plan.source))
        if plan.present is None:
            return sent.adding((age, status))
        return plan.present(sent.adding((age,)), source, now, source.fresh_until <= now).adding((status,))

    def passing_headers(self, response: UpstreamResponse, outcome: Outcome) -> Headers:
        """The fields of an upstream's response on its way to one client."""
        sent = forwarding.client_headers(response.headers, self._via, response.version)
        status = self._cache_status(response.headers, outcome)
        return sent.without(("Cache-Status",)).adding((("Cache-Status", status),))

    def _cache_status(self, headers: Headers, outcome: Outcome, source: str = "") -> str:
        """Ours comes after those of the caches before us (RFC 9211 section 2)."""
        before = headers.get("Cache-Status")
        mine = cache_status.render(outcome, self._node, source)
        return f"{before}, {mine}" if before else mine

    # -- answers with content ------------------------------------------------------------------

    def stored(
        self,
        request: Request,
        plan: Plan,
        source: StoredResponse,
        stored: StoredResponse,
        body: StoredBody,
        outcome: Outcome,
    ) -> Response:
        """A complete stored response; `source` is what a view was made from, else `stored` itself."""
        now = self._clock()
        headers = self.fields(plan, source, stored.headers, outcome, now)
        headers = self._with_digest(request, headers, stored)
        response = self._select(request, plan, stored, headers, stored_content(body), outcome)
        if (
            "Want-Repr-Digest" in request.headers
            or response.status != 200
            or outcome.cache is not CacheOutcome.HIT
            or plan.layout is not None
            or plan.is_judged
        ):
            return response
        held = self._store.reusable(stored)
        held_source = None if source is stored else self._store.reusable(source)
        if held is None or (held_source is None and source is not stored):
            return response
        reuse = HitReuse(self, plan, outcome.site, source, stored, held, held_source)
        return replace(response, reuse=reuse)

    def streaming(
        self, request: Request, plan: Plan, head: Streaming, outcome: Outcome, *, owner: bool
    ) -> Response:
        """A response whose body is still arriving. Its owner gets the fields as they came; others do
        not get those that were withheld from the store."""
        came = head.answer.response.headers if owner else head.stored.headers
        headers = self.fields(plan, head.stored, came, outcome, self._clock())
        return self._select(request, plan, head.stored, headers, GrowingContent(head.body), outcome)

    def large(
        self, request: Request, plan: Plan, stored: StoredResponse, body: SparseBody, outcome: Outcome
    ) -> Response:
        """A response whose body is being put together."""
        headers = self.fields(plan, stored, stored.headers, outcome, self._clock())
        headers = self._with_digest(request, headers, stored)
        return self._select(request, plan, stored, headers, SparseContent(body), outcome)

    def announced(self, request: Request, plan: Plan, stored: StoredResponse, outcome: Outcome) -> Response:
        """HEAD of a response whose body is not all here."""
        headers = self.fields(plan, stored, stored.headers, outcome, self._clock())
        headers = self._with_digest(request, headers, stored)
        return self._select(request, plan, stored, headers, Announced(stored.body_bytes), outcome)

    def derived(
        self, request: Request, plan: Plan, source: StoredResponse, derived: Derived, outcome: Outcome
    ) -> Response:
        """A view that has just been made."""
        headers = self.fields(plan, source, derived.fields, outcome, self._clock())
        return self._select(request, plan, source, headers, DataContent(derived.data), outcome)

    def _with_digest(self, request: Request, headers: Headers, stored: StoredResponse) -> Headers:
        """Repr-Digest for who wants it (RFC 9530 section 4)."""
        if not stored.digest or not repr_digest.is_wanted(request.headers) or "Repr-Digest" in headers:
            return headers
        return headers.adding((("Repr-Digest", repr_digest.field(stored.digest)),))

    def _select(
        self,
        request: Request,
        plan: Plan,
        stored: StoredResponse,
        headers: Headers,
        content: Content,
        outcome: Outcome,
    ) -> Response:
        """Conditionals first, then ranges (RFC 9110 section 13.2.2)."""
        status = stored.status
        if plan.layout is not None and status == 200:
            content = LaidOut(content, plan.layout)
        verdict = conditionals.evaluate(request, status, headers)
        if verdict in (304, 412):
            content.close()
            kept = conditionals.not_modified(headers)
            return Response(verdict, kept, EMPTY, outcome)
        selected: ranges.Parsed = ranges.Whole()
        # Whoever was cut off with wrong bytes begins again if a range is answered with the whole.
        if not self._distrust.holds(plan.key, stored.digest):
            selected = self._slices(request, status, headers, content.size)
        if isinstance(selected, ranges.Unsatisfiable):
            content.close()
            said = ranges.content_range(None, content.size or 0)
            return Response(416, headers.replacing({"Content-Range": said}), EMPTY, outcome)
        pieces: tuple[Piece, ...] | None = None
        if isinstance(selected, ranges.Slices):
            status, headers, pieces = _partial(selected, headers, content)
        if request.method == "HEAD":
            length = content.size
            content.close()
            return Response(status, headers, HeadOnly(length), outcome)
        return Response(status, headers, content.body(pieces), outcome)

    def _slices(self, request: Request, status: int, headers: Headers, size: int | None) -> ranges.Parsed:
        if status != 200 or size is None or not conditionals.ranges_apply(request, headers):
            return ranges.Whole()
        return ranges.parse(request.headers.get("Range"), size, self._ranges_max)

    # -- answers without -----------------------------------------------------------------------

    def failed(self, plan: Plan, site: str, error: UpstreamError, *, collapsed: bool = False) -> Response:
        """No answer can be had: whose fault it is, and whether to try again."""
        rules = plan.rules
        outcome = Outcome(CacheOutcome.ERROR, site, collapsed=collapsed, detail=error.error.value)
        pairs = [
            ("X-Edge-Error", _one_line(f"{plan.origin.authority}: {error}")),
            ("Proxy-Status", cache_status.proxy_status(error, self._node)),
            ("Cache-Status", cache_status.render(outcome, self._node, plan.source)),
        ]
        status = rules.unavailable_status or error.status
        retry_after = rules.retry_after or (RETRY_SECONDS if status == 503 else None)
        if retry_after is not None:
            pairs.append(("Retry-After", str(int(retry_after))))
        return self._said(plan, status, f"upstream {plan.origin.authority} failed: {error}", outcome, pairs)

    def refused(self, plan: Plan, site: str, status: int, detail: str) -> Response:
        """Upstream may not be asked, and there is nothing to serve."""
        outcome = Outcome(CacheOutcome.REFUSED, site, detail=detail)
        pairs = [("Cache-Status", cache_status.render(outcome, self._node))]
        if plan.rules.offline and plan.rules.unavailable_status is not None:
            status = plan.rules.unavailable_status
        if status == 503:
            pairs.append(("Retry-After", str(int(plan.rules.retry_after or 1))))
        return self._said(plan, status, detail, outcome, pairs)

    def local(self, response: Response, site: str) -> Response:
        """An answer a site gave by itself."""
        outcome = replace(response.outcome, site=site)
        status = cache_status.render(outcome, self._node)
        return replace(
            response, headers=response.headers.adding((("Cache-Status", status),)), outcome=outcome
        )

    def not_mounted(self, mounts: tuple[str, ...]) -> Response:
        served = ", ".join(mounts) or "nothing"
        outcome = Outcome(CacheOutcome.LOCAL, detail="no site")
        return self._text(404, f"no site is mounted here; this node serves {served}", outcome, [])

    def _said(
        self, plan: Plan, status: int, line: str, outcome: Outcome, pairs: list[tuple[str, str]]
    ) -> Response:
        """In the words that clients of the site understand."""
        response = self._text(status, line, outcome, pairs)
        if plan.relay is None:
            return response
        return replace(response, headers=plan.relay(status, response.headers, ""))

    def _text(self, status: int, line: str, outcome: Outcome, pairs: list[tuple[str, str]]) -> Response:
        headers = Headers(
            (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"), *pairs)
        )
        return Response(status, headers, BytesBody(f"{_one_line(line)}\n".encode()), outcome)


def stale_outcome(stored: StoredResponse, site: str, now: float, detail: str) -> Outcome:
    return Outcome(CacheOutcome.STALE, site, lifetime=stored.fresh_until - now, detail=detail)


def _one_line(text: str) -> str:
    return "".join(char if " " <= char < "\x7f" else "?" for char in text[:500])


def _partial(
    selected: ranges.Slices, headers: Headers, content: Content
) -> tuple[int, Headers, tuple[Piece, ...] | None]:
    """Status, fields and pieces of a 206; as a whole if `content` cannot be cut that often."""
    size = content.size
    assert size is not None
    if len(selected.slices) == 1:
        start, end = selected.slices[0]
        said = ranges.content_range((start, end), size)
        return 206, headers.replacing({"Content-Range": said}), ((start, end),)
    if not content.is_seekable:
        return 200, headers, None
    boundary = secrets.token_hex(16)
    content_type = headers.get("Content-Type")
    pieces: list[Piece] = []
    for slice_ in selected.slices:
        pieces += (ranges.part_head(boundary, content_type, slice_, size), slice_)
    pieces.append(ranges.multipart_end(boundary))
    return 206, headers.replacing({"Content-Type": ranges.multipart_type(boundary)}), tuple(pieces)
