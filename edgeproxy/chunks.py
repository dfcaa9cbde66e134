"""The chunked transfer coding, read strictly (RFC 9112 section 7.1), whoever sent it.

Chunk extensions and trailers are checked, bounded and dropped. Lines end with CRLF and nothing else: where
two readers could see different ends of a chunk, the message is refused."""

from __future__ import annotations

import re
from enum import Enum

from edgeproxy.errors import EdgeError

# White space before an extension is bad, but a recipient must cope with it where it decides nothing; old
# servers pad sizes with it. From a client it is an attempt at something.
_SIZE_LINE_PADDED = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]{0,16}(;[\t\x20-\x7e\x80-\xff]*+)?\r\n")
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(;[\t\x20-\x7e\x80-\xff]*+)?\r\n")
_FIELD_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*+\r\n")


class BadChunks(EdgeError):
    """Framing that is malformed, or content beyond what is allowed (`too_large`)."""

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        super().__init__(message)
        self.too_large = too_large


class _State(Enum):
    SIZE = 1
    DATA = 2
    DATA_END = 3
    TRAILER = 4
    DONE = 5


class ChunkDecoder:
    """Content in chunks: at most `content_max` bytes, with at most `overhead_max` bytes of extensions
    and trailers. From a client (`is_request`) all framing together may weigh as much as the content and
    `overhead_max` more, so that a flood of one-byte chunks ends early."""

    __slots__ = (
        "_chunk",
        "_content",
        "_content_max",
        "_extra",
        "_framing",
        "_is_request",
        "_line",
        "_overhead_max",
        "_state",
    )

    def __init__(self, content_max: int, overhead_max: int, *, is_request: bool) -> None:
        self._is_request = is_request
        self._content_max = content_max
        self._overhead_max = overhead_max
        self._state = _State.SIZE
        self._line = b""  # the unfinished line
        self._chunk = 0  # what is left of the chunk
        self._content = 0
        self._extra = 0
        self._framing = 0

    @property
    def done(self) -> bool:
        return self._state is _State.DONE

    @property
    def left(self) -> int | None:
        return 0 if self._state is _State.DONE else None

    def feed(self, data: bytes, out: list[bytes]) -> bytes:
        """Content leaves through `out`, what follows the last chunk is returned. Raises BadChunks, after
        filling `out`."""
        position = 0
        while position < len(data) and self._state is not _State.DONE:
            if self._state is _State.DATA:
                piece = data[position : position + self._chunk]
                out.append(piece)
                position += len(piece)
                self._chunk -= len(piece)
                if not self._chunk:
                    self._state = _State.DATA_END
            else:
                position = self._take_line(data, position)
        return data[position:]

    def _take_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position)
        stop = end + 1 if end >= 0 else len(data)
        self._line += data[position:stop]
        self._check_growth()
        if end >= 0:
            line, self._line = self._line, b""
            self._framing += len(line)
            self._end_line(line)
        return stop

    def _check_growth(self) -> None:
        if self._state is _State.DATA_END:
            if not b"\r\n".startswith(self._line):
                raise BadChunks("chunk longer than its size")
            return
        if len(self._line) + self._extra > self._overhead_max + 18:
            raise BadChunks("chunk extensions or trailers too long")
        if self._is_request and self._framing + len(self._line) > self._overhead_max + 18 + self._content:
            raise BadChunks("chunks too small")

    def _end_line(self, line: bytes) -> None:
        if self._state is _State.DATA_END:
            self._state = _State.SIZE
        elif self._state is _State.SIZE:
            self._end_size(line)
        elif line == b"\r\n":
            self._state = _State.DONE
        else:
            if not _FIELD_LINE.fullmatch(line):
                raise BadChunks("malformed trailer")
            self._extra += len(line)

    def _end_size(self, line: bytes) -> None:
        found = (_SIZE_LINE if self._is_request else _SIZE_LINE_PADDED).fullmatch(line)
        if found is None:
            raise BadChunks("malformed chunk size")
        self._extra += len(line) - 2 - len(found[1])
        size = int(found[1], 16)
        if not size:
            self._state = _State.TRAILER
            return
        self._content += size
        if self._content > self._content_max:
            raise BadChunks("request content too large", too_large=True)
        self._chunk = size
        self._state = _State.DATA
