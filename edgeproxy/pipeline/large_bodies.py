"""Answers from large bodies: those being put together, those here in part, those here under another
name, and the first range of one nobody has asked for before.

    joined      a fill of these bytes runs: read along
    linked      the digest is known and here: a hit, whatever the name
    in part     what is there is served, holes are fetched
    known       size, digest and fields are known beforehand: fetch what is asked, nothing else
    cold range  the client's own range goes upstream; the 206 says what the whole is"""

from __future__ import annotations

import asyncio
from dataclasses import replace as changed

from msgspec.structs import replace

from edgeproxy.errors import StorageError
from edgeproxy.message import CacheOutcome, ForwardReason, Headers, Outcome, Response
from edgeproxy.pipeline.answer import Answers
from edgeproxy.pipeline.asked import Asked, Source, first_hole, is_held
from edgeproxy.pipeline.cold_range import ColdRange, range_of
from edgeproxy.pipeline.exchange import Answer
from edgeproxy.pipeline.fill_parts import FillParts
from edgeproxy.pipeline.from_store import FromStore
from edgeproxy.pipeline.large_fill import LargeFill
from edgeproxy.pipeline.large_fills import LargeFills, is_identified
from edgeproxy.pipeline.passing import Passing
from edgeproxy.pipeline.ranged_source import RepresentationChanged
from edgeproxy.pipeline.sparse_body import SparseReader
from edgeproxy.policy import conditionals, forwarding
from edgeproxy.policy.decision import Hit, Revalidate, Stale, Store, after, before
from edgeproxy.policy.partial_content import Bytes, Pinned, judge, strong_tag
from edgeproxy.policy.stored import StoredResponse


