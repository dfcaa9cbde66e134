"""Web sockets of clients whose host is answered here (RFC 9110 section 7.8, RFC 6455): the request to switch
goes on to the host itself. If it agrees bytes pass both ways from then on, as through a tunnel; what else it
answers is the answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from dataclasses import dataclass

from cachetools import TTLCache

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import BytesBody, CacheOutcome, Headers, Outcome, Request, Response
from edgeproxy.policy.forwarding import upstream_headers
from edgeproxy.policy.hop_by_hop import end_to_end
from edgeproxy.proxy.access import Refusal
from edgeproxy.proxy.answer_head import HEAD_BYTES_MAX, AnswerHead, read_answer
from edgeproxy.proxy.refusing import SITE, failed, refused
from edgeproxy.proxy.shared import Shared
from edgeproxy.proxy.way import Way
from edgeproxy.serving.service import Reached, Reset, Service
from edgeproxy.serving.wire import READ_BYTES, Wire
from edgeproxy.sites.urls import parse_url
from edgeproxy.upstream.trust import ca_bundle
from edgeproxy.upstream.upstream import Origin, Reach

CONTEXTS_MAX = 16
CONTEXT_SECONDS = 300.0  # then files of roots are read again
_SWITCHING = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
_SWITCHED = 101


def wants_web_socket(headers: Headers) -> bool:
    """Whether this protocol is asked for, and no other."""
    options = {option.strip(" \t").lower() for option in headers.get("Connection").split(",")}
    return "upgrade" in options and headers.get("Upgrade").strip(" \t").lower() == "websocket"


class Upgrades:
    """`via` names this node to the host."""

    def __init__(self, shared: Shared, via: str) -> None:
        self._shared = shared
        self._via = via
        self._contexts: TTLCache[tuple[str | None, bool], ssl.SSLContext] = TTLCache(
            CONTEXTS_MAX, CONTEXT_SECONDS
        )

    def takes(self, method: str, version: str, headers: Headers) -> bool:
        return method == "GET" and version == "1.1" and wants_web_socket(headers)

    async def reach(self, service: Service, request: Request) -> Response | Reached:
        """A Response where nothing is switched."""
        shared = self._shared
        if not shared.settings.web_sockets:
            line = "web sockets are not passed on here"
            return refused(Refusal(403, "web_sockets", line), shared.metrics)
        parsed = parse_url(f"{request.scheme}://{request.authority}/")
        if parsed is None:
            return refused(Refusal(400, "host", "no host is named"), shared.metrics)
        origin = parsed[0]
        place = (origin.scheme, origin.host, origin.port)
        if not await shared.has_site(*place):  # another host than the client has gone through CONNECT for
            line = f"{origin.host} is not served here"
            return refused(Refusal(403, "connect", line), shared.metrics)
        reach = await shared.reach_of(*place) or Reach()
        started = time.monotonic()
        try:
            reader, writer = await self._connected(origin, reach)
            try:
                answer = await self._asked(reader, writer, origin, request, reach)
            except BaseException:
                writer.transport.abort()
                raise
        except UpstreamError as error:
            return failed(error, shared.metrics)
        if answer.status != _SWITCHED:
            writer.transport.abort()
            outcome = Outcome(CacheOutcome.BYPASS, SITE, detail="the host does not switch protocols")
            headers = end_to_end(answer.headers).without(("Content-Length",))
            return Response(answer.status, headers, BytesBody(answer.content), outcome, close=True)
        way = Way(shared, service, request, origin.host, origin.port, started, status=_SWITCHED)
        return _Switched(way, answer, reader, writer)

    async def _connected(
        self, origin: Origin, reach: Reach
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises UpstreamError."""
        server = await self._shared.dial(origin.host, origin.port, private=reach.private_addresses)
        context = None
        try:
            if origin.scheme == "https":
                context = await self._context(reach)
            async with asyncio.timeout(reach.head_timeout):
                return await asyncio.open_connection(
                    sock=server,
                    ssl=context,
                    server_hostname=origin.host if context is not None else None,
                    limit=HEAD_BYTES_MAX,
                )
        except ssl.SSLCertVerificationError as error:
            server.close()
            why = f"{origin.authority}: {error.verify_message}"
            raise UpstreamError(ProxyError.TLS_CERTIFICATE_ERROR, why, sent=False) from None
        except (OSError, TimeoutError) as error:
            server.close()
            why = f"{origin.authority}: {getattr(error, 'reason', None) or error or 'no handshake in time'}"
            raise UpstreamError(ProxyError.TLS_PROTOCOL_ERROR, why, sent=False) from None

    async def _context(self, reach: Reach) -> ssl.SSLContext:
        """Reads a file of roots, in a thread."""
        key = (reach.ca_file, reach.verify_tls)
        context = self._contexts.get(key)
        if context is None:
            self._contexts[key] = context = await asyncio.to_thread(_context, *key)
        return context

    async def _asked(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        origin: Origin,
        request: Request,
        reach: Reach,
    ) -> AnswerHead:
        """Raises UpstreamError."""
        fields = upstream_headers(request, self._via, shared=False).adding(_SWITCHING)
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        writer.write(
            f"GET {request.target} HTTP/1.1\r\nHost: {origin.authority}\r\n{lines}\r\n".encode("latin-1")
        )
        try:
            async with asyncio.timeout(reach.head_timeout):
                return await read_answer(reader)
        except TimeoutError:
            why = f"{origin.authority} does not answer within {reach.head_timeout:g} s"
            raise UpstreamError(ProxyError.HTTP_RESPONSE_TIMEOUT, why, sent=True) from None
        except OSError as error:
            why = f"{origin.authority}: {error.strerror or 'the connection broke'}"
            raise UpstreamError(ProxyError.CONNECTION_TERMINATED, why, sent=True) from None


def _context(ca_file: str | None, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_bundle(ca_file or ""))
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


@dataclass(slots=True)
class _Switched:
    """The host has agreed."""

    way: Way
    answer: AnswerHead
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def head(self) -> bytes:
        fields = end_to_end(self.answer.headers).without(("Content-Length",)).adding(_SWITCHING)
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        return f"HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n".encode("latin-1")

    def take(self, connected: socket.socket, early: bytes, resets: Reset | None = None) -> None:
        try:
            wire = Wire()
        except OSError:
            self.drop()
            connected.close()
            self.way.gave_up()
            return
        wire.far.setblocking(False)
        self.way.tunnel(connected, wire.far, early, *([wire] if resets is None else [wire, resets]))
        self.way.shared.tasks.start(self._carry(wire), f"web socket {self.way.host}")

    def drop(self) -> None:
        self.writer.transport.abort()

    async def _carry(self, wire: Wire) -> None:
        """Between the host's connection and the tunnel, until both directions have ended or one is reset."""
        down = self.way.shared.tasks.start(self._carry_down(wire), f"web socket {self.way.host}")
        is_whole = False
        try:
            while data := await wire.read():
                self.writer.write(data)
                await self.writer.drain()
            if not wire.was_reset:
                self.writer.close()
                await down
                is_whole = True
        except OSError:
            pass  # told below
        finally:
            if not is_whole:
                self.writer.transport.abort()
                wire.abort("the host broke off")
            down.cancel()
            wire.close()

    async def _carry_down(self, wire: Wire) -> None:
        try:
            while data := await self.reader.read(READ_BYTES):
                await wire.write(data)
        except OSError:
            wire.abort("the host broke off")
            return
        with contextlib.suppress(OSError):
            wire.end()
