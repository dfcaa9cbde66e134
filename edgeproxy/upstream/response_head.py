"""What a response head must look like before anything believes it (RFC 9112 sections 4 to 6).

libcurl splits the head into lines and tolerates much; this module reads the same lines strictly, so
that a head that two readers could understand differently is never passed on. (A field folded over lines
comes unfolded, which RFC 9112 section 5.2 lets a proxy do.) It knows no socket: lines in, a head or an
UpstreamError out. Trailers come the same way after the head, over HTTP/2; those that would change how the
message is read or kept are left out (RFC 9110 section 6.5.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers, Interim, Pair

INTERIM_MAX = 8

_STATUS_LINE = re.compile(rb"HTTP/(1\.[01]|[23]) ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?\r\n\Z")
# The space around a value is stripped by hand: in the pattern it would make the match quadratic.
_FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)\r\n\Z")
_NO_TRAILER = re.compile(
    r"age|authorization|cache-control|cdn-.*|connection|content-.*|cookie|date|etag|expires|host|keep-alive"
    r"|last-modified|location|pragma|proxy-.*|range|set-cookie|surrogate-.*|te|trailer|transfer-encoding"
    r"|upgrade|vary|via|www-authenticate",
    re.IGNORECASE,
)
_LENGTH = re.compile(r"[0-9]{1,18}\Z", re.ASCII)
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z", re.ASCII)
# https://www.iana.org/assignments/http-parameters: what somebody may really have done to the content.
_CODINGS = frozenset({"chunked", "compress", "deflate", "gzip", "x-compress", "x-gzip", "trailers"})


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """A final response head. `content_length` is None for chunked or close-delimited content and 0
    where the status or the method allows none (RFC 9112 section 6.3)."""

    status: int
    version: str
    headers: Headers
    content_length: int | None


class HeadReader:
    """Collects the lines of a response, interim responses first. One reader serves one request.

    `interim` is told of each interim response but 100, which answers an Expect that we never send.
    Raises UpstreamError(HTTP_PROTOCOL_ERROR or HTTP_RESPONSE_HEADER_SECTION_SIZE) from `feed`."""

    __slots__ = (
        "_bytes",
        "_bytes_max",
        "_fields",
        "_fields_max",
        "_interim",
        "_method",
        "_start",
        "_tell",
        "_trailers",
        "head",
    )

    def __init__(
        self, method: str, *, bytes_max: int, fields_max: int, interim: Interim | None = None
    ) -> None:
        self._tell = interim
        self._method = method
        self._bytes_max = bytes_max
        self._fields_max = fields_max
        self._bytes = 0
        self._interim = 0
        self._start: tuple[str, int] | None = None
        self._fields: list[Pair] = []
        self._trailers: list[Pair] = []
        self.head: ResponseHead | None = None

    @property
    def trailers(self) -> Headers:
        """Those that have come so far and may be passed on."""
        return Headers(self._trailers)

    def feed(self, line: bytes) -> ResponseHead | None:
        """Take one line with its end; the final head once its empty line has come."""
        self._bytes += len(line)
        if self._bytes > self._bytes_max:
            raise _too_large(f"head of more than {self._bytes_max} bytes")
        if self.head is not None:
            self._take_trailer(line)
            return None
        if self._start is None:
            self._start = _status_line(line)
            return None
        if line != b"\r\n":
            if len(self._fields) >= self._fields_max:
                raise _too_large(f"more than {self._fields_max} fields")
            self._fields.append(_field_line(line))
            return None
        return self._finish(*self._start)

    def _take_trailer(self, line: bytes) -> None:
        if line == b"\r\n":
            return
        if len(self._trailers) >= self._fields_max:
            raise _too_large(f"more than {self._fields_max} trailers")
        name, value = _field_line(line)
        if _NO_TRAILER.fullmatch(name) is None:
            self._trailers.append((name, value))

    def _finish(self, version: str, status: int) -> ResponseHead | None:
        if status == 101:
            raise _malformed("101 without an Upgrade")
        if status < 200:
            self._interim += 1
            if self._interim > INTERIM_MAX:
                raise _malformed(f"more than {INTERIM_MAX} interim responses")
            if self._tell is not None and status != 100:
                self._tell(status, Headers(self._fields))
            self._start = None
            self._fields.clear()
            return None
        if status > 599:
            raise _malformed(f"status {status}")
        self.head = validated(self._method, version, status, self._fields)
        self._bytes = 0  # from here on the same bound holds for trailers
        return self.head


def validated(method: str, version: str, status: int, fields: list[Pair]) -> ResponseHead:
    """A head whose framing has one reading. Repeated equal Content-Length lines become one."""
    headers = Headers(fields)
    lengths = headers.all("content-length")
    codings = headers.all("transfer-encoding")
    if codings and _is_mistaken(version, codings, lengths):
        headers = headers.without(("Transfer-Encoding",))
    length: int | None = None
    if lengths:
        if any(value != lengths[0] for value in lengths) or not _LENGTH.match(lengths[0]):
            raise _malformed(f"Content-Length {', '.join(lengths)[:60]!r}")
        length = int(lengths[0])
        if len(lengths) > 1:
            headers = headers.replacing({"Content-Length": lengths[0]})
    if method == "HEAD" or status in (204, 304):
        length = 0
    return ResponseHead(status, version, headers, length)


def _is_mistaken(version: str, codings: tuple[str, ...], lengths: tuple[str, ...]) -> bool:
    """Whether the one coding named is none at all. Nobody may use another than chunked with us, who never
    ask for one (TE, RFC 9110 section 10.1.4), and a name that no coding has ("binary") is a mistaken field:
    the content ends with the connection (RFC 9112 section 6.3), as it is. Raises UpstreamError for any
    other than chunked that exists, or that may be meant to be read in two ways."""
    if lengths:
        raise _malformed("Content-Length beside Transfer-Encoding")
    if version != "1.1":
        raise _malformed(f"Transfer-Encoding in HTTP/{version}")
    name = codings[0].lower()
    if name == "chunked" and len(codings) == 1:
        return False
    if len(codings) > 1 or not _NAME.match(name) or name in _CODINGS or "chunk" in name:
        raise _malformed(f"Transfer-Encoding {', '.join(codings)[:60]!r}")
    return True


def _status_line(line: bytes) -> tuple[str, int]:
    match = _STATUS_LINE.match(line)
    if match is None:
        raise _malformed(f"status line {line[:60]!r}")
    return match[1].decode("ascii"), int(match[2])


def _field_line(line: bytes) -> Pair:
    match = _FIELD_LINE.match(line)
    if match is None:
        raise _malformed(f"field line {line[:60]!r}")
    return match[1].decode("ascii"), match[2].strip(b" \t").decode("latin-1")


def _malformed(what: str) -> UpstreamError:
    return UpstreamError(ProxyError.HTTP_PROTOCOL_ERROR, f"malformed response: {what}")


def _too_large(what: str) -> UpstreamError:
    return UpstreamError(ProxyError.HTTP_RESPONSE_HEADER_SECTION_SIZE, f"response too large: {what}")
