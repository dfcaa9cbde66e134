"""How old a response is and how long it stays fresh (RFC 9111 section 4.2)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from edgeproxy.message import Headers
from edgeproxy.policy import http_date
from edgeproxy.policy.cache_control import LIFETIME_MAX, Directives
from edgeproxy.policy.rules import Rules

# Heuristically cacheable (RFC 9110 section 15.1); 206 is left out, parts are kept by fills.
HEURISTIC_STATUSES = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
_REDIRECT_AND_ERROR_HEURISTIC_MAX = 10.0  # a guess about an error must not outlive the error by much
_AGE = re.compile(r"([0-9]+)[ \t]*(?:[,;].*)?", re.ASCII | re.DOTALL)
_AGE_MAX = 2147483648.0


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Freshness lifetime in seconds, never negative. `explicit` if response or rules state it."""

    seconds: float
    explicit: bool = False
    heuristic: bool = False


def age_value(headers: Headers) -> float:
    """The Age field in seconds: the first of several, 0 when absent or not a number. Parameters
    after the number are ignored, since believing an answer older than it is does no harm."""
    lines = headers.all("Age")
    match = _AGE.fullmatch(lines[0].strip(" \t")) if lines else None
    if match is None:
        return 0.0
    digits = match[1].lstrip("0")
    return _AGE_MAX if len(digits) > 10 else min(float(digits or "0"), _AGE_MAX)


def date_value(headers: Headers, response_time: float) -> float:
    """Date, or the time of arrival without a valid one (RFC 9110 section 6.6.1)."""
    date = http_date.parse(headers.get("Date"), response_time)
    return float(math.floor(response_time)) if date is None else date


def born(headers: Headers, request_time: float, response_time: float) -> float:
    """The moment at which the age was zero (RFC 9111 section 4.2.3). Date has whole seconds, so
    arrival is rounded down before they are compared."""
    apparent_age = max(0.0, math.floor(response_time) - date_value(headers, response_time))
    response_delay = max(0.0, response_time - request_time)
    return response_time - max(apparent_age, age_value(headers) + response_delay)


def lifetime(
    status: int,
    headers: Headers,
    directives: Directives,
    rules: Rules,
    response_time: float,
    *,
    personal: bool = False,
) -> Lifetime:
    """Precedence: the site's ttl, what the response says, the site's ttl_default (negative_ttl),
    heuristic. `personal` means that the request carried cookies: then nothing is guessed."""
    if status == 200:
        if rules.immutable:
            return Lifetime(LIFETIME_MAX if rules.ttl is None else rules.ttl, explicit=True)
        if rules.ttl is not None:
            return Lifetime(rules.ttl, explicit=True)
    stated = _stated(headers, directives, response_time)
    if stated is not None:
        capped = stated if rules.ttl_max is None else min(stated, rules.ttl_max)
        return Lifetime(min(max(0.0, capped), LIFETIME_MAX), explicit=True)
    if status in (404, 410) and rules.negative_ttl is not None:
        return Lifetime(rules.negative_ttl, explicit=True)
    if status == 200 and rules.ttl_default is not None:
        return Lifetime(rules.ttl_default, explicit=True)
    guessed = (
        0.0
        if personal and not directives.public
        else _guess(status, headers, directives, rules, response_time)
    )
    return Lifetime(guessed, heuristic=guessed > 0)


def _stated(headers: Headers, directives: Directives, response_time: float) -> float | None:
    """s-maxage, max-age or Expires, in seconds; a targeted field switches Expires off."""
    if directives.lifetime is not None:
        return directives.lifetime
    if directives.targeted or "Expires" not in headers:
        return None
    expires = http_date.parse(headers.get("Expires"), response_time)
    return 0.0 if expires is None else expires - date_value(headers, response_time)


def _guess(
    status: int, headers: Headers, directives: Directives, rules: Rules, response_time: float
) -> float:
    """A fraction of the time since Last-Modified (4.2.2)."""
    if status not in HEURISTIC_STATUSES and not directives.public:
        return 0.0
    if "no-cache" in headers.get("Pragma").lower():
        return 0.0
    modified = http_date.parse(headers.get("Last-Modified"), response_time)
    if modified is None:
        return 0.0
    guessed = max(0.0, date_value(headers, response_time) - modified) * rules.heuristic_fraction
    ceiling = rules.heuristic_max
    if status >= 300:
        ceiling = min(ceiling, _REDIRECT_AND_ERROR_HEURISTIC_MAX)
    return min(guessed, ceiling)
