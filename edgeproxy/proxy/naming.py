"""A host that a site knows, answered here under its own name: what the client says first decides.

ClientHello -> leaf -> HTTP as if this were the host
     |  not TLS, another name, no protocol of ours
     +-----------------------------------------> dial -> tunnel"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING

import aiofastnet

from edgeproxy.errors import UpstreamError
from edgeproxy.message import Certified
from edgeproxy.proxy.way import Way
from edgeproxy.serving.client_hello import NotTls
from edgeproxy.serving.connecting import ESTABLISHED
from edgeproxy.serving.first_bytes import look_at_hello
from edgeproxy.serving.handshakes import INCOMING_BYTES, OUTGOING_BYTES, reason_of
from edgeproxy.serving.negotiation import PROTOCOLS, Negotiation
from edgeproxy.serving.service import Reset

if TYPE_CHECKING:
    from edgeproxy.proxy.leaves import Leaves

HELLO_SECONDS = 10.0
_CLOSING_SECONDS = 120.0


class Named:
    """The host is one that a site knows: what the client says first decides."""

    head = ESTABLISHED

    def __init__(self, way: Way, leaves: Leaves) -> None:
        self._way, self._leaves = way, leaves

    def take(self, connected: socket.socket, early: bytes, resets: Reset | None = None) -> None:
        self._way.shared.tasks.start(self._go(connected, early, resets), f"CONNECT {self._way.host}")

    def drop(self) -> None:
        return None

    async def _go(self, connected: socket.socket, early: bytes, resets: Reset | None) -> None:
        way, entered = self._way, False
        connected.setblocking(False)
        try:
            context = None if early else await self._context(connected)
            if context is None:
                server = await way.dial()
                entered = True
                way.tunnel(connected, server, early, *([] if resets is None else [resets]))
            else:
                await self._secure(connected, context)
                entered = True
        except UpstreamError as error:
            way.refused(error.error.value, str(error), 502)
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
        if name != way.host and not await way.shared.has_site("https", name, way.port):
            return None
        if hello.protocols is not None and not set(hello.protocols) & set(PROTOCOLS):
            return None
        with contextlib.suppress(ValueError):
            return await self._leaves.find(name, way.shared.clock())
        return None

    async def _secure(self, connected: socket.socket, context: ssl.SSLContext) -> None:
        """Raises OSError, when the client has been told why or has left."""
        way, shared = self._way, self._way.shared
        named = way.service.named["https"]
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
            shared.metrics.count("proxy_handshake_failures_total", reason)
            if reason in ("alert", "certificate"):
                shared.refusers.note(way.request.client, way.host, shared.clock())
                shared.report(
                    f"{way.request.client} refuses the certificate of {way.host}: it does not trust the "
                    "local authority (edgeproxy ca show); it gets a tunnel for an hour"
                )
            raise ConnectionError from None


def _no_certificate(der: bytes) -> Certified:
    raise AssertionError("clients of hosts that are answered here are not asked for certificates")
