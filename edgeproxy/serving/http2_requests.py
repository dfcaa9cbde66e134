"""Frames that carry requests: field blocks, content, trailers, resets (RFC 9113 sections 6.1, 6.2, 6.4
and 6.10). The requesting half of http2."""

from __future__ import annotations

import time

from edgeproxy.errors import BodyAborted, RequestError
from edgeproxy.message import Headers
from edgeproxy.serving.http2_connect import Connecting
from edgeproxy.serving.http2_frames import (
    END_HEADERS,
    END_STREAM,
    PADDED,
    WITH_PRIORITY,
    Code,
    ConnectionFault,
    StreamFault,
    depends_on,
    unpadded,
    window_frame,
)
from edgeproxy.serving.http2_guard import BLOCK_FRAMES_MAX
from edgeproxy.serving.http2_head import Malformed, check_trailers, parse_fields
from edgeproxy.serving.http2_hpack import RawPairs
from edgeproxy.serving.http2_memo import memo_key
from edgeproxy.serving.http2_stream import Stream
from edgeproxy.serving.request_body import IncomingBody

DROP_BYTES = 64 << 10  # unwanted content read before an answer
_KNOWN_MAX = 64  # field blocks known on one connection
_GAPS_KEPT = 64


class FieldBlock:
    """A field block in parts."""

    __slots__ = ("ended", "frames", "pieces", "self_dependent", "size", "stream_id")

    def __init__(self, stream_id: int, ended: bool, self_dependent: bool) -> None:
        self.stream_id = stream_id
        self.ended = ended
        self.self_dependent = self_dependent
        self.pieces: list[bytes] = []
        self.size = 0
        self.frames = 0


