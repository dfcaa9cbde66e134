"""Requests answered on the streams of one HTTP/2 connection: the answering half of http2.

A stream ends with END_STREAM only after a whole answer; where content is owed it ends with
RST_STREAM(INTERNAL_ERROR)."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

from edgeproxy.errors import BodyAborted, RequestError
from edgeproxy.message import Body, BytesBody, Certified, FileSlice, Headers, Request, Response
from edgeproxy.serving.body_writer import close_parts
from edgeproxy.serving.exchange import Progress, account, account_refusal, ask, make_request
from edgeproxy.serving.head import Head
from edgeproxy.serving.http2_frames import (
    DATA,
    END_STREAM,
    Code,
    frame,
    headers_frames,
    reset_frame,
    window_frame,
)
from edgeproxy.serving.http2_guard import Guard
from edgeproxy.serving.http2_hpack import (
    TABLE_BYTES,
    TABLE_UPDATE,
    FieldReader,
    encode_fields,
    encode_response,
)
from edgeproxy.serving.http2_memo import RememberedFrames
from edgeproxy.serving.http2_order import Priority, parse_priority
from edgeproxy.serving.http2_output import Output
from edgeproxy.serving.http2_stream import Stream
from edgeproxy.serving.http2_window import CONNECTION_BYTES_MIN, STREAM_BYTES_MIN, Window
from edgeproxy.serving.request_memo import is_reusable
from edgeproxy.serving.response_head import Framing, breakdown, framing_of, refusal
from edgeproxy.serving.service import Service

_RESET_KEPT = 1024  # streams we reset, remembered because frames for them may still be on their way


class Answering(asyncio.Protocol):
    """The answering half of a connection, with the state of all of it. `peer` is the other end's
    address, "" for a unix socket; `proxied` tells that a PROXY header comes first, `client` what one told
    that is gone already. `certified` is the client's verified certificate."""

    __slots__ = (
        "_any_scheme",
        "_begun",
        "_block",
        "_certified",
        "_client",
        "_dropped",
        "_eof",
        "_foretold",
        "_gaps",
        "_greeted",
        "_guard",
        "_incoming",
        "_kept",
        "_known",
        "_last_id",
        "_leaving",
        "_lingering",
        "_memo",
        "_memorable",
        "_output",
        "_owes_table_update",
        "_paid",
        "_peer",
        "_proxied",
        "_reader",
        "_resets",
        "_service",
        "_streams",
        "_table_size",
        "_taken",
        "_timer",
        "_transport",
        "_warned",
        "pulse_seen",
        "pulse_since",
        "served",
        "served_max",
    )

    def __init__(
        self,
        service: Service,
        peer: str,
        proxied: bool,
        *,
        client: str = "",
        certified: Certified | None = None,
    ) -> None:
        limits = service.limits
        self._service = service
        self._peer, self._client = peer, client or peer
        self._proxied = proxied
        self._certified = certified
        self._memo = service.memo_of_frames
        trusted = peer in service.trusted
        # Only what does not depend on who asks is answered from the memo.
        self._memorable = not (proxied or client or certified) and not trusted
        self._any_scheme = proxied or bool(client) or trusted  # it stands for others, and may end their TLS
        self._transport: Any = None
        self._output: Output = None  # type: ignore[assignment]  # until connection_made
        self._reader = FieldReader(2 * limits.head + 64 * limits.fields)
        self._guard = Guard(limits.stream_resets, limits.idle_frames, time.monotonic())
        self._incoming = Window(min(CONNECTION_BYTES_MIN, limits.connection_window), limits.connection_window)
        self._streams: dict[int, Stream] = {}
        self._leaving = 0  # exchanges that still run though their stream is closed
        self._resets: dict[int, None] = {}
        self._last_id = -1  # the newest stream of the client's; the first one is 1
        self._gaps: list[tuple[int, int]] = []  # ids the client has left out
        self._foretold: dict[int, Priority] = {}
        self._known: dict[bytes, bytes] = {}  # field blocks as the dynamic table is now: memo keys
        self._block: Any = None  # a field block that is not whole
        self._kept = b""  # the unfinished frame
        self._begun = False  # the preface is here
        self._greeted = False  # so are the client's settings
        self._owes_table_update = False
        self._table_size = TABLE_BYTES
        self._warned = False  # GOAWAY announced; then with its timer gone, sent for good
        self._timer: asyncio.TimerHandle | None = None
        self._lingering = False
        self._eof = False
        self._dropped = 0
        self._taken = 0  # whole frames
        self._paid = 0  # content sent that idle frames were allowed for
        self.served = 0
        self.served_max = limits.requests_per_connection or 1 << 62
        self.pulse_seen: tuple[object, ...] = ()
        self.pulse_since = 0.0

    @property
    def peer(self) -> str:
        return self._peer

    @property
    def endpoint(self) -> socket.socket | None:
        found: socket.socket | None = self._transport.get_extra_info("socket")
        return found

    def _emptied(self) -> None:
        """No stream is open any more."""
        raise NotImplementedError

    # -- streams begin and end -----------------------------------------------------------------

    def _open(self, stream_id: int, head: Head | None, *, ended: bool) -> Stream:
        stream = Stream(stream_id, head, self._output.initial_window, self._service.limits, self._expired)
        stream.remote_ended = ended
        if not ended:
            limit = self._service.limits.stream_window
            stream.incoming = Window(min(STREAM_BYTES_MIN, limit), limit)
        foretold = self._foretold.pop(stream_id, None) if self._foretold else None
        if foretold is not None:
            stream.priority = foretold
        elif head is not None:
            stream.priority = parse_priority(head.headers.get("priority"))
        self._streams[stream_id] = stream
        return stream

    def _finished(self, stream: Stream) -> None:
        """The end of the answer is out. Content that may still come is not wanted (section 8.1)."""
        if not stream.remote_ended:
            self._output.put(reset_frame(stream.id, Code.NO_ERROR))
            self._note_reset(stream.id)
        self._close(stream)

    def _reset(self, stream: Stream, code: Code, *, cancel: bool = True) -> None:
        """Break `stream` off, so that nobody takes it for whole."""
        if not stream.is_closed:
            self._output.put(reset_frame(stream.id, code))
            self._note_reset(stream.id)
            self._service.metrics.count("http2_resets_total", "node")
            self._close(stream, cancel=cancel)

    def _note_reset(self, stream_id: int) -> None:
        resets = self._resets
        resets[stream_id] = None
        if len(resets) > _RESET_KEPT:
            del resets[next(iter(resets))]

    def _close(self, stream: Stream, *, cancel: bool = False) -> None:
        if stream.is_closed:
            return
        stream.is_closed = True
        del self._streams[stream.id]
        self._output.discard(stream)
        stream.drop()
        unread, stream.credited = stream.received - stream.credited, stream.received
        self._credit_connection(unread)
        if stream.body is not None:
            stream.body.fail(BodyAborted("the client left within its request"))
        task = stream.task
        if task is not None and not task.done():
            # Until it has really ended it counts as a stream: else resets would multiply the work.
            self._leaving += 1
            task.add_done_callback(self._left)
            if cancel:
                task.cancel()
        if not self._streams:
            self._emptied()

    def _left(self, task: asyncio.Task[None]) -> None:
        self._leaving -= 1

    def _expired(self, stream: Stream, phase: str) -> None:
        """A stream made no progress for too long."""
        error = RequestError(408, "the request content took too long")
        if phase == "write":
            self._reset(stream, Code.CANCEL)
        elif stream.body is not None:
            stream.body.fail(error)
        elif stream.task is None and not stream.answered:
            self._refuse(stream, error)

    # -- credit for content --------------------------------------------------------------------

    def _credit(self, stream: Stream) -> None:
        """The handler has read some content: let the client send as much more."""
        if stream.is_closed:
            return
        count = stream.read()
        if count and not stream.remote_ended:
            told = stream.incoming.give(count)
            if told:
                self._output.put(window_frame(stream.id, told))
        self._credit_connection(count)

    def _credit_connection(self, count: int) -> None:
        told = self._incoming.give(count) if count else 0
        if told and not self._lingering:
            self._output.put(window_frame(0, told))

    # -- answers -------------------------------------------------------------------------------

    def _head(self, stream: Stream, block: bytes, *, ends: bool) -> None:
        if self._owes_table_update:
            self._owes_table_update = False
            block = TABLE_UPDATE + block
        output = self._output
        output.put(headers_frames(stream.id, block, output.frame_max, ends_stream=ends))
        if ends:
            stream.is_ended = True
            self._finished(stream)

    def _interim(self, stream: Stream, status: int, headers: Headers) -> None:
        """An interim response, unless it comes too late (RFC 9110 section 15.2)."""
        if not stream.answered and not stream.is_closed:
            self._head(stream, encode_fields(status, headers), ends=False)

    def _continue(self, stream: Stream) -> None:
        if stream.owes_continue and not stream.received and not stream.remote_ended:
            self._interim(stream, 100, Headers())
        stream.owes_continue = False

    def _start(self, stream: Stream) -> None:
        head = stream.head
        assert head is not None
        request = make_request(
            self._service,
            head,
            self._peer,
            self._client,
            stream.body,
            lambda status, headers: self._interim(stream, status, headers),
            self._certified,
        )
        stream.task = self._service.tasks.start(self._exchange(stream, request), "exchange")

    async def _exchange(self, stream: Stream, request: Request) -> None:
        progress = Progress(time.monotonic())
        response = await ask(self._service, request)
        try:
            await self._answer(stream, request, response, progress)
        finally:
            progress.sent = stream.sent
            account(self._service, request, response.outcome, progress)

    async def _answer(self, stream: Stream, request: Request, response: Response, progress: Progress) -> None:
        try:
            block = self._encode(response)
        except ValueError as error:
            await response.body.aclose()
            self._service.report(f"request {request.id}: {error}")
            response = breakdown()
            block = self._encode(response)
        stream.answered = True
        progress.status = response.status
        progress.head_at = time.monotonic()
        try:
            framing = framing_of(response, request.method, request.version)
            # A head that may be a whole answer of gRPC (Trailers-Only) waits: without content it ends all.
            held = response.body.length is None and "grpc-status" in response.headers
            await self._send(stream, block, response.body, framing, held=held)
            progress.complete = True
        except BodyAborted as error:
            self._service.report(f"request {request.id} aborted: {error}")
        except Exception as error:  # noqa: BLE001 - the outermost step of sending
            self._service.metrics.count("task_errors_total")
            self._service.report(f"request {request.id} failed: {type(error).__name__}: {error}")
        finally:
            if not progress.complete:
                self._reset(stream, Code.INTERNAL_ERROR, cancel=False)
            await response.body.aclose()
        if progress.complete and stream.key and is_reusable(response):
            self._remember(stream.key, request, response)

    def _encode(self, response: Response) -> bytes:
        date = self._service.date.at(self._service.clock())
        return encode_response(response.status, response.headers, length=response.body.length, date=date)

    async def _send(self, stream: Stream, block: bytes, body: Body, framing: Framing, *, held: bool) -> None:
        if stream.is_closed:
            raise BodyAborted("the stream is closed")
        if framing is Framing.NONE or body.length == 0:
            self._head(stream, block, ends=True)
            return
        if not held:
            self._head(stream, block, ends=False)
        if type(body) is BytesBody:
            await stream.send(self._output, body.data, len(body.data), end=True)
        else:
            await self._send_parts(stream, body, block if held else b"")

    async def _send_parts(self, stream: Stream, body: Body, head: bytes) -> None:
        """All parts of `body` after a `head` held back. BodyAborted if they end early or are too many."""
        left = body.length
        trailed = hasattr(body, "trailers")
        parts = body.parts()
        try:
            async for part in parts:
                size = part.length if isinstance(part, FileSlice) else len(part)
                if not size:
                    continue
                if left is not None:
                    left -= size
                    if left < 0:
                        raise BodyAborted("a body was longer than announced")
                if head:
                    self._head(stream, head, ends=False)
                    head = b""
                await stream.send(self._output, part, size, end=left == 0 and not trailed)
        finally:
            await close_parts(parts)
        if left:
            raise BodyAborted("a body was shorter than announced")
        if stream.is_ended or stream.is_closed:
            return
        trailers: Headers = getattr(body, "trailers", Headers())
        if head:
            self._head(stream, head, ends=not trailers)
        if trailers:
            self._head(stream, encode_fields(0, trailers), ends=True)
        elif not head:
            self._output.put(frame(DATA, END_STREAM, stream.id))
            stream.is_ended = True
            self._finished(stream)

    def _send_recalled(self, stream_id: int, entry: RememberedFrames) -> None:
        """An answer from the memo that cannot leave in one piece: it needs a stream, but no task."""
        stream = self._open(stream_id, None, ended=True)
        stream.answered = True
        self._head(stream, entry.block, ends=not entry.length)
        if entry.length:
            stream.hold(entry.data, entry.length, end=True)
            self._output.add(stream)

    def _remember(self, key: bytes, request: Request, response: Response) -> None:
        reuse = response.reuse
        if (
            reuse is None
            or len(reuse.data) != reuse.size
            or (request.method == "GET" and type(response.body) is not BytesBody)
        ):
            return
        entry = RememberedFrames(
            request.method, request.target, request.authority, request.headers, reuse, response.outcome
        )
        entry.bind(self._service.metrics)
        self._memo.remember(key, entry)

    def _refuse(self, stream: Stream, error: RequestError) -> None:
        """Answer fields that are no acceptable request."""
        account_refusal(self._service, self._client, error)
        response = refusal(error)
        body = response.body
        assert isinstance(body, BytesBody)
        stream.answered = True
        self._head(stream, self._encode(response), ends=False)
        stream.hold(body.data, len(body.data), end=True)
        self._output.add(stream)
