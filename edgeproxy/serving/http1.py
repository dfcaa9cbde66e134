"""HTTP/1.1 and HTTP/1.0 on one connection: bytes to Request (RFC 9112). Answers: http1_answers.

One request is answered at a time; bytes of further ones wait, bounded, unread beyond the bound. A
request known to the memo is answered at once from `data_received`; any other becomes a task which
asks the handler and sends."""

from __future__ import annotations

import asyncio

from edgeproxy.errors import BodyAborted, RequestError
from edgeproxy.serving import ending, http2
from edgeproxy.serving.body_writer import BodyWriter
from edgeproxy.serving.chunked import ChunkDecoder, LengthDecoder
from edgeproxy.serving.head import parse_head
from edgeproxy.serving.head_syntax import is_foreign
from edgeproxy.serving.http1_answers import DROP_BYTES
from edgeproxy.serving.http1_connect import Connecting
from edgeproxy.serving.http2_frames import PREFACE
from edgeproxy.serving.proxy_protocol import ProxyHeaderError, parse_proxy_header
from edgeproxy.serving.request_body import IncomingBody
from edgeproxy.serving.response_head import CONTINUE
from edgeproxy.serving.service import OpenConnection

LINGER_SECONDS = 2.0  # for a client to take the last answer while it still sends
GONE_SECONDS = 1.0  # without progress after the client ended its side


