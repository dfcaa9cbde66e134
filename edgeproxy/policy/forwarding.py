"""Fields on their way through the node: what upstream is told, what the client gets.

A fetch that may answer others (`shared`) must not be shaped by one client. Conditions, ranges and
expectations are taken off, content codings are reduced to what selects the variant, and no name
that the client chose is announced: whatever upstream may reflect must be in the key."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from edgeproxy.message import Headers, Pair, Request
from edgeproxy.policy import hop_by_hop, variant
from edgeproxy.policy.structured import split_list

# Set by us or by nobody: an origin that reads them would believe the client.
_IDENTITY = (
    "Client-IP",
    "Forwarded",
    "Front-End-Https",
    "True-Client-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Forwarded",
    "X-Forwarded-By",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Path",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Proto",
    "X-Forwarded-Protocol",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-Uri",
    "X-Forwarded-Url",
    "X-HTTP-Method",
    "X-HTTP-Method-Override",
    "X-Host",
    "X-Method-Override",
    "X-Original-Host",
    "X-Original-URI",
    "X-Original-URL",
    "X-Real-IP",
    "X-Request-Id",
    "X-Rewrite-URL",
    "X-Url-Scheme",
)
_FRAMING = ("Content-Length", "Expect", "Host")
_CONDITIONS = (
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Range",
)
_STRANGE = frozenset(name.lower() for name in (*_IDENTITY, *_FRAMING, "traceparent")) | hop_by_hop.ALWAYS
_OF_ONE_CLIENT = frozenset(name.lower() for name in (*_CONDITIONS, "Expect", "Upgrade"))
_FRAMED = hop_by_hop.ALWAYS | {"content-length"}
_PASSED = frozenset({"cdn-loop", "via"})
_NOT_TOKEN = re.compile(r"[^!#$%&'*+.^_`|~0-9A-Za-z-]", re.ASCII)


@lru_cache(maxsize=64)
def pseudonym(node: str) -> str:
    """The node's name as a token, for Via and CDN-Loop."""
    return _NOT_TOKEN.sub("-", node) or "edgeproxy"


def for_fill(headers: Headers) -> Headers:
    """Request fields for a fetch that many may share: no condition, range or expectation of one
    client, and Accept-Encoding exactly as it selects the variant."""
    codings = variant.accept_encoding(headers.all("Accept-Encoding"))
    return headers.without(_OF_ONE_CLIENT).replacing({"Accept-Encoding": codings or "identity"})


def upstream_headers(
    request: Request,
    node: str,
    *,
    shared: bool = True,
    forwarded_host: str = "",
    keep_authorization: bool = True,
    strip_cookie: bool = False,
) -> Headers:
    """End-to-end fields of a request to upstream; Host, framing and connection fields are left to
    the client that sends it.

    `shared`: the answer may be stored or collapsed. Then X-Forwarded-Host is sent only if
    `forwarded_host` gives a name from configuration. Raises RequestError 400 for a Connection field
    that nominates what the next hop needs."""
    hop_by_hop.check_nominations(request.headers)
    unwanted = _unwanted(
        shared=shared,
        traced=bool(request.traceparent),
        keep_authorization=keep_authorization,
        strip_cookie=strip_cookie,
    )
    pairs: list[Pair] = []
    codings: list[str] = []
    passed: dict[str, list[str]] = {"via": [], "cdn-loop": []}
    for lower, pair in hop_by_hop.travelling(request.headers, unwanted):
        if lower in passed:
            passed[lower] += filter(None, (pair[1],))
        elif shared and lower == "accept-encoding":
            codings.append(pair[1])
        else:
            pairs.append(pair)
    if shared:
        pairs.append(("Accept-Encoding", variant.accept_encoding(codings) or "identity"))
    host = forwarded_host if shared or forwarded_host else request.authority
    pairs += _introduction(request, host)
    name = pseudonym(node)
    pairs.append(("Via", ", ".join((*passed["via"], f"{request.version} {name}"))))
    pairs.append(("CDN-Loop", ", ".join((*passed["cdn-loop"], name))))
    return Headers(pairs)


@lru_cache(maxsize=16)
def _unwanted(*, shared: bool, traced: bool, keep_authorization: bool, strip_cookie: bool) -> frozenset[str]:
    """Lower-case names of what is not told to upstream."""
    also = set(_OF_ONE_CLIENT if shared else ())
    also |= set() if traced else {"tracestate"}
    also |= set() if keep_authorization else {"authorization"}
    also |= {"cookie"} if strip_cookie else set()
    return _STRANGE | also


def _introduction(request: Request, host: str) -> list[tuple[str, str]]:
    """Who asks, by which name and scheme; a trusted peer in between is named as well."""
    fields: list[tuple[str, str]] = []
    addresses = [address for address in dict.fromkeys((request.client, request.peer)) if address]
    if addresses:
        fields.append(("X-Forwarded-For", ", ".join(addresses)))
        fields.append(("X-Real-IP", addresses[0]))
    fields.append(("X-Forwarded-Proto", request.scheme))
    if host:
        fields.append(("X-Forwarded-Host", host))
    hops = [f"for={_forwarded_node(address)}" for address in addresses] or ["for=unknown"]
    hops[0] += f';host="{host}";proto={request.scheme}' if host else f";proto={request.scheme}"
    fields.append(("Forwarded", ", ".join(hops)))
    if request.id:
        fields.append(("X-Request-Id", request.id))
    if request.traceparent:
        fields.append(("traceparent", request.traceparent))
    return fields


@lru_cache(maxsize=4096)
def _forwarded_node(address: str) -> str:
    """RFC 7239 section 6: IPv6 in brackets and quotes; what is no address is not told."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    return f'"[{parsed}]"' if parsed.version == 6 else str(parsed)


def loops(request: Request, node: str) -> bool:
    """Whether the request has passed this node before (RFC 9110 section 7.6.3, RFC 8586)."""
    if not request.headers.has_any(_PASSED):
        return False
    name = pseudonym(node).lower()
    for member in split_list(request.headers.get("CDN-Loop").lower()):
        if member.partition(";")[0].strip(" \t") == name:
            return True
    for member in split_list(request.headers.get("Via").lower()):
        words = member.split()
        if len(words) >= 2 and words[1] == name:
            return True
    return False


def client_headers(headers: Headers, node: str, version: str = "1.1") -> Headers:
    """Fields of an answer for the client that asked: end-to-end, with Via, without Content-Length
    (framing is the server's). `version` is that in which upstream answered."""
    pairs: list[Pair] = []
    via: list[str] = []
    for lower, pair in hop_by_hop.travelling(headers, _FRAMED):
        if lower == "via":
            via += filter(None, (pair[1],))
        else:
            pairs.append(pair)
    pairs.append(("Via", ", ".join((*via, f"{version} {pseudonym(node)}"))))
    return Headers(pairs)


@lru_cache(maxsize=512)
def stored_headers(pairs: tuple[Pair, ...], node: str, accepts_ranges: bool) -> Headers:
    """Fields of a stored response for any client, but for Age and Cache-Status, which are of the moment. Kept
    for those asked for lately: most answers to ranges and conditions are made of few responses."""
    sent = client_headers(Headers(pairs), node).without(("Age", "Cache-Status"))
    if accepts_ranges and "Accept-Ranges" not in sent:
        sent = sent.adding((("Accept-Ranges", "bytes"),))
    return sent
