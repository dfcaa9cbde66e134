"""Frames about the connection as a whole: settings, windows, priorities, pings (RFC 9113 section 6)."""

from __future__ import annotations

from edgeproxy.serving.http2_frames import (
    ACK,
    FRAME_MAX,
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW,
    PING,
    SETTINGS,
    WINDOW_MAX,
    Code,
    ConnectionFault,
    StreamFault,
    depends_on,
    frame,
    number,
    parse_settings,
)
from edgeproxy.serving.http2_order import Priority, parse_priority
from edgeproxy.serving.http2_requests import Requesting

WARNING = b"drain..."  # the PING after the first GOAWAY: when it is back, the client has seen that


class Controlling(Requesting):
    """The controlling part of a connection."""

    __slots__ = ()

    def _go(self) -> None:
        """Tell for good which streams are answered."""
        raise NotImplementedError

    def _take_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & ACK:
            if payload:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, "an acknowledgement with content")
            self._spend_idle()
            return
        self._spend_idle(1.0 + len(payload) / 6)
        for name, value in parse_settings(payload):
            if name == INITIAL_WINDOW:
                self._resize_windows(value)
            elif name == FRAME_MAX:
                self._output.frame_max = value
            elif name == HEADER_TABLE_SIZE and value != self._table_size:
                self._table_size = value
                self._owes_table_update = True  # RFC 7541 section 4.2
        self._greeted = True
        self._output.put(frame(SETTINGS, ACK, 0))

    def _resize_windows(self, size: int) -> None:
        """Section 6.9.2: the change applies to every open stream, also below zero."""
        change = size - self._output.initial_window
        self._output.initial_window = size
        for stream in self._streams.values():
            stream.window += change
            if stream.window > WINDOW_MAX:
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "a window too large")
            self._output.add(stream)

    def _take_window(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "WINDOW_UPDATE of a wrong length")
        increment = number(payload)
        self._spend_idle()
        output = self._output
        if not stream_id:
            output.window += increment
            if not increment or output.window > WINDOW_MAX:
                code = Code.FLOW_CONTROL_ERROR if increment else Code.PROTOCOL_ERROR
                raise ConnectionFault(code, "a wrong WINDOW_UPDATE")
            output.wake()
            return
        stream = self._streams.get(stream_id)
        if stream is None:
            if stream_id > self._last_id and not self._is_going:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "WINDOW_UPDATE on a stream that is idle")
            return
        stream.window += increment
        if not increment or stream.window > WINDOW_MAX:
            code = Code.FLOW_CONTROL_ERROR if increment else Code.PROTOCOL_ERROR
            raise StreamFault(stream_id, code, "a wrong WINDOW_UPDATE")
        output.add(stream)

    def _take_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "PING of a wrong length")
        self._spend_idle()
        if not flags & ACK:
            self._output.put(frame(PING, ACK, 0, payload))
        elif payload == WARNING and self._timer is not None:
            self._go()

    def _take_priority(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Obsolete (section 5.3.2); only its form is checked."""
        if not stream_id:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "PRIORITY without a stream")
        self._spend_idle()
        code = None
        if len(payload) != 5:
            code = Code.FRAME_SIZE_ERROR
        elif depends_on(payload) == stream_id:
            code = Code.PROTOCOL_ERROR
        if code is None:
            return
        if stream_id > self._last_id:  # RST_STREAM must not be sent for a stream that is idle
            raise ConnectionFault(code, "a wrong PRIORITY")
        raise StreamFault(stream_id, code, "a wrong PRIORITY")

    def _take_priority_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        """RFC 9218 section 7.1."""
        if stream_id:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "PRIORITY_UPDATE on a stream")
        if len(payload) < 4:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "PRIORITY_UPDATE of a wrong length")
        self._spend_idle()
        about = number(payload[:4])
        if not about & 1:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "PRIORITY_UPDATE of no stream of a client's")
        priority = parse_priority(payload[4:].decode("latin-1"))
        stream = self._streams.get(about)
        if stream is not None:
            self._output.move(stream, priority)
        elif about > self._last_id:
            self._foretell(about, priority)

    def _foretell(self, stream_id: int, priority: Priority) -> None:
        """Keep the priority of a stream that is still to come; of those left out, nothing is kept."""
        foretold = self._foretold
        if len(foretold) >= self._service.limits.streams:
            for old in [old for old in foretold if old <= self._last_id]:
                del foretold[old]
        if len(foretold) < self._service.limits.streams:
            foretold[stream_id] = priority

    def _take_goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        """The client opens no more streams; what is open goes on."""
        if stream_id:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "GOAWAY on a stream")
        self._spend_idle()

    def _take_push(self, flags: int, stream_id: int, payload: bytes) -> None:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "PUSH_PROMISE from a client")