class Connection(Connecting):
    """One client connection. `peer` is the other end's address, "" for a unix socket; `proxied`
    tells that a PROXY header comes first."""

    __slots__ = ()

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        bound = self._service.limits.write_buffer
        self._writer = BodyWriter(
            transport, asyncio.get_running_loop(), max(bound // 2, 4096), self._service.sending
        )
        self._secured = ending.is_secured(transport)
        self._transport.set_write_buffer_limits(high=bound // 2, low=bound // 8)
        self._service.opened(self)
        self._settle()

    def data_received(self, data: bytes) -> None:
        looked_up = b""
        if self._quick:
            looked_up = data
            now = self._service.clock()
            entry = self._memo.recall(data, now)
            if entry is not None and (entry.file is None or self._can_send(entry)):
                self._send_recalled(entry, now)
                if self.served >= self.served_max - 1:
                    self._quick = False
                return
        if self._ready:
            now = self._service.clock()
            repeated = self._service.repeats.recall(self._client, data, now)
            if repeated is not None:
                self._send_repeated(repeated, now)
                self._ready = self.served < self.served_max - 1
                return
        self._take(data, looked_up)

    def eof_received(self) -> bool:
        self._eof = True
        self._reading = False
        if self._decoder is not None:
            self._break_content(BodyAborted("the client left within its request"))
        if self._secured and self._task is not None:
            self.abort()  # after the closing alert of one side the transport sends nothing more
        # A client that only ended its side still gets its answers, as long as it takes bytes.
        waiting = self._task is not None or self._writer.full
        return waiting and not self._lingering and not self._secured

    def connection_lost(self, exc: Exception | None) -> None:
        self._quick = self._ready = False
        self._lingering = True
        if self._body is not None:
            self._body.fail(BodyAborted("the client left within its request"))
        if self._task is not None:
            self._service.metrics.count("client_aborts_total")
            self._task.cancel()
        self._service.lost(self, self._peer)

    def pause_writing(self) -> None:
        self._quick = self._ready = False
        self._writer.pause()

    def resume_writing(self) -> None:
        self._writer.resume()
        if self._task is None:
            self._pump()

    # What the listener and the sweep ask.

    @property
    def streams(self) -> tuple[()]:
        return ()

    @property
    def is_idle(self) -> bool:
        return (
            self._task is None
            and self._decoder is None
            and not len(self._reader)
            and not self._lingering
            and not ending.unsent(self._transport)
        )

    def pulse(self) -> tuple[str, float, object, object]:
        limits = self._service.limits
        waiting = ending.unsent(self._transport)
        if self._lingering and not (self._secured and waiting):
            return ("linger", LINGER_SECONDS, None, None)
        if waiting:
            return ("write", limits.write_timeout, waiting, (self._writer.sent, self.served))
        if self._transport.is_closing():  # TLS waits for the closing alert of the other side
            return ("linger", LINGER_SECONDS, None, None)
        if self._decoder is not None and self._reading:
            return ("body", limits.body_timeout, self._content, self.served)
        if self._task is not None:
            return ("gone", GONE_SECONDS if self._eof else 0.0, self._writer.sent, self.served)
        if len(self._reader) or self._proxied:
            return ("head", limits.head_timeout, self.served, None)
        return ("idle", limits.idle_timeout, self.served, None)

    def expire(self, phase: str) -> None:
        """End for lack of progress."""
        if phase == "head" and not self._proxied:
            self._refuse(RequestError(408, "the request head took too long"))
        elif phase == "body":
            self._content_failed(RequestError(408, "the request content took too long"))
        elif phase in ("write", "gone") or self._transport.is_closing():
            self.abort()
        else:
            self.close()

    def drain(self) -> None:
        """Answer what has been asked, then end."""
        self._quick = self._ready = False
        if self.is_idle:
            self.close()

    def _turn(self, other: OpenConnection) -> None:
        self._service.turned(self, other)

    # Bytes to requests.

    def _take(self, data: bytes, looked_up: bytes = b"") -> None:
        if self._lingering:
            self._dropped += len(data)
            if self._dropped > DROP_BYTES:
                self.close()
            return
        if self._decoder is not None:
            data = self._take_content(data)
        if data:
            self._reader.push(data)
        self._pump(looked_up)

    def _pump(self, looked_up: bytes = b"") -> None:
        """Take requests from the unread bytes until one is being answered. `looked_up` is not in the memo, or
        cannot be answered from there."""
        while self._task is None and self._decoder is None and not self._writer.full and not self._lingering:
            if self._proxied and not self._take_proxy_header():
                break
            if self._fresh and not self._is_http1():
                return
            try:
                head_bytes = self._reader.pop()
            except RequestError as error:
                self._refuse(error, foreign=not self.served and is_foreign(self._reader.rest()))
                return
            if head_bytes is None:
                break
            if (
                self._memorable
                and head_bytes is not looked_up
                and self.served < self.served_max - 1
                and not self._service.draining
            ):
                now = self._service.clock()
                entry = self._memo.recall(head_bytes, now)
                if entry is not None and (entry.file is None or self._can_send(entry)):
                    self._send_recalled(entry, now)
                    continue
            self._begin(head_bytes)
        self._settle()

    def _settle(self) -> None:
        """Bring `_quick` and the state of reading up to date."""
        free = self._task is None and self._decoder is None and not self._lingering
        if self._eof:
            if free and not self._writer.full:
                self.close()
            return
        free = (
            free
            and not self._writer.full
            and not len(self._reader)
            and not self._service.draining
            and self.served < self.served_max - 1
        )
        self._quick = free and self._memorable
        self._ready = free and self._service.at_once is not None and not self._proxied
        body = self._body
        wanted = len(self._reader) <= self._service.limits.pipelined and (body is None or not body.full)
        if wanted != self._reading:
            self._reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _is_http1(self) -> bool:
        """Whether the first bytes are HTTP/1. Those of HTTP/2 by prior knowledge are not (RFC 9113
        section 3.3): the connection goes on as one of HTTP/2. Over TLS that is for ALPN to say."""
        data = self._reader.rest()
        if self._secured or not data.startswith(PREFACE[: len(data)]):
            self._fresh = False
        elif len(data) >= len(PREFACE):
            other = http2.Connection(self._service, self._peer, not self._memorable)
            self._transport.set_protocol(other)
            self._turn(other)
            other.take_over(self._transport, self._client)
            other.data_received(data)
            return False
        self._reader.push(data)
        return not self._fresh or not data

    def _take_proxy_header(self) -> bool:
        data = self._reader.rest()
        try:
            header = parse_proxy_header(data)
        except ProxyHeaderError:
            self._service.metrics.count("bad_requests_total", "proxy")
            self._lingering = True
            self.abort()
            return False
        if header is None:
            self._reader.push(data)
            return False
        self._proxied = False
        self._client = header.client or self._peer
        if len(data) > header.size:
            self._reader.push(data[header.size :])
        return True

    def _begin(self, head_bytes: bytes) -> None:
        limits = self._service.limits
        try:
            head = parse_head(head_bytes, limits)
            unwanted = head.method in ("GET", "HEAD")
            most = min(DROP_BYTES, limits.body) if unwanted else limits.body
            if head.length is not None and head.length > most:
                raise RequestError(413, "request content too large")
        except RequestError as error:
            self._refuse(error, foreign=not self.served and is_foreign(head_bytes))
            return
        self.served += 1
        self._head, self._head_bytes = head, head_bytes
        self._keep = head.keep_alive and self.served < self.served_max
        self._owes_continue = False
        if head.method == "CONNECT":
            self._connect(head)
            return
        if head.length == 0:
            upgrades = self._service.upgrades
            if upgrades is not None and upgrades.takes(head.method, head.version, head.headers):
                self._leave(head, upgrades, self._request_to_leave(head))
            else:
                self._start(None)
            return
        self._content = self._dropped = 0
        if head.length is None:
            self._decoder = ChunkDecoder(most, limits.chunk_overhead)
        else:
            self._decoder = LengthDecoder(head.length)
        self._owes_continue = head.expects_continue
        if unwanted:  # read and dropped before the answer: it never reaches a handler
            self._send_continue()
        else:
            self._body = IncomingBody(head.length, self._send_continue, self._eased)
            self._start(self._body)
        rest = self._reader.rest()
        if rest:
            rest = self._take_content(rest)
        if rest:
            self._reader.push(rest)

    def _send_continue(self) -> None:
        if self._owes_continue and self._decoder is not None and not self._content:
            self._transport.write(CONTINUE)
        self._owes_continue = False

    def _eased(self) -> None:
        if not self._reading and not self._lingering:
            self._settle()

    def _take_content(self, data: bytes) -> bytes:
        """Give content of the current request to its taker; what follows it is returned."""
        decoder = self._decoder
        assert decoder is not None
        pieces: list[bytes] = []
        trouble: RequestError | None = None
        rest = b""
        try:
            rest = decoder.feed(data, pieces)
        except RequestError as error:
            trouble = error
        self._content += len(data) - len(rest)
        body = self._body
        if body is not None:
            for piece in pieces:
                body.feed(piece)
        else:
            self._dropped += len(data) - len(rest)
        if trouble is not None:
            self._content_failed(trouble)
        elif decoder.done:
            self._decoder = self._body = None
            if body is not None:
                body.finish()
            elif self._task is None and self._head is not None:
                self._start(None)
        elif body is None and self._task is None and self._dropped > 2 * DROP_BYTES:
            self._content_failed(RequestError(413, "request content too large"))
        return rest

    def _content_failed(self, error: RequestError) -> None:
        waiting = self._task is None
        self._break_content(error)
        if waiting and self._head is not None:
            self._refuse(error)
        elif waiting:
            self._end()

    def _break_content(self, error: BodyAborted | RequestError) -> None:
        """The current request's content cannot be read on, so nothing after it can."""
        body, self._body, self._decoder = self._body, None, None
        self._keep = False
        self._reader.rest()
        if body is not None:
            body.fail(error)
