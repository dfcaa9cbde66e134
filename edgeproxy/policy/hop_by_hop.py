"""Fields that concern one connection only, and so are neither stored nor passed on
(RFC 9110 section 7.6.1)."""

from __future__ import annotations

from collections.abc import Iterator

from edgeproxy.errors import RequestError
from edgeproxy.message import Headers, Pair
from edgeproxy.policy.structured import split_list

ALWAYS = frozenset(
    {
        "connection",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

# A sender that nominates one of these wants the next hop to read another message than we did.
PROTECTED = frozenset(
    {
        "age",
        "authorization",
        "cache-control",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "date",
        "etag",
        "expires",
        "forwarded",
        "host",
        "last-modified",
        "range",
        "set-cookie",
        "transfer-encoding",
        "vary",
        "via",
    }
)
_REFUSED = frozenset(
    {"authorization", "cache-control", "content-length", "cookie", "host", "transfer-encoding", "via"}
)


def nominated(headers: Headers) -> Iterator[str]:
    """Lower-case names listed in Connection."""
    for line in headers.all("Connection"):
        for name in split_list(line):
            yield name.lower()


def check_nominations(headers: Headers) -> None:
    """Raises RequestError 400 if Connection names a field the next hop cannot do without."""
    if "Connection" not in headers:
        return
    for name in nominated(headers):
        if name in _REFUSED:
            raise RequestError(400, f"Connection must not name {name}")


def end_to_end(headers: Headers) -> Headers:
    """The fields that travel. A nomination removes a field unless it is one that caching, framing
    or identity rest on: those stay, so that nobody can nominate `no-store` away."""
    if not any(name.lower() in ALWAYS for name, _ in headers):
        return headers
    return Headers([pair for _, pair in travelling(headers, ALWAYS)])


def travelling(headers: Headers, unwanted: frozenset[str]) -> list[tuple[str, Pair]]:
    """Each field that travels with its name in lower case. `unwanted` are lower-case names of what stays
    behind: ALWAYS, and whatever else."""
    named = [(pair[0].lower(), pair) for pair in headers]
    if any(name == "connection" for name, _ in named):
        also = frozenset(nominated(headers)) - PROTECTED
        if not also <= unwanted:
            unwanted = unwanted | also
    return [each for each in named if each[0] not in unwanted]
