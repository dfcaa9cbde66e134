"""From an accepted socket to a connection over TLS.

First comes a PROXY header where one is due, then the ClientHello, which chooses the certificate and is
refused here where no handshake could succeed, then the handshake itself. Their number and their time are
bounded. Where there are too many the newest waits, until another ends or one whose client has kept us waiting
for longer than is fair is ended: so clients that do nothing cannot keep out those that go on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

from edgeproxy.config import Limits
from edgeproxy.message import Certified
from edgeproxy.metrics import Metrics
from edgeproxy.serving.client_hello import ClientHello
from edgeproxy.serving.first_bytes import (
    HelloWatch,
    Said,
    close_watched,
    has_hello,
    look_now,
    take_proxy_header,
)
from edgeproxy.serving.handshake_failures import HandshakeFailed, accepted, refuse, why
from edgeproxy.serving.negotiation import Negotiation
from edgeproxy.serving.proxy_protocol import ProxyHeaderError
from edgeproxy.serving.securing import Securing
from edgeproxy.serving.service import Service

if TYPE_CHECKING:  # it loads what reads certificates, which nodes without TLS can do without
    from edgeproxy.serving.tls import Contexts

_FAIR_SECONDS = 1.0  # a handshake of a client far away takes half of that
_OLDEST = 16  # handshakes looked at to find one whose client keeps us waiting
_AGAIN_SECONDS = 0.1  # until they are looked at again

_FAILED = "SSL handshake failed"


class Handshakes:
    """Runs handshakes with the contexts in force when they begin. `describe` reads a client's certificate."""

    def __init__(
        self,
        contexts: Callable[[], Contexts],
        describe: Callable[[bytes], Certified],
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        self._contexts = contexts
        self._describe = describe
        self._limits = limits
        self._metrics = metrics
        self._running: dict[socket.socket, float] = {}  # since when, the oldest first
        self._shaking: set[socket.socket] = set()  # of these, those whose hello was taken
        self._waiting: dict[asyncio.Future[None], None] = {}  # for a place, the newest last
        self._crowded: set[socket.socket] = set()
        self._none: asyncio.Event | None = None
        metrics.gauge("tls_handshakes_running", lambda: len(self._running))

    def __len__(self) -> int:
        return len(self._running)

    def begin(
        self, connected: socket.socket, service: Service, peer: str, ended: Callable[[bool], None]
    ) -> bool:
        """`run` without a task, where there is a place and no PROXY header comes first; `ended` is told then
        whether there is a connection. False where it takes a task."""
        if len(self._running) >= max(1, self._limits.handshakes):
            return False
        now = asyncio.get_running_loop().time()
        self._running[connected] = now
        connected.setblocking(False)
        _Handshake(self, connected, service, peer, "", now + self._seconds, ended)
        return True

    async def run(self, connected: socket.socket, service: Service, peer: str, proxied: bool) -> bool:
        """Bring a connection of `service` about; False if there is none, and the socket is closed."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        ended: asyncio.Future[bool] = loop.create_future()
        handshake: _Handshake | None = None
        try:
            await self._place(connected, end)
            connected.setblocking(False)
            client = await self._client(connected, end) if proxied else ""
            handshake = _Handshake(self, connected, service, peer, client, end, _teller(ended))
            return await ended
        except HandshakeFailed as failure:
            self._failed(connected, failure)
            return False
        except asyncio.CancelledError:
            if handshake is not None:
                handshake.cancel()
            else:
                self._leave(connected)
                connected.close()
            raise

    @property
    def _seconds(self) -> float:
        return self._limits.handshake_timeout or 1e9

    async def _client(self, connected: socket.socket, end: float) -> str:
        """Whom a PROXY header names. Raises HandshakeFailed."""
        try:
            async with asyncio.timeout_at(end):
                return await take_proxy_header(connected)
        except TimeoutError:
            raise HandshakeFailed("timeout") from None
        except ProxyHeaderError:
            raise HandshakeFailed("proxy") from None
        except OSError:
            raise HandshakeFailed("left") from None

    def _failed(self, connected: socket.socket, failure: HandshakeFailed) -> None:
        reason = "crowded" if connected in self._crowded else failure.reason
        self._metrics.count("tls_handshake_failures_total", reason)
        self._leave(connected)
        close_watched(connected)

    async def _place(self, connected: socket.socket, end: float) -> None:
        """Wait until this may begin. Of those that wait the newest is the first: the others have perhaps
        given up."""
        loop = asyncio.get_running_loop()
        while len(self._running) >= max(1, self._limits.handshakes):
            slow = self._slowest(loop.time())
            if slow is not None:
                self._end(slow)
                continue
            await self._wait_for_place(min(_AGAIN_SECONDS, end - loop.time()))
            if loop.time() >= end:
                raise HandshakeFailed("crowded")
        self._running[connected] = loop.time()

    def _slowest(self, now: float) -> socket.socket | None:
        """One that has had its fair time and whose client owes us bytes. Where bytes are here, it is we who
        are slow."""
        for connected, since in islice(self._running.items(), _OLDEST):
            if now - since < _FAIR_SECONDS:
                break
            if connected in self._shaking:
                owes = not look_now(connected, 1)
            else:
                owes = not has_hello(connected)
            if owes:
                return connected
        return None

    async def _wait_for_place(self, seconds: float) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[place] = None
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await place
        finally:
            self._waiting.pop(place, None)

    def _leave(self, connected: socket.socket) -> None:
        self._running.pop(connected, None)
        self._shaking.discard(connected)
        self._crowded.discard(connected)
        while self._waiting:
            place, _ = self._waiting.popitem()
            if not place.done():
                place.set_result(None)
                break
        if not self._running and self._none is not None:
            self._none.set()

    def _end(self, connected: socket.socket) -> None:
        """Let a handshake see the end of its connection; it closes the socket by itself."""
        del self._running[connected]
        self._crowded.add(connected)
        with contextlib.suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)

    async def settle(self, seconds: float) -> bool:
        """Wait until none is under way, and end those that still are after `seconds`. Tells whether there
        were any."""
        any_running = bool(self._running)
        self._none = asyncio.Event()
        if any_running:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._none.wait()
        for connected in tuple(self._running):
            self._end(connected)
        return any_running


class _Handshake:
    """One that has its place, until `end` (time of the loop). `ended` is told whether there is a connection;
    if not, the socket is closed."""

    __slots__ = ("_all", "_client", "_connected", "_contexts", "_end", "_ended", "_peer", "_service", "_step")

    def __init__(
        self,
        all_of_them: Handshakes,
        connected: socket.socket,
        service: Service,
        peer: str,
        client: str,
        end: float,
        ended: Callable[[bool], None],
    ) -> None:
        self._all = all_of_them
        self._contexts = all_of_them._contexts()
        self._connected = connected
        self._service = service
        self._peer, self._client = peer, client
        self._end, self._ended = end, ended
        watch = HelloWatch(connected, self._left(), self._said)
        self._step: HelloWatch | Securing | None = watch
        watch.look()

    def _left(self) -> float:
        return max(0.001, self._end - asyncio.get_running_loop().time())

    def _said(self, said: Said) -> bool:
        try:
            self._secure(accepted(said, self._connected, self._service, self._client or self._peer))
        except HandshakeFailed as failure:
            self._fail(failure)
            return False
        return True

    def _secure(self, hello: ClientHello) -> None:
        """Raises HandshakeFailed for what cannot succeed."""
        contexts, all_of_them = self._contexts, self._all
        refuse(self._connected, hello, contexts)
        all_of_them._shaking.add(self._connected)
        self._step = Securing(
            self._connected,
            contexts.choose(hello.server_name),
            Negotiation(self._service, self._peer, self._client, all_of_them._describe),
            self._left(),
            self._secured,
        )

    def _secured(self, error: OSError | None) -> None:
        if error is not None:
            self._fail(HandshakeFailed(why(error)))
            return
        self._step = None
        self._all._leave(self._connected)
        self._ended(True)

    def _fail(self, failure: HandshakeFailed) -> None:
        self._step = None
        self._all._failed(self._connected, failure)
        self._ended(False)

    def cancel(self) -> None:
        if self._step is not None:
            self._step.cancel()
            self._step = None
        self._all._leave(self._connected)
        close_watched(self._connected)


def _teller(told: asyncio.Future[bool]) -> Callable[[bool], None]:
    return lambda is_there: None if told.done() else told.set_result(is_there)


def quiet_handshakes(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An exception handler for the loop. The TLS transport tells it of clients that leave within their
    handshake; these are counted here and are nobody's fault."""
    if context.get("message") != _FAILED:
        loop.default_exception_handler(context)
