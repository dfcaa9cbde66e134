"""What leaves on one HTTP/2 connection: frames in order, content as windows and priorities allow.

Frames that are ready go to `frames`; content is taken from streams in their order, only as much as
the transport takes without holding more than the configured bytes for a slow reader. However many
streams have something to send, one turn of the loop makes few writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from edgeproxy.serving.ending import is_secured
from edgeproxy.serving.http2_files import Buffers, kernel_sender
from edgeproxy.serving.http2_frames import FRAME_BYTES_MIN, WINDOW_DEFAULT
from edgeproxy.serving.http2_order import Order, Priority
from edgeproxy.serving.http2_stream import Stream

SHARE_BYTES = 64 << 10  # that a stream may send before another one gets its turn
TURN_BYTES = 1 << 20  # written before other connections get theirs
FRAME_BYTES = 1 << 20  # largest frame we send to who takes such
FRAMES_WAITING_MAX = 2048  # frames without content for a client that does not read


class Output:
    """Writes to one transport, never more than `piece` bytes of content at a time. `finished` is told of
    each stream whose end has been sent, `broken` of an error of our own; `window` is what the client
    takes on all streams together."""

    __slots__ = (
        "_broken",
        "_buffers",
        "_finished",
        "_gathered",
        "_joins",
        "_loop",
        "_order",
        "_paused",
        "_piece",
        "_sender",
        "_transport",
        "_woken",
        "ahead",
        "frame_max",
        "frames",
        "full",
        "initial_window",
        "sent",
        "window",
    )

    def __init__(
        self,
        transport: Any,
        loop: asyncio.AbstractEventLoop,
        piece: int,
        finished: Callable[[Stream], None],
        broken: Callable[[Exception], None],
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._piece = piece
        self._finished = finished
        self._broken = broken
        self._order: Order[Stream] = Order()
        self._buffers = Buffers()
        self._sender = kernel_sender(transport, self._freed)
        self._joins = is_secured(transport)  # each piece would become a record of its own
        self._gathered = 0  # bytes of content in `frames`, of those counted in `sent`
        self._woken = False
        self.frames: list[bytes | memoryview] = []
        self._paused = False
        self.full = False
        self.ahead = 0  # bytes of content in `frames` already
        self.sent = 0  # bytes of content
        self.window = WINDOW_DEFAULT
        self.initial_window = WINDOW_DEFAULT
        self.frame_max = FRAME_BYTES_MIN

    @property
    def is_stuck(self) -> bool:
        """Whether the client lets frames pile up that it has caused and does not read."""
        return self.full and len(self.frames) > FRAMES_WAITING_MAX

    @property
    def is_waiting(self) -> bool:
        """Whether content waits for the client to widen the window of the connection."""
        return self.window <= 0 and bool(self._order)

    def put(self, frame: bytes) -> None:
        """Send a frame that is not content."""
        self.frames.append(frame)
        self.wake()

    def add(self, stream: Stream) -> None:
        """Let `stream` send what it holds, if its window allows."""
        if stream.window > 0 and stream.holds:
            self._order.add(stream)
            self.wake()

    def discard(self, stream: Stream) -> None:
        self._order.discard(stream)

    def move(self, stream: Stream, priority: Priority) -> None:
        self._order.move(stream, priority)

    def wake(self) -> None:
        """Write in the next turn of the loop, together with what others have until then."""
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._wakened)

    def _wakened(self) -> None:
        self._woken = False
        self.flush()

    def flush(self) -> None:
        """Write what the transport takes."""
        try:
            self._flush()
        except Exception as error:  # noqa: BLE001 - the outermost step: one connection fails, not the node
            self._broken(error)

    def _flush(self) -> None:
        left = TURN_BYTES
        while not self.full:
            size = self._gather() if self._order else 0
            size += self._write()
            if not self._order or not size:  # or the window of the connection is used up
                return
            left -= size
            if left <= 0:
                self.wake()
                return

    def _write(self) -> int:
        """Write `frames`; the bytes of content in them that were not counted yet."""
        frames, ahead, size = self.frames, self.ahead, self._gathered
        if frames:
            self.frames, self.ahead, self._gathered = [], 0, 0
            if len(frames) == 1:
                self._transport.write(frames[0])
            elif size + ahead <= SHARE_BYTES or self._joins:
                self._transport.write(b"".join(frames))
            else:
                self._transport.writelines(frames)
            self._buffers.settle(passed_on=not self._transport.get_write_buffer_size())
        return ahead

    def _gather(self) -> int:
        """Content of at most `piece` bytes to `frames`, or of files to the transport; how much."""
        order, size, piece, sender = self._order, 0, self._piece, self._sender
        frame_max = min(self.frame_max, FRAME_BYTES)
        while size < piece and self.window > 0 and not self.full:
            stream = order.take()
            if stream is None:
                break
            if sender is not None and stream.is_of_file:
                self._write()
                if self.full:
                    order.add(stream)
                    break
                most = min(SHARE_BYTES if order else TURN_BYTES, self.window)
                count = stream.give_file(sender, most, frame_max)
                self.full = self._paused or sender.is_waiting
            else:
                most = min(SHARE_BYTES if order else piece, piece - size, self.window)
                count = stream.give(self.frames, most, frame_max, self._buffers)
                self._gathered += count
            size += count
            self.window -= count
            if stream.holds:
                if count and stream.window > 0:
                    order.add(stream)
            elif stream.is_ended:
                self._finished(stream)
        self.sent += size
        return size

    def pause(self) -> None:
        """The transport holds as much as it may."""
        self._paused = self.full = True

    def resume(self) -> None:
        self._paused = False
        self._freed()

    def _freed(self) -> None:
        self.full = self._paused or (self._sender is not None and self._sender.is_waiting)
        if not self.full:
            self.wake()

    def stop(self) -> None:
        """Nothing is written any more."""
        self.pause()
        self.frames.clear()
