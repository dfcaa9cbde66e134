"""Connections whose clients know nothing of us: a firewall has turned them here.

original destination -> judge -> refused: closed, counted
    443: ClientHello with a name that a site knows -> see `naming`
    a connection of our own, turned back: closed, counted
    80:  a request whose Host a site knows         -> HTTP as if this were the host
    all else                                       -> tunnel to where it was meant to go"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import time

import aiofastnet

from edgeproxy.errors import RequestError, UpstreamError
from edgeproxy.message import Headers, Request
from edgeproxy.proxy.access import judge
from edgeproxy.proxy.naming import Named
from edgeproxy.proxy.original import original
from edgeproxy.proxy.shared import Shared
from edgeproxy.proxy.way import Way
from edgeproxy.serving.client_hello import ClientHello, NotTls
from edgeproxy.serving.first_bytes import hello_now, look_at_head, look_at_hello
from edgeproxy.serving.head import valid_authority
from edgeproxy.serving.http1 import Connection
from edgeproxy.serving.service import Service

FIRST_SECONDS = 3.0  # a client that says nothing first wants to hear: its tunnel begins after so long
TLS_PORT, HTTP_PORT = 443, 80
_HOST = re.compile(rb"\r\n[Hh][Oo][Ss][Tt]:[ \t]*([^\r\n \t]+)")


class Transparent:
    """Takes connections one by one."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._has_told = False

    async def taken(self, service: Service, connected: socket.socket, peer: str) -> None:
        """The connection has entered; it is opened, or given up and closed."""
        connected.setblocking(False)
        shared, entered = self._shared, False
        try:
            place = original(connected, shared.ports())
            if place is None:
                shared.metrics.count("proxy_refusals_total", "direct")
            else:
                entered = await self._go(service, connected, peer, *place)
        except (OSError, TimeoutError):
            pass  # the client left
        finally:
            if not entered:
                connected.close()
                service.gave_up(peer)

    async def _go(
        self, service: Service, connected: socket.socket, peer: str, address: str, port: int
    ) -> bool:
        """Whether it goes on. Raises OSError."""
        shared = self._shared
        if shared.dialing.loops.has_made(connected.getpeername()):
            way = self._way(service, peer, address, address, port)
            way.refused("loop", "made by this node itself", 508)
            self._tell_of_loop(address, port)
            return False
        if shared.settings.is_off:
            self._way(service, peer, address, address, port).refused("connect", "nothing is passed on here")
            return False
        scheme, name, hello = await _first(connected, port)
        way = self._way(service, peer, name or address, address, port)
        refusal = judge(shared.settings.rules.of_named(), peer, name or address, port, "")
        if refusal is not None:
            way.refused(refusal.rule, refusal.line)
            return False
        is_known = bool(name) and bool(service.named) and await shared.has_site(scheme, name, port)
        if is_known and scheme == "http":
            named = service.named["http"]
            loop = asyncio.get_running_loop()
            await aiofastnet.connect_accepted_socket(
                loop, lambda: Connection(named, peer, proxied=False), connected
            )
            return True
        if (
            is_known
            and hello is not None
            and shared.ca is not None
            and not shared.refusers.refuses(peer, name, shared.clock())
        ):
            leaves = await shared.ca.leaves()
            if leaves is not None:
                Named(way, leaves).go_on(connected, hello)
                return True
        if shared.settings.only_sites:
            way.refused("connect", f"{name or address} is not served here")
            return False
        try:
            server = await way.dial()
        except UpstreamError as error:
            way.refused(error.error.value, str(error), 502)
            return False
        way.tunnel(connected, server, b"")
        return True

    def _tell_of_loop(self, address: str, port: int) -> None:
        if not self._has_told:
            self._has_told = True
            self._shared.report(
                f"a connection of this node to {address}:{port} was turned back to it: exempt the user it "
                "runs as from the firewall's rules (edgeproxy intercept apply --local-except USER)"
            )

    def _way(self, service: Service, peer: str, name: str, address: str, port: int) -> Way:
        shared = self._shared
        host = f"[{name}]" if ":" in name else name
        request = Request(
            "CONNECT",
            f"{host}:{port}",
            Headers(),
            authority=f"{host}:{port}",
            client=peer,
            peer=peer,
            listener=service.listener,
            id=service.ids.make(),
            received_at=shared.clock(),
        )

        async def dial() -> socket.socket:
            # The client could go there by itself; only what is this machine's own is not its business.
            return await shared.dial_directly(ipaddress.ip_address(address), port)

        return Way(shared, service, request, name, port, time.monotonic(), dial)


async def _first(connected: socket.socket, port: int) -> tuple[str, str, ClientHello | None]:
    """Scheme, name and ClientHello, as far as the client says something first; the bytes stay where they are.
    Raises OSError."""
    if (
        port == TLS_PORT and (hello := hello_now(connected)) is not None
    ):  # so it mostly is: no timer is needed
        return "https", hello.server_name, hello
    try:
        async with asyncio.timeout(FIRST_SECONDS):
            if port == TLS_PORT:
                hello = await look_at_hello(connected)
                return "https", hello.server_name, hello
            if port == HTTP_PORT:
                return "http", _host(await look_at_head(connected)), None
    except (TimeoutError, NotTls):
        pass
    return "", "", None


def _host(head: bytes) -> str:
    """The host a request names, without a port; "" if it names none that can be one."""
    found = _HOST.search(head)
    if found is None:
        return ""
    try:
        authority = valid_authority(found[1].decode("latin-1"))
    except RequestError:
        return ""
    return authority if authority.endswith("]") else authority.partition(":")[0]
