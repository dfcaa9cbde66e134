"""Bytes of two connections passed on to each other, unseen.

Each direction reads only when all that it read before has been taken: back-pressure needs no buffer beyond
one read. What comes in large reads is moved by the kernel (splice through a pipe), where there is such a
thing; a direction that carries little has no pipe: an idle tunnel holds two descriptors and nothing else.

    open -> half closed (one side has ended; the other direction goes on) -> closed
      any error, or silence in both directions for too long, closes both at once"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any

READ_BYTES = 64 << 10
PIPE_BYTES = 1 << 20
QUIET_SECONDS = 1.0  # then a direction has no pipe any more
MOVES_AT_ONCE = 8  # before other connections get their turn
_SPLICE = hasattr(os, "splice")
_F_SETPIPE_SZ = getattr(fcntl, "F_SETPIPE_SZ", 1031)
_RESET = struct.pack("ii", 1, 0)


class _Pipe:
    """A buffer in the kernel: `held` bytes are in it."""

    __slots__ = ("held", "into", "out")

    def __init__(self) -> None:
        self.out, self.into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # the user's share of pipe memory is used up: the default will do
            fcntl.fcntl(self.into, _F_SETPIPE_SZ, PIPE_BYTES)
        self.held = 0

    def close(self) -> None:
        os.close(self.out)
        os.close(self.into)


class _Direction:
    """From one socket to the other. `moved` counts bytes handed over."""

    __slots__ = ("_from", "_left", "_loop", "_pipe", "_quiet", "_to", "_tunnel", "ended", "moved")

    def __init__(self, tunnel: Tunnel, source: socket.socket, sink: socket.socket, first: bytes) -> None:
        self._tunnel = tunnel
        self._loop = asyncio.get_running_loop()
        self._from, self._to = source, sink
        self._left = memoryview(first)
        self._pipe: _Pipe | None = None
        self._quiet: asyncio.TimerHandle | None = None
        self.moved = 0
        self.ended = False

    def start(self) -> None:
        if self._left:
            self._loop.add_writer(self._to.fileno(), self._writable)
        else:
            self._loop.add_reader(self._from.fileno(), self._readable)

    def _readable(self) -> None:
        try:
            for _ in range(MOVES_AT_ONCE):
                if not (self._splice(self._pipe) if self._pipe is not None else self._copy()):
                    return
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._tunnel.broke(error)

    def _copy(self) -> bool:
        """Move one read; false when it is not time for the next."""
        data = self._from.recv(READ_BYTES)
        if not data:
            self._end()
            return False
        if len(data) == READ_BYTES and _SPLICE:
            self._pipe = _open_pipe()
            self._quiet = self._loop.call_later(QUIET_SECONDS, self._is_quiet, self.moved)
        sent = self._send(data)
        if sent < len(data):
            self._left = memoryview(data)[sent:]
            self._wait_for_room()
            return False
        return len(data) == READ_BYTES

    def _send(self, data: bytes | memoryview) -> int:
        try:
            sent = self._to.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        self.moved += sent
        return sent

    def _splice(self, pipe: _Pipe) -> bool:
        try:
            count = os.splice(self._from.fileno(), pipe.into, PIPE_BYTES, flags=_flags())
        except (BlockingIOError, InterruptedError):
            return False
        if not count:
            self._end()
            return False
        pipe.held = count
        if not self._drain(pipe):
            self._wait_for_room()
            return False
        return True

    def _is_quiet(self, moved: int) -> None:
        """A pipe in which nothing has been for a while is let go."""
        self._quiet = None
        if self._pipe is None:
            return
        if self._pipe.held or self.moved != moved:
            self._quiet = self._loop.call_later(QUIET_SECONDS, self._is_quiet, self.moved)
            return
        self._pipe.close()
        self._pipe = None

    def _drain(self, pipe: _Pipe) -> bool:
        """Whether all that is in the pipe has been taken."""
        while pipe.held:
            try:
                count = os.splice(pipe.out, self._to.fileno(), pipe.held, flags=_flags())
            except (BlockingIOError, InterruptedError):
                return False
            pipe.held -= count
            self.moved += count
        return True

    def _wait_for_room(self) -> None:
        self._loop.remove_reader(self._from.fileno())
        self._loop.add_writer(self._to.fileno(), self._writable)

    def _writable(self) -> None:
        try:
            if self._left:
                self._left = self._left[self._send(self._left) :]
                if self._left:
                    return
            if self._pipe is not None and not self._drain(self._pipe):
                return
        except OSError as error:
            self._tunnel.broke(error)
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
        if self._quiet is not None:
            self._quiet.cancel()
        self._loop.remove_reader(self._from.fileno())
        self._loop.remove_writer(self._to.fileno())
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
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


def _open_pipe() -> _Pipe | None:
    """None where descriptors have run out: bytes are copied then."""
    try:
        return _Pipe()
    except OSError:
        return None


def _flags() -> int:
    return os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
