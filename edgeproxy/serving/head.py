"""The meaning of a request head: target, authority, framing, persistence (RFC 9112, RFC 9110)."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import NamedTuple

from edgeproxy.config import Limits
from edgeproxy.errors import RequestError
from edgeproxy.message import Headers
from edgeproxy.serving.head_syntax import WHOLE_HEAD, fault

_AUTHORITY = re.compile(r"([A-Za-z0-9_.~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{0,5}))?", re.ASCII)
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?]*)(.*)", re.ASCII)
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_CODINGS = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:[ \t]*,[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+)*", re.ASCII)
# Of lines whose form has been checked: a value is all that is left before the end of its line.
_FIELD_LINE = re.compile(r"([^:]+):[ \t]*([^\r]*)\r\n")
_NO_OPTIONS: frozenset[str] = frozenset()
_KEEP_ALIVE = frozenset({"keep-alive"})

# Fields that decide framing, routing or who may see what: no hop may be told to drop them.
_NOT_NOMINABLE = frozenset(
    {"host", "content-length", "transfer-encoding", "cache-control", "authorization", "cookie", "via"}
)
# Requests with any of these are answered by the handler each time: their answer depends on more
# than the target, or the field says something about this one exchange.
NOT_MEMORABLE = frozenset(
    {
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "if-range",
        "range",
        "authorization",
        "proxy-authorization",
        "cookie",
        "cache-control",
        "pragma",
        "x-request-id",
        "traceparent",
        "tracestate",
        "upgrade",
        "connection",
        "te",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "expect",
        "content-length",
        "transfer-encoding",
    }
)
_LOOKED_AT = frozenset({"host", "content-length", "transfer-encoding", "expect", "connection"})
_NOTED = _LOOKED_AT | NOT_MEMORABLE


class Head(NamedTuple):
    """A request head, understood. `length` is that of the content: 0 without content, None if chunked."""

    method: str
    target: str
    authority: str
    version: str
    headers: Headers
    length: int | None
    keep_alive: bool
    expects_continue: bool
    memorable: bool  # byte-equal heads may share one answer
    target_scheme: str = ""  # of an absolute-form target


def parse_head(head: bytes, limits: Limits) -> Head:
    """Understand a whole head, empty line included. Raises RequestError with the status to send;
    every one of them ends the connection, since framing can no longer be trusted."""
    found = WHOLE_HEAD.fullmatch(head)
    if found is None or len(head) > limits.head:
        raise fault(head, limits)
    if len(found[2]) > limits.uri:
        raise RequestError(414, "request target too long")
    pairs = _pairs(found[4].decode("latin-1"))
    if len(pairs) > limits.fields:
        raise RequestError(431, "too many request fields")
    index: dict[str, list[str]] = {}
    for name, value in pairs:
        lower = name.lower()
        if lower in index:
            index[lower].append(value)
        else:
            index[lower] = [value]
    version = "1.0" if found[3] == b"0" else "1.1"
    return _understood(found[1].decode("ascii"), found[2].decode("ascii"), version, pairs, index)


def _pairs(text: str) -> list[tuple[str, str]]:
    """Names and values of field lines whose form has been checked."""
    pairs = _FIELD_LINE.findall(text)
    if " \r" in text or "\t\r" in text:
        return [(name, value.rstrip(" \t")) for name, value in pairs]
    return pairs


def _understood(
    method: str,
    target: str,
    version: str,
    pairs: list[tuple[str, str]],
    index: dict[str, list[str]],
) -> Head:
    """`index` holds the values of `pairs` by lower-case name."""
    noted = index.keys() & _NOTED
    options = _connection_options(index.get("connection"))
    host = _host(index.get("host"), version)
    length = _content_length(index, version)
    expects_continue = _expects_continue(index.get("expect"), version)
    headers = Headers(pairs, index)
    if method == "CONNECT":
        return connect_head(target, version, headers, length)
    target_scheme = ""
    if target[0] != "/":
        target, absolute, target_scheme = _reduced(target, method)
        if absolute:
            host = absolute
            headers = Headers((("Host", absolute), *(pair for pair in pairs if pair[0].lower() != "host")))
    keep_alive = "close" not in options and (version == "1.1" or "keep-alive" in options)
    memorable = (
        (method == "GET" or method == "HEAD")
        and version == "1.1"
        and keep_alive
        and (len(noted) == 1 or (len(noted) == 2 and index.get("connection") == ["keep-alive"]))
    )
    return Head(
        method,
        target,
        host,
        version,
        headers,
        length,
        keep_alive,
        expects_continue,
        memorable,
        target_scheme,
    )


def connect_head(target: str, version: str, headers: Headers, length: int | None) -> Head:
    """RFC 9110 section 9.3.6: the target is host and port, and there is no content. Raises RequestError."""
    authority = valid_authority(target)
    if authority.endswith("]") or ":" not in authority:
        raise RequestError(400, "CONNECT names a host and a port")
    if length != 0:
        raise RequestError(400, "CONNECT has no content")
    return Head("CONNECT", authority, authority, version, headers, 0, False, False, False)


def _connection_options(lines: list[str] | None) -> frozenset[str]:
    if lines is None:
        return _NO_OPTIONS
    if lines == ["keep-alive"]:
        return _KEEP_ALIVE
    options = frozenset(item.strip(" \t").lower() for line in lines for item in line.split(","))
    if options & _NOT_NOMINABLE:
        raise RequestError(400, "Connection names a field that is not hop-by-hop")
    return options


def _host(lines: list[str] | None, version: str) -> str:
    """RFC 9112 section 3.2: exactly one valid Host line, or none in HTTP/1.0."""
    if lines is None:
        if version == "1.0":
            return ""
        raise RequestError(400, "Host is missing")
    if len(lines) != 1:
        raise RequestError(400, "more than one Host")
    return valid_authority(lines[0])


@lru_cache(maxsize=1024)
def valid_authority(text: str) -> str:
    """host[:port] in lower case. Raises RequestError 400: user information, bad names and ports."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        raise RequestError(400, "invalid host")
    host, port = found[1].lower(), found[2]
    if host[0] == "[":
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise RequestError(400, "invalid host") from None
    if not port:
        return host
    if int(port) > 65535:
        raise RequestError(400, "invalid port")
    return f"{host}:{port}"


