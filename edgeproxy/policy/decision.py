"""The two questions policy is asked in an exchange.

before(request, what is stored)  -> Hit | Stale | Revalidate | Miss | Bypass | Refuse
after(request, what came)        -> Store | Freshen | PassThrough | ServeStale

Each answer is a frozen value that carries its reason; the pipeline only acts on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from edgeproxy.message import ForwardReason, Headers, Request
from edgeproxy.policy import hop_by_hop, storability, validation, variant
from edgeproxy.policy.cache_control import NO_WISHES, RequestDirectives, request_directives
from edgeproxy.policy.rules import Rules
from edgeproxy.policy.stored import StoredResponse


@dataclass(frozen=True, slots=True)
class Hit:
    """Serve what is stored; `lifetime` is what is left of freshness, in seconds."""

    stored: StoredResponse
    lifetime: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Stale:
    """Serve what is stored although stale; `revalidate` in the background as well."""

    stored: StoredResponse
    lifetime: float
    revalidate: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Revalidate:
    """Ask upstream, with `conditions` added if the stored response has validators."""

    stored: StoredResponse
    conditions: Headers
    reason: ForwardReason
    detail: str


@dataclass(frozen=True, slots=True)
class Miss:
    """Nothing stored is usable: fetch, and perhaps store."""

    reason: ForwardReason
    detail: str


@dataclass(frozen=True, slots=True)
class Bypass:
    """Forward for this client alone: neither look up nor store nor collapse."""

    reason: ForwardReason
    detail: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer `status` without asking upstream (only-if-cached, offline)."""

    status: int
    detail: str


Before = Hit | Stale | Revalidate | Miss | Bypass | Refuse


@dataclass(frozen=True, slots=True)
class Store:
    """Keep the response. `stored` lacks body, body_bytes, digest and sequence: storage adds them.

    The client that asked gets the fields that came; `stored.fields` (which may lack some that are
    withheld from others) are for everybody else."""

    stored: StoredResponse


@dataclass(frozen=True, slots=True)
class Freshen:
    """A 304 (or HEAD) updated the stored response; serve `stored`, keep its body."""

    stored: StoredResponse


@dataclass(frozen=True, slots=True)
class PassThrough:
    """Give the response to the client that asked, to nobody else, and keep nothing.

    `invalidate`: what was stored has been superseded, remove it. `refetch`: the response is no answer
    to this client (a 304 that is not about what we hold); ask once more without conditions, and
    fail with 502 if nothing was stored, for then upstream answered 304 to no condition."""

    detail: str
    invalidate: bool = False
    refetch: bool = False


@dataclass(frozen=True, slots=True)
class ServeStale:
    """Upstream failed or answered an error: serve what is stored. If `stored` differs from what was
    given (it remembers when a resource was first missing), put it in the store's place."""

    stored: StoredResponse
    detail: str


After = Store | Freshen | PassThrough | ServeStale


_NEVER_STALE = "stale, must be validated"


def _wishes(request: Request, rules: Rules) -> RequestDirectives:
    return request_directives(request.headers) if rules.honour_request_directives else NO_WISHES


def before(request: Request, variants: Sequence[StoredResponse], rules: Rules, now: float) -> Before:
    """What to do with a request, given what is stored under its key (RFC 9111 section 4).

    Raises RequestError 400 for a Connection field that nominates what must not be dropped."""
    hop_by_hop.check_nominations(request.headers)
    if request.method not in ("GET", "HEAD"):
        return Bypass(ForwardReason.METHOD, f"{request.method} is not answered from store")
    wishes = _wishes(request, rules)
    cached_only = wishes.only_if_cached or rules.offline
    if wishes.no_store and not cached_only:
        return Bypass(ForwardReason.REQUEST, "request no-store")
    stored = variant.select(request.headers, variants, rules) if variants else None
    if stored is None:
        if cached_only:
            return _refuse(rules)
        if variants:
            return Miss(ForwardReason.VARY_MISS, "no stored variant matches")
        return Miss(ForwardReason.URI_MISS, "")
    lifetime = stored.fresh_until - now
    if rules.offline:
        return Hit(stored, lifetime) if lifetime > 0 else Stale(stored, lifetime, False, "offline")
    found = _usable(stored, lifetime, wishes, rules, now)
    if isinstance(found, Revalidate) and wishes.only_if_cached:
        return _refuse(rules)
    return found


