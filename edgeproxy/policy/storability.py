"""Whether a response may be stored (RFC 9111 section 3), and what exactly is then kept.

Where we are stricter than the RFC:
- Statuses that answer the message of one client, not the resource, are never stored.
- Set-Cookie refuses storage, unless the site strips it or every cookie is a mere flag.
- Heuristic freshness is never assumed for errors beyond seconds, or for requests with cookies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgeproxy.message import Headers, Request
from edgeproxy.policy import freshness, hop_by_hop, http_date, variant
from edgeproxy.policy.cache_control import Directives, governing, request_directives
from edgeproxy.policy.freshness import Lifetime
from edgeproxy.policy.rules import Rules
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.policy.tags import tags_of

# Statuses whose caching rules this package implements (RFC 9111 section 3, must-understand).
UNDERSTOOD = frozenset(
    {200, 203, 204, 300, 301, 302, 303, 307, 308, 400, 404, 405, 410, 414, 500, 501, 502, 503, 504}
)
# They say something about the request that was sent (its fields, its sender), so that storing one
# would let a client poison the resource for others. RFC 6585 forbids 428, 429, 431 and 511.
PERSONAL_STATUSES = frozenset(
    {401, 402, 403, 407, 408, 411, 412, 413, 416, 417, 421, 425, 426, 428, 429, 431, 511}
)

_NOT_KEPT = ("Age", "Content-Length")  # recomputed for each answer
# RFC 9111 section 7.3 lets caches store Set-Cookie; sharing one that names a session would hand it to
# everybody. One letter under a name of one letter cannot be such a name, and is all that is stored.
_FLAG_COOKIE = re.compile(r"[A-Za-z]=[A-Za-z]?[ \t]*(?:;.*)?", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Storability:
    """A fact with its reason; `reason` is "" when storable."""

    reason: str
    directives: Directives
    lifetime: Lifetime

    @property
    def storable(self) -> bool:
        return not self.reason


def judge(request: Request, status: int, headers: Headers, rules: Rules, response_time: float) -> Storability:
    """May the answer to `request` be kept for others?"""
    directives = governing(headers, rules.targeted)
    personal = "Cookie" in request.headers and not rules.strip_cookie
    lifetime = freshness.lifetime(status, headers, directives, rules, response_time, personal=personal)
    reason = (
        _refused_by_exchange(request, status, rules)
        or _refused_by_response(status, headers, directives, rules)
        or _refused_by_credentials(request, directives, rules)
        or _pointless(status, headers, directives, lifetime, rules)
    )
    return Storability(reason, directives, lifetime)


def _refused_by_exchange(request: Request, status: int, rules: Rules) -> str:
    if request.method != "GET":
        return f"answer to {request.method}"
    if status < 200 or status in (206, 304):
        return f"status {status} is not a whole answer"
    if status in PERSONAL_STATUSES:
        return f"status {status} concerns one request only"
    if rules.honour_request_directives and request_directives(request.headers).no_store:
        return "request no-store"
    return ""


def _refused_by_response(status: int, headers: Headers, directives: Directives, rules: Rules) -> str:
    if directives.must_understand:
        if status not in UNDERSTOOD:
            return "must-understand"
    elif directives.no_store:
        return "no-store"
    if directives.private:
        return "private"
    if variant.names(headers, rules) is None:
        return "Vary: *"
    if sets_identity(headers) and not rules.strip_set_cookie and "set-cookie" not in directives.withheld:
        return "Set-Cookie"
    return ""


def _refused_by_credentials(request: Request, directives: Directives, rules: Rules) -> str:
    """RFC 9111 section 3.5."""
    if "Authorization" not in request.headers or rules.keyed_by_credential:
        return ""
    allowed = directives.public or directives.must_revalidate or directives.s_maxage is not None
    return "" if allowed else "Authorization"


def _pointless(
    status: int, headers: Headers, directives: Directives, lifetime: Lifetime, rules: Rules
) -> str:
    """No sign that it may be stored, or nothing to gain from it."""
    if not (lifetime.explicit or directives.public or status in freshness.HEURISTIC_STATUSES):
        return f"status {status} without explicit freshness"
    if lifetime.seconds > 0 and not directives.no_cache:
        return ""
    if status != 200:
        return "no freshness"
    if rules.force_store and not directives.no_cache:
        return ""
    if "ETag" in headers or "Last-Modified" in headers or rules.stale_when_disconnected is not None:
        return ""
    return "neither freshness nor validator"


def sets_identity(headers: Headers) -> bool:
    """Whether a Set-Cookie could tell clients apart."""
    return any(
        _FLAG_COOKIE.fullmatch(line) is None or "httponly" in line.lower()
        for line in headers.all("Set-Cookie")
    )


def kept_fields(headers: Headers, directives: Directives, rules: Rules, response_time: float) -> Headers:
    """The fields that are stored: end-to-end, without those withheld from shared caches, and with
    the Date a recipient must add (RFC 9110 section 6.6.1)."""
    unwanted = {*_NOT_KEPT, *directives.withheld}
    if rules.strip_set_cookie or sets_identity(headers):
        unwanted.add("Set-Cookie")
    kept = hop_by_hop.end_to_end(headers).without(unwanted)
    if http_date.parse(kept.get("Date"), response_time) is None:
        kept = kept.replacing({"Date": http_date.render(response_time)})
    return kept


def build(
    key: str,
    site: str,
    status: int,
    headers: Headers,
    selecting: Sequence[tuple[str, str | None]],
    directives: Directives,
    lifetime: Lifetime,
    rules: Rules,
    request_time: float,
    response_time: float,
) -> StoredResponse:
    """The value to store, all its times decided now (law 2). Where the site's rules replace what the
    response says about freshness, they replace its demands to revalidate as well."""
    overruled = status == 200 and (rules.immutable or rules.ttl is not None)
    forbids_stale = directives.forbids_stale and not overruled
    no_cache = directives.no_cache and not overruled
    while_revalidate, if_error = directives.stale_while_revalidate, directives.stale_if_error
    if status != 200 or forbids_stale or no_cache:
        while_revalidate, if_error = 0.0, 0.0
    born = freshness.born(headers, request_time, response_time)
    fresh_until = born + lifetime.seconds
    if rules.immutable and status == 200:
        fresh_until = response_time + lifetime.seconds
    return StoredResponse(
        key=key,
        site=site,
        status=status,
        fields=kept_fields(headers, directives, rules, response_time).pairs,
        born=born,
        request_time=request_time,
        response_time=response_time,
        fresh_until=fresh_until,
        stale_while_revalidate_until=_until(fresh_until, while_revalidate, rules.stale_while_revalidate),
        stale_if_error_until=_until(fresh_until, if_error, rules.stale_if_error),
        selecting=tuple(selecting),
        must_revalidate=forbids_stale,
        no_cache=no_cache,
        immutable=directives.immutable or (rules.immutable and status == 200),
        heuristic=lifetime.heuristic,
        tags=tags_of(headers),
    )


def _until(fresh_until: float, stated: float | None, ruled: float) -> float:
    """The end of a stale window, 0 without one: a soft purge must not find a window in what was
    left of freshness."""
    window = ruled if stated is None else stated
    return fresh_until + window if window > 0 else 0.0
