"""A pair of sockets in place of a client's own, where its bytes come out of TLS or of a stream of HTTP/2.

Who takes a CONNECT gets a socket, whatever the client speaks to us: `far` is given away, and what stands
before the client carries bytes between it and `near`. Such a pair knows an end and no reset, so resets are
told beside it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

from edgeproxy.serving import ending
from edgeproxy.serving.service import Service

READ_BYTES = 64 << 10


class Wire:
    """`far` belongs to who takes it. `abort` is theirs to set: it is told that the client has broken off;
    `was_reset` that they have."""

    __slots__ = ("abort", "far", "near", "was_reset")

    def __init__(self) -> None:
        """Raises OSError where there are no descriptors."""
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.abort: Callable[[str], None] = lambda _why: None
        self.was_reset = False

    def reset(self) -> None:
        """The other end was broken off: what was sent may not look complete. Told before `far` is closed."""
        self.was_reset = True

    async def read(self) -> bytes:
        """What comes next from `far`; b"" at its end. Raises OSError. One task at a time may read."""
        while True:
            try:
                return self.near.recv(READ_BYTES)
            except (BlockingIOError, InterruptedError):
                await self._when(reading=True)

    async def write(self, data: bytes | memoryview) -> None:
        """Have `far` take all of it. Raises OSError. One task at a time may write."""
        while data:
            try:
                data = memoryview(data)[self.near.send(data) :]
            except (BlockingIOError, InterruptedError):
                await self._when(reading=False)

    async def _when(self, *, reading: bool) -> None:
        # sock_sendall of uvloop (0.22) leaves a writer behind where it is cancelled between two pieces.
        loop, number = asyncio.get_running_loop(), self.near.fileno()
        waiter: asyncio.Future[None] = loop.create_future()
        add, remove = (
            (loop.add_reader, loop.remove_reader) if reading else (loop.add_writer, loop.remove_writer)
        )
        add(number, lambda: None if waiter.done() else waiter.set_result(None))
        try:
            await waiter
        finally:
            if self.near.fileno() >= 0:
                remove(number)

    def end(self) -> None:
        """Nothing more is written. Raises OSError."""
        self.near.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Let go of `near`, also while somebody waits for it."""
        number = self.near.fileno()
        if number >= 0:
            loop = asyncio.get_running_loop()
            loop.remove_reader(number)
            loop.remove_writer(number)
            self.near.close()


class Carrier(asyncio.Protocol):
    """Carries the bytes of a transport to and from a wire: what the client says over TLS after its CONNECT.
    Each direction holds one read at most while the other side does not take it. Over TLS an end is the end of
    both directions."""

    def __init__(self, service: Service, peer: str, wire: Wire) -> None:
        self.peer = peer
        self.served = 1
        self.pulse_seen: tuple[object, ...] = ()
        self.pulse_since = 0.0
        self._service = service
        self._wire = wire
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._left = b""  # of what the client has sent
        self._is_reading = self._has_ended = False

    def take_over(self, transport: Any, early: bytes) -> None:
        """Go on with a connection that has asked; `early` is what it has sent since."""
        self._transport = transport
        self._read_wire(True)
        if early:
            self.data_received(early)
        if not self._left:
            transport.resume_reading()

    # -- from the client -----------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._left:
            self._left += data
        elif (sent := self._send(data)) < len(data):
            self._left = data[sent:]
            self._transport.pause_reading()
            self._loop.add_writer(self._wire.near.fileno(), self._room)

    def _send(self, data: bytes) -> int:
        try:
            return self._wire.near.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:  # who took it is gone; its end is read in its turn
            return len(data)

    def _room(self) -> None:
        self._left = self._left[self._send(self._left) :]
        if not self._left:
            self._loop.remove_writer(self._wire.near.fileno())
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        self._has_ended = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._has_ended:
            self._wire.abort("the client left")
        elif self._left:
            with contextlib.suppress(OSError):
                self._wire.near.send(self._left)
        self._wire.close()
        self._service.lost(self, self.peer)

    # -- to the client -------------------------------------------------------------------------

    def _read_wire(self, wanted: bool) -> None:
        if wanted != self._is_reading:
            self._is_reading = wanted
            if wanted:
                self._loop.add_reader(self._wire.near.fileno(), self._readable)
            else:
                self._loop.remove_reader(self._wire.near.fileno())

    def _readable(self) -> None:
        try:
            data = self._wire.near.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, self._wire.was_reset = b"", True
        if data:
            self._transport.write(data)
            return
        self._read_wire(False)
        self._has_ended = True
        if self._wire.was_reset:
            self.abort()
        else:
            ending.close(self._transport)

    def pause_writing(self) -> None:
        self._read_wire(False)

    def resume_writing(self) -> None:
        self._read_wire(not self._has_ended)

    # -- what the listener and the sweep ask: who took the far end watches over silence ------------

    @property
    def endpoint(self) -> socket.socket | None:
        return None

    @property
    def streams(self) -> tuple[()]:
        return ()

    @property
    def is_idle(self) -> bool:
        return False

    def pulse(self) -> tuple[str, float, object, object]:
        waiting = ending.unsent(self._transport)
        if self._transport.is_closing():
            return ("write", self._service.limits.write_timeout, waiting, None)
        return ("busy", 0.0, None, None)

    def expire(self, phase: str) -> None:
        self.abort()

    def drain(self) -> None:
        return None

    def close(self) -> None:
        ending.close(self._transport)

    def abort(self) -> None:
        ending.break_off(self._transport)
