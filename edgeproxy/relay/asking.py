"""The server's end of one exchange over a channel: the request out, the answer in.

asking -> answered -> parts -> ended: the channel is free again
   |         |          |
   +---------+----------+--> lost or left: the channel is closed, which ends the exchange there too"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from edgeproxy.errors import BodyAborted, EdgeError, RequestError
from edgeproxy.message import FileSlice, Headers, Part, Request, RequestBody
from edgeproxy.relay.channel import Channel, ChannelLost
from edgeproxy.relay.messages import (
    Answer,
    Ask,
    Broken,
    ContentBroken,
    ContentEnd,
    End,
    Interim,
    Refused,
    Slice,
    Taken,
)

PIECE_BYTES = 256 << 10
FILES_MAX = 64  # of one answer


class ReceivedFile:
    """A file whose descriptor came over a channel: a message.OpenFile."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        if self._descriptor < 0:
            raise BodyAborted("the file is closed")
        return self._descriptor

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class Asking:
    """A Receiver for one exchange. `is_over` when the channel may carry another."""

    def __init__(self, channel: Channel, request: Request) -> None:
        self._channel = channel
        self._request = request
        self._loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[tuple[Answer, bytes]] = self._loop.create_future()
        self._answer: Answer | None = None  # its content is the next frame
        self._parts: deque[Part | EdgeError | None] = deque()  # None: the proven end
        self._waiter: asyncio.Future[None] | None = None
        self._credit = 0
        self._credited: asyncio.Future[None] | None = None
        self._files: list[ReceivedFile] = []
        self._is_whole = False  # nothing more comes
        self.sending: asyncio.Task[None] | None = None  # of the request's content
        self.trailers = Headers()  # of the answer, at its end
        channel.receiver = self

    @property
    def is_over(self) -> bool:
        return self._is_whole and self.sending is None and not self._channel.is_closed

    def begin(self) -> None:
        request = self._request
        body = request.body
        self._channel.send(
            Ask(
                request.method,
                request.target,
                request.headers.pairs,
                request.scheme,
                request.authority,
                request.version,
                request.client,
                request.peer,
                request.listener,
                request.id,
                request.traceparent,
                request.received_at,
                request.interim is not None,
                body is not None,
                None if body is None else body.length,
                request.certified,
                request.target_scheme,
                request.is_named,
            )
        )

    # -- what the channel tells ----------------------------------------------------------------

    def message(self, message: Any) -> None:
        match message:
            case Slice():
                self._put(self._slice(message))
            case Answer():
                self._is_whole = message.is_head or message.inline
                if message.inline:
                    self._answer = message
                else:
                    self._resolve(message, b"")
            case End(trailers):
                self._is_whole = True
                self.trailers = Headers(trailers)
                self._put(None)
            case Broken(text):
                self._put(BodyAborted(text))
            case Taken(count):
                self._credit += count
                _wake(self._credited)
            case Interim(status, headers):
                if self._request.interim is not None:
                    self._request.interim(status, Headers(headers))
            case Refused(status, text, close):
                self._is_whole = True
                if not self.answered.done():
                    self.answered.set_exception(RequestError(status, text, close=close))

    def content(self, data: bytes) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            self._resolve(answer, data)
        else:
            self._put(data)

    def lost(self) -> None:
        if not self.answered.done():
            self.answered.set_exception(ChannelLost("the filler is gone"))
        elif not self._is_whole:
            self._put(BodyAborted("the filler is gone"))
        _wake(self._credited)

    def _resolve(self, answer: Answer, data: bytes) -> None:
        if not self.answered.done():
            self.answered.set_result((answer, data))

    def _slice(self, message: Slice) -> FileSlice:
        if message.is_new:
            file = ReceivedFile(self._channel.take_descriptor())
            if len(self._files) >= FILES_MAX or message.file != len(self._files):
                file.close()
                raise BodyAborted("files out of order")
            self._files.append(file)
        elif not 0 <= message.file < len(self._files):
            raise BodyAborted("a slice of no file")
        return FileSlice(self._files[message.file], message.offset, message.length)

    def _put(self, part: Part | EdgeError | None) -> None:
        self._parts.append(part)
        _wake(self._waiter)

    # -- the request's content -----------------------------------------------------------------

    async def send_content(self, body: RequestBody) -> None:
        """Send it on as it is wanted. Reading begins with the first credit and not before."""
        channel = self._channel
        try:
            await self._use_credit(0)
            async for data in body:
                for start in range(0, len(data), PIECE_BYTES):
                    await self._use_credit(1)
                    channel.send_content(memoryview(data)[start : start + PIECE_BYTES])
            channel.send(ContentEnd())
            self.sending = None
        except ChannelLost:
            return
        except BodyAborted as error:
            channel.send(ContentBroken(0, str(error)))
        except RequestError as error:
            channel.send(ContentBroken(error.status, str(error)))

    async def _use_credit(self, count: int) -> None:
        while self._credit <= 0:
            if self._channel.is_closed:
                raise ChannelLost("the filler is gone")
            self._credited = self._loop.create_future()
            await self._credited
        self._credit -= count

    # -- the answer's parts --------------------------------------------------------------------

    async def parts(self) -> AsyncIterator[Part]:
        """Each is acknowledged when it has been sent on. Raises BodyAborted."""
        while True:
            while not self._parts:
                self._waiter = self._loop.create_future()
                await self._waiter
            part = self._parts.popleft()
            if part is None:
                return
            if isinstance(part, EdgeError):
                raise part
            yield part
            self._channel.send(Taken(1))

    def finish(self) -> None:
        """Nobody here wants more of it."""
        if self.sending is not None:
            self.sending.cancel()
        for file in self._files:
            file.close()
        self._files.clear()


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
