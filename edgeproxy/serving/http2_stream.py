"""One stream: content on its way to the client, content on its way from it.

A stream holds at most one part of a body at a time; the connection takes frames from it as windows
and priorities allow, and files are read no sooner than that."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from edgeproxy.config import Limits
from edgeproxy.errors import BodyAborted
from edgeproxy.message import FileSlice, OpenFile, Part
from edgeproxy.serving import page_cache
from edgeproxy.serving.head import Head
from edgeproxy.serving.http2_files import Buffers, KernelSender, read_frames
from edgeproxy.serving.http2_frames import DATA, END_STREAM, frame_head
from edgeproxy.serving.http2_order import UNTOLD, Priority
from edgeproxy.serving.http2_window import Window
from edgeproxy.serving.request_body import IncomingBody

LOAD_BYTES = 1 << 20  # read from a disk at a time


class Stream:
    """`window` is what the client takes on this stream. Of content to come, `received` bytes are here and
    `expected` (None: unknown) are announced; `body` takes them, None drops them."""

    __slots__ = (
        "_absent",
        "_end",
        "_expired",
        "_file",
        "_left",
        "_limits",
        "_offset",
        "_part",
        "_waiter",
        "answered",
        "body",
        "content_max",
        "credited",
        "expected",
        "head",
        "id",
        "incoming",
        "is_closed",
        "is_ended",
        "is_queued",
        "is_way",
        "key",
        "owes_continue",
        "priority",
        "pulse_seen",
        "pulse_since",
        "received",
        "remote_ended",
        "sent",
        "task",
        "window",
    )

    def __init__(
        self,
        stream_id: int,
        head: Head | None,
        window: int,
        limits: Limits,
        expired: Callable[[Stream, str], None],
    ) -> None:
        self.id = stream_id
        self.head = head
        self.window = window
        self._limits = limits
        self._expired = expired
        self.priority: Priority = UNTOLD
        self.is_queued = False
        self.is_way = False  # its bytes are those of a connection to somewhere else
        self.key = b""  # what the answer may be remembered under
        self.task: asyncio.Task[None] | None = None
        self.answered = False  # the head of the answer is out
        self.is_ended = False  # so is its end
        self.is_closed = False
        self.sent = 0
        self._part: Part | None = None
        self._file: OpenFile | None = None  # the file of the part, opened again for the transport
        self._offset = 0
        self._left = 0
        self._end = False  # the part is the last one
        self._waiter: asyncio.Future[None] | None = None
        self._absent = False  # the part must be read from a disk first
        self.body: IncomingBody | None = None
        self.incoming: Window = None  # type: ignore[assignment]  # where content is to come
        self.expected: int | None = None
        self.content_max = 0
        self.received = 0
        self.credited = 0
        self.remote_ended = False
        self.owes_continue = False
        self.pulse_seen: tuple[object, ...] = ()
        self.pulse_since = 0.0

    # -- to the client -------------------------------------------------------------------------

    @property
    def holds(self) -> bool:
        """Whether there is something to send, at hand."""
        return self._part is not None and not self._absent

    def hold(self, part: Part, size: int, *, end: bool) -> None:
        """Have `part` sent; with `end` the stream ends with it."""
        self._part, self._offset, self._left, self._end = part, 0, size, end

    @property
    def is_of_file(self) -> bool:
        return isinstance(self._part, FileSlice)

    def give(self, frames: list[bytes | memoryview], most: int, frame_max: int, buffers: Buffers) -> int:
        """Append DATA frames with at most `most` bytes of content; how many they have."""
        part = self._part
        size = min(most, self.window, self._left)
        ends = self._end and size == self._left
        if isinstance(part, FileSlice):
            at = part.offset + self._offset
            try:
                framed, size = read_frames(
                    part.file, at, size, frame_max, self.id, ends=ends, buffers=buffers
                )
            except (BlockingIOError, BodyAborted) as error:
                return self._lack(error)
            frames.append(framed)
            return self._given(size)
        view = memoryview(part)  # type: ignore[arg-type]
        at, end = self._offset, self._offset + size
        while at < end:
            count = min(frame_max, end - at)
            frames.append(frame_head(DATA, END_STREAM if ends and at + count == end else 0, self.id, count))
            frames.append(view[at : at + count])
            at += count
        return self._given(size)

    def give_file(self, sender: KernelSender, most: int, frame_max: int) -> int:
        """Have the kernel send DATA frames with at most `most` bytes of content; how many they have."""
        part = self._part
        assert isinstance(part, FileSlice)
        size = min(most, self.window, self._left)
        ends = self._end and size == self._left
        try:
            if self._file is None:
                # The transport may send after the body has been closed: it gets a file of its own.
                self._file = open(os.dup(part.file.fileno()), "rb", buffering=0)  # noqa: SIM115
            at = part.offset + self._offset
            return self._given(sender.send(self._file, at, size, frame_max, self.id, ends=ends))
        except (BlockingIOError, BodyAborted) as error:
            return self._lack(error)

    def _given(self, size: int) -> int:
        self._offset += size
        self._left -= size
        self.window -= size
        self.sent += size
        if not self._left:
            self._part = self._file = None
            self.is_ended = self._end
            self._wake(None)
        return size

    def _lack(self, error: BlockingIOError | BodyAborted) -> int:
        """Nothing could be given: it must be read from a disk first, or cannot be had at all."""
        if isinstance(error, BodyAborted):
            self._part = self._file = None
            self._wake(error)
        else:
            self._absent = True
            self._wake(None)
        return 0

    def _wake(self, error: BodyAborted | None) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():
            return
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)

    async def send(self, output: Any, part: Part, size: int, *, end: bool) -> None:
        """Have `part` sent and wait until it is. Raises BodyAborted if it cannot be read."""
        loop = asyncio.get_running_loop()
        self.hold(part, size, end=end)
        while self._part is not None:
            if self._absent:
                assert isinstance(part, FileSlice)
                descriptor, at = part.file.fileno(), part.offset + self._offset
                await loop.run_in_executor(None, page_cache.load, descriptor, at, min(self._left, LOAD_BYTES))
                self._absent = False
            self._waiter = loop.create_future()
            output.add(self)
            await self._waiter

    def drop(self) -> None:
        """Nothing more is sent."""
        self._part = self._file = None

    # -- from the client -----------------------------------------------------------------------

    def read(self) -> int:
        """How many bytes the handler has read since this was last asked."""
        queued = self.body.queued if self.body is not None else 0
        count = self.received - queued - self.credited
        self.credited += count
        return count

    # -- timeouts: what the sweep asks ---------------------------------------------------------

    def pulse(self) -> tuple[str, float, object, object]:
        if self.is_way:
            return ("busy", 0.0, None, None)  # who is at its other end watches over silence
        if self._part is not None and self.window <= 0:
            return ("write", self._limits.write_timeout, self.sent, self.window)
        body = self.body
        if not self.remote_ended and (body is None or not body.queued):
            return ("body", self._limits.body_timeout, self.received, None)
        return ("busy", 0.0, None, None)

    def expire(self, phase: str) -> None:
        self._expired(self, phase)
