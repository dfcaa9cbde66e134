"""Why a request would be answered as it would: the same questions, asked without acting on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeproxy.message import Clock, Headers, Request, Response
from edgeproxy.pipeline.fills import Fills
from edgeproxy.pipeline.views import view_key
from edgeproxy.policy.decision import Hit, Miss, Stale, before
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.registry import SiteTable
from edgeproxy.storage.store import Store


class Explain:
    """Tells site, key, what is stored, its freshness arithmetic, and the decision with its reason."""

    def __init__(self, sites: SiteTable, store: Store, fills: Fills, clock: Clock) -> None:
        self._sites = sites
        self._store = store
        self._fills = fills
        self._clock = clock

    async def explain(
        self, target: str, authority: str, method: str, headers: Sequence[tuple[str, str]]
    ) -> Mapping[str, Any]:
        request = Request(method, target, Headers(headers), authority=authority)
        routed = self._sites.route(request)
        if routed is None:
            return {"url": target, "decision": "not mounted", "reason": "no site has this path or host"}
        site, path = routed
        planned = site.plan(request, path)
        told: dict[str, Any] = {"url": target, "site": site.name}
        if isinstance(planned, Response):
            return told | {"decision": "local", "status": planned.status, "reason": "answered by the site"}
        now = self._clock()
        variants = await self._store.lookup(planned.key)
        decision = before(request, variants, planned.rules, now)
        told |= {
            "key": planned.key,
            "upstream": planned.origin.url + planned.target,
            "view": planned.view.id if planned.view is not None else None,
            "view_key": view_key(planned, planned.view) if planned.view is not None else None,
            "expected_sha256": planned.expected.sha256 or None,
            "tags": list(planned.tags),
            "filling": self._fills.joinable(planned.key) is not None,
            "recent_failure": str(self._fills.recent_failure(planned.key) or "") or None,
            "decision": type(decision).__name__.lower(),
            "reason": str(decision.reason) if hasattr(decision, "reason") else None,
            "detail": decision.detail,
            "stored": [_arithmetic(stored, now) for stored in variants],
        }
        if isinstance(decision, Hit | Stale):
            told["lifetime_left_seconds"] = round(decision.lifetime, 3)
        if isinstance(decision, Miss) and planned.prerequisite is not None:
            told["first"] = planned.prerequisite.key
        return told


def _arithmetic(stored: StoredResponse, now: float) -> dict[str, Any]:
    """The numbers a hit compares, and where they come from (RFC 9111 sections 4.2.1 to 4.2.3)."""
    return {
        "status": stored.status,
        "bytes": stored.body_bytes,
        "sha256": stored.digest or None,
        "selecting": dict(stored.selecting),
        "age_seconds": round(stored.age(now), 3),
        "received_seconds_ago": round(now - stored.response_time, 3),
        "freshness_lifetime_seconds": round(stored.fresh_until - stored.born, 3),
        "fresh_for_seconds": round(stored.fresh_until - now, 3),
        "heuristic": stored.heuristic,
        "stale_while_revalidate_for_seconds": round(max(0.0, stored.stale_while_revalidate_until - now), 3),
        "stale_if_error_for_seconds": round(max(0.0, stored.stale_if_error_until - now), 3),
        "must_revalidate": stored.must_revalidate,
        "no_cache": stored.no_cache,
        "immutable": stored.immutable,
        "tags": list(stored.tags),
        "cache_control": stored.headers.get("Cache-Control"),
        "date": stored.headers.get("Date"),
        "expires": stored.headers.get("Expires"),
        "etag": stored.headers.get("ETag"),
        "last_modified": stored.headers.get("Last-Modified"),
    }
