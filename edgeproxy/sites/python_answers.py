"""The fields a client of an index gets, from what is stored and what time it is."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from edgeproxy.message import BytesBody, Headers, Response
from edgeproxy.policy import http_date
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.site import Presentation, Steady

_FORMAT = re.compile(r"format=[A-Za-z0-9.+/%-]{1,100}")

IMMUTABLE = "max-age=365000000, immutable, public"


def _page_fields(headers: Headers, stored: StoredResponse, now: float, stale: bool) -> Headers:
    """Clients keep a page for what is left of our lifetime, and never keep a stale one as fresh. `Date`
    is that of our fetch: pip computes the age from it."""
    changes: dict[str, str | None] = {
        "Cache-Control": "no-cache" if stale else f"max-age={max(0, int(stored.fresh_until - now))}",
        "Date": http_date.render(stored.response_time),
        "Expires": None,
        "Vary": "Accept, Accept-Encoding",
    }
    if stale:
        changes["Warning"] = '110 - "Response is Stale"'
    return headers.replacing(changes)


page_fields = Steady(_page_fields, left=("cache-control",))


def _own_page_fields(headers: Headers, stored: StoredResponse, now: float, stale: bool) -> Headers:
    """For who asks the index by its own name: its fields, but for what selects a form here."""
    return headers.replacing({"Vary": "Accept, Accept-Encoding"})


own_page_fields = Steady(_own_page_fields)


def file_fields(*, immutable: bool) -> Presentation:
    """Files are bytes, whatever upstream takes them for: a client that undid a coding would compute
    another hash. While the bytes are not proven they bear a tag of their own, so that a client which
    resumes a bad download starts again instead of joining good bytes to bad ones."""

    def present(headers: Headers, stored: StoredResponse, now: float, stale: bool) -> Headers:
        if stored.status not in (200, 206):
            return headers
        changes: dict[str, str | None] = {
            "Content-Type": "application/octet-stream",
            "Content-Encoding": None,
            "Vary": None,
        }
        if immutable:
            changes["Cache-Control"] = IMMUTABLE
            changes["Expires"] = None
            if not stored.source and not headers.get("ETag").startswith('"sha256-'):
                proven, fetch = stored.digest, int(stored.request_time * 1e6)
                changes["ETag"] = f'"sha256-{proven}"' if proven else f'"u-{fetch:x}"'
        return headers.replacing(changes)

    return Steady(present)


def redirect(location: str, query: str) -> Response:
    """307, because pip keeps permanent redirects for ever; relative, because it must fit any mount."""
    # A query is passed on only as far as it is understood here.
    known = "&".join(part for part in query.split("&") if _FORMAT.fullmatch(part))
    where = f"{location}?{known}" if known else location
    return Response(307, Headers((("Location", where), ("Cache-Control", "max-age=600"))))


def text(status: int, line: str, fields: Mapping[str, str] | None = None) -> Response:
    pairs = (("Content-Type", "text/plain; charset=utf-8"), *(fields or {}).items())
    return Response(status, Headers(pairs), BytesBody(f"{line}\n".encode()))


def too_many_names(wait: float) -> Response:
    """503 and not 429, which some clients take for "no such project"; `wait` in seconds."""
    fields = {"Retry-After": str(max(1, math.ceil(wait))), "X-Edge-Error": "too many names asked"}
    return text(503, "this client asks for too many unknown projects", fields)
