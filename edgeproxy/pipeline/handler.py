"""The path of a request, on one screen: plan, look up, decide, serve or fill."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, assert_never

from edgeproxy.errors import RequestError, UpstreamError
from edgeproxy.message import CacheOutcome, Clock, ForwardReason, Headers, Outcome, Request, Response
from edgeproxy.pipeline.answer import Answers, stale_outcome
from edgeproxy.pipeline.children import PURGES_PATH, Children
from edgeproxy.pipeline.from_store import FromStore, as_expected
from edgeproxy.pipeline.from_upstream import FromUpstream, Question
from edgeproxy.pipeline.inquiries import Inquiries
from edgeproxy.pipeline.passing import Passing
from edgeproxy.pipeline.plain_hits import PlainHits
from edgeproxy.pipeline.prefetch import Prefetch
from edgeproxy.pipeline.refresh import Refresh
from edgeproxy.pipeline.views import Views, learn_from
from edgeproxy.policy import forwarding
from edgeproxy.policy.decision import Bypass, Hit, Miss, Refuse, Revalidate, Stale, before
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.registry import NOT_SERVED, SiteTable
from edgeproxy.sites.site import Plan, Site
from edgeproxy.storage.store import Store
from edgeproxy.upstream.reach_text import REACH_FIELD, encode_reach
from edgeproxy.upstream.upstream import Origin

OWN_PATH = "/.well-known/edgeproxy"
_UNANSWERED = (CacheOutcome.ERROR, CacheOutcome.REFUSED)


class ElsewherePlans(Protocol):
    """How requests for hosts that no site knows are passed on."""

    def plan(self, request: Request) -> Plan | Response | None:
        """None for a request that does not mean another host."""
        ...

    def own(self, request: Request) -> Response | None:
        """What the node says of itself to people who want to use it; None if it is not asked for."""
        ...


class Pipeline:
    """The Handler of the data plane."""

    def __init__(
        self,
        *,
        via: str,
        sites: SiteTable,
        store: Store,
        views: Views,
        passing: Passing,
        from_store: FromStore,
        from_upstream: FromUpstream,
        refresh: Refresh,
        inquiries: Inquiries,
        prefetch: Prefetch,
        children: Children,
        elsewhere: ElsewherePlans,
        answers: Answers,
        clock: Clock,
    ) -> None:
        self._children = children
        self._elsewhere = elsewhere
        self._inquiries = inquiries
        self._prefetch = prefetch
        inquiries.fetch = self.fetch
        prefetch.ask = self
        self._via = via
        self._sites = sites
        self._store = store
        self._views = views
        self._passing = passing
        self._from_store = from_store
        self._from_upstream = from_upstream
        self._refresh = refresh
        self._answers = answers
        self._clock = clock
        self._plain = PlainHits(store, clock)

    def at_once(self, request: Request) -> Response | None:
        """The answer, if it is a hit that everybody gets who asks for this target plainly."""
        return self._plain.find(request)

    async def __call__(self, request: Request) -> Response:
        if forwarding.loops(request, self._via):
            raise RequestError(508, f"this request has passed through {self._via} before", close=False)
        if request.method == "CONNECT":
            return self._knows(request)
        asker, asked = self._children.asker(request), request
        request = asker.request
        if request.path == PURGES_PATH:
            return self._children.purges(asker)
        if request.target.startswith(OWN_PATH) and not request.is_named:
            own = self._elsewhere.own(request)
            if own is not None:
                return own
        outdated = await self._children.outdated(asker)
        if outdated is not None:
            return outdated
        for number, routed in enumerate(self._sites.routes(request, is_node=asker.is_node)):
            site, is_named = routed.site, routed.is_named
            # Who has come through CONNECT or a firewall has been judged by the rules of the proxy.
            if is_named and not asker.is_admitted and not request.is_named:
                return self._children.refused(asker, site.name)
            if not is_named and request.target_scheme not in ("", request.scheme):
                break
            request, planned = await self._inquiries.plan(request, site, routed.path)
            if planned is NOT_SERVED:
                continue
            response = await self._answer(request, planned, site, routed.path)
            plan = planned if isinstance(planned, Plan) else None
            told = self._children.told(asker, response, plan, is_named=is_named)
            if plan is not None and not number and not is_named:
                self._plain.note(asked, site, plan, told)
            return told
        elsewhere = None if asker.is_node else self._elsewhere.plan(asked)
        if elsewhere is not None:
            return await self._passed_on(request, elsewhere)
        if asker.is_node or request.is_named or request.target_scheme not in ("", request.scheme):
            return self._answers.local(NOT_SERVED, "")
        return self._answers.not_mounted(self._sites.mounts)

    def _knows(self, request: Request) -> Response:
        """What another process of this node asks: whether a site serves something under this name."""
        host, _, port = request.authority.rpartition(":")
        host = host.strip("[]")
        if not port.isdecimal() or not self._sites.has_host(request.scheme, host, int(port)):
            return self._answers.local(Response(404), "")
        reach = self._sites.reach_of(Origin(request.scheme, host, int(port)))
        told = ((REACH_FIELD, encode_reach(reach)),) if reach is not None else ()
        return self._answers.local(Response(204, Headers(told)), "")

    async def _passed_on(self, request: Request, plan: Plan | Response) -> Response:
        """To a host no site knows, for a client that takes this node for a proxy."""
        if isinstance(plan, Response):
            return plan
        request = replace(request, headers=request.headers.without(("Proxy-Authorization",)))
        return await self._passing.forward(request, plan, "proxy", ForwardReason.BYPASS)

    async def _answer(self, request: Request, planned: Plan | Response, site: Site, path: str) -> Response:
        if isinstance(planned, Response):
            return self._answers.local(planned, site.name)
        response = await self._planned(request, planned, site, path)
        if planned.instead is None or response.outcome.cache not in _UNANSWERED:
            return response
        instead = planned.instead()
        if instead is None:
            return response
        await response.body.aclose()
        return self._answers.local(instead, site.name)

    async def _planned(self, request: Request, planned: Plan, site: Site, path: str) -> Response:
        if request.method not in ("GET", "HEAD"):
            return await self._passing.forward(request, planned, site.name, ForwardReason.METHOD)
        if planned.upcoming is not None:
            mount = request.target.removesuffix(path)
            self._prefetch.expect(request, site.name, planned.upcoming, mount)
        response = await self._cached(request, planned, site, path)
        if planned.otherwise is not None and response.status >= 400:
            await response.body.aclose()
            return await self._cached(request, planned.otherwise, site, None)
        return response

    async def _cached(self, request: Request, plan: Plan, site: Site, path: str | None) -> Response:
        """Answer GET or HEAD. `path` is given while the plan's prerequisite may still be looked at."""
        if plan.prerequisite is not None and plan.prerequisite_always and path is not None:
            return await self._after_prerequisite(request, plan.prerequisite, site, path, any_age=True)
        variants = self._store.lookup_memory(plan.key)
        if variants is None:
            variants = await self._store.lookup(plan.key)
        variants = as_expected(plan, variants)
        if not plan.keep_authorization and "Authorization" in request.headers:
            request = replace(request, headers=request.headers.without(("Authorization",)))
        now = self._clock()
        decision = before(request, variants, plan.rules, now)
        match decision:
            case Hit(stored, lifetime, detail):
                if plan.rules.refresh_within:
                    self._refresh.used(request, plan, site, stored.fresh_until)
                outcome = Outcome(CacheOutcome.HIT, site.name, lifetime=lifetime, detail=detail)
                return await self._serve(request, plan, site, stored, outcome)
            case Stale(stored, _, revalidate, detail):
                if revalidate and not plan.rules.offline:
                    self._from_upstream.revalidate_in_background(request, plan, site, stored)
                outcome = stale_outcome(stored, site.name, now, detail)
                return await self._serve(request, plan, site, stored, outcome)
            case Revalidate():
                return await self._from_upstream.answer(Question(request, plan, site, decision))
            case Miss():
                if plan.prerequisite is not None and path is not None:
                    return await self._after_prerequisite(request, plan.prerequisite, site, path)
                question = Question(request, plan, site, decision)
                if plan.rules.offline:
                    held = await self._from_upstream.held(question)
                    return held or self._answers.refused(
                        plan, site.name, 504, "offline, and this is not stored"
                    )
                return await self._from_upstream.answer(question)
            case Bypass(reason, detail):
                if plan.rules.offline:
                    return self._answers.refused(plan, site.name, 504, "offline, and this is not stored")
                return await self._passing.forward(request, plan, site.name, reason, detail=detail)
            case Refuse(status, detail):
                if plan.prerequisite is not None and path is not None:
                    return await self._after_prerequisite(request, plan.prerequisite, site, path)
                question = Question(request, plan, site, Miss(ForwardReason.URI_MISS, detail))
                held = await self._from_upstream.held(question)
                return held or self._answers.refused(plan, site.name, status, detail)
            case _:
                assert_never(decision)

    async def _serve(
        self, request: Request, plan: Plan, site: Site, stored: StoredResponse, outcome: Outcome
    ) -> Response:
        response = await self._from_store.serve(request, plan, site, stored, outcome)
        if response is not None:
            return response
        if plan.rules.offline:
            return self._answers.refused(plan, site.name, 504, "offline, and what was stored is damaged")
        miss = Miss(ForwardReason.MISS, "the stored body was gone or damaged")
        return await self._from_upstream.answer(Question(request, plan, site, miss))

    async def _after_prerequisite(
        self, request: Request, prerequisite: Plan, site: Site, path: str, *, any_age: bool = False
    ) -> Response:
        """See another resource of the site first, for what it teaches; then plan again."""
        headers = forwarding.for_fill(request.headers)
        if any_age:
            headers = headers.replacing({"Cache-Control": "max-stale"})
        ask = replace(request, method="GET", headers=headers, body=None)
        seen = await self._cached(ask, prerequisite, site, None)
        await seen.body.aclose()
        if seen.status == 200 and seen.outcome.cache is not CacheOutcome.MISS:
            await self._learn_again(prerequisite, site, ask)
        request, planned = await self._inquiries.plan(request, site, path)
        if isinstance(planned, Response):
            return self._answers.local(planned, site.name)
        return await self._cached(request, planned, site, None)

    async def fetch(self, request: Request, plan: Plan, site: Site) -> Response:
        """The answer to a request of the node's own, through the store."""
        if request.method not in ("GET", "HEAD"):
            return await self._passing.forward(request, plan, site.name, ForwardReason.METHOD)
        return await self._cached(request, plan, site, None)

    async def _learn_again(self, plan: Plan, site: Site, request: Request) -> None:
        """A stored view teaches nothing: after a restart it is derived again from its source."""
        decision = before(request, await self._store.lookup(plan.key), plan.rules, self._clock())
        if isinstance(decision, Hit | Stale | Revalidate) and plan.view is not None:
            try:
                await self._views.derive(plan, plan.view, site, decision.stored)
            except UpstreamError as error:
                learn_from(site, error)
