"""Answers out of the store: what is stored as it is, or the site's view of it."""

from __future__ import annotations

from edgeproxy.errors import UpstreamError
from edgeproxy.message import CacheOutcome, Outcome, Request, Response
from edgeproxy.pipeline.answer import Answers
from edgeproxy.pipeline.views import Views, learn_from
from edgeproxy.policy.decision import Hit, before
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.site import Plan, Site
from edgeproxy.storage.store import Store


def as_expected(plan: Plan, variants: tuple[StoredResponse, ...]) -> tuple[StoredResponse, ...]:
    """Without what was stored before the site learned what the bytes must be, and is not that."""
    expected = plan.expected.sha256
    return tuple(one for one in variants if one.digest in ("", expected)) if expected else variants


class FromStore:
    """Opens stored bodies and makes answers of them."""

    def __init__(self, store: Store, views: Views, answers: Answers) -> None:
        self._store = store
        self._views = views
        self._answers = answers

    async def hit(self, request: Request, plan: Plan, site: Site, now: float) -> Response | None:
        """What the RAM tier answers without asking anybody: a fill may have left it since the store was
        looked at."""
        variants = as_expected(plan, self._store.lookup_memory(plan.key) or ())
        decision = before(request, variants, plan.rules, now)
        if not isinstance(decision, Hit):
            return None
        outcome = Outcome(CacheOutcome.HIT, site.name, lifetime=decision.lifetime, detail=decision.detail)
        return await self.serve(request, plan, site, decision.stored, outcome)

    async def serve(
        self, request: Request, plan: Plan, site: Site, stored: StoredResponse, outcome: Outcome
    ) -> Response | None:
        """None when the body is gone or damaged: a miss after all."""
        if plan.view is not None and stored.status == 200:
            return await self._view(request, plan, site, stored, outcome)
        return await self._open(request, plan, stored, stored, outcome)

    async def _open(
        self,
        request: Request,
        plan: Plan,
        source: StoredResponse,
        stored: StoredResponse,
        outcome: Outcome,
    ) -> Response | None:
        body = self._store.open_memory(stored) or await self._store.open(stored)
        if body is None:
            return None
        return self._answers.stored(request, plan, source, stored, body, outcome)

    async def _view(
        self, request: Request, plan: Plan, site: Site, source: StoredResponse, outcome: Outcome
    ) -> Response | None:
        assert plan.view is not None
        stored = await self._views.find(plan, plan.view, source)
        if stored is not None:
            response = await self._open(request, plan, source, stored, outcome)
            if response is not None:
                return response
        try:
            derived = await self._views.derive(plan, plan.view, site, source)
        except UpstreamError as error:
            learn_from(site, error)
            return self._answers.failed(plan, site.name, error)
        if derived is None:
            return None
        return self._answers.derived(request, plan, source, derived, outcome)
