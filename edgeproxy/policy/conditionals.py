"""Preconditions of a request, evaluated on what is about to be sent (RFC 9110 section 13.2.2,
RFC 9111 section 4.3.2)."""

from __future__ import annotations

from typing import Literal

from edgeproxy.message import Headers, Request
from edgeproxy.policy import entity_tag, http_date

Verdict = Literal[200, 304, 412]

_FIELDS = frozenset({"if-match", "if-unmodified-since", "if-none-match", "if-modified-since"})
# What a 304 leaves out: it describes content that is not there (RFC 9110 section 15.4.5).
_NOT_IN_304 = (
    "Accept-Ranges",
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-Range",
    "Content-Type",
)


def is_conditional(headers: Headers) -> bool:
    return headers.has_any(_FIELDS)


def evaluate(request: Request, stored_status: int, headers: Headers) -> Verdict:
    """200: send the response as it is. 304: the client has it already. 412: it wants another.

    Only answers that would be 200 are subject to preconditions."""
    wanted = request.headers
    if stored_status != 200 or request.method not in ("GET", "HEAD") or not is_conditional(wanted):
        return 200
    if "If-Match" in wanted:
        if not _matches(wanted.get("If-Match"), headers.get("ETag"), strong=True):
            return 412
    elif "Last-Modified" in headers:
        since = wanted.get("If-Unmodified-Since")
        if _modified_since(since, headers, request.received_at) is True:
            return 412
    if "If-None-Match" in wanted:
        found = _matches(wanted.get("If-None-Match"), headers.get("ETag"), strong=False)
        return 304 if found else 200
    if "If-Modified-Since" in wanted:
        modified = _modified_since(wanted.get("If-Modified-Since"), headers, request.received_at)
        return 304 if modified is False else 200
    return 200


def _matches(listed: str, tag: str, *, strong: bool) -> bool:
    if listed.strip(" \t") == "*":
        return True
    equal = entity_tag.strongly_equal if strong else entity_tag.weakly_equal
    return any(equal(candidate, tag) for candidate in entity_tag.parse_list(listed))


def _modified_since(text: str, headers: Headers, now: float) -> bool | None:
    """Last-Modified, or Date without it, against a date; None if they cannot be compared."""
    since = http_date.parse(text, now)
    modified = http_date.parse(headers.get("Last-Modified") or headers.get("Date"), now)
    return None if since is None or modified is None else modified > since


def not_modified(headers: Headers) -> Headers:
    """The fields of a 304 made from those of the 200 it stands for."""
    return headers.without(_NOT_IN_304)


def ranges_apply(request: Request, headers: Headers) -> bool:
    """Whether Range is to be honoured: GET, and If-Range (if any) names exactly what we hold, by a
    strong validator (RFC 9110 sections 13.1.5 and 14.2)."""
    if request.method != "GET" or "Range" not in request.headers:
        return False
    if "If-Range" not in request.headers:
        return True
    text = request.headers.get("If-Range").strip(" \t")
    if text.startswith(('"', "W/")):
        return entity_tag.strongly_equal(text, headers.get("ETag"))
    asked = http_date.parse(text, request.received_at)
    modified = http_date.parse(headers.get("Last-Modified"), request.received_at)
    date = http_date.parse(headers.get("Date"), request.received_at)
    # A second time within the same minute could hide a second change (RFC 9110 section 8.8.2.2).
    return asked is not None and asked == modified and date is not None and modified + 60 <= date
