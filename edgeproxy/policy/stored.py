"""A stored response: what is kept about an answer, its body apart.

Everything about time is decided when it is stored and compared when it is looked up (law 2): a hit
costs `now < fresh_until`."""

from __future__ import annotations

import msgspec

from edgeproxy.message import Headers


class StoredResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Status, fields, times and the identity of the body. All times are wall-clock seconds.

    `born` is the moment at which the age was zero, so that current_age = now - born (RFC 9111
    section 4.2.3). `selecting` are the request fields nominated by Vary, lower-case name with the
    normalised value, None if the request lacked it. `sequence` is the store's purge sequence when
    the fill began: a purge with a higher one supersedes this response."""

    key: str
    site: str
    status: int
    fields: tuple[tuple[str, str], ...]
    born: float
    request_time: float
    response_time: float
    fresh_until: float
    stale_while_revalidate_until: float = 0.0
    stale_if_error_until: float = 0.0
    selecting: tuple[tuple[str, str | None], ...] = ()
    must_revalidate: bool = False  # never stale, whatever a request or rule allows (4.2.4)
    no_cache: bool = False  # never without revalidation (5.2.2.4)
    immutable: bool = False  # no revalidation while fresh, even if the client asks (RFC 8246)
    heuristic: bool = False
    vary_star: bool = False
    missing_since: float = 0.0  # upstream first said 404/410 for what we hold; 0 if it did not
    tags: tuple[str, ...] = ()
    sequence: int = 0
    body: str = ""  # identity of the body in the store; "" for no content
    body_bytes: int = 0
    digest: str = ""  # SHA-256 of the body, lower-case hex; "" while unknown
    url: str = ""  # where the upstream's redirects ended, if there were any: relative links start here
    source: str = ""  # of a view: identity of the body it was derived from
    name: str = ""  # file or project name for people, never used to decide
    group: str = ""  # what is used together, and so leaves together: the files of one snapshot, say

    @property
    def headers(self) -> Headers:
        return Headers(self.fields)

    def age(self, now: float) -> float:
        """current_age in seconds, never negative (RFC 9111 section 4.2.3)."""
        return max(0.0, now - self.born)
