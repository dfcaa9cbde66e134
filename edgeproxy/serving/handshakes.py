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

import aiofastnet

from edgeproxy.config import Limits
from edgeproxy.errors import RequestError
from edgeproxy.message import Certified
from edgeproxy.metrics import Metrics
from edgeproxy.serving.client_hello import ClientHello, NotTls
from edgeproxy.serving.exchange import account_refusal
from edgeproxy.serving.first_bytes import has_hello, look_at_hello, look_now, take_proxy_header
from edgeproxy.serving.negotiation import Negotiation
from edgeproxy.serving.proxy_protocol import ProxyHeaderError
from edgeproxy.serving.service import Service

if TYPE_CHECKING:  # it loads what reads certificates, which nodes without TLS can do without
    from edgeproxy.serving.tls import Contexts

# Requests are small; answers leave in pieces of this size. Both are held by every open connection.
INCOMING_BYTES = 32 << 10
OUTGOING_BYTES = 64 << 10
_FAIR_SECONDS = 1.0  # a handshake of a client far away takes half of that
_OLDEST = 16  # handshakes looked at to find one whose client keeps us waiting
_AGAIN_SECONDS = 0.1  # until they are looked at again
_CLOSING_SECONDS = 120.0  # to send what is left; the sweep ends those that make no progress earlier

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

    async def run(self, connected: socket.socket, service: Service, peer: str, proxied: bool) -> bool:
        """Bring a connection of `service` about; False if there is none, and the socket is closed."""
        loop = asyncio.get_running_loop()
        end = loop.time() + (self._limits.handshake_timeout or 1e9)
        try:
            await self._place(connected, end)
            await self._shake(connected, service, peer, proxied, end)
        except HandshakeFailed as failure:
            reason = "crowded" if connected in self._crowded else failure.reason
            self._metrics.count("tls_handshake_failures_total", reason)
            connected.close()
            return False
        except asyncio.CancelledError:
            connected.close()
            raise
        finally:
            self._leave(connected)
        return True

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

    async def _shake(
        self, connected: socket.socket, service: Service, peer: str, proxied: bool, end: float
    ) -> None:
        connected.setblocking(False)
        client, contexts = "", self._contexts()
        try:
            async with asyncio.timeout_at(end):
                if proxied:
                    client = await take_proxy_header(connected)
                hello = await look_at_hello(connected)
        except TimeoutError:
            raise HandshakeFailed("timeout") from None
        except ProxyHeaderError:
            raise HandshakeFailed("proxy") from None
        except NotTls:
            raise HandshakeFailed(_answer_plainly(connected, service, client or peer)) from None
        except OSError:
            raise HandshakeFailed("left") from None
        _refuse(connected, hello, contexts)
        self._shaking.add(connected)
        await self._secure(
            connected,
            contexts.choose(hello.server_name),
            lambda: Negotiation(service, peer, client, self._describe),
            max(0.001, end - asyncio.get_running_loop().time()),
        )

    async def _secure(
        self,
        connected: socket.socket,
        context: ssl.SSLContext,
        make: Callable[[], Negotiation],
        seconds: float,
    ) -> None:
        try:
            await aiofastnet.connect_accepted_socket(
                asyncio.get_running_loop(),
                make,
                connected,
                ssl=context,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=_CLOSING_SECONDS,
                ssl_incoming_bio_size=INCOMING_BYTES,
                ssl_outgoing_bio_size=OUTGOING_BYTES,
            )
        except ssl.SSLError as error:
            raise HandshakeFailed(reason_of(error)) from None
        except ConnectionAbortedError:
            raise HandshakeFailed("timeout") from None
        except OSError:
            raise HandshakeFailed("left") from None


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