class Requesting(Connecting):
    """The requesting half of a connection."""

    __slots__ = ()

    # -- field blocks --------------------------------------------------------------------------

    def _take_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id & 1:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "HEADERS on a stream that is not a client's")
        if flags & PADDED:
            payload = unpadded(payload)
        depends = False
        if flags & WITH_PRIORITY:
            if len(payload) < 5:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, "HEADERS without the priority announced")
            depends = depends_on(payload) == stream_id
            payload = payload[5:]
        block = FieldBlock(stream_id, bool(flags & END_STREAM), depends)
        self._add_to_block(block, flags, payload)

    def _take_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        block: FieldBlock | None = self._block
        if block is None or block.stream_id != stream_id:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "CONTINUATION of nothing")
        block.frames += 1
        if block.frames > BLOCK_FRAMES_MAX:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many CONTINUATION frames")
        self._add_to_block(block, flags, payload)

    def _add_to_block(self, block: FieldBlock, flags: int, payload: bytes) -> None:
        block.pieces.append(payload)
        block.size += len(payload)
        if block.size > 2 * self._service.limits.head:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "a field block beyond any limit")
        if not flags & END_HEADERS:
            self._block = block
            return
        self._block = None
        self._take_block(block, block.pieces[0] if len(block.pieces) == 1 else b"".join(block.pieces))

    def _take_block(self, block: FieldBlock, data: bytes) -> None:
        pairs, changed = self._reader.read(data)
        if changed:
            self._known.clear()
        stream_id = block.stream_id
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._take_trailers(stream, pairs, ended=block.ended)
            return
        if stream_id <= self._last_id:
            self._take_late(stream_id, "HEADERS")
            return
        if self._is_going:
            return  # the client knows from GOAWAY that this was not looked at
        if stream_id > self._last_id + 2:
            self._gaps.append((self._last_id, stream_id))
            del self._gaps[:-_GAPS_KEPT]
        self._last_id = stream_id
        if block.self_dependent:
            raise StreamFault(stream_id, Code.PROTOCOL_ERROR, "a stream depends on itself")
        if self._is_crowded:
            self._spend_idle()
            raise StreamFault(stream_id, Code.REFUSED_STREAM, "too many streams")
        self._begin(stream_id, pairs, ended=block.ended, known=None if changed else data)

    @property
    def _is_crowded(self) -> bool:
        """Whether there are too many streams. Work that ends as fast as it can after a reset is in
        nobody's way, but counts: else resets would multiply it."""
        most, streams = self._service.limits.streams, len(self._streams)
        return streams >= most or streams + self._leaving >= 2 * most

    def _take_late(self, stream_id: int, what: str) -> None:
        """A frame for a stream that is no longer open (section 5.1). One that we have reset may have
        been on its way then; for any other it is against the rules."""
        if stream_id in self._resets:
            self._spend_idle()
            return
        if any(first < stream_id < last for first, last in self._gaps):
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"{what} on a stream that was left out")
        raise ConnectionFault(Code.STREAM_CLOSED, f"{what} on a closed stream")

    @property
    def _is_going(self) -> bool:
        """Whether GOAWAY has told for good which streams are answered."""
        return self._warned and self._timer is None

    def _spend_idle(self, cost: float = 1.0) -> None:
        """Count a frame that asks for nothing. Raises ConnectionFault when there are too many."""
        if not self._guard.idle.spend(time.monotonic(), cost):
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many frames without content or request")

    def _spend_reset(self) -> None:
        """Count a stream that the client broke off, or made us break off."""
        if not self._guard.resets.spend(time.monotonic()):
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many streams broken off")

    # -- requests ------------------------------------------------------------------------------

    def _begin(self, stream_id: int, pairs: RawPairs, *, ended: bool, known: bytes | None) -> None:
        """A new request. `known` is its field block where that may be recognised when it comes again."""
        service = self._service
        limits = service.limits
        self.served += 1
        try:
            head = parse_fields(pairs, limits, service.scheme, ended=ended, any_scheme=self._any_scheme)
            connects = service.connects
            if head.method == "CONNECT" and connects is None:
                raise RequestError(405, "CONNECT is not answered here")
            unwanted = head.method in ("GET", "HEAD")
            most = min(DROP_BYTES, limits.body) if unwanted else limits.body
            if head.length is not None and head.length > most:
                raise RequestError(413, "request content too large")
        except Malformed as error:
            service.metrics.count("bad_requests_total", "malformed")
            raise StreamFault(stream_id, Code.PROTOCOL_ERROR, str(error)) from None
        except RequestError as error:
            self._refuse(self._open(stream_id, None, ended=ended), error)
            return
        if head.memorable and self._memorable:
            key = memo_key(pairs)
            if self._recalled(stream_id, key, known):
                return
        else:
            key = b""
        stream = self._open(stream_id, head, ended=ended)
        if connects is not None and head.method == "CONNECT":
            self._connect(connects, stream, head)
            return
        stream.key = key
        if ended:
            self._start(stream)
            return
        stream.expected = head.length
        stream.content_max = most
        stream.owes_continue = head.expects_continue
        if unwanted:  # read and dropped before the answer: it never reaches a handler
            self._continue(stream)
            return
        stream.body = IncomingBody(head.length, lambda: self._continue(stream), lambda: self._credit(stream))
        self._start(stream)

    def _recalled(self, stream_id: int, key: bytes, known: bytes | None) -> bool:
        """Answer from the memo, if it is there."""
        now = self._service.clock()
        entry = self._memo.recall(key, now)
        if entry is None:
            return False
        if known is not None and len(known) <= self._service.limits.memo_head:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[known] = key
        self._send_recalled(stream_id, entry)
        log = self._service.log
        if log.enabled:
            log.put((entry, now, self._client))
        return True

    # -- content and trailers ------------------------------------------------------------------

    def _take_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        if not self._incoming.take(size):
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "more content than the connection's window")
        if not size and not flags & END_STREAM:
            self._spend_idle()
        stream = self._streams.get(stream_id)
        if stream is None:
            self._credit_connection(size)
            if stream_id > self._last_id or not stream_id & 1:
                if not self._is_going or not stream_id:
                    raise ConnectionFault(Code.PROTOCOL_ERROR, "DATA on a stream that is idle")
                return
            self._take_late(stream_id, "DATA")
            return
        if stream.remote_ended:
            self._credit_connection(size)
            raise StreamFault(stream_id, Code.STREAM_CLOSED, "DATA after the end of a stream")
        content = unpadded(payload) if flags & PADDED else payload
        if not stream.incoming.take(size):
            self._credit_connection(size)
            raise StreamFault(stream_id, Code.FLOW_CONTROL_ERROR, "more content than the stream's window")
        if len(content) < size:
            self._credit_connection(size - len(content))
            told = stream.incoming.give(size - len(content))
            if told:
                self._output.put(window_frame(stream_id, told))
        self._take_content(stream, content)
        if flags & END_STREAM and not stream.is_closed:
            self._content_ended(stream, Headers())

    def _take_content(self, stream: Stream, content: bytes) -> None:
        stream.received += len(content)
        if stream.expected is not None and stream.received > stream.expected:
            raise StreamFault(stream.id, Code.PROTOCOL_ERROR, "content longer than its length")
        body = stream.body
        if stream.received > stream.content_max:
            error = RequestError(413, "request content too large")
            if body is not None:
                stream.body = None
                body.fail(error)
            elif stream.task is None and not stream.answered:
                self._refuse(stream, error)
        elif body is not None:
            body.feed(content)
            return
        self._credit(stream)

    def _content_ended(self, stream: Stream, trailers: Headers) -> None:
        if stream.expected is not None and stream.received != stream.expected:
            raise StreamFault(stream.id, Code.PROTOCOL_ERROR, "content shorter than its length")
        stream.remote_ended = True
        if stream.body is not None:
            stream.body.trailers = trailers
            stream.body.finish()
        elif stream.task is None and not stream.answered:
            self._start(stream)

    def _take_trailers(self, stream: Stream, pairs: RawPairs, *, ended: bool) -> None:
        if stream.remote_ended:
            raise StreamFault(stream.id, Code.STREAM_CLOSED, "HEADERS after the end of a stream")
        if not ended:
            raise StreamFault(stream.id, Code.PROTOCOL_ERROR, "trailers that do not end the stream")
        try:
            trailers = check_trailers(pairs, self._service.limits)
        except Malformed as error:
            raise StreamFault(stream.id, Code.PROTOCOL_ERROR, str(error)) from None
        self._content_ended(stream, trailers)

    # -- resets --------------------------------------------------------------------------------

    def _take_reset(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "RST_STREAM of a wrong length")
        if not stream_id or (stream_id > self._last_id and not self._is_going):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "RST_STREAM on a stream that is idle")
        stream = self._streams.get(stream_id)
        if stream is None:
            self._spend_idle()
            return
        self._service.metrics.count("http2_resets_total", "client")
        self._end_abruptly(stream)
        self._spend_reset()

    def _end_abruptly(self, stream: Stream) -> None:
        """The client has no use for `stream` any more."""
        if stream.task is not None and not stream.task.done():
            self._service.metrics.count("client_aborts_total")
        if stream.body is not None:
            stream.body.fail(BodyAborted("the client left within its request"))
        self._close(stream, cancel=True)
