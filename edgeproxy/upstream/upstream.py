"""The interface between the pipeline and whoever is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from edgeproxy.message import Headers, Interim, RequestBody


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, lower-case host (IPv6 without brackets) and port of an upstream."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """host[:port] as in Host and URLs: the default port left out, IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"

    @property
    def place(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def url(self) -> str:
        """scheme://host[:port] without a slash at the end."""
        return f"{self.scheme}://{self.authority}"


class Identity(NamedTuple):
    """What both ends of a TLS connection have to prove: `pins` as libcurl takes them ("sha256//...;..."),
    files in PEM, "" for nothing."""

    pins: str = ""
    certificate: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Reach:
    """How an upstream may be reached. Timeouts in seconds."""

    connect_timeout: float = 3.0
    head_timeout: float = 15.0  # from the request's end to the response head
    progress_timeout: float = 15.0  # between two pieces of the body
    verify_tls: bool = True
    ca_file: str | None = None
    private_addresses: bool = False  # may resolve to private, loopback or link-local addresses
    http2: bool = True  # where TLS negotiates it
    prior_knowledge: bool = False  # HTTP/2 at once, nothing else
    identity: Identity = Identity()


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """One request to one upstream. `headers` are complete but for Host, framing and connection
    management, which the client adds. `target` is sent byte for byte."""

    method: str
    origin: Origin
    target: str
    headers: Headers = field(default_factory=Headers)
    body: RequestBody | None = None
    interim: Interim | None = None  # told of interim responses (102, 103) as they come
    reach: Reach = Reach()
    host: str | None = None  # Host / :authority if other than origin.authority
    retry: bool = True  # once, on a fresh connection, if idempotent and nothing came back
    site: str = ""  # for whom this is asked
    key: str = ""  # cache key of what is asked for
    bulk: bool = False  # a part of a large body: not on the connections that small requests share
    moved: bool = False  # a redirect led away from the origin that was asked first
    avoid: frozenset[str] = frozenset()  # sources to be asked only if nobody else can be


PIECE_BYTES = 256 << 10


class UpstreamResponse(Protocol):
    """A response whose head has arrived and passed validation (framing, field syntax, bounds).

    `content_length` is the announced length of the content that follows (None for chunked or
    close-delimited; 0 for HEAD, 204, 304). `chunks` gives the content, gathered to at most `most` bytes
    apiece (a megabyte is held then, or twice as much as `most`), pausing the upstream while nobody asks; it
    ends only if the framing proved the end, otherwise UpstreamError(HTTP_RESPONSE_INCOMPLETE or another).
    `aclose` is called exactly once; before the end it abandons the transfer. `source` names who answered: a
    parent or a sibling, "origin", or "" where nobody chose. `is_fresh`: over a connection opened for this
    request. `trailers` are known when `chunks` has ended."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Headers: ...

    @property
    def content_length(self) -> int | None: ...

    @property
    def version(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def is_fresh(self) -> bool: ...

    @property
    def trailers(self) -> Headers: ...

    def chunks(self, most: int = PIECE_BYTES) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None: ...


class Upstream(Protocol):
    """Raises UpstreamError when no acceptable response head arrives."""

    async def fetch(self, request: UpstreamRequest) -> UpstreamResponse: ...

    async def aclose(self) -> None: ...
