"""From an accepted socket to a connection over TLS.

First comes a PROXY header where one is due, then the ClientHello, which chooses the certificate and is
refused here where no handshake could succeed, then the handshake itself. Their number and their time are
bounded. Where there are too many the newest waits, until another ends or one whose client has kept us waiting
for longer than is fair is ended: so clients that do nothing cannot keep out those that go on."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

from edgeproxy.config import Limits
from edgeproxy.errors import RequestError
from edgeproxy.message import Certified
from edgeproxy.metrics import Metrics
from edgeproxy.serving.client_hello import ClientHello, NotTls
from edgeproxy.serving.exchange import account_refusal
from edgeproxy.serving.first_bytes import (
    HelloWatch,
    Said,
    close_watched,
    has_hello,
    look_now,
    take_proxy_header,
)
from edgeproxy.serving.negotiation import Negotiation
from edgeproxy.serving.proxy_protocol import ProxyHeaderError
from edgeproxy.serving.securing import Securing
from edgeproxy.serving.service import Service

if TYPE_CHECKING:  # it loads what reads certificates, which nodes without TLS can do without
    from edgeproxy.serving.tls import Contexts

_FAIR_SECONDS = 1.0  # a handshake of a client far away takes half of that
_OLDEST = 16  # handshakes looked at to find one whose client keeps us waiting
_AGAIN_SECONDS = 0.1  # until they are looked at again

_PLAIN = re.compile(rb"[A-Z]{3,16} ")  # a request line that comes without TLS
_PLAIN_BYTES = 64 << 10
_FAILED = "SSL handshake failed"

# Alerts (RFC 8446 section 6.2) that tell a client why there will be no handshake, as plain records.
_ALERT_VERSION, _ALERT_PROTOCOL = 70, 120

_REASONS = (
    (re.compile("NO_CERTIFICATE|DID_NOT_RETURN_A_CERT|CERTIFICATE_VERIFY_FAILED|EE_KEY"), "certificate"),
    (re.compile("ALERT"), "alert"),
    (re.compile("VERSION|UNSUPPORTED_PROTOCOL|NO_PROTOCOLS"), "version"),
    (re.compile("CIPHER|GROUP|CURVE|SIGNATURE_ALG"), "cipher"),
)


class HandshakeFailed(Exception):
    """`reason` is one of a closed set: a label of a metric."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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
            self._secure(_accepted(said, self._connected, self._service, self._client or self._peer))
        except HandshakeFailed as failure:
            self._fail(failure)
            return False
        return True

    def _secure(self, hello: ClientHello) -> None:
        """Raises HandshakeFailed for what cannot succeed."""
        contexts, all_of_them = self._contexts, self._all
        _refuse(self._connected, hello, contexts)
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
            self._fail(HandshakeFailed(_why(error)))
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


def _accepted(said: Said, connected: socket.socket, service: Service, client: str) -> ClientHello:
    """What a handshake can begin with. Raises HandshakeFailed for what else comes first."""
    if isinstance(said, ClientHello):
        return said
    if isinstance(said, NotTls):
        raise HandshakeFailed(_answer_plainly(connected, service, client))
    raise HandshakeFailed("timeout" if isinstance(said, TimeoutError) else "left")


def _why(error: OSError) -> str:
    """In a word of a closed set, why a handshake that had begun did not end well."""
    if isinstance(error, ssl.SSLError):
        return reason_of(error)
    return "timeout" if isinstance(error, ConnectionAbortedError) else "left"


def reason_of(error: ssl.SSLError) -> str:
    """Why a handshake failed, in a word of a closed set."""
    text = str(getattr(error, "reason", None) or "")
    return next((reason for pattern, reason in _REASONS if pattern.search(text)), "malformed")


def _refuse(connected: socket.socket, hello: ClientHello, contexts: Contexts) -> None:
    """Raise HandshakeFailed for what cannot succeed, having said why."""
    if hello.version < contexts.minimum:
        _alert(connected, _ALERT_VERSION)
        raise HandshakeFailed("version")
    # RFC 7301 section 3.2; a client that took our bytes for another protocol's could be made to act on them.
    if hello.protocols is not None and not set(hello.protocols) & set(contexts.protocols):
        _alert(connected, _ALERT_PROTOCOL)
        raise HandshakeFailed("protocol")


def _alert(connected: socket.socket, description: int) -> None:
    with contextlib.suppress(OSError):
        connected.recv(_PLAIN_BYTES)  # what is left unread would turn the close into a reset
        connected.send(bytes((21, 3, 3, 0, 2, 2, description)))


def _answer_plainly(connected: socket.socket, service: Service, client: str) -> str:
    """The answer to bytes that are no TLS: a line for those that are HTTP, nothing for others."""
    if not _PLAIN.match(look_now(connected, 32)):
        return "malformed"
    error = RequestError(400, "this port speaks HTTPS")
    account_refusal(service, client, error)
    text = f"{error}\n"
    answer = (
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}"
    )
    with contextlib.suppress(OSError):
        connected.recv(_PLAIN_BYTES)
        connected.send(answer.encode("ascii"))
        connected.shutdown(socket.SHUT_WR)
    return "plain"


def quiet_handshakes(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An exception handler for the loop. The TLS transport tells it of clients that leave within their
    handshake; these are counted here and are nobody's fault."""
    if context.get("message") != _FAILED:
        loop.default_exception_handler(context)
