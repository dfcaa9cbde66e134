"""What leaves on one HTTP/2 connection: frames in order, content as windows and priorities allow.

Frames that are ready go to `frames`; content is taken from streams in their order, only as much as
the transport takes without holding more than the configured bytes for a slow reader. However many
streams have something to send, one turn of the loop makes few writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from edgeproxy.serving.http2_frames import FRAME_BYTES_MIN, WINDOW_DEFAULT
from edgeproxy.serving.http2_order import Order, Priority
from edgeproxy.serving.http2_stream import Buffers, Stream

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
        "_loop",
        "_order",
        "_piece",
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
        self._woken = False
        self.frames: list[bytes | memoryview] = []
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
        try:
            self.flush()
        except Exception as error:  # noqa: BLE001 - the outermost step: one connection fails, not the node
            self._broken(error)

    def flush(self) -> None:
        """Write what the transport takes."""
        left = TURN_BYTES
        while not self.full:
            size = self._gather() if self._order else 0
            frames, ahead = self.frames, self.ahead
            if not frames:
                return
            self.frames, self.ahead = [], 0
            if size + ahead > SHARE_BYTES:
                self._transport.writelines(frames)
            else:
                self._transport.write(frames[0] if len(frames) == 1 else b"".join(frames))
            if size:
                self._buffers.settle(passed_on=not self._transport.get_write_buffer_size())
            if not self._order:
                return
            left -= size + ahead
            if left <= 0:
                self.wake()
                return
            if not size:  # the window of the connection is used up
                return

    def _gather(self) -> int:
        """Content of at most `piece` bytes to `frames`."""
        order, size, piece = self._order, 0, self._piece
        while size < piece and self.window > 0:
            stream = order.take()
            if stream is None:
                break
            most = min(SHARE_BYTES if order else piece, piece - size, self.window)
            frame_max = min(self.frame_max, FRAME_BYTES)
            count = stream.give(self.frames, most, frame_max, self._buffers)
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
        self.full = True

    def resume(self) -> None:
        self.full = False
        self.wake()

    def stop(self) -> None:
        """Nothing is written any more."""
        self.full = True
        self.frames.clear()