def _refuse(rules: Rules) -> Refuse:
    if rules.offline:
        return Refuse(rules.unavailable_status or 504, "offline and not stored")
    return Refuse(504, "only-if-cached and nothing usable stored")


def _usable(
    stored: StoredResponse, lifetime: float, wishes: RequestDirectives, rules: Rules, now: float
) -> Hit | Stale | Revalidate:
    """Compare times and wishes; nothing else is left to decide at look-up."""
    if stored.no_cache:
        return _revalidate(stored, ForwardReason.STALE, "no-cache")
    if lifetime > 0:
        unwanted = _unwanted(stored, lifetime, wishes, rules, now)
        return _revalidate(stored, ForwardReason.REQUEST, unwanted) if unwanted else Hit(stored, lifetime)
    if stored.must_revalidate:
        return _revalidate(stored, ForwardReason.STALE, _NEVER_STALE)
    if (
        wishes.max_stale is not None
        and -lifetime <= wishes.max_stale
        and not _forces(stored, wishes, rules, now)
    ):
        return Stale(stored, lifetime, False, "max-stale")
    if now < stored.stale_while_revalidate_until and not _unwanted(stored, lifetime, wishes, rules, now):
        return Stale(stored, lifetime, True, "stale-while-revalidate")
    return _revalidate(stored, ForwardReason.STALE, "")


def _forces(stored: StoredResponse, wishes: RequestDirectives, rules: Rules, now: float) -> bool:
    """no-cache, or max-age below the age; no age is below max-age=0."""
    if wishes.no_cache:
        return True
    if wishes.max_age is None:
        return False
    allowed = max(wishes.max_age, rules.request_max_age_least)
    return allowed == 0 or stored.age(now) > allowed


def _unwanted(
    stored: StoredResponse, lifetime: float, wishes: RequestDirectives, rules: Rules, now: float
) -> str:
    """Why the client does not want what is stored; "" if it does."""
    if stored.immutable and lifetime > 0:
        return ""
    if wishes.min_fresh is not None and lifetime < wishes.min_fresh:
        reason = "request min-fresh"
    elif _forces(stored, wishes, rules, now):
        reason = "request no-cache" if wishes.no_cache else "request max-age"
    else:
        return ""
    just_asked = lifetime > 0 and 0 <= now - stored.response_time < rules.revalidate_floor
    return "" if just_asked else reason


def _revalidate(stored: StoredResponse, reason: ForwardReason, detail: str) -> Revalidate:
    return Revalidate(stored, validation.conditions(stored), reason, detail)


def after(
    request: Request,
    status: int,
    headers: Headers,
    stored: StoredResponse | None,
    rules: Rules,
    request_time: float,
    now: float,
    key: str,
    site: str,
) -> After:
    """What to do with a response. `stored` is what was revalidated, `request_time` when upstream was
    asked, `now` when its head had arrived. `request` has the fields as the client sent them, less
    what was not passed on (Authorization, say)."""
    if status == 304:
        if stored is None or not validation.is_about(stored, headers):
            return PassThrough("304 is not about what is stored", refetch=True)
        return Freshen(validation.freshen(stored, headers, rules, request_time, now))
    if stored is not None:
        kept = _after_trouble(request, status, stored, rules, now)
        if kept is not None:
            return kept
    if request.method == "HEAD":
        return _after_head(status, headers, stored, rules, request_time, now)
    verdict = storability.judge(request, status, headers, rules, now)
    if not verdict.storable:
        return PassThrough(verdict.reason, invalidate=stored is not None and _supersedes(status))
    vary = variant.names(headers, rules) or ()
    return Store(
        storability.build(
            key,
            site,
            status,
            headers,
            variant.selecting(request.headers, vary),
            verdict.directives,
            verdict.lifetime,
            rules,
            request_time,
            now,
        )
    )


