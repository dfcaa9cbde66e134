"""Asking upstream whether what is stored is still right, and updating it from the answer
(RFC 9111 sections 4.3.1, 4.3.4 and 4.3.5)."""

from __future__ import annotations

import msgspec

from edgeproxy.message import Headers
from edgeproxy.policy import entity_tag, freshness, http_date, storability, tags, variant
from edgeproxy.policy.cache_control import governing
from edgeproxy.policy.rules import Rules
from edgeproxy.policy.stored import StoredResponse

# They describe the stored bytes, which a 304 does not change (RFC 9111 section 3.2).
_OF_THE_BYTES = frozenset({"content-encoding", "content-length", "content-range", "transfer-encoding"})


def conditions(stored: StoredResponse) -> Headers:
    """If-None-Match and If-Modified-Since from the stored validators, as they came; empty when
    there are none. A partial or erroneous answer is not revalidated but fetched again."""
    if stored.status >= 300 and stored.status not in (404, 410):
        return Headers()
    headers = stored.headers
    found: list[tuple[str, str]] = []
    if len(headers.all("ETag")) == 1 and headers.get("ETag"):
        found.append(("If-None-Match", headers.get("ETag")))
    modified = headers.get("Last-Modified")
    if http_date.parse(modified, stored.response_time) is not None:
        found.append(("If-Modified-Since", modified))
    return Headers(found)


def is_about(stored: StoredResponse, headers: Headers) -> bool:
    """Whether a 304 can be about `stored`: its validators do not contradict ours."""
    if "ETag" in headers and "ETag" in stored.headers:
        return entity_tag.weakly_equal(headers.get("ETag"), stored.headers.get("ETag"))
    received = http_date.parse(headers.get("Last-Modified"), stored.response_time)
    held = http_date.parse(stored.headers.get("Last-Modified"), stored.response_time)
    return received is None or held is None or received <= held


def freshen(
    stored: StoredResponse, headers: Headers, rules: Rules, request_time: float, now: float
) -> StoredResponse:
    """`stored` with the fields and times of a 304 that is about it. If the fields now forbid what
    once was allowed, the result must be validated at each use."""
    merged = _merged(stored, headers)
    directives = governing(merged, rules.targeted)
    lifetime = freshness.lifetime(stored.status, merged, directives, rules, now)
    names = variant.names(merged, rules)
    withdrawn = (
        names is None or directives.private or (directives.no_store and not directives.must_understand)
    )
    # Vary may have gained a name for which we do not know the value that brought this body.
    withdrawn = withdrawn or not {name for name, _ in stored.selecting} >= set(names or ())
    # Age and Date are those of the 304 alone: what is stored of them is from another moment.
    timed = merged.replacing({"Age": headers.get("Age") or None, "Date": headers.get("Date") or None})
    built = storability.build(
        stored.key,
        stored.site,
        stored.status,
        timed,
        stored.selecting,
        directives,
        lifetime,
        rules,
        request_time,
        now,
    )
    fresh = msgspec.structs.replace(
        built,
        tags=_joined(stored.tags, tags.tags_of(headers)),
        sequence=stored.sequence,
        body=stored.body,
        body_bytes=stored.body_bytes,
        digest=stored.digest,
        url=stored.url,
        name=stored.name,
    )
    if not withdrawn:
        return fresh
    return msgspec.structs.replace(
        fresh,
        fresh_until=fresh.born,
        stale_while_revalidate_until=0.0,
        stale_if_error_until=0.0,
        must_revalidate=True,
        no_cache=True,
        immutable=False,
    )


def _joined(held: tuple[str, ...], received: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*held, *received)))


def _merged(stored: StoredResponse, headers: Headers) -> Headers:
    """Each field received replaces all stored lines of it (RFC 9111 section 3.2), but for those that
    describe the bytes and cookies, which a 304 sets for one client."""
    received = headers.without(_OF_THE_BYTES)
    if storability.sets_identity(received):
        received = received.without(("Set-Cookie",))
    return stored.headers.without(name for name, _ in received).adding(received.pairs)


def after_head(
    stored: StoredResponse, headers: Headers, rules: Rules, now: float, request_time: float | None = None
) -> StoredResponse | None:
    """`stored` freshened from a 200 to HEAD, or None if that shows another representation: then
    `stored` is to be invalidated (RFC 9111 section 4.3.5)."""
    if "ETag" in headers and headers.get("ETag") != stored.headers.get("ETag"):
        return None
    if "Last-Modified" in headers and headers.get("Last-Modified") != stored.headers.get("Last-Modified"):
        return None
    encoded = headers.get("Content-Encoding").lower() == stored.headers.get("Content-Encoding").lower()
    length = headers.get("Content-Length")
    if length and encoded and length != str(stored.body_bytes):
        return None
    return freshen(stored, headers, rules, now if request_time is None else request_time, now)
