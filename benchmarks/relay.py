"""The relay of a link: sockets around the model of wire.py (see link.py for how it is used).

A connection costs its client one round trip before its first byte leaves: loopback completes the handshake
at once, so the relay waits instead. What breaks on either side comes out on the other, in order and after the
delay: an end (half-close), a reset. A reader that takes nothing stops the writer once the window is full."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self, cast

from benchmarks.alarm import Alarm
from benchmarks.wire import Distance, EndKind, Flow, Lane, Timeline

_WRITE_BUFFER = 256 << 10
_RECEIVE_BUFFER = 1 << 20  # fixed, so that the kernel does not hide megabytes that the sender takes for sent


@dataclass
class Counts:
    """What a link has carried. `held` is the most bytes it has kept in memory for one connection."""

    connections: int = 0
    open: int = 0
    refused: int = 0
    down_bytes: int = 0
    up_bytes: int = 0
    stalls: int = 0
    cuts: int = 0
    held: int = 0


class Link:
    """A relay to one server while the `async with` block lasts. Clients whose IP address is in `distances`
    are as far away as stands there, all others `distance`."""

    def __init__(
        self,
        to: tuple[str, int],
        distance: Distance,
        listen: tuple[str, int] = ("127.0.0.1", 0),
        distances: Mapping[str, Distance] | None = None,
    ) -> None:
        self._to, self._distance, self._listen = to, distance, listen
        self._counts = Counts()
        self._open: set[_Connection] = set()
        self._alarm: Alarm | None = None
        self._is_dark = False
        self._listener: socket.socket | None = None
        self._fillers: list[socket.socket] = []
        self._accepting: asyncio.Task[None] | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self._timeline = Timeline(time.monotonic())
        self._lanes = self._new_lanes(distance)
        self._others = {address: (far, self._new_lanes(far)) for address, far in (distances or {}).items()}

    def __repr__(self) -> str:
        return f"<Link {self.address} to {self._to[0]}:{self._to[1]} {self._distance} open={len(self._open)}>"

    @property
    def address(self) -> str:
        return f"{self._listen[0]}:{self._listen[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def counts(self) -> Counts:
        """So far, running connections included."""
        counts = replace(self._counts, open=len(self._open))
        for connection in self._open:
            connection.add_to(counts)
        return counts

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._wake)
        self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        for task in list(self._opening):
            task.cancel()
        self.cut()
        if self._alarm is not None:
            self._alarm.close()
            self._alarm = None
        await asyncio.sleep(0)

    # -- what may happen to a link -----------------------------------------------------------------

    def change(self, distance: Distance) -> None:
        """For connections from now on."""
        self._distance = distance
        self._lanes = self._new_lanes(distance)

    def cut(self) -> None:
        """Reset every open connection."""
        for connection in list(self._open):
            connection.abort()

    def dark(self) -> None:
        """Nothing arrives any more in either direction, nothing is told, and connecting hangs."""
        self._is_dark = True
        for connection in self._open:
            connection.hold()
        self._stop_accepting()
        # The kernel answers no handshake while its queue is full: fill it, as nobody accepts.
        assert self._listener is not None
        self._listener.listen(0)
        for _ in range(2):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self._listener.getsockname())
            self._fillers.append(filler)

    def light(self) -> None:
        """After `dark`: what was under way arrives now."""
        self._is_dark = False
        self._drop_fillers()
        assert self._listener is not None
        self._listener.listen(1024)
        self._start_accepting()
        for connection in list(self._open):
            connection.release()
        self._arm()

    def refuse(self) -> None:
        """As if no server ran there. Open connections stay."""
        self._stop_accepting()
        self._drop_fillers()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def accept(self) -> None:
        """Accept at the same address, for the first time or after `refuse`."""
        if self._listener is not None:
            return
        self._listener = socket.create_server(self._listen, backlog=1024)
        self._listener.setblocking(False)
        self._listen = self._listener.getsockname()[:2]
        self._start_accepting()

    # -- connections -------------------------------------------------------------------------------

    def _new_lanes(self, distance: Distance) -> tuple[Lane, Lane]:
        return (
            Lane(self._timeline, distance, down=False),
            Lane(self._timeline, distance, down=True),
        )

    def _start_accepting(self) -> None:
        self._accepting = self._loop.create_task(self._accept())

    def _stop_accepting(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()

    def _drop_fillers(self) -> None:
        while self._fillers:
            self._fillers.pop().close()

    async def _accept(self) -> None:
        assert self._listener is not None
        while True:
            accepted, (client, *_) = await self._loop.sock_accept(self._listener)
            task = self._loop.create_task(self._open_connection(accepted, client))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open_connection(self, accepted: socket.socket, client: str) -> None:
        self._counts.connections += 1
        distance, lanes = self._others.get(client, (self._distance, self._lanes))
        connection = _Connection(self, distance, lanes, self._counts.connections)
        try:
            await asyncio.sleep(distance.rtt)
            server = socket.socket()
            server.setblocking(False)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            with _closed_on_error(server):
                await self._loop.sock_connect(server, self._to)
        except OSError:
            self._counts.refused += 1
            _reset(accepted)
            accepted.close()
            return
        except asyncio.CancelledError:
            accepted.close()
            raise
        self._open.add(connection)
        if self._is_dark:
            connection.hold()
        await self._loop.create_connection(lambda: connection.server, sock=server)
        await self._loop.connect_accepted_socket(lambda: connection.client, accepted)

    def closed(self, connection: _Connection) -> None:
        if connection in self._open:
            self._open.discard(connection)
            connection.add_to(self._counts)

    # -- time --------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def moment(self) -> Any:
        """What a socket tells comes after all that was due by now."""
        self._timeline.run(time.monotonic())
        yield
        self._arm()

    def _arm(self) -> None:
        when = self._timeline.next
        if when is not None and self._alarm is not None:
            self._alarm.set(when)

    def _wake(self) -> None:
        self._timeline.run(time.monotonic())
        self._arm()


class _Connection:
    """Two sockets and the two flows between them."""

    def __init__(self, link: Link, distance: Distance, lanes: tuple[Lane, Lane], number: int) -> None:
        self._link, self._distance = link, distance
        self.client = _End(link, self)
        self.server = _End(link, self)
        up, down = lanes
        self.up = Flow(up, distance, self.server, number=number, down=False, drained=self.client.read_on)
        self.down = Flow(down, distance, self.client, number=number, down=True, drained=self.server.read_on)
        self.client.flow, self.client.incoming = self.up, self.down
        self.server.flow, self.server.incoming = self.down, self.up
        self.held = 0
        self.was_cut = False

    def add_to(self, counts: Counts) -> None:
        counts.down_bytes += self.down.delivered_bytes
        counts.up_bytes += self.up.delivered_bytes
        counts.stalls += self.up.stalls + self.down.stalls
        counts.cuts += self.was_cut
        counts.held = max(counts.held, self.held)

    def hold(self) -> None:
        self.up.hold()
        self.down.hold()

    def release(self) -> None:
        self.up.release()
        self.down.release()

    @property
    def is_over(self) -> bool:
        """Both directions have ended cleanly."""
        return self.client.is_ended and self.server.is_ended

    def ended(self) -> None:
        if self.is_over:
            self.client.close()
            self.server.close()

    def cut(self) -> None:
        self.was_cut = True
        if self._distance.cut_kind == "end":
            self.client.close()
            self.server.close()
            self.up.drop()
            self.down.drop()
        else:
            self.abort()

    def abort(self) -> None:
        self.up.drop()
        self.down.drop()
        self.client.reset()
        self.server.reset()
        self._link.closed(self)

    def lost(self) -> None:
        if self.client.is_lost and self.server.is_lost:
            self._link.closed(self)


class _End(asyncio.Protocol):
    """One socket: what is read feeds `flow`, what `incoming` brings is written."""

    flow: Flow
    incoming: Flow

    def __init__(self, link: Link, connection: _Connection) -> None:
        self._link, self._connection = link, connection
        self._transport: asyncio.Transport | None = None
        self._is_paused = False
        self.is_ended = False  # its writing half
        self.is_lost = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by isinstance
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER)

    def data_received(self, data: bytes) -> None:
        with self._link.moment():
            self.flow.feed(data)
        connection = self._connection
        connection.held = max(connection.held, self.flow.held_bytes)
        if self.flow.is_full and not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        with self._link.moment():
            self.flow.finish("end")
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        if not self._connection.is_over:
            with self._link.moment():
                self.flow.finish("reset")
        self._connection.lost()

    def pause_writing(self) -> None:
        self.incoming.hold()

    def resume_writing(self) -> None:
        with self._link.moment():
            self.incoming.release()

    # wire.Sink

    def take(self, data: memoryview) -> None:
        if self._transport is not None and not self.is_lost and not self.is_ended:
            self._transport.write(data)

    def end(self, kind: EndKind) -> None:
        if kind == "cut":
            self._connection.cut()
        elif kind == "reset":
            self._connection.abort()
        else:
            self.is_ended = True
            if self._transport is not None and not self._transport.is_closing():
                self._transport.write_eof()
            self._connection.ended()

    def read_on(self) -> None:
        if self._is_paused and self._transport is not None and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        if self._transport is not None and not self.is_lost:
            _reset(self._transport.get_extra_info("socket"))
            self._transport.abort()


def _reset(sock: socket.socket) -> None:
    """Have its close tell the other side that something went wrong, not that all has been said."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextlib.contextmanager
def _closed_on_error(sock: socket.socket) -> Any:
    try:
        yield
    except BaseException:
        sock.close()
        raise
