"""One attempt at one request: what libcurl calls back, buffered, bounded and timed.

libcurl may not be called from its own callbacks, so these only note what came and wake whoever
waits. `unread` bytes are bounded: beyond the bound the write callback answers with a pause, which
closes the receive window of the upstream; the reader takes the pause away. Until it has taken the first
bytes and comes for more the bound is low, or libcurl reads a megabyte while somebody waits for them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import pycurl

from edgeproxy.chunks import BadChunks, ChunkDecoder
from edgeproxy.errors import EdgeError, ProxyError, UpstreamError
from edgeproxy.message import Headers
from edgeproxy.upstream.address_guard import Address, spelled
from edgeproxy.upstream.connections import Connections, Ends
from edgeproxy.upstream.curl_errors import NOTHING_CAME_BACK, upstream_error
from edgeproxy.upstream.easy import Easy
from edgeproxy.upstream.response_head import HeadReader, ResponseHead
from edgeproxy.upstream.upload import Upload
from edgeproxy.upstream.upstream import PIECE_BYTES, Reach

_UNREAD_MAX = 1 << 20  # or two of the pieces that are asked for
_CONTENT_MAX = 1 << 62  # what is too much is for the rules of the site to say
_CHUNK_OVERHEAD_MAX = 64 << 10  # of extensions and trailers
_UNREAD_FIRST = PIECE_BYTES  # less would make more pieces, and each costs a write and a send


class Transfer:
    """Lives from `start` to `on_end`, which libcurl's future calls in every case. Implements
    easy.Callbacks for libcurl and UpstreamResponse for the pipeline (once `head` is there)."""

    def __init__(
        self,
        easy: Easy,
        reader: HeadReader,
        reach: Reach,
        addresses: tuple[Address, ...],
        connections: Connections,
        *,
        sends: int,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._easy = easy
        self._reader = reader
        self._reach = reach
        self._least = min(reach.connect_timeout, reach.head_timeout, reach.progress_timeout)
        self._addresses = frozenset(addresses)
        self._connections = connections
        self._ends: Ends | None = None
        self._sends_left = sends
        self._pieces: deque[bytes] = deque()
        self._unread = 0
        self._unread_max = _UNREAD_FIRST
        self._received = 0
        self._chunks: ChunkDecoder | None = None
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._multi: pycurl.AsyncCurlMulti | None = None
        self._future: asyncio.Future[Any] | None = None
        self._on_release: Callable[[Transfer], None] | None = None
        self._connecting_since: float | None = None
        self._started_at: float | None = None
        self._moved_at = self._loop.time()
        self.upload: Upload | None = None
        self.pump: asyncio.Task[None] | None = None
        self.head: ResponseHead | None = None
        self.sends = 0  # how often the request began to leave
        self.answered = False  # whether any byte of a response came
        self.ended = False
        self.error: EdgeError | None = None
        self.nothing_came_back = False
        self.found_noise = False  # a kept connection had bytes or its end waiting

    # From the client's side.

    def start(self, multi: pycurl.AsyncCurlMulti, released: Callable[[Transfer], None]) -> None:
        """Hand the prepared handle to libcurl; `released` is called once, when it is free again."""
        self._multi, self._on_release = multi, released
        self._easy.user = self
        self._future = multi.add_handle(self._easy.curl)
        self._future.add_done_callback(self._on_end)
        self._timer = self._loop.call_later(self._least, self._check_progress)

    async def wait_for_head(self) -> ResponseHead:
        while self.head is None and not self.ended:
            await self._wait()
        if self.head is None:
            assert self.error is not None
            raise self.error
        return self.head

    def fail(self, error: EdgeError) -> None:
        """End the transfer from our side; what has come may still be read before `error` is raised."""
        if not self.ended:
            self.error = self.error or error
            self._detach()

    def abandon(self) -> None:
        """Nobody wants the rest."""
        self._pieces.clear()
        self._unread = 0
        self.fail(UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "abandoned"))

    @property
    def easy(self) -> Easy:
        return self._easy

    # The response, for the pipeline.

    @property
    def status(self) -> int:
        assert self.head is not None
        return self.head.status

    @property
    def headers(self) -> Headers:
        assert self.head is not None
        return self.head.headers

    @property
    def content_length(self) -> int | None:
        assert self.head is not None
        return self.head.content_length

    @property
    def version(self) -> str:
        assert self.head is not None
        return self.head.version

    @property
    def source(self) -> str:
        return ""

    @property
    def is_fresh(self) -> bool:
        return self._connecting_since is not None

    @property
    def trailers(self) -> Headers:
        return self._reader.trailers

    async def chunks(self, most: int = PIECE_BYTES) -> AsyncIterator[bytes]:
        while True:
            if self._pieces:
                yield self._take(most)
                if self._unread_max == _UNREAD_FIRST:
                    self._unread_max = max(_UNREAD_MAX, 2 * most)
                    self._resume()
            elif not self.ended:
                await self._wait()
            elif self.error is not None:
                raise self.error
            else:
                return

    async def aclose(self) -> None:
        self.abandon()

    def _take(self, most: int) -> bytes:
        pieces = self._pieces
        piece = pieces.popleft()
        if len(piece) > most:
            pieces.appendleft(piece[most:])
            piece = piece[:most]
        elif len(piece) < most // 4 and pieces:  # larger ones are passed as they are
            gathered, size = [piece], len(piece)
            while pieces and size + len(pieces[0]) <= most:
                size += len(pieces[0])
                gathered.append(pieces.popleft())
            piece = b"".join(gathered)
        self._unread -= len(piece)
        if self._unread_max != _UNREAD_FIRST:
            self._resume()
        return piece

    def _resume(self) -> None:
        """Let libcurl read on if there is room again."""
        if self._paused and self._unread <= self._unread_max // 2:
            self._paused = False
            self._moved_at = self._loop.time()
            self._unpause()

    async def _wait(self) -> None:
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # From libcurl.

    def on_socket(self, fd: int) -> None:
        if self._connecting_since is None:
            self._connecting_since = self._loop.time()
        self._connections.opened(fd)

    def on_start(self, ends: Ends) -> bool:
        """The request is about to leave on a connection with these ends, new or reused. Refused: a
        connection to anywhere else than permitted, and repetitions libcurl decides on by itself
        beyond what the request allows (RFC 9110 section 9.2.2)."""
        if self.sends >= self._sends_left:
            message = "connection closed before an answer"
            self.error = UpstreamError(ProxyError.CONNECTION_TERMINATED, message)
            return False
        address = ends[0]
        if spelled(address) not in self._addresses:
            message = f"connection to {address}, which was not permitted"
            self.error = UpstreamError(ProxyError.DESTINATION_IP_PROHIBITED, message, sent=self.sends > 0)
            return False
        self._settle_ends(multiplexed=False)
        if not self._connections.may_send(ends):
            self.found_noise = True
            message = "the kept connection was not silent"
            self.error = UpstreamError(ProxyError.CONNECTION_TERMINATED, message, sent=self.sends > 0)
            return False
        self._ends = ends
        self.sends += 1
        self._started_at = self._moved_at = self._loop.time()
        return True

    def _settle_ends(self, *, multiplexed: bool) -> None:
        """The connection used so far has answered, or has been left without an answer."""
        ends, self._ends = self._ends, None
        if ends is not None:
            self._connections.answered(ends, multiplexed=multiplexed)

    def on_header(self, line: bytes) -> int | None:
        if not self.answered:
            self.answered = True
            self._settle_ends(multiplexed=line.startswith(b"HTTP/2"))
        try:
            head = self._reader.feed(line)
        except UpstreamError as error:
            self.error = error
            return 0
        if head is not None:
            self.head = head
            if head.content_length is None and "Transfer-Encoding" in head.headers:
                self._chunks = ChunkDecoder(_CONTENT_MAX, _CHUNK_OVERHEAD_MAX, is_request=False)
            self._moved_at = self._loop.time()
            self._wake()
        return None

    def on_write(self, data: bytes) -> int | None:
        if self._unread >= self._unread_max:
            self._paused = True
            return int(pycurl.WRITEFUNC_PAUSE)
        head = self.head
        if self._chunks is not None:
            return self._take_chunks(self._chunks, data)
        self._received += len(data)
        if head is None or (head.content_length is not None and self._received > head.content_length):
            self.error = UpstreamError(ProxyError.HTTP_PROTOCOL_ERROR, "more content than announced")
            return 0
        self._moved_at = self._loop.time()
        self._unread += len(data)
        self._pieces.append(data)
        self._wake()
        return None

    def _take_chunks(self, chunks: ChunkDecoder, data: bytes) -> int | None:
        """libcurl finds the end of chunked content, but reads its framing leniently (bare LF, junk behind a
        size, extensions without end): it passes the framing on, and it is read once more, strictly."""
        pieces: list[bytes] = []
        self._moved_at = self._loop.time()
        try:
            is_over = bool(chunks.feed(data, pieces))  # whatever follows ends the connection
        except BadChunks as error:
            text = f"malformed response: {error}"
            self.error = UpstreamError(ProxyError.HTTP_RESPONSE_TRANSFER_CODING, text)
            is_over = True
        self._pieces.extend(pieces)
        self._unread += sum(map(len, pieces))
        self._wake()
        return 0 if is_over else None

    def on_read(self, size: int) -> bytes | int:
        self._moved_at = self._loop.time()
        return self.upload.read(size) if self.upload is not None else b""

    def resume_upload(self) -> None:
        self._moved_at = self._loop.time()
        self._unpause()

    def _unpause(self) -> None:
        if self.ended:
            return
        still = pycurl.PAUSE_RECV if self._paused else 0
        if self.upload is not None and self.upload.paused:
            still |= pycurl.PAUSE_SEND
        try:
            self._easy.curl.pause(still)
        except pycurl.error:
            # What went wrong is told again, with its code, by the end of the transfer.
            return

    def _on_end(self, future: asyncio.Future[Any]) -> None:
        """The only place where the handle is given back, because only now has AsyncCurlMulti
        forgotten it: given back earlier, its next use could be taken for this one."""
        failure = None if future.cancelled() else future.exception()
        if not self.ended:
            self.error = self.error or self._verdict(failure, cancelled=future.cancelled())
            self._finish()
        self._easy.user = None
        if self.upload is not None:
            self.upload.close()
        if self._on_release is not None:
            self._on_release(self)

    def _verdict(self, failure: BaseException | None, *, cancelled: bool) -> EdgeError | None:
        if cancelled:
            return UpstreamError(ProxyError.CONNECTION_TERMINATED, "closing", sent=self.sends > 0)
        if self._chunks is not None and self._chunks.done:
            return None
        if failure is not None:
            code, message = (*failure.args, "")[:2] if failure.args else (0, str(failure))
            self.nothing_came_back = not self.answered and code in NOTHING_CAME_BACK
            return upstream_error(code, message, sent=self.sends > 0, in_body=self.head is not None)
        if self.head is None:
            return UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "end before the response head")
        if self._chunks is not None:
            return UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "end before the last chunk")
        length = self.head.content_length
        if length is not None and self._received != length:
            message = f"{self._received} of {length} bytes"
            return UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, message)
        return None

    def _detach(self) -> None:
        self._finish()
        if self._future is not None and not self._future.done() and self._multi is not None:
            self._multi.remove_handle(self._easy.curl)

    def _finish(self) -> None:
        self.ended = True
        self._settle_ends(multiplexed=False)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()

    # Patience. One timer, set again when it fires, so that a moving transfer pays nothing.

    def _check_progress(self) -> None:
        now = self._loop.time()
        due, error = self._deadline(now)
        if now >= due:
            self.fail(error)
        else:
            # The next phase may be allowed less than what is left of this one.
            wait = min(due - now, self._least) + 0.001
            self._timer = self._loop.call_later(wait, self._check_progress)

    def _deadline(self, now: float) -> tuple[float, UpstreamError]:
        reach, upload = self._reach, self.upload
        if self._started_at is None and self._connecting_since is not None:
            text = f"no connection within {reach.connect_timeout:g} s"
            error = UpstreamError(ProxyError.CONNECTION_TIMEOUT, text, sent=False)
            return self._connecting_since + reach.connect_timeout, error
        if self._started_at is None:
            # All connections are busy, or somebody else's attempt is waited for.
            error = UpstreamError(ProxyError.CONNECTION_LIMIT_REACHED, "no free connection", sent=False)
            return self._moved_at + reach.connect_timeout + reach.head_timeout, error
        if self.head is not None:
            since = now if self._paused else self._moved_at
            text = f"no content for {reach.progress_timeout:g} s"
            return since + reach.progress_timeout, UpstreamError(ProxyError.CONNECTION_READ_TIMEOUT, text)
        if upload is not None and upload.paused:
            # The client is slow, not the upstream; its own patience is the server's business.
            return now + reach.head_timeout, UpstreamError(ProxyError.HTTP_RESPONSE_TIMEOUT, "")
        text = f"no response head for {reach.head_timeout:g} s"
        return self._moved_at + reach.head_timeout, UpstreamError(ProxyError.HTTP_RESPONSE_TIMEOUT, text)
