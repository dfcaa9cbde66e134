"""One connection of HTTP/2, by prior knowledge or as TLS negotiates, with several streams if wanted.

Frames and field blocks are read by the code of the node (edgeproxy.serving.http2_frames, http2_hpack): a
state machine for all of HTTP/2 makes a generator several times slower, and so the limit. That both ends
share a misunderstanding is kept out by other servers: nginx, HAProxy and grpcio answer it, and h2load agrees
with its figures. Requests use the static table only, so a block means the same on every connection."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import cast
from urllib.parse import urlsplit

from benchmarks.generator.exchange import Exchange, Owner, Wanted
from benchmarks.generator.http1 import expecting
from benchmarks.generator.plan import Plan
from edgeproxy.serving import http2_frames as h2
from edgeproxy.serving.http2_hpack import FieldReader, RawPairs

_STREAM_WINDOW = h2.WINDOW_MAX  # no body of ours is larger: streams need no updates
_WINDOW = 1 << 30
_FIELDS_MAX = 256 << 10
_BLOCK_MAX = 256 << 10
_MEMO_MAX = 64
RawFields = list[tuple[str, str]]
_LITERALS = {":path": b"\x04", ":authority": b"\x01"}  # the index of the name, without indexing the field


def field_block(pairs: list[tuple[str, str]]) -> bytes:
    """The fields of a request, static or literal (RFC 7541 section 6.2.2)."""
    static = {(":method", "GET"): b"\x82", (":method", "POST"): b"\x83"}
    static |= {(":scheme", "http"): b"\x86", (":scheme", "https"): b"\x87"}
    parts = []
    for name, value in pairs:
        if known := static.get((name, value)):
            parts.append(known)
        else:
            parts.append((_LITERALS.get(name) or b"\0" + _string(name)) + _string(value))
    return b"".join(parts)


def _string(text: str) -> bytes:
    raw = text.encode("latin-1")
    if len(raw) < 127:
        return bytes((len(raw),)) + raw
    left, length = len(raw) - 127, bytearray((127,))
    while left >= 128:
        length.append(left & 127 | 128)
        left >>= 7
    length.append(left)
    return bytes(length) + raw


def request_pairs(url: str, method: str, target: str, fields: tuple[tuple[str, str], ...]) -> RawFields:
    """The fields of a request with the pseudo-fields first (RFC 9113 section 8.3.1)."""
    address = urlsplit(url)
    authority = next((value for name, value in fields if name.lower() == "host"), address.netloc)
    pairs = [(":method", method), (":scheme", address.scheme), (":authority", authority), (":path", target)]
    return pairs + [(name.lower(), value) for name, value in fields if name.lower() != "host"]


def wanted(url: str, target: str, fields: tuple[tuple[str, str], ...]) -> Wanted:
    """The request for a target, and the bytes of its answer if bodies.py knows them."""
    return expecting(target, field_block(request_pairs(url, "GET", target, fields)))


class _Stream:
    """An answer that comes."""

    __slots__ = ("exchange", "grpc_status", "position", "status", "trouble")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.status = self.position = 0
        self.trouble = ""
        self.grpc_status = b""


class Http2Connection(asyncio.BufferedProtocol):
    """Open from when the server's settings came (a fresh one: at once) until GOAWAY or the end."""

    def __init__(self, owner: Owner, buffer: bytearray, plan: Plan) -> None:
        self._owner, self._plan = owner, plan
        self._buffer, self._view = buffer, memoryview(buffer)
        self._transport: asyncio.Transport | None = None
        self.is_open = False
        self._rest = b""  # the beginning of a frame
        self._reader = FieldReader(_FIELDS_MAX)
        self._memo: dict[bytes, RawPairs] = {}
        self._streams: dict[int, _Stream] = {}
        self._next_id = 1
        self._block: tuple[int, bytes, bool] | None = None  # fields that go on in CONTINUATION
        self._received = 0  # since the window was opened last
        self._send_window = h2.WINDOW_DEFAULT
        self._unsent: deque[tuple[int, bytes]] = deque()  # content that waits for the window
        self._has_settings = self._is_leaving = False

    # -- for the owner ------------------------------------------------------------------------------

    def ask(self, exchange: Exchange) -> None:
        stream_id, self._next_id = self._next_id, self._next_id + 2
        exchange.connection = self
        self._streams[stream_id] = _Stream(exchange)
        wanted = exchange.wanted
        content = wanted.content
        flags = h2.END_HEADERS if content else h2.END_HEADERS | h2.END_STREAM
        head = h2.frame(h2.HEADERS, flags, stream_id, wanted.head)
        if content:
            if self._unsent or len(content) > self._send_window:
                self._unsent.append((stream_id, content))
            else:
                self._send_window -= len(content)
                head += h2.frame(h2.DATA, h2.END_STREAM, stream_id, content)
        self._write(head)

    def give_up(self, exchange: Exchange) -> None:
        for stream_id, stream in self._streams.items():
            if stream.exchange is exchange:
                del self._streams[stream_id]
                self._write(h2.reset_frame(stream_id, h2.Code.CANCEL))
                self._freed()
                return

    def close(self) -> None:
        self.is_open = False
        if self._transport is not None:
            self._transport.close()

    # -- asyncio.BufferedProtocol -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        settings = {h2.ENABLE_PUSH: 0, h2.INITIAL_WINDOW: _STREAM_WINDOW}
        self._write(h2.PREFACE + h2.settings_frame(settings) + h2.window_frame(0, _WINDOW))
        if self._plan.is_fresh:
            self.is_open = True
            self._owner.opened(self, 1)

    def get_buffer(self, sizehint: int) -> memoryview:
        rest = self._rest
        if not rest:
            return self._view
        self._buffer[: len(rest)] = rest
        return self._view[len(rest) :]

    def buffer_updated(self, count: int) -> None:
        end = len(self._rest) + count
        try:
            at = self._frames(end, monotonic())
        except (h2.ConnectionFault, IndexError):
            self._break("malformed answer")
            return
        self._rest = bytes(self._view[at:end]) if at < end else b""

    def eof_received(self) -> None:
        return None

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            where = "within an answer" if stream.status else "before an answer"
            self._owner.failed(stream.exchange, f"{'reset' if error else 'closed'} {where}")
        self._owner.lost(self)

    # -- frames -------------------------------------------------------------------------------------

    def _frames(self, end: int, now: float) -> int:
        """Take the whole frames before `end`; where the first that is not whole begins."""
        at, view, unpack = 0, self._view, h2.HEAD.unpack_from
        while end - at >= h2.HEAD_BYTES:
            size_and_kind, flags, stream_id = unpack(view, at)
            size = size_and_kind >> 8
            if size > h2.FRAME_BYTES_MIN:
                raise h2.ConnectionFault(h2.Code.FRAME_SIZE_ERROR, "a frame larger than allowed")
            begin, after = at + h2.HEAD_BYTES, at + h2.HEAD_BYTES + size
            if after > end:
                break
            kind = size_and_kind & 0xFF
            if self._block is not None and kind != h2.CONTINUATION:
                raise h2.ConnectionFault(h2.Code.PROTOCOL_ERROR, "a frame within a field block")
            if kind == h2.DATA:
                self._data(stream_id, flags, view[begin:after], now)
            elif kind == h2.HEADERS:
                self._headers(stream_id, flags, bytes(view[begin:after]), now)
            else:
                self._other(kind, stream_id, flags, bytes(view[begin:after]), now)
            at = after
        return at

    def _data(self, stream_id: int, flags: int, payload: memoryview, now: float) -> None:
        self._received += len(payload)
        if self._received > _WINDOW >> 1:
            self._write(h2.window_frame(0, self._received))
            self._received = 0
        if flags & h2.PADDED:
            payload = memoryview(h2.unpadded(bytes(payload)))
        if (stream := self._streams.get(stream_id)) is None:
            return
        if len(payload):
            self._owner.received += len(payload)
            if not stream.trouble and not stream.exchange.wanted.is_right(stream.position, payload):
                stream.trouble = "wrong bytes"
            stream.position += len(payload)
        if flags & h2.END_STREAM:
            self._end(stream_id, stream, now)

    def _headers(self, stream_id: int, flags: int, payload: bytes, now: float) -> None:
        if flags & h2.PADDED:
            payload = h2.unpadded(payload)
        if flags & h2.WITH_PRIORITY:
            payload = payload[5:]
        if not flags & h2.END_HEADERS:
            self._block = (stream_id, payload, bool(flags & h2.END_STREAM))
            return
        self._fields(stream_id, payload, bool(flags & h2.END_STREAM), now)

    def _continued(self, stream_id: int, flags: int, payload: bytes, now: float) -> None:
        if self._block is None or self._block[0] != stream_id or len(self._block[1]) > _BLOCK_MAX:
            raise h2.ConnectionFault(h2.Code.PROTOCOL_ERROR, "a field block that does not go on so")
        _, before, ends = self._block
        self._block = (stream_id, before + payload, ends)
        if flags & h2.END_HEADERS:
            self._block = None
            self._fields(stream_id, before + payload, ends, now)

    def _fields(self, stream_id: int, block: bytes, ends: bool, now: float) -> None:
        """A head, an interim head or trailers. Read also for a stream given up: the table goes on."""
        pairs = self._memo.get(block)
        if pairs is None:
            pairs, has_changed = self._reader.read(block)
            if has_changed or len(self._memo) >= _MEMO_MAX:
                self._memo.clear()  # a block may mean something else from now on
            if not has_changed:
                self._memo[block] = pairs
        if (stream := self._streams.get(stream_id)) is None:
            return
        if not stream.exchange.first_byte:
            stream.exchange.first_byte = now
        for name, value in pairs:
            if name == b":status":
                stream.status = int(value) if len(value) == 3 and value.isdigit() else 0
                if stream.status != self._plan.status and stream.status >= 200:
                    stream.trouble = f"status {stream.status}"
            elif name == b"grpc-status":
                stream.grpc_status = value
        if ends:
            self._end(stream_id, stream, now)

    def _other(self, kind: int, stream_id: int, flags: int, payload: bytes, now: float) -> None:
        if kind == h2.CONTINUATION:
            self._continued(stream_id, flags, payload, now)
        elif kind == h2.SETTINGS and not flags & h2.ACK:
            values = dict(h2.parse_settings(payload))
            self._write(h2.frame(h2.SETTINGS, h2.ACK, 0))
            self._settings(values)
        elif kind == h2.PING and not flags & h2.ACK:
            self._write(h2.frame(h2.PING, h2.ACK, 0, payload))
        elif kind == h2.WINDOW_UPDATE and not stream_id:
            self._send_window += h2.number(payload)
            self._send_on()
        elif kind == h2.RST_STREAM:
            self._reset(stream_id, h2.number(payload))
        elif kind == h2.GOAWAY:
            self._leave(h2.number(payload[:4]))
        elif kind == h2.PUSH_PROMISE:
            raise h2.ConnectionFault(h2.Code.PROTOCOL_ERROR, "a push that was forbidden")

    def _settings(self, values: dict[int, int]) -> None:
        """Windows of streams are not looked at: what we send in one is far below any in use."""
        if self._has_settings:
            return
        self._has_settings = True
        if not self._plan.is_fresh:
            self.is_open = True
            most = values.get(h2.STREAMS_MAX, self._plan.streams)
            self._owner.opened(self, min(self._plan.streams, most))

    def _send_on(self) -> None:
        while self._unsent and len(self._unsent[0][1]) <= self._send_window:
            stream_id, content = self._unsent.popleft()
            if stream_id in self._streams:
                self._send_window -= len(content)
                self._write(h2.frame(h2.DATA, h2.END_STREAM, stream_id, content))

    # -- ends ---------------------------------------------------------------------------------------

    def _end(self, stream_id: int, stream: _Stream, now: float) -> None:
        del self._streams[stream_id]
        wanted, trouble = stream.exchange.wanted, stream.trouble
        if not trouble and self._plan.protocol == "grpc" and stream.grpc_status != b"0":
            trouble = f"grpc-status {stream.grpc_status.decode('latin-1') or 'missing'}"
        if not trouble and not stream.status:
            trouble = "malformed answer"
        if not trouble and wanted.block is not None and stream.position != wanted.size:
            trouble = "wrong bytes"
        if trouble:
            self._owner.failed(stream.exchange, trouble)
        else:
            self._owner.answered(stream.exchange, now)
        self._freed()

    def _reset(self, stream_id: int, code: int) -> None:
        if (stream := self._streams.pop(stream_id, None)) is None:
            return
        if code == h2.Code.REFUSED_STREAM:
            self._owner.refused(stream.exchange)
        else:
            self._owner.failed(stream.exchange, f"reset with code {code}")
        self._freed()

    def _leave(self, last_id: int) -> None:
        """After GOAWAY: what the server will not answer is asked elsewhere, the rest is waited for."""
        self.is_open, self._is_leaving = False, True
        for stream_id in [one for one in self._streams if one > last_id]:
            self._owner.refused(self._streams.pop(stream_id).exchange)
        if not self._streams:
            self.close()

    def _freed(self) -> None:
        if self.is_open:
            self._owner.freed(self)
        elif self._is_leaving and not self._streams:
            self.close()

    def _break(self, kind: str) -> None:
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            self._owner.failed(stream.exchange, kind)
        self.close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
