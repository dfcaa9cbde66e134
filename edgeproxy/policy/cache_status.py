"""Cache-Status (RFC 9211) and Proxy-Status (RFC 9209): why an answer is what it is."""

from __future__ import annotations

from edgeproxy.errors import UpstreamError
from edgeproxy.message import CacheOutcome, Outcome
from edgeproxy.policy.structured import render_name, render_string

_HITS = frozenset({CacheOutcome.HIT, CacheOutcome.STALE})
_DETAILS_MAX = 200  # characters


def render(outcome: Outcome, node: str, source: str = "") -> str:
    """One member of Cache-Status. `hit` and `fwd` exclude each other: whatever went forward says
    why and what came of it (RFC 9211 section 2.1). `source` is told where there are several."""
    parts = [render_name(node)]
    if outcome.forward is not None:
        parts.append(f"fwd={outcome.forward.value}")
        if outcome.forward_status is not None:
            parts.append(f"fwd-status={outcome.forward_status}")
        if outcome.stored:
            parts.append("stored")
        if outcome.collapsed:
            parts.append("collapsed")
    elif outcome.cache in _HITS:
        parts.append("hit")
    if outcome.lifetime is not None:
        parts.append(f"ttl={_whole_seconds(outcome.lifetime)}")
    candidate = outcome.source if outcome.source != "origin" else ""
    said = (f"from {one}" for one in (source, candidate) if one)
    detail = "; ".join(filter(None, (*said, outcome.detail)))
    if detail:
        parts.append(f"detail={render_string(detail[:_DETAILS_MAX])}")
    return "; ".join(parts)


def _whole_seconds(lifetime: float) -> int:
    """Integers of Structured Fields have at most 15 digits."""
    return int(max(-1e14, min(lifetime, 1e14)))


def proxy_status(error: UpstreamError, node: str) -> str:
    """One member of Proxy-Status for an upstream that failed."""
    details = render_string(str(error)[:_DETAILS_MAX])
    return f"{render_name(node)}; error={error.error.value}; details={details}"
