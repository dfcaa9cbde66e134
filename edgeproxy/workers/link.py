"""The supervisor's end of the socket pair to a child: no event loop, and no wait longer than a moment."""

from __future__ import annotations

import contextlib
import select
import socket

import msgspec

from edgeproxy.relay.frames import MESSAGE, FrameDecoder, FrameError, frame_head
from edgeproxy.workers.orders import DECODER, Inherit, Offered, Order

SEND_SECONDS = 2.0  # for a child that is busy; one that takes longer is as good as gone
_READ_BYTES = 64 << 10
_SOCKETS_AT_ONCE = 64


class Link:
    """`receive` when the socket is readable."""

    def __init__(self, connected: socket.socket) -> None:
        connected.settimeout(SEND_SECONDS)
        self._socket = connected
        self._frames = FrameDecoder()
        self._encode = msgspec.msgpack.Encoder().encode
        self.is_lost = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, order: Order, descriptor: int = -1) -> None:
        """To a child that is gone, nothing happens: its end is noticed elsewhere."""
        data = self._encode(order)
        frame = frame_head(MESSAGE, len(data)) + data
        with contextlib.suppress(OSError):
            if descriptor >= 0:
                sent = socket.send_fds(self._socket, [frame], [descriptor])
                frame = frame[sent:]
            if frame:
                self._socket.sendall(frame)

    def wait(self, seconds: float) -> list[Order]:
        """What comes within so long."""
        if self.is_lost:
            return []
        poller = select.poll()  # select(2) knows no descriptors beyond 1024
        poller.register(self._socket, select.POLLIN)
        return self.receive() if poller.poll(1000 * seconds) else []

    def offered(self, seconds: float) -> list[tuple[Inherit, socket.socket]]:
        """The sockets that come before Offered."""
        found: list[tuple[Inherit, socket.socket]] = []
        descriptors: list[int] = []
        self._socket.settimeout(seconds)
        try:
            while True:
                data, more, _, _ = socket.recv_fds(self._socket, _READ_BYTES, _SOCKETS_AT_ONCE)
                descriptors += more
                for order in [DECODER.decode(frame) for _, frame in self._frames.feed(data)]:
                    if isinstance(order, Inherit):
                        found.append((order, socket.socket(fileno=descriptors.pop(0))))
                    elif isinstance(order, Offered):
                        return found
                if not data:
                    raise OSError
        except (OSError, IndexError, FrameError, msgspec.MsgspecError):
            self.is_lost = True
            return found
        finally:
            self._socket.settimeout(SEND_SECONDS)

    def receive(self) -> list[Order]:
        """What has come; `is_lost` once nothing more will."""
        try:
            data = self._socket.recv(_READ_BYTES)
            if data:
                return [DECODER.decode(frame) for _, frame in self._frames.feed(data)]
        except TimeoutError:
            return []
        except (OSError, FrameError, msgspec.MsgspecError):
            pass
        self.is_lost = True
        return []

    def close(self) -> None:
        self._socket.close()
