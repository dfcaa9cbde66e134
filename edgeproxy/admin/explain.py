"""An explanation of one exchange: key, site, what is stored, the arithmetic of freshness, the decision.

Made from the values the request path itself uses, so that it cannot tell another story."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

from edgeproxy.message import Response
from edgeproxy.policy.decision import Before, Bypass, Hit, Miss, Refuse, Revalidate, Stale
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.site import Plan
from edgeproxy.storage.store import Listed

_SHOWN_FIELDS = frozenset(
    {
        "age",
        "cache-control",
        "cdn-cache-control",
        "content-type",
        "date",
        "etag",
        "expires",
        "last-modified",
        "vary",
    }
)

# What an answer of a site's own says about itself.
_SAID = (("location", "Location"), ("error", "X-Error-Code"), ("message", "X-Error-Message"))


def explanation(
    *,
    site: str,
    method: str,
    url: str,
    plan: Plan | Response | None,
    variants: Sequence[StoredResponse] = (),
    decision: Before | None = None,
    parts: Sequence[Listed] = (),
    now: float,
) -> dict[str, Any]:
    """How a request would be answered at `now` (wall-clock seconds), for /api/v1/explain.

    `plan` is what the site said (None: no site is responsible); `decision` is policy's first answer.
    The variant the decision chose comes first among "stored"; `parts` are bodies that are not whole."""
    told: dict[str, Any] = {"method": method, "url": url, "site": site}
    if plan is None:
        return {**told, "decision": "refuse", "why": "no site is responsible for this URL"}
    if isinstance(plan, Response):
        why = f"the site answers {plan.status} by itself, without store or upstream"
        said = {name: plan.headers.get(field) for name, field in _SAID if field in plan.headers}
        return {**told, "decision": "local", "status": plan.status, **said, "why": why}
    chosen = None if isinstance(decision, (Bypass, Miss, Refuse, type(None))) else decision.stored
    ordered = sorted(variants, key=lambda stored: stored is not chosen)
    told |= {
        "key": plan.key,
        "upstream": f"{plan.origin.url}{plan.target}",
        **({"source": plan.source} if plan.source else {}),
        "tags": list(plan.tags),
        "is_stored": bool(variants),
        "stored": [stored_response(stored, now) for stored in ordered],
    }
    if plan.expected.sha256 or plan.expected.size is not None:
        told["expected"] = {"sha256": plan.expected.sha256, "size": plan.expected.size}
    if parts:
        told["in_part"] = [_part(row, now) for row in parts]
        if isinstance(decision, Miss):
            told |= _decided(decision)
            return told | {"why": "here in part: what is there is a hit, the rest is fetched"}
    if chosen is not None:
        told["freshness"] = freshness(chosen, now)
    return told | (_decided(decision) if decision is not None else {})


def stored_response(stored: StoredResponse, now: float) -> dict[str, Any]:
    """What is kept, without fields that may be secret (Set-Cookie and the like)."""
    return {
        "status": stored.status,
        "body_bytes": stored.body_bytes,
        "digest": stored.digest,
        "name": stored.name,
        "age_seconds": round(stored.age(now), 3),
        "selecting": {name: value for name, value in stored.selecting if name != "authorization"},
        "fields": [[name, value] for name, value in stored.fields if name.lower() in _SHOWN_FIELDS],
        "tags": list(stored.tags),
    }


def _part(row: Listed, now: float) -> dict[str, Any]:
    """A body of which something is there: ranges within that are hits, the rest is fetched."""
    stored = row.stored
    return {
        "key": stored.key,
        "held_bytes": row.held_bytes,
        "body_bytes": stored.body_bytes,
        "digest": stored.digest,
        "is_fresh": now < stored.fresh_until,
    }


def freshness(stored: StoredResponse, now: float) -> dict[str, Any]:
    """The numbers a hit compares, and what they were made of (RFC 9111 section 4.2). Seconds."""
    lifetime = stored.fresh_until - stored.born
    age = stored.age(now)
    is_fresh = now < stored.fresh_until
    flags = ("must_revalidate", "no_cache", "immutable", "heuristic", "vary_star")
    return {
        "is_fresh": is_fresh,
        "age_seconds": round(age, 3),
        "lifetime_seconds": round(lifetime, 3),
        "left_seconds": round(stored.fresh_until - now, 3),
        "arithmetic": (
            f"lifetime {lifetime:.0f} s - age {age:.0f} s = {lifetime - age:.0f} s: "
            f"{'fresh' if is_fresh else 'stale'}"
            if stored.fresh_until
            else "made stale by a soft purge, or never fresh"
        ),
        "stale_while_revalidate_seconds": _left(stored.stale_while_revalidate_until, now),
        "stale_if_error_seconds": _left(stored.stale_if_error_until, now),
        "directives": [flag for flag in flags if getattr(stored, flag)],
    }


def _left(until: float, now: float) -> float:
    return round(max(0.0, until - now), 3)


def _decided(decision: Before) -> dict[str, Any]:
    match decision:
        case Hit(detail=detail):
            return {"decision": "hit", "why": detail or "stored and fresh"}
        case Stale(detail=detail, revalidate=revalidate):
            return {"decision": "stale", "why": detail, "revalidates": revalidate}
        case Revalidate(reason=reason, detail=detail, conditions=conditions):
            sent = [list(pair) for pair in conditions]
            return {"decision": "revalidate", "reason": reason.value, "why": detail, "conditions": sent}
        case Miss(reason=reason, detail=detail):
            return {"decision": "miss", "reason": reason.value, "why": detail}
        case Bypass(reason=reason, detail=detail):
            return {"decision": "bypass", "reason": reason.value, "why": detail}
        case Refuse(status=status, detail=detail):
            return {"decision": "refuse", "status": status, "why": detail}
        case _:
            assert_never(decision)
