"""Bytes of two connections passed on to each other, unseen.

Each direction reads only when all that it read before has been taken: back-pressure. What comes in large
reads is looked at where it lies in the kernel, sent, and only what was taken is then taken off (Linux): such
a direction keeps nothing of its own, however slow its sink is; others keep what is left of one small read.
All directions of a process share one buffer, since each is done with it before the next has its turn.

    open -> half closed (one side has ended; the other direction goes on) -> closed
      any error, or silence in both directions for too long, closes both at once"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any

READ_BYTES = 64 << 10
BULK_BYTES = 2 << 20  # of a read that follows a full one; fewer turns wake sender and reader less often
_DISCARDS = sys.platform == "linux"  # MSG_TRUNC takes bytes off a TCP socket without copying them (tcp(7))
_RESET = struct.pack("ii", 1, 0)
_BUFFER = memoryview(bytearray(BULK_BYTES))  # pages nobody has used yet cost nothing


class _Direction:
    """From one socket to the other. `moved` counts bytes handed over."""

    __slots__ = ("_from", "_is_bulk", "_left", "_loop", "_to", "_tunnel", "ended", "moved")

    def __init__(self, tunnel: Tunnel, source: socket.socket, sink: socket.socket, first: bytes) -> None:
        self._tunnel = tunnel
        self._loop = asyncio.get_running_loop()
        self._from, self._to = source, sink
        self._left = memoryview(first)
        self._is_bulk = False
        self.moved = 0
        self.ended = False

    def start(self) -> None:
        with contextlib.suppress(OSError):  # an urgent byte counts like any other, looked at or taken
            self._from.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        if self._left:
            self._loop.add_writer(self._to.fileno(), self._writable)
        else:
            self._loop.add_reader(self._from.fileno(), self._readable)

    def _readable(self) -> None:
        """One move, so that other connections get their turn; what is left is told again."""
        try:
            if self._is_bulk:
                self._pass_on()
            else:
                self._copy()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._tunnel.broke(error)

    def _copy(self) -> None:
        count = self._from.recv_into(_BUFFER, READ_BYTES)
        if not count:
            self._end()
            return
        self._is_bulk = _DISCARDS and count == READ_BYTES
        sent = self._send(_BUFFER[:count])
        if sent < count:
            self._left = memoryview(bytes(_BUFFER[sent:count]))
            self._wait_for_room()

    def _pass_on(self) -> None:
        count = self._from.recv_into(_BUFFER, BULK_BYTES, socket.MSG_PEEK)
        if not count:
            self._end()
            return
        self._is_bulk = count >= READ_BYTES
        sent = self._send(_BUFFER[:count])
        self._discard(sent)
        if sent < count:
            self._wait_for_room()

    def _send(self, data: memoryview) -> int:
        try:
            sent = self._to.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        self.moved += sent
        return sent

    def _discard(self, count: int) -> None:
        """Take off what the sink has; it is there, so this does not block (an urgent mark divides it)."""
        while count:
            count -= self._from.recv_into(_BUFFER, count, socket.MSG_TRUNC)

    def _wait_for_room(self) -> None:
        self._loop.remove_reader(self._from.fileno())
        self._loop.add_writer(self._to.fileno(), self._writable)

    def _writable(self) -> None:
        if self._left:
            try:
                self._left = self._left[self._send(self._left) :]
            except OSError as error:
                self._tunnel.broke(error)
                return
            if self._left:
                return
        self._loop.remove_writer(self._to.fileno())
        self._loop.add_reader(self._from.fileno(), self._readable)

    def _end(self) -> None:
        """The source sends no more, and the sink has got everything."""
        self.ended = True
        self._loop.remove_reader(self._from.fileno())
        with contextlib.suppress(OSError):
            self._to.shutdown(socket.SHUT_WR)
        self._tunnel.half_closed()

    def stop(self) -> None:
        self._loop.remove_reader(self._from.fileno())
        self._loop.remove_writer(self._to.fileno())
        self._left = memoryview(b"")


class Tunnel:
    """Between `client` and `server`, two connected sockets that do not block; it owns both. `first` is what
    the client had sent already. `closed` is told once, when both are closed, `resets` before that if the
    tunnel is broken off."""

    __slots__ = ("_client", "_closed", "_down", "_resets", "_server", "_up", "is_closed", "opened", "why")

    def __init__(
        self,
        client: socket.socket,
        server: socket.socket,
        closed: Callable[[Tunnel], None],
        first: bytes = b"",
        resets: Sequence[Callable[[], None]] = (),
    ) -> None:
        self._resets = resets
        self._client, self._server, self._closed = client, server, closed
        self._up = _Direction(self, client, server, first)
        self._down = _Direction(self, server, client, b"")
        self.is_closed = False
        self.why = ""  # it was broken off
        self.opened: Any = None  # what stands for it elsewhere; its owner's

    @property
    def up(self) -> int:
        """Bytes from the client that the server's socket has taken."""
        return self._up.moved

    @property
    def down(self) -> int:
        return self._down.moved

    def start(self) -> None:
        self._up.start()
        self._down.start()

    def half_closed(self) -> None:
        if self._up.ended and self._down.ended:
            self._close()

    def broke(self, error: OSError) -> None:
        """A reset of one side becomes a reset of the other: what was sent may not look complete."""
        self.abort(error.strerror or "broken")

    def abort(self, why: str) -> None:
        if self.is_closed:
            return
        self.why = why
        for tell in self._resets:
            tell()
        for one in (self._client, self._server):
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._close()

    def _close(self) -> None:
        self.is_closed = True
        self._up.stop()
        self._down.stop()
        self._client.close()
        self._server.close()
        self._closed(self)
