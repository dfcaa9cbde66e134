"""What becomes of CONNECT: refused, a tunnel, or a host that is answered here under its own name.

CONNECT -> judge -> refused: status and one line
              |
              +-> no site knows the host -------------------------> dial -> tunnel
              +-> a site does -> 200 -> ClientHello -> leaf -> HTTP as if this were the host
                                  |  not TLS, another name, no protocol of ours, or this
                                  |  client refused our certificate lately
                                  +------------------------------> dial -> tunnel"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiofastnet

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import BytesBody, CacheOutcome, Certified, Clock, Headers, Outcome, Request, Response
from edgeproxy.metrics import Metrics
from edgeproxy.proxy.access import Rules, judge
from edgeproxy.proxy.dialing import Dialing
from edgeproxy.proxy.local_ca import LocalCa
from edgeproxy.proxy.refusers import Refusers
from edgeproxy.proxy.tunnel import Tunnel
from edgeproxy.serving.client_hello import NotTls
from edgeproxy.serving.exchange import Progress, account
from edgeproxy.serving.first_bytes import look_at_hello
from edgeproxy.serving.handshakes import INCOMING_BYTES, OUTGOING_BYTES, reason_of
from edgeproxy.serving.negotiation import PROTOCOLS, Negotiation
from edgeproxy.serving.service import Reached, Service
from edgeproxy.tasks import Tasks

if TYPE_CHECKING:
    from edgeproxy.proxy.leaves import Leaves

DRAIN_SECONDS = 2.0  # of silence, when the node is about to end
HELLO_SECONDS = 10.0
_CLOSING_SECONDS = 120.0
_STATUS = {
    ProxyError.DESTINATION_IP_PROHIBITED: 403,
    ProxyError.PROXY_LOOP_DETECTED: 508,
    ProxyError.CONNECTION_TIMEOUT: 504,
    ProxyError.DNS_TIMEOUT: 504,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """`idle_seconds` without a byte end a tunnel; `tunnels_max` at a time. `only_sites`: nowhere else."""

    rules: Rules
    idle_seconds: float
    tunnels_max: int
    only_sites: bool = False


class _Open:
    """A tunnel as the listener and the sweep see it: a serving OpenConnection."""

    endpoint: socket.socket | None = None  # what it measures would be the ways of two

    def __init__(self, tunnel: Tunnel, peer: str, idle_seconds: float) -> None:
        self.peer = peer
        self.served = 0
        self._tunnel = tunnel
        self._idle_seconds = idle_seconds
        self._is_draining = False
        self.pulse_seen: tuple[object, ...] = ()
        self.pulse_since = 0.0

    @property
    def streams(self) -> tuple[()]:
        return ()

    @property
    def is_idle(self) -> bool:
        return False

    def pulse(self) -> tuple[str, float, object, object]:
        seconds = DRAIN_SECONDS if self._is_draining else self._idle_seconds
        return ("tunnel", seconds, self._tunnel.up, self._tunnel.down)

    def expire(self, phase: str) -> None:
        self._tunnel.abort("silent for too long")

    def drain(self) -> None:
        self._is_draining = True

    def close(self) -> None:
        self._tunnel.abort("closed")

    def abort(self) -> None:
        self._tunnel.abort("closed")


class ForwardProxy:
    """Answers CONNECT. `has_site` tells which hosts sites know; without a `ca` none is answered here."""

    def __init__(
        self,
        settings: Settings,
        dialing: Dialing,
        *,
        has_site: Callable[[str, int], bool],
        ca: LocalCa | None,
        tasks: Tasks,
        metrics: Metrics,
        clock: Clock,
        report: Callable[[str], None],
        closing: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._closing = closing
        self.settings = settings
        self.dialing = dialing
        self.ca = ca
        self.has_site = has_site
        self.refusers = Refusers()
        self.tasks, self.metrics, self.clock, self.report = tasks, metrics, clock, report
        self._tunnels: set[Tunnel] = set()
        metrics.gauge("tunnels", lambda: len(self._tunnels))

    def __len__(self) -> int:
        return len(self._tunnels)

    async def reach(self, service: Service, request: Request) -> Response | Reached:
        host, _, port = request.authority.rpartition(":")
        return await self._judged(service, request, host.strip("[]"), int(port))

    async def _judged(self, service: Service, request: Request, host: str, port: int) -> Response | Reached:
        refusal = judge(
            self.settings.rules, request.client, host, port, request.headers.get("Proxy-Authorization")
        )
        if refusal is not None:
            self.metrics.count("proxy_refusals_total", refusal.rule)
            return _refused(refusal.status, refusal.line, refusal.rule, refusal.fields)
        if self.settings.only_sites and not self.has_site(host, port):
            self.metrics.count("proxy_refusals_total", "connect")
            return _refused(403, f"{host} is not served here", "connect", ())
        way = _Way(self, service, request, host, port, time.monotonic())
        leaves = await self._leaves(service, request.client, host, port)
        if leaves is not None:
            return _Named(way, leaves)
        try:
            return _Blind(way, await self.dial(host, port))
        except UpstreamError as error:
            return self._failed(error)

    async def _leaves(self, service: Service, client: str, host: str, port: int) -> Leaves | None:
        """Where certificates come from, if the host is to be answered here."""
        if self.ca is None or service.named is None or not self.has_site(host, port):
            return None
        if self.refusers.refuses(client, host, self.clock()):
            return None
        return await self.ca.leaves()

    async def dial(self, host: str, port: int) -> socket.socket:
        """Raises UpstreamError."""
        if len(self._tunnels) >= self.settings.tunnels_max:
            raise UpstreamError(ProxyError.CONNECTION_LIMIT_REACHED, "too many tunnels at a time", sent=False)
        return await self.dialing.dial(host, port)

    def _failed(self, error: UpstreamError) -> Response:
        self.metrics.count("proxy_refusals_total", error.error.value)
        fields = (("Proxy-Status", f"edgeproxy; error={error.error.value}"),)
        return _refused(_STATUS.get(error.error, 502), str(error), error.error.value, fields)

    def opened(self, tunnel: Tunnel) -> None:
        self._tunnels.add(tunnel)

    def closed(self, tunnel: Tunnel) -> None:
        self._tunnels.discard(tunnel)
        self.metrics.count("tunnels_total", "broken" if tunnel.why else "ended")
        self.metrics.count("tunnel_bytes_total", "up", by=tunnel.up)
        self.metrics.count("tunnel_bytes_total", "down", by=tunnel.down)

    async def aclose(self) -> None:
        for tunnel in list(self._tunnels):
            tunnel.abort("the node is ending")
        await self.dialing.aclose()
        if self._closing is not None:
            await self._closing()


def _no_certificate(der: bytes) -> Certified:
    raise AssertionError("clients of hosts that are answered here are not asked for certificates")


def _refused(status: int, line: str, why: str, fields: tuple[tuple[str, str], ...]) -> Response:
    content = f"{line}\n".encode()
    headers = Headers((("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"), *fields))
    outcome = Outcome(CacheOutcome.REFUSED, detail=f"{why}: {line}")
    return Response(status, headers, BytesBody(content), outcome, close=True)


@dataclass(frozen=True, slots=True)
class _Way:
    """One CONNECT that was permitted. `started` is of time.monotonic."""

    proxy: ForwardProxy
    service: Service
    request: Request
    host: str
    port: int
    started: float

    def tunnel(self, connected: socket.socket, server: socket.socket, early: bytes) -> None:
        """From here on bytes go both ways, unseen."""
        connected.setblocking(False)
        tunnel = Tunnel(connected, server, self._closed, early)
        opened = _Open(tunnel, self.request.peer, self.proxy.settings.idle_seconds)
        self.proxy.opened(tunnel)
        self.service.opened(opened)
        tunnel.opened = opened
        tunnel.start()

    def _closed(self, tunnel: Tunnel) -> None:
        self.proxy.closed(tunnel)
        self.service.lost(tunnel.opened, self.request.peer)
        outcome = Outcome(CacheOutcome.TUNNEL, detail=f"{tunnel.up} bytes up; {tunnel.why or 'ended'}")
        progress = Progress(self.started, 200, tunnel.down, self.started, complete=not tunnel.why)
        account(self.service, self.request, outcome, progress)

    def gave_up(self) -> None:
        self.service.gave_up(self.request.peer)


class _Blind:
    """The other end is connected."""

    def __init__(self, way: _Way, server: socket.socket) -> None:
        self._way, self._server = way, server

    def take(self, connected: socket.socket, early: bytes) -> None:
        self._way.tunnel(connected, self._server, early)

    def drop(self) -> None:
        self._server.close()


class _Named:
    """The host is one that a site knows: what the client says first decides."""

    def __init__(self, way: _Way, leaves: Leaves) -> None:
        self._way, self._leaves = way, leaves

    def take(self, connected: socket.socket, early: bytes) -> None:
        self._way.proxy.tasks.start(self._go(connected, early), f"CONNECT {self._way.host}")

    def drop(self) -> None:
        return None

    async def _go(self, connected: socket.socket, early: bytes) -> None:
        way, entered = self._way, False
        connected.setblocking(False)
        try:
            context = None if early else await self._context(connected)
            if context is None:
                server = await way.proxy.dial(way.host, way.port)
                entered = True
                way.tunnel(connected, server, early)
            else:
                await self._secure(connected, context)
                entered = True
        except UpstreamError as error:
            way.proxy.metrics.count("proxy_refusals_total", error.error.value)
        except (OSError, TimeoutError):
            pass  # the client left, or was silent
        finally:
            if not entered:
                connected.close()
                way.gave_up()

    async def _context(self, connected: socket.socket) -> ssl.SSLContext | None:
        """With what to answer; None for what is better passed on unseen. Raises OSError."""
        way = self._way
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                hello = await look_at_hello(connected)
        except NotTls:
            return None
        name = (hello.server_name or way.host).lower()
        if name != way.host and not way.proxy.has_site(name, way.port):
            return None
        if hello.protocols is not None and not set(hello.protocols) & set(PROTOCOLS):
            return None
        with contextlib.suppress(ValueError):
            return await self._leaves.find(name, way.proxy.clock())
        return None

    async def _secure(self, connected: socket.socket, context: ssl.SSLContext) -> None:
        """Raises OSError, when the client has been told why or has left."""
        way, proxy, named = self._way, self._way.proxy, self._way.service.named
        assert named is not None
        try:
            await aiofastnet.connect_accepted_socket(
                asyncio.get_running_loop(),
                lambda: Negotiation(named, way.request.peer, way.request.client, _no_certificate),
                connected,
                ssl=context,
                ssl_handshake_timeout=HELLO_SECONDS,
                ssl_shutdown_timeout=_CLOSING_SECONDS,
                ssl_incoming_bio_size=INCOMING_BYTES,
                ssl_outgoing_bio_size=OUTGOING_BYTES,
            )
        except ssl.SSLError as error:
            reason = reason_of(error)
            proxy.metrics.count("proxy_handshake_failures_total", reason)
            if reason in ("alert", "certificate"):
                proxy.refusers.note(way.request.client, way.host, proxy.clock())
                proxy.report(
                    f"{way.request.client} refuses the certificate of {way.host}: it does not trust the "
                    "local authority (edgeproxy ca show); it gets a tunnel for an hour"
                )
            raise ConnectionError from None
