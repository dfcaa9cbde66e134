"""Keeps what is in use fresh: shortly before it expires, it is revalidated in the background, so that
the next client finds a hit instead of waiting for upstream. Only for plans whose rules ask for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from cachetools import LRUCache

from edgeproxy.message import Clock, Request
from edgeproxy.pipeline.from_upstream import FromUpstream
from edgeproxy.policy.decision import Hit, Stale, before
from edgeproxy.sites.site import Plan, Site
from edgeproxy.storage.store import Store

KEYS_MAX = 2_000
TICK_SECONDS = 5.0
AHEAD_SECONDS = 20.0
REFRESHES_PER_TICK = 8  # the budget: what an upstream sees of this at most


@dataclass(slots=True)
class _Used:
    request: Request
    plan: Plan
    site: Site
    used_at: float
    due_at: float


class Refresh:
    """Remembers what was used, and revalidates what is due."""

    def __init__(self, store: Store, from_upstream: FromUpstream, clock: Clock) -> None:
        self._store = store
        self._from_upstream = from_upstream
        self._clock = clock
        self._used: LRUCache[str, _Used] = LRUCache(KEYS_MAX)

    def used(self, request: Request, plan: Plan, site: Site, fresh_until: float) -> None:
        """A client got what `plan` names, fresh until then (wall-clock seconds)."""
        due_at = fresh_until - AHEAD_SECONDS
        self._used[plan.key] = _Used(request, plan, site, self._clock(), due_at)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for used in self.due(self._clock()):
                await self._refresh(used)

    def due(self, now: float) -> list[_Used]:
        """What is to be revalidated now, most overdue first; what nobody used for long is forgotten."""
        for key, used in list(self._used.items()):
            if now - used.used_at > used.plan.rules.refresh_within:
                del self._used[key]
        due = [used for used in self._used.values() if used.due_at <= now]
        due.sort(key=lambda used: used.due_at)
        return due[:REFRESHES_PER_TICK]

    async def _refresh(self, used: _Used) -> None:
        now = self._clock()
        used.due_at = now + AHEAD_SECONDS  # unless the look-up below says better
        variants = await self._store.lookup(used.plan.key)
        decision = before(used.request, variants, used.plan.rules, now)
        if not isinstance(decision, Hit | Stale):
            return
        fresh_until = decision.stored.fresh_until
        if fresh_until - now > AHEAD_SECONDS:
            used.due_at = fresh_until - AHEAD_SECONDS
            return
        self._from_upstream.revalidate_in_background(used.request, used.plan, used.site, decision.stored)
