"""One connection between two processes of a node: frames, and descriptors of files beside them.

asyncio's transports carry no descriptors, so the socket is read and written here. Whoever uses a
channel is called back, in order; what is sent and not yet taken by the kernel waits here, and `drained`
waits for it."""

from __future__ import annotations

import asyncio
import os
import socket
from array import array
from collections import deque
from typing import Any, Protocol

import msgspec

from edgeproxy.errors import EdgeError
from edgeproxy.relay.frames import CONTENT, MESSAGE, FrameDecoder, FrameError, frame_head

READ_BYTES = 256 << 10
READS_AT_ONCE = 8  # before others get their turn
FULL_BYTES = 512 << 10  # waiting to be sent: whoever can should wait
DESCRIPTORS_MAX = 16  # taken with one read
_FLAGS = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_ANCILLARY = socket.CMSG_SPACE(DESCRIPTORS_MAX * array("i").itemsize)


class ChannelLost(EdgeError):
    """The other end is gone."""


class Receiver(Protocol):
    """Who is told what comes. `message` may take descriptors that came with it from the channel."""

    def message(self, message: Any) -> None: ...

    def content(self, data: bytes) -> None: ...

    def lost(self) -> None:
        """The other end closed, or broke. Called once, and nothing after it."""
        ...


class Channel:
    """Owns a connected unix socket. Messages are msgspec values that `decoder` knows."""

    def __init__(
        self, connected: socket.socket, decoder: msgspec.msgpack.Decoder[Any], receiver: Receiver
    ) -> None:
        connected.setblocking(False)
        self.receiver = receiver
        self._socket = connected
        self._loop = asyncio.get_running_loop()
        self._decode = decoder.decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._frames = FrameDecoder()
        self._descriptors: deque[int] = deque()
        self._unsent: deque[tuple[memoryview, int]] = deque()
        self._unsent_bytes = 0
        self._drained: asyncio.Future[None] | None = None
        self.is_closed = False
        self._loop.add_reader(connected.fileno(), self._readable)

    def close(self) -> None:
        """Tells the other end, not the receiver. Descriptors nobody took are closed."""
        if self.is_closed:
            return
        self.is_closed = True
        number = self._socket.fileno()
        self._loop.remove_reader(number)
        self._loop.remove_writer(number)
        self._socket.close()
        self._unsent.clear()
        while self._descriptors:
            os.close(self._descriptors.popleft())
        self._wake()

    def _lose(self) -> None:
        if not self.is_closed:
            self.close()
            self.receiver.lost()

    # -- sending -------------------------------------------------------------------------------

    def send(self, message: msgspec.Struct, descriptor: int = -1) -> None:
        """Send a message, with a descriptor of a file if one is given (it stays the caller's)."""
        data = self._encode(message)
        self._put(frame_head(MESSAGE, len(data)) + data, descriptor)

    def send_content(self, data: bytes | memoryview) -> None:
        self._put(frame_head(CONTENT, len(data)))
        self._put(data)

    def _put(self, data: bytes | memoryview, descriptor: int = -1) -> None:
        if self.is_closed or not data:
            return
        if self._unsent:
            self._queue(memoryview(data), descriptor)
            return
        view = memoryview(data)
        try:
            sent = self._write(view, descriptor)
        except OSError:
            self._loop.call_soon(self._lose)
            return
        if sent < len(view):
            self._queue(view[sent:], -1 if sent else descriptor)
            self._loop.add_writer(self._socket.fileno(), self._writable)

    def _queue(self, view: memoryview, descriptor: int) -> None:
        # What waits must stay what it is, also when the caller closes or changes it meanwhile.
        self._unsent.append((view, os.dup(descriptor) if descriptor >= 0 else -1))
        self._unsent_bytes += len(view)

    def _write(self, view: memoryview, descriptor: int) -> int:
        """Bytes taken by the kernel, 0 if it is full. Raises OSError."""
        try:
            if descriptor < 0:
                return self._socket.send(view)
            return socket.send_fds(self._socket, [view], [descriptor])
        except (BlockingIOError, InterruptedError):
            return 0

    def _writable(self) -> None:
        try:
            while self._unsent:
                view, descriptor = self._unsent[0]
                sent = self._write(view, descriptor)
                if not sent:
                    return
                self._unsent_bytes -= sent
                if descriptor >= 0:
                    os.close(descriptor)
                if sent < len(view):
                    self._unsent[0] = (view[sent:], -1)
                    return
                self._unsent.popleft()
        except OSError:
            self._lose()
            return
        self._loop.remove_writer(self._socket.fileno())
        self._wake()

    def _wake(self) -> None:
        waiter, self._drained = self._drained, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def drained(self) -> None:
        """Wait while much is unsent. Raises ChannelLost."""
        while self._unsent_bytes > FULL_BYTES and not self.is_closed:
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)
        if self.is_closed:
            raise ChannelLost("the other process is gone")

    # -- receiving -----------------------------------------------------------------------------

    def take_descriptor(self) -> int:
        """The next descriptor that came; the caller closes it. Raises FrameError if there is none."""
        if not self._descriptors:
            raise FrameError("a descriptor is missing")
        return self._descriptors.popleft()

    def _readable(self) -> None:
        for _ in range(READS_AT_ONCE):
            try:
                data = self._read()
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                data = b""
            if not data:
                self._lose()
                return
            try:
                for kind, frame in self._frames.feed(data):
                    if self.is_closed:
                        return
                    if kind == CONTENT:
                        self.receiver.content(frame)
                    else:
                        self.receiver.message(self._decode(frame))
            except (EdgeError, msgspec.MsgspecError):
                self._lose()
                return
            if self.is_closed or len(data) < READ_BYTES:
                return

    def _read(self) -> bytes:
        data, ancillary, _, _ = self._socket.recvmsg(READ_BYTES, _ANCILLARY, _FLAGS)
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                numbers = array("i")
                numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
                self._descriptors.extend(numbers)
        return data
