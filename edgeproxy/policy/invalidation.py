"""What a successful unsafe request makes invalid (RFC 9111 section 4.4)."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from edgeproxy.message import Headers, Request

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "CONNECT"})
# Printable ASCII only: urljoin would drop tabs and line ends without a word.
_REFERENCE = re.compile(r"[!-~]{1,8192}", re.ASCII)


def is_unsafe(method: str) -> bool:
    """Unknown methods count as unsafe."""
    return method not in _SAFE


def invalidated(request: Request, key_of_request: str, status: int, headers: Headers) -> tuple[str, ...]:
    """Cache keys to purge after an answer with `status`: that of the request, and those that
    Location and Content-Location name on the same origin. Empty unless an unsafe request
    succeeded (2xx, 3xx).

    Upstream may name itself or, in our place, the authority the client used; the latter can be
    translated only where targets are passed on as they are."""
    if not is_unsafe(request.method) or not 200 <= status < 400:
        return ()
    keys = [key_of_request]
    for name in ("Location", "Content-Location"):
        key = _same_origin(request, key_of_request, headers.get(name).strip(" \t"))
        if key is not None and key not in keys:
            keys.append(key)
    return tuple(keys)


def _same_origin(request: Request, key_of_request: str, reference: str) -> str | None:
    if _REFERENCE.fullmatch(reference) is None:
        return None
    try:
        ours = urlsplit(key_of_request)
        named = urlsplit(urljoin(key_of_request, reference))
        same = (named.scheme, named.hostname, _port(named.scheme, named.port)) == (
            ours.scheme,
            ours.hostname,
            _port(ours.scheme, ours.port),
        )
    except ValueError:
        return None
    # urlsplit would lose a "?" with nothing after it, which is part of our keys.
    resource = reference.partition("#")[0]
    target = (named.path or "/") + (f"?{named.query}" if named.query or resource.endswith("?") else "")
    origin = f"{ours.scheme}://{ours.netloc}"
    if same:
        return origin + target
    as_asked = named.netloc.lower() == request.authority and request.authority != ""
    if as_asked and key_of_request.startswith(origin + request.target):
        return origin + target
    return None


def _port(scheme: str, port: int | None) -> int:
    return port if port is not None else (443 if scheme == "https" else 80)
