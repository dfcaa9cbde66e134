"""Upstreams of a chain as fakes of one interface: each host does what it is told, and counts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers
from edgeproxy.metrics import Metrics
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.candidate import Candidate, Role
from edgeproxy.upstream.chain import Chain
from edgeproxy.upstream.health import Breaker
from edgeproxy.upstream.remote import Remote
from edgeproxy.upstream.upstream import PIECE_BYTES, Origin, Reach, UpstreamRequest, UpstreamResponse

ORIGIN = Origin("http", "origin.test", 80)
Behaviour = Callable[[UpstreamRequest], Awaitable["Came"]]


@dataclass
class Came:
    """A response. `pieces` may hold errors to raise and numbers of seconds to wait."""

    status: int = 200
    headers: Headers = field(default_factory=Headers)
    pieces: tuple[Any, ...] = (b"content",)
    content_length: int | None = None
    version: str = "1.1"
    is_fresh: bool = True
    source: str = ""
    is_closed: bool = False

    async def chunks(self, most: int = PIECE_BYTES) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, float):
                await asyncio.sleep(piece)
            else:
                yield piece

    async def aclose(self) -> None:
        self.is_closed = True


def says(status: int = 200, *pieces: Any, seconds: float = 0.0, **fields: str) -> Behaviour:
    headers = Headers((name.replace("_", "-"), value) for name, value in fields.items())

    async def behave(_: UpstreamRequest) -> Came:
        await asyncio.sleep(seconds)
        return Came(status, headers, pieces or (b"content",))

    return behave


def fails(error: ProxyError, *, sent: bool = True, seconds: float = 0.0) -> Behaviour:
    async def behave(_: UpstreamRequest) -> Came:
        await asyncio.sleep(seconds)
        raise UpstreamError(error, "scripted", sent=sent)

    return behave


REFUSES = fails(ProxyError.CONNECTION_REFUSED, sent=False)
TIMES_OUT = fails(ProxyError.HTTP_RESPONSE_TIMEOUT)
BREAKS = fails(ProxyError.CONNECTION_TERMINATED)


async def silent(_: UpstreamRequest) -> Came:
    await asyncio.Event().wait()
    raise AssertionError


class Town:
    """Implements Upstream: `hosts` maps the host of a request's origin to what it does. Probes (HEAD of the
    root) are counted apart."""

    def __init__(self) -> None:
        self.hosts: dict[str, Behaviour] = {"origin.test": says()}
        self.requests: list[UpstreamRequest] = []
        self.probes: list[str] = []
        self.given: list[Came] = []
        self.under_way = 0

    async def fetch(self, request: UpstreamRequest) -> UpstreamResponse:
        if request.method == "HEAD" and request.headers.get("Cache-Control") == "only-if-cached":
            self.probes.append(request.origin.host)
        else:
            self.requests.append(request)
        self.under_way += 1
        try:
            came = await self.hosts[request.origin.host](request)
        finally:
            self.under_way -= 1
        self.given.append(came)
        return came

    async def aclose(self) -> None:
        return None

    @property
    def asked(self) -> list[str]:
        """Hosts in the order in which they were asked."""
        return [request.origin.host for request in self.requests]

    @property
    def left_open(self) -> int:
        return sum(not came.is_closed for came in self.given)


def remote(name: str, role: Role = Role.PARENT, **options: Any) -> Remote:
    """A parent or sibling at the host of its name."""
    known = {key: options.pop(key) for key in ("token", "http2", "prefix") if key in options}
    reach = options.pop("reach", Reach(progress_timeout=0.05))
    return Remote(Candidate(name, role, **options), Origin("http", name, 80), reach, **known)


class Now:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Calm(random.Random):
    """No jitter, and a full part for everybody."""

    def random(self) -> float:
        return 0.0


def chain(town: Town, *remotes: Remote, **options: Any) -> Chain:
    """A chain over `town`, whose log is its attribute `lines` and whose metrics are `metrics`."""
    lines: list[str] = []
    metrics = Metrics()
    made = Chain(
        remotes,
        town,
        Breaker(town, chance=Calm()),
        metrics=metrics,
        tasks=options.pop("tasks", None) or Tasks(lambda _, error: lines.append(repr(error))),
        report=lines.append,
        chance=options.pop("chance", Calm()),
        **options,
    )
    made.lines, made.metrics = lines, metrics  # type: ignore[attr-defined]
    return made


def request(method: str = "GET", target: str = "/a", **fields: Any) -> UpstreamRequest:
    return UpstreamRequest(method, ORIGIN, target, site="files", **fields)


async def ask(made: Chain, *args: Any, **fields: Any) -> str | tuple[int, str]:
    """What came of a request: the source of a 200, (status, source) of others, the name of an error."""
    try:
        response = await made.fetch(request(*args, **fields))
    except UpstreamError as error:
        return error.error.value
    await response.aclose()
    return response.source if response.status == 200 else (response.status, response.source)
