"""The server's side of one connection of HTTP/2 for plain_server.py: GET of its targets, unary gRPC.

Frames are those of the node. It keeps to the windows of its client and has no other bounds than its own
small ones; it is no server for strangers."""

from __future__ import annotations

import asyncio
import functools
from collections import deque

from benchmarks import records
from benchmarks.plain_answer import Pieces, answer
from edgeproxy.errors import EdgeError
from edgeproxy.serving import http2_frames as h2
from edgeproxy.serving.http2_hpack import FieldReader, RawPairs

_WINDOW = 1 << 30
_CONTENT_MAX = 64 << 10
_MEMO_MAX = 256
_PIECE = h2.FRAME_BYTES_MIN
_GRPC_HEAD = ((":status", "200"), ("content-type", "application/grpc"))


def _block(fields: tuple[tuple[str, str], ...]) -> bytes:
    """Literals without indexing, names and all (RFC 7541 section 6.2.2)."""
    parts = []
    for name, value in fields:
        for text in (name, value):
            assert len(text) < 127
        parts.append(b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode())
    return b"".join(parts)


_GRPC_BLOCK, _OK_BLOCK = _block(_GRPC_HEAD), _block((("grpc-status", "0"),))
_BAD_BLOCK = _block((*_GRPC_HEAD, ("grpc-status", "3")))


class _Sending:
    """Content that waits for a window. `trailers` is their field block, b"" for none."""

    __slots__ = ("content", "stream_id", "trailers", "window")

    def __init__(
        self, stream_id: int, content: deque[bytes | memoryview], trailers: bytes, window: int
    ) -> None:
        self.stream_id, self.content, self.trailers, self.window = stream_id, content, trailers, window


