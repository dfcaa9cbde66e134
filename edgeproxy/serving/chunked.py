"""Taking the content of a request out of its framing, piece by piece (RFC 9112 sections 6.2 and 7.1)."""

from __future__ import annotations

from typing import Protocol

from edgeproxy import chunks
from edgeproxy.errors import RequestError


class Decoder(Protocol):
    """Content leaves through `out`; what follows the content is returned once `done`. Raises
    RequestError 400 for bad framing and 413 for too much content, after filling `out`."""

    @property
    def done(self) -> bool: ...

    @property
    def left(self) -> int | None: ...

    def feed(self, data: bytes, out: list[bytes]) -> bytes: ...


class LengthDecoder:
    """Content of a known length in bytes."""

    __slots__ = ("left",)

    def __init__(self, length: int) -> None:
        self.left: int | None = length

    @property
    def done(self) -> bool:
        return self.left == 0

    def feed(self, data: bytes, out: list[bytes]) -> bytes:
        left = self.left or 0
        if len(data) <= left:
            self.left = left - len(data)
            out.append(data)
            return b""
        self.left = 0
        if left:
            out.append(data[:left])
        return data[left:]


class ChunkDecoder:
    """Content in chunks: at most `content_max` bytes, with at most `overhead_max` bytes of extensions
    and trailers, and no flood of tiny chunks."""

    __slots__ = ("_chunks",)

    def __init__(self, content_max: int, overhead_max: int) -> None:
        self._chunks = chunks.ChunkDecoder(content_max, overhead_max, is_request=True)

    @property
    def done(self) -> bool:
        return self._chunks.done

    @property
    def left(self) -> int | None:
        return self._chunks.left

    def feed(self, data: bytes, out: list[bytes]) -> bytes:
        try:
            return self._chunks.feed(data, out)
        except chunks.BadChunks as error:
            raise RequestError(413 if error.too_large else 400, str(error)) from error
