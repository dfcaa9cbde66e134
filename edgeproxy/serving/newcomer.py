"""A connection that has said nothing yet, at a listener whose clients begin with CONNECT.

first bytes, left where they are -> CONNECT that is answered at once: told here, and taken as it stands
                                    all else: a connection of HTTP/1, which reads them again

A way through the proxy begins with a connection that has no other use: what stands between a socket and
HTTP (transport, writer, reader, state) would be made to be thrown away."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from edgeproxy.errors import RequestError
from edgeproxy.serving import connecting
from edgeproxy.serving.exchange import make_request
from edgeproxy.serving.first_bytes import close_watched
from edgeproxy.serving.head import parse_head
from edgeproxy.serving.service import Reached, Service

_SILENT_SECONDS = 1.0  # after which it is like any other that is idle
_HEAD_BYTES = 2 << 10  # of a CONNECT; longer ones are for who reads all
_HEADS_MAX = 256  # clients repeat themselves: most are, byte for byte, one of a few


class Newcomer:
    """Has entered, and waits. `passed` is told once: whether it has been taken; if not, `connected` is as it
    was."""

    __slots__ = ("_loop", "_passed", "_service", "_timer", "connected", "peer")

    def __init__(
        self, connected: socket.socket, service: Service, peer: str, passed: Callable[[Newcomer, bool], None]
    ) -> None:
        self.connected = connected
        self._service = service
        self.peer = peer
        self._passed = passed
        self._loop = asyncio.get_running_loop()
        connected.setblocking(False)
        self._loop.add_reader(connected.fileno(), self._readable)
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(_SILENT_SECONDS, self.go_on)

    def go_on(self) -> None:
        """As a connection of HTTP/1."""
        self._end()
        self._loop.remove_reader(self.connected.fileno())
        self._passed(self, False)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _readable(self) -> None:
        if self._timer is None:
            return  # taken, and whoever took it watches it from the next turn of the loop on
        try:
            seen = self.connected.recv(_HEAD_BYTES, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            seen = b""
        reached = self._reached(seen)
        if reached is None:
            self._service.expects_connect = False
            self.go_on()
            return
        self._end()
        self._passed(self, True)
        with contextlib.suppress(OSError):  # reset meanwhile: nobody can be told either
            self.connected.recv(len(seen))
        if connecting.tell(self.connected, reached.head):
            reached.take(self.connected, b"")
        else:
            close_watched(self.connected)
            reached.drop()
            self._service.gave_up(self.peer)

    def _reached(self, seen: bytes) -> Reached | None:
        """Where a CONNECT leads that is all there is and all that is needed."""
        service = self._service
        connects = service.connects
        if connects is None or not seen.startswith(b"CONNECT ") or seen.find(b"\r\n\r\n") != len(seen) - 4:
            return None
        head = service.connect_heads.get(seen)
        if head is None:
            try:
                head = parse_head(seen, service.limits)
            except RequestError:
                return None  # whose reader says why
            if len(service.connect_heads) >= _HEADS_MAX:
                service.connect_heads.clear()
            service.connect_heads[seen] = head
        return connects.at_once(service, make_request(service, head, self.peer, self.peer, None, None))