class PlainHttp2:
    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._rest = b""
        self._reader = FieldReader(_CONTENT_MAX)
        self._memo: dict[bytes, tuple[bytes, bytes]] = {}
        self._asked: dict[int, tuple[bytes, bytes, bytes]] = {}  # method, path and content so far
        self._window, self._initial = h2.WINDOW_DEFAULT, h2.WINDOW_DEFAULT
        self._early: dict[int, int] = {}
        self._sending: dict[int, _Sending] = {}
        self._received = 0
        transport.write(h2.settings_frame({h2.STREAMS_MAX: 1000}) + h2.window_frame(0, _WINDOW))

    def take(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        out: Pieces = []
        try:
            while end - at >= h2.HEAD_BYTES:
                size_and_kind, flags, stream_id = h2.HEAD.unpack_from(data, at)
                after = at + h2.HEAD_BYTES + (size_and_kind >> 8)
                if after > end:
                    break
                payload = data[at + h2.HEAD_BYTES : after]
                self._frame(size_and_kind & 0xFF, flags, stream_id, payload, out)
                at = after
        except (EdgeError, ValueError, IndexError):
            self._transport.abort()
            return
        self._rest = data[at:]
        if out:
            self._transport.writelines(out)

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes, out: Pieces) -> None:
        if kind == h2.HEADERS:
            self._headers(flags, stream_id, payload, out)
        elif kind == h2.DATA:
            self._data(flags, stream_id, payload, out)
        elif kind == h2.SETTINGS and not flags & h2.ACK:
            values = dict(h2.parse_settings(payload))
            if (initial := values.get(h2.INITIAL_WINDOW)) is not None:
                for sending in self._sending.values():
                    sending.window += initial - self._initial
                self._initial = initial
            out.append(h2.frame(h2.SETTINGS, h2.ACK, 0))
            self._send_on(out)
        elif kind == h2.PING and not flags & h2.ACK:
            out.append(h2.frame(h2.PING, h2.ACK, 0, payload))
        elif kind == h2.WINDOW_UPDATE:
            if not stream_id:
                self._window += h2.number(payload)
            elif sending := self._sending.get(stream_id):
                sending.window += h2.number(payload)
            elif stream_id in self._asked:
                self._early[stream_id] = self._early.get(stream_id, 0) + h2.number(payload)
            if self._sending:
                self._send_on(out)
        elif kind == h2.RST_STREAM:
            self._asked.pop(stream_id, None)
            self._sending.pop(stream_id, None)
        elif kind == h2.CONTINUATION:
            raise ValueError("a field block of more than one frame is not taken")

    # -- requests -----------------------------------------------------------------------------------

    def _headers(self, flags: int, stream_id: int, payload: bytes, out: Pieces) -> None:
        if flags & h2.PADDED:
            payload = h2.unpadded(payload)
        if flags & h2.WITH_PRIORITY:
            payload = payload[5:]
        if not flags & h2.END_HEADERS:
            raise ValueError("a field block of more than one frame is not taken")
        if stream_id in self._asked:  # trailers
            self._reader.read(payload)
            self._answer(stream_id, *self._asked.pop(stream_id), out)
            return
        method, path = self._memo.get(payload) or self._read(payload)
        if flags & h2.END_STREAM:
            self._answer(stream_id, method, path, b"", out)
        else:
            self._asked[stream_id] = method, path, b""

    def _read(self, block: bytes) -> tuple[bytes, bytes]:
        pairs, has_changed = self._reader.read(block)
        if has_changed or len(self._memo) >= _MEMO_MAX:
            self._memo.clear()
        known = _first(pairs, b":method"), _first(pairs, b":path")
        if not has_changed:
            self._memo[block] = known
        return known

    def _data(self, flags: int, stream_id: int, payload: bytes, out: Pieces) -> None:
        self._received += len(payload)
        if self._received > _WINDOW >> 1:
            out.append(h2.window_frame(0, self._received))
            self._received = 0
        if flags & h2.PADDED:
            payload = h2.unpadded(payload)
        if (asked := self._asked.get(stream_id)) is None:
            return
        method, path, content = asked
        content += payload
        if len(content) > _CONTENT_MAX:
            raise ValueError("more content than this server takes")
        if flags & h2.END_STREAM:
            del self._asked[stream_id]
            self._answer(stream_id, method, path, content, out)
        else:
            self._asked[stream_id] = method, path, content

    # -- answers ------------------------------------------------------------------------------------

    def _answer(self, stream_id: int, method: bytes, path: bytes, content: bytes, out: Pieces) -> None:
        if method == b"POST":
            if path != records.METHOD.encode():
                out.append(h2.headers_frames(stream_id, _BAD_BLOCK, _PIECE, ends_stream=True))
                return
            message = records.framed(records.as_message(records.read_request(records.unframed(content))))
            out.append(h2.headers_frames(stream_id, _GRPC_BLOCK, _PIECE, ends_stream=False))
            self._send(stream_id, [message], _OK_BLOCK, out)
            return
        block, pieces = _said(path)
        out.append(h2.headers_frames(stream_id, block, _PIECE, ends_stream=not pieces))
        if pieces:
            self._send(stream_id, pieces, b"", out)

    def _send(
        self,
        stream_id: int,
        pieces: Pieces,
        trailers: bytes,
        out: Pieces,
    ) -> None:
        window = self._initial + self._early.pop(stream_id, 0)
        sending = _Sending(stream_id, deque(pieces), trailers, window)
        if not self._pour(sending, out):
            self._sending[stream_id] = sending

    def _send_on(self, out: Pieces) -> None:
        for sending in list(self._sending.values()):
            if self._pour(sending, out):
                del self._sending[sending.stream_id]

    def _pour(self, sending: _Sending, out: Pieces) -> bool:
        """What the windows allow; whether that was all."""
        content = sending.content
        while content:
            piece = content[0]
            size = min(len(piece), _PIECE, sending.window, self._window)
            if size <= 0:
                return False
            sending.window -= size
            self._window -= size
            if size == len(piece):
                content.popleft()
            else:
                content[0] = memoryview(piece)[size:]
                piece = memoryview(piece)[:size]
            is_end = not content and not sending.trailers
            out.append(h2.frame_head(h2.DATA, h2.END_STREAM if is_end else 0, sending.stream_id, size))
            out.append(piece)
        if sending.trailers:
            out.append(h2.headers_frames(sending.stream_id, sending.trailers, _PIECE, ends_stream=True))
        return True


@functools.lru_cache(maxsize=_MEMO_MAX)
def _said(path: bytes) -> tuple[bytes, Pieces]:
    """The field block and the content of the answer to a GET."""
    said = answer(path.decode("latin-1"))
    fields = ((":status", str(said.status)), *said.fields, ("content-length", str(said.size)))
    return _block(fields), said.pieces


def _first(pairs: RawPairs, name: bytes) -> bytes:
    return next((value for key, value in pairs if key == name), b"")
