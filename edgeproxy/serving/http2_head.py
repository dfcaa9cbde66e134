"""The meaning of the fields of an HTTP/2 request: the same Head as from HTTP/1.1 (RFC 9113 section 8).

What two readers could understand differently, above all once it is spelled as HTTP/1.1, is malformed
and ends the stream; what is well-formed and unacceptable gets the status that HTTP/1.1 gives it."""

from __future__ import annotations

import re

from edgeproxy.config import Limits
from edgeproxy.errors import EdgeError, RequestError
from edgeproxy.message import Headers, Pair
from edgeproxy.serving.head import NOT_MEMORABLE, Head, connect_head, valid_authority
from edgeproxy.serving.http2_hpack import RawPairs

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}")
_PATH = re.compile(rb"/[\x21\x22\x24-\x7e]*")
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_PSEUDO = frozenset({b":method", b":scheme", b":authority", b":path"})
# Section 8.2.2: they concern a connection of another protocol.
_FORBIDDEN = frozenset({b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"})
_AROUND_FIELD = 4  # ": " and CRLF, which the same field would have in HTTP/1.1


class Malformed(EdgeError):
    """The fields are no request, or no trailers."""


def parse_fields(
    pairs: RawPairs, limits: Limits, scheme: str, *, ended: bool, any_scheme: bool = False
) -> Head:
    """Understand the fields of a request; `ended` tells that no content follows. Raises Malformed, or
    RequestError with the status to send. `any_scheme`: the client stands for others, and its
    scheme is theirs."""
    pseudo, fields = _split(pairs)
    noted = _noted(fields)
    length = _content_length(noted, ended=ended)
    target, method, named = _target(pseudo)
    authority = _authority(named, noted)
    if sum(len(name) + len(value) + _AROUND_FIELD for name, value in pairs) > limits.head:
        raise RequestError(431, "request head too large")
    if len(fields) > limits.fields:
        raise RequestError(431, "too many request fields")
    if len(target) > limits.uri:
        raise RequestError(414, "request target too long")
    if method == "CONNECT":
        return connect_head(authority, "2", _headers(fields, ""), length if b"content-length" in noted else 0)
    if not any_scheme and pseudo[b":scheme"].lower() != scheme.encode("ascii"):
        raise RequestError(421, "this listener does not answer for that scheme")
    if not authority and target != "*":
        raise RequestError(400, "Host is missing")
    host = valid_authority(authority) if authority else ""
    expects = noted.get(b"expect")
    if expects is not None and (len(expects) != 1 or expects[0].lower() != b"100-continue"):
        raise RequestError(417, "unknown expectation")
    memorable = ended and (method == "GET" or method == "HEAD") and not _told_apart(noted)
    return Head(
        method, target, host, "2", _headers(fields, host), length, True, expects is not None, memorable
    )


def check_trailers(pairs: RawPairs, limits: Limits) -> Headers:
    """The trailers of a request (section 8.1). Raises Malformed."""
    pseudo, fields = _split(pairs)
    if pseudo:
        raise Malformed("a pseudo-field in trailers")
    _noted(fields)
    if sum(len(name) + len(value) + _AROUND_FIELD for name, value in fields) > limits.chunk_overhead:
        raise Malformed("trailers too long")
    return Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in fields)


def _split(pairs: RawPairs) -> tuple[dict[bytes, bytes], RawPairs]:
    """Pseudo-fields, each known and once and before all others, and the fields, each well-formed."""
    pseudo: dict[bytes, bytes] = {}
    count = 0
    for name, value in pairs:
        if name[:1] != b":":
            break
        if name not in _PSEUDO or name in pseudo:
            raise Malformed("a pseudo-field that is unknown or there twice")
        pseudo[name] = value
        count += 1
    fields = pairs[count:]
    for name, value in fields:
        if _NAME.fullmatch(name) is None:
            raise Malformed("a malformed field name")
        if _VALUE.fullmatch(value) is None:
            raise Malformed("a malformed field value")
    return pseudo, fields


def _noted(fields: RawPairs) -> dict[bytes, list[bytes]]:
    """The lines of the fields that matter here, by name. Raises Malformed for those that must not be."""
    noted: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        if name in _LOOKED_AT:
            noted.setdefault(name, []).append(value)
            if name in _FORBIDDEN:
                raise Malformed("a field of a connection")
            if name == b"te" and value.lower() != b"trailers":
                raise Malformed("a transfer coding is asked for")
    return noted


_NOT_MEMORABLE = frozenset(name.encode("ascii") for name in NOT_MEMORABLE)
_LOOKED_AT = _FORBIDDEN | _NOT_MEMORABLE | {b"te", b"host", b"content-length", b"expect"}


def _told_apart(noted: dict[bytes, list[bytes]]) -> bool:
    return any(name in _NOT_MEMORABLE for name in noted)


def _content_length(noted: dict[bytes, list[bytes]], *, ended: bool) -> int | None:
    lines = noted.get(b"content-length")
    if lines is None:
        return 0 if ended else None
    if len(lines) != 1 or _LENGTH.fullmatch(lines[0]) is None:
        raise Malformed("malformed Content-Length")
    length = int(lines[0])
    if ended and length:
        raise Malformed("content shorter than its length")
    return length


def _target(pseudo: dict[bytes, bytes]) -> tuple[str, str, bytes]:
    """Target, method and authority (section 8.3.1)."""
    method = pseudo.get(b":method")
    if method is None or _METHOD.fullmatch(method) is None:
        raise Malformed("no method, or a malformed one")
    authority = pseudo.get(b":authority", b"")
    if method == b"CONNECT":  # section 8.5
        if b":scheme" in pseudo or b":path" in pseudo or not authority:
            raise Malformed("a malformed CONNECT")
        return "", "CONNECT", authority
    scheme, path = pseudo.get(b":scheme"), pseudo.get(b":path")
    if scheme is None or _SCHEME.fullmatch(scheme) is None:
        raise Malformed("no scheme, or a malformed one")
    if path is None or (_PATH.fullmatch(path) is None and (path != b"*" or method != b"OPTIONS")):
        raise Malformed("no path, or a malformed one")
    return path.decode("ascii"), method.decode("ascii"), authority


def _authority(named: bytes, noted: dict[bytes, list[bytes]]) -> str:
    """The authority of the pseudo-field or of Host; two that differ are two requests in one."""
    hosts = noted.get(b"host")
    if hosts is not None and (len(hosts) != 1 or (named and hosts[0].lower() != named.lower())):
        raise Malformed("Host twice, or another than the authority")
    return (named or (hosts[0] if hosts else b"")).decode("latin-1")


def _headers(fields: RawPairs, host: str) -> Headers:
    """The fields in the shape that HTTP/1.1 gives them: one Host, one Cookie (section 8.2.3)."""
    pairs: list[Pair] = [("host", host)] if host else []
    cookies: list[str] = []
    for name, value in fields:
        if name == b"host":
            continue
        if name == b"cookie":
            cookies.append(value.decode("latin-1"))
        else:
            pairs.append((name.decode("ascii"), value.decode("latin-1")))
    if cookies:
        pairs.append(("cookie", "; ".join(cookies)))
    return Headers(pairs)