class LargeBodies:
    """`answer` gives None where the ordinary way is right, an Answer when upstream has been asked and
    what came is for an ordinary fill."""

    def __init__(
        self,
        parts: FillParts,
        fills: LargeFills,
        *,
        via: str,
        answers: Answers,
        passing: Passing,
        from_store: FromStore,
    ) -> None:
        self._parts = parts
        self._fills = fills
        self._via = via
        self._answers = answers
        self._passing = passing
        self._from_store = from_store
        self._opening: dict[str, asyncio.Future[None]] = {}

    # -- answering -----------------------------------------------------------------------------

    async def held(self, asked: Asked) -> Response | None:
        """Without asking upstream, if all that is asked for is here under some name or in part."""
        if asked.plan.view is not None:
            return None
        response = await self._joined(asked, only_held=True) or await self._linked(asked)
        if response is None and asked.request.method == "HEAD":
            response = await self._announced(asked)
        if response is None and asked.plan.rules.offline:
            response = await self._in_part(asked)
        return response

    async def _announced(self, asked: Asked) -> Response | None:
        """HEAD lacks nothing of a body that is here in part."""
        plan = asked.plan
        found = await self._parts.store.lookup_partial(plan.key)
        decision = before(asked.request, found, plan.rules, self._parts.clock())
        if not isinstance(decision, Hit):
            return None
        outcome = Outcome(CacheOutcome.HIT, asked.site.name, lifetime=decision.lifetime, detail="in part")
        return self._answers.announced(asked.request, plan, decision.stored, outcome)

    async def answer(self, asked: Asked) -> Response | Answer | None:
        """Raises UpstreamError."""
        plan = asked.plan
        if plan.view is not None or not asked.shared:
            return None
        response = await self._joined(asked) or await self._linked(asked) or await self._in_part(asked)
        if response is not None or asked.request.method != "GET":
            return response
        kept = await self._from_store.hit(asked.request, plan, asked.site, self._parts.clock())
        if kept is not None:
            return kept
        if plan.known is not None:
            return await self._known(asked)
        if "Range" not in asked.request.headers:
            return None
        opening = self._opening.get(plan.key)
        if opening is not None:
            await asyncio.shield(opening)
            return await self._joined(asked)
        return await self._cold_range(asked)

    async def joined(self, asked: Asked) -> Response | None:
        """From a fill that runs, if there is one; without a turn of the loop if there is none. Raises
        UpstreamError."""
        if asked.plan.view is not None or not asked.shared:
            return None
        return await self._joined(asked)

    async def _joined(self, asked: Asked, *, only_held: bool = False) -> Response | None:
        plan, request = asked.plan, asked.request
        for fill in await self._fills.running(plan.expected.sha256, plan.key):
            stored = self._as_stored(asked, fill)
            if stored is None or (only_held and not is_held(request, stored, fill.partial, plan.layout)):
                continue
            if plan.key != fill.stored.key:
                fill.aliases[plan.key] = stored
            response = await self._begun(asked, fill, stored, collapsed=True)
            if response is not None:
                return response
        return None

    def _as_stored(self, asked: Asked, fill: LargeFill) -> StoredResponse | None:
        """What `fill` brings as the answer to this request; None if it is not."""
        plan = asked.plan
        if plan.key != fill.stored.key:
            return self._known_response(asked)
        hit = before(asked.request, [fill.stored], plan.rules, self._parts.clock())
        return fill.stored if isinstance(hit, Hit) else None

    def _known_response(self, asked: Asked) -> StoredResponse | None:
        """The response as the site knows it beforehand."""
        plan = asked.plan
        if plan.known is None or plan.expected.size is None:
            return None
        now = self._parts.clock()
        request = changed(asked.request, method="GET")
        decision = after(request, 200, plan.known, None, plan.rules, now, now, plan.key, asked.site.name)
        if not isinstance(decision, Store):
            return None
        return replace(
            decision.stored,
            tags=(*decision.stored.tags, *plan.tags),
            name=plan.name,
            group=plan.group,
            body_bytes=plan.expected.size,
            digest=plan.expected.sha256,
            sequence=self._parts.store.sequence,
        )

    async def _linked(self, asked: Asked) -> Response | None:
        if not asked.plan.expected.sha256:
            return None
        stored = self._known_response(asked)
        linked = await self._parts.store.link(stored) if stored is not None else None
        if linked is None:
            return None
        outcome = Outcome(CacheOutcome.HIT, asked.site.name, detail="the same bytes under another name")
        return await self._from_store.serve(asked.request, asked.plan, asked.site, linked, outcome)

    async def _in_part(self, asked: Asked) -> Response | None:
        plan, request, store = asked.plan, asked.request, self._parts.store
        known = self._known_response(asked)
        found = await store.lookup_partial(plan.key, plan.expected.sha256 if known is not None else "")
        if not found:
            return None
        decision = before(request, [s for s in found if s.key == plan.key], plan.rules, self._parts.clock())
        stored = decision.stored if isinstance(decision, Hit | Stale | Revalidate) else found[0]
        if not isinstance(decision, Hit) and known is None:
            if not isinstance(decision, Stale | Revalidate):
                return None
            if not plan.rules.offline:
                return await self._confirmed(asked, stored)
        partial = await store.open_partial(stored)
        if partial is None:  # somebody else was quicker, or is about to be done with it
            response = await self._joined(asked, only_held=plan.rules.offline)
            if response is None and await self._fills.ending(stored.key):
                partial = await store.open_partial(stored)
            if partial is None:
                return response or await self._joined(asked, only_held=plan.rules.offline)
        if plan.rules.offline and not is_held(request, stored, partial, plan.layout):
            partial.close()
            return None
        fill = self._fills.start(self._source(asked), partial, stored)
        if known is not None and stored.key != plan.key:
            fill.aliases[plan.key] = known
        return await self._begun(asked, fill, known or stored, collapsed=False)

    async def _confirmed(self, asked: Asked, stored: StoredResponse) -> Response | None:
        """Parts that are not fresh: the next bytes are asked for on condition that they still belong to
        the same representation (RFC 9110 section 13.1.5)."""
        plan, parts = asked.plan, self._parts
        tag = strong_tag(stored.headers)
        partial = await parts.store.open_partial(stored) if tag else None
        if partial is None:
            return None
        handed_over = False
        try:
            start, stop = first_hole(asked.request, stored, partial, plan.layout)
            fields = (("Range", f"bytes={start}-{stop - 1}"), ("If-Range", tag))
            asked_at = parts.clock()
            answer = await parts.exchange.ask(
                plan, asked.site.name, "GET", self._fields(asked).adding(fields)
            )
            came = answer.response
            pinned = Pinned(partial.size, tag, digest_known=False)
            judged = judge(came.status, came.headers, came.content_length, start, pinned)
            if not isinstance(judged, Bytes) or judged.is_whole or judged.start != start:
                await came.aclose()
                if came.status in (200, 404, 410, 416):
                    await partial.discard()
                return None
            headers = came.headers.without(("Content-Range",))
            decision = after(
                asked.request, 200, headers, None, plan.rules, asked_at, parts.clock(), plan.key, stored.site
            )
            if isinstance(decision, Store):
                stored = replace(
                    decision.stored,
                    body_bytes=stored.body_bytes,
                    digest=stored.digest,
                    tags=stored.tags,
                    name=stored.name,
                    group=stored.group,
                    sequence=parts.store.sequence,
                )
                await partial.freshen(stored)
            handed_over = True
            if partial.spans.holds(start, start + 1):
                await came.aclose()
                fill = self._fills.start(self._source(asked), partial, stored)
            else:
                stop = partial.spans.next(start) or partial.size
                fill = self._fills.start(
                    self._source(asked), partial, stored, answer, (start, min(judged.end, stop))
                )
            return self._respond(asked, fill, stored, collapsed=False)
        finally:
            if not handed_over:
                partial.close()

    async def _known(self, asked: Asked) -> Response | None:
        stored = self._known_response(asked)
        if stored is None or not self._fills.is_large(asked.plan, stored.body_bytes):
            return None
        try:
            partial = await self._parts.store.create_partial(stored, sequence=self._parts.store.sequence)
        except StorageError:
            return None
        other = await self._joined(asked)  # somebody may have been quicker
        if other is not None:
            await partial.discard()
            partial.close()
            return other
        fill = self._fills.start(self._source(asked), partial, stored)
        return await self._begun(asked, fill, stored, collapsed=False)

    async def _cold_range(self, asked: Asked) -> Response | Answer | None:
        """Raises UpstreamError. Others who ask for the same meanwhile wait for what comes of it."""
        text = range_of(asked.request)
        if text is None or asked.plan.otherwise is not None:
            return None
        key = asked.plan.key
        opening = self._opening[key] = asyncio.get_running_loop().create_future()
        try:
            cold = ColdRange(self._parts, asked.plan, asked.site.name, asked.request)
            fields = self._fields(asked)
            came = await cold.ask(fields, text)
            if came.is_lie:  # the whole is asked for instead
                self._parts.metrics.count("upstream_lies_total", asked.site.name)
                await came.answer.response.aclose()
                return None
            if came.part is None or came.stored is None:
                if came.answer.response.status == 206:
                    return await self._passed_on(asked, came.answer, text)
                return came.answer
            if not self._fills.is_large(asked.plan, came.stored.body_bytes) or not is_identified(came.stored):
                return await self._passed_on(asked, came.answer, text)
            source = Source(asked.plan, asked.site.name, fields)
            fill = await self._fills.adopt(source, came.stored, came.answer, came.part)
            if fill is None:
                return await self._passed_on(asked, came.answer, text)
            return self._respond(asked, fill, fill.stored, collapsed=False)
        finally:
            del self._opening[key]
            opening.set_result(None)

    async def _passed_on(self, asked: Asked, answer: Answer, text: str) -> Response:
        """A 206 that is not put together with others: for this client alone."""
        request, plan, site = asked.request, asked.plan, asked.site.name
        if text == request.headers.get("Range") and not conditionals.is_conditional(request.headers):
            return self._passing.answer(request, plan, site, answer, ForwardReason.PARTIAL, "a small range")
        await answer.response.aclose()
        return await self._passing.forward(request, plan, site, ForwardReason.PARTIAL)

    async def _begun(
        self, asked: Asked, fill: LargeFill, stored: StoredResponse, *, collapsed: bool
    ) -> Response | None:
        """The answer, begun at once: it reads along, so that what it wants is fetched. It is shown when
        upstream has given something, or everything is here. None if there is another representation
        now: nothing of the old has been shown. Raises UpstreamError."""
        response = self._respond(asked, fill, stored, collapsed=collapsed)
        if response.outcome.cache is CacheOutcome.HIT or not isinstance(response.body, SparseReader):
            return response
        try:
            await fill.begun()
        except RepresentationChanged:
            await response.body.aclose()
            return None
        except BaseException:
            await response.body.aclose()
            raise
        return response

    def _respond(self, asked: Asked, fill: LargeFill, stored: StoredResponse, *, collapsed: bool) -> Response:
        request, plan = asked.request, asked.plan
        held = is_held(request, stored, fill.partial, plan.layout)
        now = self._parts.clock()
        forward = ForwardReason.PARTIAL if fill.partial.spans.total else asked.reason
        outcome = Outcome(
            CacheOutcome.HIT if held else CacheOutcome.MISS,
            asked.site.name,
            forward=None if held else forward,
            stored=not held,
            collapsed=collapsed and not held,
            lifetime=stored.fresh_until - now,
            detail="in part" if held else "",
        )
        return self._answers.large(request, plan, stored, fill.body, outcome)

    def _source(self, asked: Asked) -> Source:
        return Source(asked.plan, asked.site.name, self._fields(asked))

    def _fields(self, asked: Asked) -> Headers:
        return forwarding.upstream_headers(
            changed(asked.request, method="GET"),
            self._via,
            keep_authorization=asked.plan.keep_authorization,
            strip_cookie=asked.plan.rules.strip_cookie,
        )
