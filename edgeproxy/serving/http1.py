"""HTTP/1.1 and HTTP/1.0 on one connection: bytes to Request, Response to bytes (RFC 9112).

One request is answered at a time; bytes of further ones wait, bounded, unread beyond the bound. A
request known to the memo is answered at once from `data_received`; any other becomes a task which
asks the handler and sends. A connection ends with a FIN only after a whole answer; where content is
owed it ends with a reset."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from edgeproxy.errors import BodyAborted, RequestError
from edgeproxy.message import Body, BytesBody, Request, Response
from edgeproxy.serving.body_writer import BodyWriter
from edgeproxy.serving.chunked import ChunkDecoder, Decoder, LengthDecoder
from edgeproxy.serving.exchange import Progress, account, account_refusal, ask, make_request
from edgeproxy.serving.head import Head, parse_head
from edgeproxy.serving.head_syntax import HeadReader
from edgeproxy.serving.proxy_protocol import ProxyHeaderError, parse_proxy_header
from edgeproxy.serving.request_body import IncomingBody
from edgeproxy.serving.request_memo import Remembered, is_reusable
from edgeproxy.serving.response_head import CONTINUE, Framing, breakdown, encode_head, framing_of, refusal
from edgeproxy.serving.service import Service

DROP_BYTES = 64 << 10  # unwanted request content read to keep a connection
LINGER_SECONDS = 2.0  # for a client to take the last answer while it still sends
GONE_SECONDS = 1.0  # without progress after the client ended its side


class Connection(asyncio.Protocol):
    """One client connection. `peer` is the other end's address, "" for a unix socket; `proxied`
    tells that a PROXY header comes first."""

    __slots__ = (
        "_body",
        "_client",
        "_content",
        "_decoder",
        "_dropped",
        "_eof",
        "_head",
        "_head_bytes",
        "_keep",
        "_lingering",
        "_memo",
        "_memorable",
        "_owes_continue",
        "_peer",
        "_proxied",
        "_quick",
        "_reader",
        "_reading",
        "_service",
        "_task",
        "_transport",
        "_writer",
        "pulse_seen",
        "pulse_since",
        "served",
        "served_max",
    )

    def __init__(self, service: Service, peer: str, proxied: bool) -> None:
        self._service = service
        self._peer = self._client = peer
        self._proxied = proxied
        self._memo = service.memo
        self._memorable = not proxied and peer not in service.trusted
        self._transport: Any = None
        self._writer: BodyWriter = None  # type: ignore[assignment]  # until connection_made
        self._reader = HeadReader(service.limits)
        self._decoder: Decoder | None = None  # of content still to come
        self._body: IncomingBody | None = None  # who takes that content; None drops it
        self._head: Head | None = None
        self._head_bytes = b""
        self._task: asyncio.Task[None] | None = None
        self._keep = True
        self._owes_continue = False
        self._content = 0
        self._dropped = 0
        self._eof = False
        self._reading = True
        self._lingering = False
        self._quick = False  # idle, nothing unread, able to write: the memo may answer
        self.served = 0
        self.served_max = service.limits.requests_per_connection or 1 << 62
        self.pulse_seen: tuple[object, ...] = ()
        self.pulse_since = 0.0

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        bound = self._service.limits.write_buffer
        self._writer = BodyWriter(transport, asyncio.get_running_loop(), max(bound // 2, 4096))
        self._transport.set_write_buffer_limits(high=bound // 2, low=bound // 8)
        self._service.opened(self)
        self._settle()

    def data_received(self, data: bytes) -> None:
        if self._quick:
            now = self._service.clock()
            entry = self._memo.recall(data, now)
            if entry is not None:
                self._send_recalled(entry, now)
                if self.served >= self.served_max - 1:
                    self._quick = False
                return
        self._take(data)

    def eof_received(self) -> bool:
        self._eof = True
        self._reading = False
        if self._decoder is not None:
            self._break_content(BodyAborted("the client left within its request"))
        # A client that only ended its side still gets its answers, as long as it takes bytes.
        return not self._lingering and (self._task is not None or self._writer.full)

    def connection_lost(self, exc: Exception | None) -> None:
        self._quick = False
        self._lingering = True
        if self._body is not None:
            self._body.fail(BodyAborted("the client left within its request"))
        if self._task is not None:
            self._service.metrics.count("client_aborts_total")
            self._task.cancel()
        self._service.lost(self, self._peer)

    def pause_writing(self) -> None:
        self._quick = False
        self._writer.pause()

    def resume_writing(self) -> None:
        self._writer.resume()
        if self._task is None:
            self._pump()

    # What the listener and the sweep ask.

    @property
    def is_idle(self) -> bool:
        return (
            self._task is None
            and self._decoder is None
            and not len(self._reader)
            and not self._lingering
            and not self._transport.get_write_buffer_size()
        )

    def pulse(self) -> tuple[str, float, object, object]:
        limits = self._service.limits
        if self._lingering:
            return ("linger", LINGER_SECONDS, None, None)
        waiting = self._transport.get_write_buffer_size()
        if waiting:
            return ("write", limits.write_timeout, waiting, (self._writer.sent, self.served))
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
            error = RequestError(408, "the request content took too long")
            waiting = self._task is None
            self._break_content(error)
            if waiting and self._head is not None:
                self._refuse(error)
            elif waiting:
                self._end()
        elif phase in ("write", "gone"):
            self.abort()
        else:
            self.close()

    def drain(self) -> None:
        """Answer what has been asked, then end."""
        self._quick = False
        if self.is_idle:
            self.close()

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._writer.reset_on_close(True)
        self._transport.abort()

    # Bytes to requests.

    def _send_recalled(self, entry: Remembered, now: float) -> None:
        answer = entry.answer
        if type(answer) is bytes:
            self._transport.write(answer)
        else:
            self._transport.writelines(answer)
        self.served += 1
        entry.count()
        log = self._service.log
        if log.enabled:
            log.put((entry, now, self._client))

    def _take(self, data: bytes) -> None:
        if self._lingering:
            self._dropped += len(data)
            if self._dropped > DROP_BYTES:
                self.close()
            return
        if self._decoder is not None:
            data = self._take_content(data)
        if data:
            self._reader.push(data)
        self._pump()

    def _pump(self) -> None:
        """Take requests from the unread bytes until one is being answered."""
        while self._task is None and self._decoder is None and not self._writer.full and not self._lingering:
            if self._proxied and not self._take_proxy_header():
                break
            try:
                head_bytes = self._reader.pop()
            except RequestError as error:
                self._refuse(error)
                return
            if head_bytes is None:
                break
            if self._memorable and self.served < self.served_max - 1 and not self._service.draining:
                now = self._service.clock()
                entry = self._memo.recall(head_bytes, now)
                if entry is not None:
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
        self._quick = (
            free
            and self._memorable
            and not self._writer.full
            and not len(self._reader)
            and not self._service.draining
            and self.served < self.served_max - 1
        )
        body = self._body
        wanted = len(self._reader) <= self._service.limits.pipelined and (body is None or not body.full)
        if wanted != self._reading:
            self._reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

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
            head = parse_head(head_bytes, limits, self._service.scheme)
            unwanted = head.method in ("GET", "HEAD")
            most = min(DROP_BYTES, limits.body) if unwanted else limits.body
            if head.length is not None and head.length > most:
                raise RequestError(413, "request content too large")
        except RequestError as error:
            self._refuse(error)
            return
        self.served += 1
        self._head, self._head_bytes = head, head_bytes
        self._keep = head.keep_alive and self.served < self.served_max
        self._owes_continue = False
        if head.length == 0:
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

    # Responses to bytes.

    def _start(self, body: IncomingBody | None) -> None:
        head = self._head
        assert head is not None
        request = make_request(self._service, head, self._peer, self._client, body)
        self._quick = False
        self._task = self._service.tasks.start(self._exchange(request, head), "exchange")

    async def _exchange(self, request: Request, head: Head) -> None:
        progress = Progress(time.monotonic())
        response = await ask(self._service, request)
        try:
            await self._answer(request, head, response, progress)
        finally:
            progress.sent = progress.sent or self._writer.sent
            self._writer.sent = 0
            account(self._service, request, response.outcome, progress)
        if progress.complete:
            self._exchanged()

    async def _answer(self, request: Request, head: Head, response: Response, progress: Progress) -> None:
        framing = framing_of(response, request.method, request.version)
        self._keep = self._may_continue(response, framing)
        try:
            encoded = self._encode(request, response, framing)
        except ValueError as error:
            await response.body.aclose()
            self._service.report(f"request {request.id}: {error}")
            response, framing = breakdown(), Framing.LENGTH
            encoded = self._encode(request, response, framing)
        progress.status = response.status
        progress.head_at = time.monotonic()
        try:
            await self._send(encoded, response.body, framing)
            progress.complete = True
        except BodyAborted as error:
            self._service.report(f"request {request.id} aborted: {error}")
        except Exception as error:  # noqa: BLE001 - the outermost step of sending
            self._service.metrics.count("task_errors_total")
            self._service.report(f"request {request.id} failed: {type(error).__name__}: {error}")
        finally:
            if not progress.complete:
                self._task = None
                self.abort()
            await response.body.aclose()
        if progress.complete and head.memorable and is_reusable(response):
            self._remember(request, response)

    def _encode(self, request: Request, response: Response, framing: Framing) -> bytes:
        if self._keep:
            connection = "" if request.version == "1.1" else "keep-alive"
        else:
            connection = "close"
        return encode_head(
            response.status,
            response.headers,
            length=response.body.length,
            framing=framing,
            connection=connection,
            date=self._service.date.at(self._service.clock()),
        )

    async def _send(self, encoded: bytes, body: Body, framing: Framing) -> None:
        if framing is Framing.NONE:
            self._transport.write(encoded)
        elif type(body) is BytesBody:
            self._transport.writelines((encoded, body.data))
            self._writer.sent += len(body.data)
        else:
            if framing is Framing.CLOSE:
                self._writer.reset_on_close(True)
            self._transport.write(encoded)
            await self._writer.send(body, framing)
            if framing is Framing.CLOSE:
                self._writer.reset_on_close(False)

    def _may_continue(self, response: Response, framing: Framing) -> bool:
        """Whether another request may follow this answer."""
        if not self._keep or response.close or framing is Framing.CLOSE or self._service.draining:
            return False
        if self._decoder is None:
            return True
        # Content that the client has not sent and may never send, or too much to read and drop.
        return not self._owes_continue and (self._decoder.left or 0) <= DROP_BYTES

    def _remember(self, request: Request, response: Response) -> None:
        reuse = response.reuse
        if not self._memorable or reuse is None or request.body is not None:
            return
        if request.method == "GET" and type(response.body) is not BytesBody:
            return
        entry = Remembered(
            request.method, request.target, request.authority, request.headers, reuse, response.outcome
        )
        entry.bind(self._service.metrics)
        self._memo.remember(self._head_bytes, entry)

    def _exchanged(self) -> None:
        """An answer is out; go on with what the client has sent meanwhile."""
        self._task = None
        self._head = None
        if self._transport.is_closing():
            return
        if not self._keep:
            self._end()
            return
        if self._decoder is not None:
            self._body = None  # what the handler left is dropped
            self._dropped = DROP_BYTES
        self._pump()

    def _refuse(self, error: RequestError) -> None:
        """Answer bytes that are no acceptable request, and end."""
        account_refusal(self._service, self._client, error)
        response = refusal(error)
        body = response.body
        assert isinstance(body, BytesBody)
        self._transport.writelines(
            (
                encode_head(
                    response.status,
                    response.headers,
                    length=body.length,
                    framing=Framing.LENGTH,
                    connection="close",
                    date=self._service.date.at(self._service.clock()),
                ),
                body.data,
            )
        )
        self._end(unread=True)

    def _end(self, unread: bool = False) -> None:
        """Close after the last answer. While the client may still be sending, a close would become a
        reset that destroys the answer on its way (RFC 9112 section 9.6): end our side, drop theirs."""
        self._quick = False
        self._head = None
        if self._eof or not (unread or self._decoder is not None or len(self._reader)):
            self.close()
            return
        self._lingering = True
        self._decoder = None
        self._dropped = 0
        self._reader.rest()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
