"""One reusable libcurl handle, and how a request is written into its options.

The connection is steered in two steps: CONNECT_TO (or PROXY) sends every connection to an invented name that
is a digest of the permitted addresses, RESOLVE tells libcurl these addresses under that name. So what
libcurl remembers of names is never wrong, however long it remembers; a connection is reused only
by requests whose host has the same permitted addresses now; and the host of the URL, which is
what certificates are checked against, is never looked up by libcurl."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Protocol

import pycurl

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.upstream.address_guard import Address
from edgeproxy.upstream.connections import Ends
from edgeproxy.upstream.egress import EgressProxy
from edgeproxy.upstream.upstream import Identity, UpstreamRequest

_IDLE_SECONDS = 60
_RESOLVE_SECONDS = 600
_BUFFER_BYTES = 256 << 10
_CONNECT_SLACK_SECONDS = 1.0

_SUPPRESS_CONNECT_HEADERS = 265  # CURLOPT_SUPPRESS_CONNECT_HEADERS, for which pycurl has no name

_OURS = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "proxy-connection",
        "trailer",
        "upgrade",
        "expect",
        "http2-settings",
    }
)
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")
_TARGET = re.compile(r"(?:/[\x21-\x7e\x80-\xff]*|\*)\Z")
_AUTHORITY = re.compile(r"[0-9A-Za-z._\-:\[\]]{1,262}\Z")
_HOST = re.compile(r"(?:[0-9a-z_](?:[0-9a-z._\-]{0,252})|[0-9a-f:.]{2,45})\Z")


class Callbacks(Protocol):
    """What a handle tells the transfer that uses it."""

    def on_header(self, line: bytes) -> int | None: ...

    def on_write(self, data: bytes) -> int | None: ...

    def on_socket(self, fd: int) -> None: ...

    def on_start(self, ends: Ends) -> bool: ...

    def on_read(self, size: int) -> bytes | int: ...


class Easy:
    """A handle with the options that never change set once: pycurl cannot take an identity off again. `user`
    gets its callbacks."""

    __slots__ = ("_reach", "curl", "identity", "through_proxy", "user")

    def __init__(
        self,
        identity: Identity = Identity(),  # noqa: B008 - a value
        *,
        through_proxy: bool = False,
    ) -> None:
        self.user: Callbacks | None = None
        self.identity, self.through_proxy = identity, through_proxy
        self._reach: tuple[object, ...] | None = None
        self.curl = curl = pycurl.Curl()
        for option, value in (
            (pycurl.NOSIGNAL, 1),
            (pycurl.NOPROGRESS, 1),
            (pycurl.TCP_NODELAY, 1),
            (pycurl.TCP_KEEPALIVE, 1),
            (pycurl.FOLLOWLOCATION, 0),
            (pycurl.NETRC, pycurl.NETRC_IGNORED),
            (pycurl.PROXY, ""),
            (pycurl.HEADEROPT, pycurl.HEADER_SEPARATE),  # what is meant for upstreams is not told to a proxy
            (_SUPPRESS_CONNECT_HEADERS, 1),
            (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.PATH_AS_IS, 1),
            (pycurl.HTTP09_ALLOWED, 0),
            (pycurl.HTTP_TRANSFER_DECODING, 0),  # chunks are read by Transfer
            (pycurl.BUFFERSIZE, _BUFFER_BYTES),
            (pycurl.MAXAGE_CONN, _IDLE_SECONDS),
            (pycurl.DNS_CACHE_TIMEOUT, _RESOLVE_SECONDS),
            (pycurl.PIPEWAIT, 1),
            (pycurl.HEADERFUNCTION, self._header),
            (pycurl.WRITEFUNCTION, self._write),
            (pycurl.PREREQFUNCTION, self._start),
            (pycurl.SOCKOPTFUNCTION, self._socket),
        ):
            curl.setopt(option, value)
        for option, text in (
            (pycurl.PINNEDPUBLICKEY, identity.pins),
            (pycurl.SSLCERT, identity.certificate),
            (pycurl.SSLKEY, identity.key),
        ):
            if text:
                curl.setopt(option, text)

    def prepare(
        self,
        request: UpstreamRequest,
        proxy: EgressProxy | None,
        addresses: tuple[Address, ...],
        *,
        ca_file: str,
        version: int,
        fresh: bool,
    ) -> None:
        """Write a checked request into the handle; `addresses` are those of the `proxy` if there is one, as
        there is for handles that go `through_proxy`. `version` is one of pycurl.CURL_HTTP_VERSION_*."""
        curl, origin, reach = self.curl, request.origin, request.reach
        name, known = _steering(addresses, origin.port if proxy is None else proxy.port)
        key = (origin, reach, proxy, name, ca_file, version)
        target = request.target
        is_tunnel = origin.scheme == "https" or reach.prior_knowledge
        if proxy is not None and not is_tunnel:  # the proxy is told the whole URL (RFC 9112 section 3.2.2)
            target = origin.url + ("" if target == "*" else target)
        if key != self._reach:
            curl.setopt(pycurl.URL, f"{origin.url}/")
            if proxy is None:
                curl.setopt(pycurl.CONNECT_TO, [f"::{name}:{origin.port}"])
            else:
                curl.setopt(pycurl.PROXY, f"http://{name}:{proxy.port}")
                curl.setopt(pycurl.PROXYUSERPWD, proxy.user or None)
                curl.setopt(pycurl.HTTPPROXYTUNNEL, int(is_tunnel))
            # libcurl counts the wait for a free connection too; the transfer times what matters.
            patience = reach.connect_timeout + reach.head_timeout + _CONNECT_SLACK_SECONDS
            curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(patience * 1000))
            curl.setopt(pycurl.SSL_VERIFYPEER, int(reach.verify_tls))
            curl.setopt(pycurl.SSL_VERIFYHOST, 2 if reach.verify_tls else 0)
            curl.setopt(pycurl.CAINFO, ca_file)
            curl.setopt(pycurl.HTTP_VERSION, version)
            self._reach = key
        # Said again for each request, because libcurl may have forgotten it since.
        curl.setopt(pycurl.RESOLVE, [known])
        curl.setopt(pycurl.REQUEST_TARGET, target.encode("latin-1"))
        curl.setopt(pycurl.NOBODY, int(request.method == "HEAD"))
        curl.setopt(pycurl.CUSTOMREQUEST, request.method)
        curl.setopt(
            pycurl.HTTPHEADER, _header_lines(request, trailers=version != pycurl.CURL_HTTP_VERSION_1_1)
        )
        curl.setopt(pycurl.FRESH_CONNECT, int(fresh))

    def prepare_upload(self, length: int | None) -> None:
        """Turn a prepared handle into one that sends content; it cannot be turned back."""
        self.curl.setopt(pycurl.READFUNCTION, self._read)
        self.curl.setopt(pycurl.UPLOAD, 1)
        self.curl.setopt(pycurl.INFILESIZE_LARGE, -1 if length is None else length)

    def _header(self, line: bytes) -> int | None:
        return self.user.on_header(line) if self.user is not None else 0

    def _write(self, data: bytes) -> int | None:
        return self.user.on_write(data) if self.user is not None else 0

    def _read(self, size: int) -> bytes | int:
        return self.user.on_read(size) if self.user is not None else int(pycurl.READFUNC_ABORT)

    def _socket(self, fd: int, _purpose: int) -> int:
        if self.user is not None:
            self.user.on_socket(fd)
        return int(pycurl.SOCKOPT_OK)

    def _start(self, remote: str, local: str, remote_port: int, local_port: int) -> int:
        allowed = self.user is not None and self.user.on_start((remote, local, remote_port, local_port))
        return int(pycurl.PREREQFUNC_OK if allowed else pycurl.PREREQFUNC_ABORT)


def check(request: UpstreamRequest) -> None:
    """Refuse what cannot be put on the wire unchanged and unambiguously; our own side made it."""
    origin, host = request.origin, request.host
    if origin.scheme not in ("http", "https") or not 0 < origin.port < 65536 or not _HOST.match(origin.host):
        raise UpstreamError(ProxyError.DESTINATION_NOT_FOUND, f"no such place: {origin.url!r}", sent=False)
    fine = (
        _TOKEN.match(request.method)
        and request.method != "CONNECT"
        and _TARGET.match(request.target)
        and (host is None or _AUTHORITY.match(host))
        and all(_TOKEN.match(name) and _VALUE.match(value) for name, value in request.headers)
    )
    if not fine:
        what = f"request that cannot be sent: {request.method!r} {request.target[:80]!r}"
        raise UpstreamError(ProxyError.PROXY_INTERNAL_ERROR, what, sent=False)


def _header_lines(request: UpstreamRequest, *, trailers: bool) -> list[bytes]:
    """Fields as libcurl wants them. A name with nothing after the colon removes libcurl's own field.
    `trailers`: TE may say that they are taken (RFC 9113 section 8.2.2)."""
    lines = [f"Host: {request.host or request.origin.authority}".encode("ascii")]
    named = set()
    for name, value in request.headers:
        lower = name.lower()
        if lower in _OURS or (lower == "te" and not (trailers and value == "trailers")):
            continue
        named.add(lower)
        value = value.strip(" \t")
        lines.append(f"{name}: {value}".encode("latin-1") if value else f"{name};".encode("ascii"))
    lines.extend(line for field, line in _UNASKED if field not in named)
    if request.body is None and request.method in ("POST", "PUT", "PATCH"):
        lines.append(b"Content-Length: 0")
    if request.body is not None:
        lines.append(b"Expect:")
    return lines


_UNASKED = (("accept", b"Accept:"), ("user-agent", b"User-Agent:"), ("content-type", b"Content-Type:"))


@lru_cache(maxsize=1024)
def _steering(addresses: tuple[Address, ...], port: int) -> tuple[str, str]:
    """The invented name, and what libcurl is told of it."""
    spelled = sorted(f"[{a}]" if a.version == 6 else str(a) for a in addresses)
    joined = ",".join(spelled)
    name = hashlib.sha256(joined.encode("ascii")).hexdigest()[:40] + ".invalid"
    return name, f"+{name}:{port}:{joined}"
