"""A host that a site knows, answered here under its own name: what the client says first decides.

ClientHello -> leaf -> HTTP as if this were the host
     |  not TLS, another name, no protocol of ours
     +-----------------------------------------> dial -> tunnel"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING

from edgeproxy.errors import UpstreamError
from edgeproxy.message import Certified
from edgeproxy.proxy.way import Way
from edgeproxy.serving.client_hello import ClientHello
from edgeproxy.serving.connecting import ESTABLISHED
from edgeproxy.serving.first_bytes import HelloWatch, Said, close_watched
from edgeproxy.serving.handshake_failures import reason_of
from edgeproxy.serving.negotiation import PROTOCOLS, Negotiation
from edgeproxy.serving.securing import Securing
from edgeproxy.serving.service import Reset

if TYPE_CHECKING:
    from edgeproxy.proxy.leaves import Leaves

HELLO_SECONDS = 10.0
_PROTOCOLS = frozenset(PROTOCOLS)


class Named:
    """The host is one that a site knows: what the client says first decides. It takes no task where that is
    what clients say, and the certificate is there. The socket is watched from `take` on."""

    head = ESTABLISHED

    def __init__(self, way: Way, leaves: Leaves) -> None:
        self._way, self._leaves = way, leaves
        self._connected: socket.socket | None = None
        self._resets: Reset | None = None
        self._step: HelloWatch | Securing | None = None

    def take(self, connected: socket.socket, early: bytes, resets: Reset | None = None) -> None:
        connected.setblocking(False)
        self._connected, self._resets = connected, resets
        if early:
            self._start(None, early)
        else:
            self._way.shared.entering.add(self)
            watch = self._step = HelloWatch(connected, HELLO_SECONDS, self._said)
            watch.watch()

    def go_on(self, connected: socket.socket, hello: ClientHello) -> None:
        """`take`, where it is known already what the client says first."""
        self._connected = connected
        self._way.shared.entering.add(self)
        self._said(hello)

    def drop(self) -> None:
        return None

    def abort(self) -> None:
        """The node is ending."""
        if self._step is not None:
            self._step.cancel()
            self._give_up()

    def _said(self, said: Said) -> bool:
        if isinstance(said, OSError):  # the client left, or was silent
            self._give_up()
            return False
        hello = said if isinstance(said, ClientHello) else None
        context = self._at_hand(hello)
        if context is not None:
            self._secure(context)
            return True
        self._step = None
        self._start(hello, b"")
        return False

    def _at_hand(self, hello: ClientHello | None) -> ssl.SSLContext | None:
        """`_context`, where nothing has to be waited for."""
        way = self._way
        if hello is None or (hello.server_name or way.host) != way.host or not _has_protocol(hello):
            return None
        return self._leaves.known(way.host, way.shared.clock())

    def _start(self, hello: ClientHello | None, early: bytes) -> None:
        self._way.shared.entering.discard(self)
        self._way.shared.tasks.start(self._decide(hello, early), f"CONNECT {self._way.host}")

    async def _decide(self, hello: ClientHello | None, early: bytes) -> None:
        way, entered = self._way, False
        assert self._connected is not None
        try:
            context = None if hello is None else await self._context(hello)
            if context is None:
                server = await way.dial()
                way.tunnel(self._connected, server, early, *([] if self._resets is None else [self._resets]))
            else:
                way.shared.entering.add(self)
                self._secure(context)
            entered = True
        except UpstreamError as error:
            way.refused(error.error.value, str(error), 502)
        except OSError:
            pass  # the client left
        finally:
            if not entered:
                self._give_up()

    async def _context(self, hello: ClientHello) -> ssl.SSLContext | None:
        """With what to answer; None for what is better passed on unseen."""
        way = self._way
        name = (hello.server_name or way.host).lower()
        if name != way.host and not await way.shared.has_site("https", name, way.port):
            return None
        if not _has_protocol(hello):
            return None
        with contextlib.suppress(ValueError):
            return await self._leaves.find(name, way.shared.clock())
        return None

    def _secure(self, context: ssl.SSLContext) -> None:
        way, connected = self._way, self._connected
        assert connected is not None
        peer, client = way.request.peer, way.request.client
        protocol = Negotiation(way.service.named["https"], peer, client, _no_certificate)
        self._step = Securing(connected, context, protocol, HELLO_SECONDS, self._secured)

    def _secured(self, error: OSError | None) -> None:
        """The client has been told why it was not, or has left."""
        way, shared = self._way, self._way.shared
        if error is None:
            self._step = None
            shared.entering.discard(self)
            return
        self._give_up()
        if isinstance(error, ssl.SSLError):
            reason = reason_of(error)
            shared.metrics.count("proxy_handshake_failures_total", reason)
            if reason in ("alert", "certificate"):
                shared.refusers.note(way.request.client, way.host, shared.clock())
                shared.report(
                    f"{way.request.client} refuses the certificate of {way.host}: it does not trust the "
                    "local authority (edgeproxy ca show); it gets a tunnel for an hour"
                )

    def _give_up(self) -> None:
        self._step = None
        self._way.shared.entering.discard(self)
        if self._connected is not None:
            close_watched(self._connected)
        self._way.gave_up()


def _has_protocol(hello: ClientHello) -> bool:
    """Whether the client speaks one of ours, as far as it tells."""
    return hello.protocols is None or not _PROTOCOLS.isdisjoint(hello.protocols)


def _no_certificate(der: bytes) -> Certified:
    raise AssertionError("clients of hosts that are answered here are not asked for certificates")
