"""Frames of HTTP/2: their numbers, the bytes of those we send, and what is wrong with some (RFC 9113
section 6). Pure."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct, iter_unpack

from edgeproxy.errors import EdgeError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # what a client sends first (section 3.4)

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = range(5)
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(5, 10)
PRIORITY_UPDATE = 16  # RFC 9218 section 7.1

END_STREAM = ACK = 1
END_HEADERS = 4
PADDED = 8
WITH_PRIORITY = 32

HEADER_TABLE_SIZE, ENABLE_PUSH, STREAMS_MAX, INITIAL_WINDOW = range(1, 5)
FRAME_MAX, FIELDS_MAX = 5, 6
NO_RFC7540_PRIORITIES = 9  # RFC 9218 section 2.1

FRAME_BYTES_MIN = 1 << 14  # every peer takes frames of this size
FRAME_BYTES_MAX = (1 << 24) - 1
WINDOW_DEFAULT = (1 << 16) - 1
WINDOW_MAX = (1 << 31) - 1
HEAD_BYTES = 9
HEAD = Struct(">IBI")  # length and type in one number, flags, stream
_NUMBER = Struct(">I")
_SETTING = Struct(">HI")


class Code(IntEnum):
    """Error codes (RFC 9113 section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11


class ConnectionFault(EdgeError):
    """The connection must end with GOAWAY and this code (section 5.4.1)."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


class StreamFault(EdgeError):
    """One stream must end with RST_STREAM and this code (section 5.4.2)."""

    def __init__(self, stream_id: int, code: Code, message: str) -> None:
        super().__init__(message)
        self.stream_id = stream_id
        self.code = code


def frame_head(kind: int, flags: int, stream_id: int, size: int) -> bytes:
    return HEAD.pack(size << 8 | kind, flags, stream_id)


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return HEAD.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def headers_frames(stream_id: int, block: bytes, frame_max: int, *, ends_stream: bool) -> bytes:
    """A HEADERS frame with as many CONTINUATION frames as its block needs."""
    flags = END_STREAM if ends_stream else 0
    if len(block) <= frame_max:
        return frame(HEADERS, flags | END_HEADERS, stream_id, block)
    pieces = [block[at : at + frame_max] for at in range(0, len(block), frame_max)]
    frames = [frame(HEADERS, flags, stream_id, pieces[0])]
    frames += [frame(CONTINUATION, 0, stream_id, piece) for piece in pieces[1:-1]]
    frames.append(frame(CONTINUATION, END_HEADERS, stream_id, pieces[-1]))
    return b"".join(frames)


def settings_frame(values: dict[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*item) for item in values.items()))


def reset_frame(stream_id: int, code: Code) -> bytes:
    return frame(RST_STREAM, 0, stream_id, _NUMBER.pack(code))


def goaway_frame(last_id: int, code: Code, text: str = "") -> bytes:
    return frame(GOAWAY, 0, 0, _NUMBER.pack(last_id) + _NUMBER.pack(code) + text.encode("utf-8", "replace"))


def window_frame(stream_id: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, _NUMBER.pack(increment))


def number(payload: bytes) -> int:
    """The 31 bits of a payload of four bytes; the reserved bit is ignored."""
    value: int = _NUMBER.unpack(payload)[0]
    return value & WINDOW_MAX


def parse_settings(payload: bytes) -> list[tuple[int, int]]:
    """Each setting with its value, in order. Raises ConnectionFault (section 6.5)."""
    if len(payload) % 6:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, "SETTINGS of a wrong length")
    values = list(iter_unpack(">HI", payload))
    for name, value in values:
        if name == ENABLE_PUSH and value > 1:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")
        if name == INITIAL_WINDOW and value > WINDOW_MAX:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE is too large")
        if name == FRAME_MAX and not FRAME_BYTES_MIN <= value <= FRAME_BYTES_MAX:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "MAX_FRAME_SIZE is out of its range")
        if name == NO_RFC7540_PRIORITIES and value > 1:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "NO_RFC7540_PRIORITIES is neither 0 nor 1")
    return values


def unpadded(payload: bytes) -> bytes:
    """The content of a padded payload. Raises ConnectionFault if the padding does not fit (section 6.1)."""
    if not payload:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, "a padded frame without the length of its padding")
    if payload[0] >= len(payload):
        raise ConnectionFault(Code.PROTOCOL_ERROR, "padding longer than its frame")
    return payload[1 : len(payload) - payload[0]]


def depends_on(payload: bytes) -> int:
    """The stream that five bytes of RFC 7540 priority name; the rest of them is obsolete."""
    return number(payload[:4])