def _supersedes(status: int) -> bool:
    """Whether an answer says that what was stored is no longer right for anybody."""
    return (200 <= status < 400 and status != 206) or status in (404, 410)


def _after_trouble(
    request: Request, status: int, stored: StoredResponse, rules: Rules, now: float
) -> ServeStale | PassThrough | None:
    """Errors upstream while something is stored: an error never takes the place of an answer."""
    is_trouble = status in rules.error_statuses or status in rules.stale_statuses
    if is_trouble and _stale_if_error(request, stored, rules, now):
        return ServeStale(stored, f"stale-if-error, upstream said {status}")
    if status in rules.error_statuses:
        return PassThrough(f"upstream said {status}") if stored.status < 400 else None
    if status in (404, 410) and rules.second_look > 0 and stored.status < 400:
        forbidden = stored.no_cache or stored.must_revalidate
        since = stored.missing_since or now
        if not forbidden and (not stored.missing_since or now - since < rules.second_look):
            kept = msgspec.structs.replace(stored, missing_since=since)
            return ServeStale(kept, f"upstream said {status}, waiting for a second look")
    return None


def _staleness(stored: StoredResponse, now: float) -> float:
    """Seconds since it was last known to be good; a soft purge (fresh_until 0) counts from arrival."""
    return now - max(stored.fresh_until, stored.response_time)


def _stale_if_error(request: Request, stored: StoredResponse, rules: Rules, now: float) -> bool:
    """RFC 5861 section 4, with the directive in response or request or the site's rules."""
    if stored.no_cache:
        return False
    if now < stored.fresh_until:
        return True
    if stored.must_revalidate:
        return False
    allowed = _wishes(request, rules).stale_if_error or 0.0
    return now < stored.stale_if_error_until or _staleness(stored, now) < allowed


def after_failure(
    request: Request, stored: StoredResponse | None, rules: Rules, now: float
) -> ServeStale | None:
    """No answer from any upstream: what is stored, if it may be served while disconnected (RFC 9111
    section 4.2.4)."""
    if stored is None or stored.no_cache:
        return None
    if now < stored.fresh_until:
        return ServeStale(stored, "fresh, upstream gave no answer")
    if stored.must_revalidate:
        return None
    limit = rules.stale_when_disconnected
    if limit is None or _staleness(stored, now) <= limit or _stale_if_error(request, stored, rules, now):
        return ServeStale(stored, "disconnected")
    return None


def _after_head(
    status: int,
    headers: Headers,
    stored: StoredResponse | None,
    rules: Rules,
    request_time: float,
    now: float,
) -> Freshen | PassThrough:
    if stored is None or status != 200:
        return PassThrough("answer to HEAD", invalidate=stored is not None and status in (404, 410))
    fresh = validation.after_head(stored, headers, rules, now, request_time)
    if fresh is None:
        return PassThrough("HEAD shows another representation", invalidate=True)
    return Freshen(fresh)


def after_head(stored: StoredResponse, headers: Headers, rules: Rules, now: float) -> StoredResponse | None:
    """A 200 to HEAD: `stored` freshened, or None if it is to be invalidated (RFC 9111 4.3.5)."""
    return validation.after_head(stored, headers, rules, now)


def is_collapsible(request: Request, rules: Rules) -> bool:
    """Whether requests like this one may wait for one fetch. Never for credentials: their answers
    may differ for each."""
    if request.method != "GET" or "Authorization" in request.headers:
        return False
    return not _wishes(request, rules).no_store


def shareable(request: Request, stored: StoredResponse) -> bool:
    """Whether a request that waited may be answered by what was just stored for another: it selects
    it, and it is (or was, when the request came) fresh without validation."""
    if stored.no_cache or "Authorization" in request.headers:
        return False
    if not variant.matches(stored, request.headers):
        return False
    return max(request.received_at, stored.response_time) < stored.fresh_until
