"""HTTP/2 on one connection: bytes to frames, frames to streams (RFC 9113). Requests and content:
http2_requests. Answers: http2_answers. What leaves: http2_output.

All frames of one read are taken in one pass, and what they cause leaves in as few writes. A request whose
field block this connection has seen before, with the dynamic table as it is now, is answered in that
pass from the memo, without being decoded; any other may become a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from edgeproxy.serving import ending
from edgeproxy.serving.http2_control import WARNING, Controlling
from edgeproxy.serving.http2_frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FIELDS_MAX,
    FRAME_BYTES_MIN,
    GOAWAY,
    HEAD,
    HEAD_BYTES,
    HEADERS,
    INITIAL_WINDOW,
    NO_RFC7540_PRIORITIES,
    PING,
    PREFACE,
    PRIORITY,
    PRIORITY_UPDATE,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    STREAMS_MAX,
    WINDOW_DEFAULT,
    WINDOW_MAX,
    WINDOW_UPDATE,
    Code,
    ConnectionFault,
    StreamFault,
    frame,
    goaway_frame,
    reset_frame,
    settings_frame,
    window_frame,
)
from edgeproxy.serving.http2_guard import EARNED, EARNING_BYTES
from edgeproxy.serving.http2_output import SHARE_BYTES, Output
from edgeproxy.serving.http2_requests import DROP_BYTES
from edgeproxy.serving.http2_stream import Stream
from edgeproxy.serving.http2_window import STREAM_BYTES_MIN
from edgeproxy.serving.proxy_protocol import ProxyHeaderError, parse_proxy_header

LINGER_SECONDS = 2.0  # for a client to read why its connection ends
GONE_SECONDS = 1.0  # without progress after the client ended its side
FRAMES_AT_ONCE = 256  # answers written together
WARNING_SECONDS = 1.0  # for a client to learn that no more requests are taken
_WHOLE_REQUEST = END_HEADERS | END_STREAM
_NOTHING: dict[bytes, bytes] = {}


class Connection(Controlling):
    """One client connection. `peer` is the other end's address, "" for a unix socket; `proxied`
    tells that a PROXY header comes first."""

    __slots__ = ()

    # -- what the transport tells --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._settle(transport)
        self._service.opened(self)

    def take_over(self, transport: asyncio.BaseTransport, client: str) -> None:
        """Go on with a connection of `client` on which the preface was seen, and any PROXY header
        taken before it."""
        self._client, self._proxied = client, False
        self._settle(transport)

    def _settle(self, transport: asyncio.BaseTransport) -> None:
        limits = self._service.limits
        self._transport = transport
        bound = limits.write_buffer
        piece = max(bound // 2, 4096)
        self._transport.set_write_buffer_limits(high=bound // 2, low=bound // 8)
        self._output = output = Output(
            transport, asyncio.get_running_loop(), piece, self._finished, self._broken
        )
        values = {
            STREAMS_MAX: limits.streams,
            INITIAL_WINDOW: min(STREAM_BYTES_MIN, limits.stream_window),
            FIELDS_MAX: limits.head,
            NO_RFC7540_PRIORITIES: 1,
        }
        output.put(settings_frame(values))
        if self._incoming.size > WINDOW_DEFAULT:
            output.put(window_frame(0, self._incoming.size - WINDOW_DEFAULT))

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            self._dropped += len(data)
            if self._dropped > DROP_BYTES:
                self.abort()
            return
        if self._kept:
            data, self._kept = self._kept + data, b""
        if not self._begun:
            data = self._opened(data)
            if not self._begun:
                self._kept = data
                return
        served = self.served
        try:
            at = self._take(data)
        except ConnectionFault as fault:
            self._fail(fault)
            return
        except Exception as error:  # noqa: BLE001 - the outermost step: one connection fails, not the node
            self._broken(error)
            return
        if at < len(data):
            self._kept = data[at:]
        output = self._output
        sent = output.sent
        self._guard.idle.earn(EARNED * (self.served - served) + (sent - self._paid) // EARNING_BYTES)
        self._paid = sent
        if self.served >= self.served_max:
            self.drain()
        output.flush()
        if output.is_stuck:
            self._fail(ConnectionFault(Code.ENHANCE_YOUR_CALM, "answers are not read"))

    def eof_received(self) -> bool:
        self._eof = True
        # After the closing alert of one side a TLS transport sends nothing more.
        secured = ending.is_secured(self._transport)
        for stream in tuple(self._streams.values()):
            if secured or not stream.remote_ended:
                self._end_abruptly(stream)
        # A client that only ended its side still gets its answers, as long as it takes bytes.
        waiting = bool(self._streams) or self._output.full
        return waiting and not self._lingering and not secured

    def connection_lost(self, exc: Exception | None) -> None:
        self._lingering = True
        self._output.stop()
        self._stop_timer()
        for stream in tuple(self._streams.values()):
            self._end_abruptly(stream)
        self._service.lost(self, self._peer)

    def pause_writing(self) -> None:
        self._output.pause()

    def resume_writing(self) -> None:
        self._output.resume()
        if self._eof and not self._streams:
            self.close()

    # -- bytes to frames -----------------------------------------------------------------------

    def _opened(self, data: bytes) -> bytes:
        """Take what comes before the first frame; what is left is to be kept until it has begun."""
        if self._proxied:
            try:
                header = parse_proxy_header(data)
            except ProxyHeaderError:
                self._service.metrics.count("bad_requests_total", "proxy")
                self._lingering = True
                self._transport.abort()
                return b""
            if header is None:
                return data
            self._proxied = False
            self._client = header.client or self._peer
            data = data[header.size :]
        if not data.startswith(PREFACE):
            if PREFACE.startswith(data):
                return data
            self._fail(ConnectionFault(Code.PROTOCOL_ERROR, "not the preface of HTTP/2"))
            return b""
        self._begun = True
        return data[len(PREFACE) :]

    def _take(self, data: bytes) -> int:
        """Take all whole frames of `data`; where the first unfinished one starts."""
        at, end = 0, len(data)
        read_head, recall = HEAD.unpack_from, self._memo.recall
        output, now = self._output, self._service.clock()
        log = self._service.log
        known = self._at_hand()
        while end - at >= HEAD_BYTES:
            word, flags, stream_id = read_head(data, at)
            stop = at + HEAD_BYTES + (word >> 8)
            if stop > end:
                if word >> 8 > FRAME_BYTES_MIN:
                    raise ConnectionFault(Code.FRAME_SIZE_ERROR, "a frame larger than allowed")
                break
            entry = None
            if word & 0xFF == HEADERS and flags == _WHOLE_REQUEST and stream_id == self._last_id + 2:
                key = known.get(data[at + HEAD_BYTES : stop])
                if key is not None:
                    entry = recall(key, now)
            if entry is None:
                self._take_frame(word & 0xFF, flags, stream_id & WINDOW_MAX, data[at + HEAD_BYTES : stop])
                if self._lingering:
                    return end
                known = self._at_hand()
            else:
                self._last_id = stream_id
                self.served += 1
                self._taken += 1
                length = entry.length
                if entry.frames and length <= output.window and length <= output.initial_window:
                    output.window -= length
                    output.sent += length
                    output.frames.append(data[at + 5 : at + 9].join(entry.frames))
                    output.ahead += length
                    if output.ahead > SHARE_BYTES or len(output.frames) > FRAMES_AT_ONCE:
                        output.flush()
                        known = self._at_hand()
                else:
                    self._send_recalled(stream_id, entry)
                    known = self._at_hand()
                if log.enabled:
                    log.put((entry, now, self._client))
            at = stop
        return at

    def _at_hand(self) -> dict[bytes, bytes]:
        """The field blocks that may be answered without looking at them."""
        if (
            self._block is not None
            or self._owes_table_update
            or self._output.full
            or self._is_crowded
            or self._is_going
        ):
            return _NOTHING
        return self._known

    def _take_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Take one frame by its kind. Raises ConnectionFault."""
        self._taken += 1
        if len(payload) > FRAME_BYTES_MIN:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "a frame larger than allowed")
        if not self._greeted and kind != SETTINGS:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        if self._block is not None and kind != CONTINUATION:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "another frame within a field block")
        try:
            _TAKERS.get(kind, _take_unknown)(self, flags, stream_id, payload)
        except StreamFault as fault:
            stream = self._streams.get(fault.stream_id)
            if stream is None:
                self._output.put(reset_frame(fault.stream_id, fault.code))
                self._note_reset(fault.stream_id)
                self._service.metrics.count("http2_resets_total", "node")
            else:
                self._reset(stream, fault.code)
            if fault.code is not Code.REFUSED_STREAM:
                self._spend_reset()

    # -- its life ------------------------------------------------------------------------------

    @property
    def streams(self) -> Iterable[Stream]:
        return self._streams.values()

    @property
    def is_idle(self) -> bool:
        return (
            not self._streams
            and not self._kept
            and not self._lingering
            and not ending.unsent(self._transport)
        )

    def pulse(self) -> tuple[str, float, object, object]:
        limits, output = self._service.limits, self._output
        waiting = ending.unsent(self._transport)
        if self._lingering and not (waiting and self._transport.is_closing()):
            return ("linger", LINGER_SECONDS, None, None)
        if waiting:
            return ("write", limits.write_timeout, waiting, (output.sent, self.served))
        if not self._begun or self._block is not None or self._kept:
            if self._kept[3:4] != bytes((DATA,)) or not self._begun:
                return ("head", limits.head_timeout, self._taken, None)
            return ("body", limits.body_timeout, len(self._kept), self._taken)
        if output.is_waiting:
            return ("write", limits.write_timeout, output.window, output.sent)
        if self._streams:
            return ("gone", GONE_SECONDS if self._eof else 0.0, output.sent, self.served)
        return ("idle", limits.idle_timeout, self.served, None)

    def expire(self, phase: str) -> None:
        """End for lack of progress."""
        if phase in ("write", "gone", "linger") or self._transport.is_closing():
            self.abort()
        elif phase in ("head", "body") and self._begun:
            self._fail(ConnectionFault(Code.ENHANCE_YOUR_CALM, "a frame took too long"))
        else:
            self.close()

    def drain(self) -> None:
        """Answer what has been asked, then end. The first GOAWAY only warns, so that no request on its
        way is lost (section 6.8)."""
        if self._warned or self._lingering:
            return
        self._warned = True
        self._timer = asyncio.get_running_loop().call_later(WARNING_SECONDS, self._go)
        self._output.put(goaway_frame(WINDOW_MAX, Code.NO_ERROR))
        self._output.put(frame(PING, 0, 0, WARNING))

    def _go(self) -> None:
        self._stop_timer()
        if not self._lingering:
            self._output.put(goaway_frame(max(self._last_id, 0), Code.NO_ERROR))
            self._emptied()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _emptied(self) -> None:
        if (self._is_going or self._eof) and not self._streams:
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        """Close when the last answer is out."""
        if not self._streams and not self._lingering:
            self._output.flush()
            if not self._output.frames:
                self.close()

    def close(self) -> None:
        if not self._lingering and not self._is_going and self._begun:
            self._output.put(goaway_frame(max(self._last_id, 0), Code.NO_ERROR))
            self._output.flush()
        self._stop_timer()
        self._warned = self._lingering = True
        ending.close(self._transport)

    def abort(self) -> None:
        self._lingering = True
        ending.break_off(self._transport)

    def _broken(self, error: Exception) -> None:
        self._service.metrics.count("task_errors_total")
        self._service.report(f"a connection of {self._client} failed: {type(error).__name__}: {error}")
        self.abort()

    def _fail(self, fault: ConnectionFault) -> None:
        """End everything, and tell why. A close while the client still sends would become a reset that
        destroys what we tell: end our side, drop theirs."""
        if self._lingering:
            return
        self._service.metrics.count("http2_faults_total", fault.code.name.lower())
        self._output.put(goaway_frame(max(self._last_id, 0), fault.code, str(fault)))
        self._lingering = True
        for stream in tuple(self._streams.values()):
            self._end_abruptly(stream)
        if self._output.full:
            self.abort()
            return
        self._output.flush()
        if ending.is_secured(self._transport):
            ending.close_when_answered(self._transport)
        elif self._transport.can_write_eof():
            self._transport.write_eof()


def _take_unknown(connection: Connection, flags: int, stream_id: int, payload: bytes) -> None:
    """Frames of extensions are ignored (section 5.5)."""
    connection._spend_idle()


_TAKERS: dict[int, Callable[[Connection, int, int, bytes], None]] = {
    DATA: Connection._take_data,
    HEADERS: Connection._take_headers,
    PRIORITY: Connection._take_priority,
    RST_STREAM: Connection._take_reset,
    SETTINGS: Connection._take_settings,
    PUSH_PROMISE: Connection._take_push,
    PING: Connection._take_ping,
    GOAWAY: Connection._take_goaway,
    WINDOW_UPDATE: Connection._take_window,
    CONTINUATION: Connection._take_continuation,
    PRIORITY_UPDATE: Connection._take_priority_update,
}