class _Reduced(NamedTuple):
    target: str
    authority: str
    scheme: str


def _reduced(target: str, method: str) -> _Reduced:
    """A target that is not origin-form, as origin-form or asterisk-form (RFC 9112 section 3.2)."""
    if target == "*" and method == "OPTIONS":
        return _Reduced(target, "", "")
    found = _ABSOLUTE.fullmatch(target)
    if found is None or found[1].lower() not in ("http", "https"):
        raise RequestError(400, "invalid request target")
    authority, scheme = valid_authority(found[2]), found[1].lower()
    path = found[3]
    if not path:
        return _Reduced("*" if method == "OPTIONS" else "/", authority, scheme)
    return _Reduced(path if path[0] == "/" else "/" + path, authority, scheme)


def _content_length(fields: dict[str, list[str]], version: str) -> int | None:
    """RFC 9112 section 6, without its leniencies: whatever two readers could frame differently is refused."""
    lengths, codings = fields.get("content-length"), fields.get("transfer-encoding")
    if codings is not None:
        if lengths is not None:
            raise RequestError(400, "both Content-Length and Transfer-Encoding")
        if version == "1.0":
            raise RequestError(400, "Transfer-Encoding in HTTP/1.0")
        if len(codings) != 1 or not _CODINGS.fullmatch(codings[0]):
            raise RequestError(400, "malformed Transfer-Encoding")
        if codings[0].lower() != "chunked":
            raise RequestError(501, "unknown transfer coding")
        return None
    if lengths is None:
        return 0
    if len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]):
        raise RequestError(400, "malformed Content-Length")
    return int(lengths[0])


def _expects_continue(lines: list[str] | None, version: str) -> bool:
    if lines is None:
        return False
    if len(lines) != 1 or lines[0].lower() != "100-continue":
        raise RequestError(417, "unknown expectation")
    return version == "1.1"  # RFC 9110 section 10.1.1: ignored from HTTP/1.0
