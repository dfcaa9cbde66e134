"""What becomes of CONNECT: refused, a tunnel, or a host that is answered here under its own name.

CONNECT -> judge -> refused: status and one line
              +-> no site knows the host, or this client refused our certificate lately: dial -> tunnel
              +-> a site does: 200, and see `naming`"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from edgeproxy.errors import UpstreamError
from edgeproxy.message import Request, Response
from edgeproxy.proxy.access import Refusal, judge
from edgeproxy.proxy.naming import Named
from edgeproxy.proxy.refusing import failed, judged, refused
from edgeproxy.proxy.shared import Shared
from edgeproxy.proxy.transparent import Transparent
from edgeproxy.proxy.upgrades import Upgrades
from edgeproxy.proxy.way import Way
from edgeproxy.serving.connecting import ESTABLISHED
from edgeproxy.serving.service import Reached, Reset, Service

if TYPE_CHECKING:
    from edgeproxy.proxy.leaves import Leaves


class ForwardProxy:
    """Answers CONNECT, and takes connections that a firewall turned to us; `upgrades` answers who wants
    another protocol of a host that is answered here. `via` names this node to hosts."""

    def __init__(self, shared: Shared, via: str) -> None:
        self.shared = shared
        self.upgrades = Upgrades(shared, via)
        self._transparent = Transparent(shared)

    def at_once(self, service: Service, request: Request) -> Reached | None:
        """`reach` for a host that is answered here, where nothing has to be waited for."""
        shared, ca = self.shared, self.shared.ca
        if ca is None or shared.settings.is_off or not service.named:
            return None
        host, port = _place(request)
        leaves = ca.at_hand
        if leaves is None or not shared.has_site_at_hand("https", host, port):
            return None
        shown = request.headers.get("Proxy-Authorization")
        if judge(shared.settings.rules, request.client, host, port, shown) is not None:
            return None  # `reach` says so, and counts it
        if shared.refusers.refuses(request.client, host, shared.clock()):
            return None
        return Named(self._way(service, request, host, port), leaves)

    async def reach(self, service: Service, request: Request) -> Response | Reached:
        shared = self.shared
        host, port = _place(request)
        if shared.settings.is_off:
            return refused(Refusal(405, "connect", "CONNECT is not answered here"), shared.metrics)
        refusal = judged(shared.settings.rules, request, host, port, shared.metrics, close=True)
        if refusal is not None:
            return refusal
        if shared.settings.only_sites and not await shared.has_site("https", host, port):
            return refused(Refusal(403, "connect", f"{host} is not served here"), shared.metrics)
        way = self._way(service, request, host, port)
        leaves = await self._leaves(service, request.client, host, port)
        if leaves is not None:
            return Named(way, leaves)
        try:
            return _Blind(way, await way.dial())
        except UpstreamError as error:
            return failed(error, shared.metrics)

    async def taken(self, service: Service, connected: socket.socket, peer: str) -> None:
        await self._transparent.taken(service, connected, peer)

    def _way(self, service: Service, request: Request, host: str, port: int) -> Way:
        shared = self.shared
        return Way(shared, service, request, host, port, time.monotonic(), lambda: shared.dial(host, port))

    async def _leaves(self, service: Service, client: str, host: str, port: int) -> Leaves | None:
        """Where certificates come from, if the host is to be answered here."""
        shared = self.shared
        if shared.ca is None or not service.named or not await shared.has_site("https", host, port):
            return None
        if shared.refusers.refuses(client, host, shared.clock()):
            return None
        return await shared.ca.leaves()

    async def aclose(self) -> None:
        await self.shared.aclose()


def _place(request: Request) -> tuple[str, int]:
    host, _, port = request.authority.rpartition(":")
    return host.strip("[]"), int(port)


class _Blind:
    """The other end is connected."""

    def __init__(self, way: Way, server: socket.socket) -> None:
        self._way, self._server = way, server

    head = ESTABLISHED

    def take(self, connected: socket.socket, early: bytes, resets: Reset | None = None) -> None:
        self._way.tunnel(connected, self._server, early, *([] if resets is None else [resets]))

    def drop(self) -> None:
        self._server.close()
