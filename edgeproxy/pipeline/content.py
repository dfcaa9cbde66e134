"""Bodies of answers: over what is stored, and straight from an upstream.

A Content is a representation that can be had whole or in pieces; a Body is what goes to one client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from edgeproxy.errors import BodyAborted, StorageError, UpstreamError
from edgeproxy.message import Body, BytesBody, Headers, Part
from edgeproxy.pipeline.growing_body import GrowingBody
from edgeproxy.sites.site import Layout
from edgeproxy.storage.store import StoredBody
from edgeproxy.upstream.upstream import UpstreamResponse

CHECKED_RUN_BYTES = 16 << 20  # proven and sent at a time, so that proving delays no first byte for long

Piece = bytes | tuple[int, int]  # literal bytes (multipart heads), or the slice [start, end)


class Content(Protocol):
    """`body` gives the pieces asked for, the whole for None, and takes over what `close` would free:
    call one of the two, once. Only a seekable one can be cut into several pieces."""

    @property
    def size(self) -> int | None: ...

    @property
    def is_seekable(self) -> bool: ...

    def body(self, pieces: tuple[Piece, ...] | None) -> Body: ...

    def close(self) -> None: ...


class DataContent:
    """Content that is in memory."""

    is_seekable = True

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def body(self, pieces: tuple[Piece, ...] | None) -> Body:
        if pieces is None:
            return BytesBody(self._data)
        cut = (piece if isinstance(piece, bytes) else self._data[piece[0] : piece[1]] for piece in pieces)
        return BytesBody(b"".join(cut))

    def close(self) -> None:
        return None


class Announced:
    """A content of which only the length is told."""

    is_seekable = True

    def __init__(self, size: int) -> None:
        self.size = size

    def body(self, pieces: tuple[Piece, ...] | None) -> Body:
        raise AssertionError("only HEAD is answered with an announcement")

    def close(self) -> None:
        return None


class FileContent:
    """Content of a stored body in a file."""

    is_seekable = True

    def __init__(self, body: StoredBody) -> None:
        self._body = body
        self.size = body.size

    def body(self, pieces: tuple[Piece, ...] | None) -> Body:
        return StoredContent(self._body, ((0, self.size),) if pieces is None else pieces)

    def close(self) -> None:
        self._body.close()


def stored_content(body: StoredBody) -> Content:
    """The content of a stored body, from RAM if it is there."""
    if body.data is None:
        return FileContent(body)
    data = body.data
    body.close()
    return DataContent(data)


class LaidOut:
    """Another representation of a content: slices of it with literal bytes between them."""

    is_seekable = True

    def __init__(self, content: Content, layout: Layout) -> None:
        self._content = content
        self._layout = layout
        self.size = layout.size

    def body(self, pieces: tuple[Piece, ...] | None) -> Body:
        laid: list[Piece] = []
        for piece in ((0, self.size),) if pieces is None else pieces:
            laid += [piece] if isinstance(piece, bytes) else self._layout.pieces(*piece)
        return self._content.body(tuple(laid))

    def close(self) -> None:
        self._content.close()


class GrowingContent:
    """Content that is still arriving: one run of it at a time."""

    is_seekable = False

    def __init__(self, body: GrowingBody) -> None:
        self._body = body
        self.size = body.size

    def body(self, pieces: tuple[Piece, ...] | None) -> Body:
        start, end = 0, None
        if pieces is not None:
            (piece,) = pieces
            assert not isinstance(piece, bytes)
            start, end = piece
        return self._body.reader(start, end)

    def close(self) -> None:
        return None


class StoredContent:
    """Pieces of a stored body on their way to one client."""

    def __init__(self, body: StoredBody, pieces: tuple[Piece, ...]) -> None:
        self._body = body
        self._pieces = pieces
        self.length = sum(len(p) if isinstance(p, bytes) else p[1] - p[0] for p in pieces)

    async def parts(self) -> AsyncIterator[Part]:
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield piece
                continue
            start, end = piece
            while start < end:
                upto = min(start + CHECKED_RUN_BYTES, end)
                try:
                    await self._body.check(start, upto)
                except StorageError as error:
                    raise BodyAborted(str(error)) from error
                yield self._body.slice(start, upto)
                start = upto

    async def aclose(self) -> None:
        self._body.close()


class PassingContent:
    """An upstream's content on its way to one client, kept nowhere."""

    def __init__(self, response: UpstreamResponse, count: Callable[[int], None]) -> None:
        self._response = response
        self._count = count
        self.length = response.content_length

    @property
    def trailers(self) -> Headers:
        """Those of the upstream, once all parts have been had."""
        return self._response.trailers

    async def parts(self) -> AsyncIterator[Part]:
        try:
            async for chunk in self._response.chunks():
                self._count(len(chunk))
                yield chunk
        except UpstreamError as error:
            raise BodyAborted(str(error)) from error

    async def aclose(self) -> None:
        await self._response.aclose()


class HeadContent:
    """What an upstream announced in answer to HEAD: a length, no bytes."""

    def __init__(self, length: int | None, response: UpstreamResponse) -> None:
        self.length = length
        self._response = response

    async def parts(self) -> AsyncIterator[Part]:
        return
        yield b""  # an empty generator must still contain a yield

    async def aclose(self) -> None:
        await self._response.aclose()
