"""Taking connections from a listening socket.

The accept loop is our own: where descriptors run out it must rest instead of being woken for ever by
a socket that stays readable."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import aiofastnet

from edgeproxy.serving.client_address import Networks
from edgeproxy.serving.door import Door
from edgeproxy.serving.handshakes import Handshakes
from edgeproxy.serving.http1 import Connection
from edgeproxy.serving.newcomer import Newcomer
from edgeproxy.serving.service import Connects, Service

_AT_ONCE = 64  # connections taken before other work gets its turn
_REST_SECONDS = 0.1
_ALONE = 8  # connections that come one at a time before it is looked again whether another waits


class Acceptor:
    """Accepts from one listening socket, which it owns, and serves `service`; over TLS if there are
    `handshakes`. Where somebody `takes` connections they are meant for others."""

    def __init__(
        self,
        listening: socket.socket,
        service: Service,
        door: Door,
        proxied: Networks,
        handshakes: Handshakes | None = None,
        takes: Connects | None = None,
    ) -> None:
        self._takes = takes
        self._socket = listening
        self._service = service
        self._door = door
        self._proxied = proxied
        self._handshakes = handshakes
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._complained = False
        self._alone = 0  # taken since one was found to have come alone; 0: several came together
        self._newcomers: set[Newcomer] = set()

    def start(self) -> None:
        self._timer = None
        self._loop.add_reader(self._socket.fileno(), self._ready)

    def pause(self) -> None:
        """Leave what comes to the kernel."""
        if self._timer is None:
            self._loop.remove_reader(self._socket.fileno())
        else:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Let go of the socket; what waits there is for who else has it."""
        self.pause()
        self._socket.close()
        self._hurry()

    def stop(self) -> None:
        """Take what the kernel has already accepted, then close the socket."""
        is_resting = self._timer is not None
        self.pause()
        if not is_resting:
            self._accept(_AT_ONCE)
        self._socket.close()
        self._hurry()

    def _hurry(self) -> None:
        """Have those that have said nothing be connections like all others, which can be told to end."""
        for newcomer in tuple(self._newcomers):
            newcomer.go_on()

    def _ready(self) -> None:
        # Asking in vain costs as much as accepting; what waits keeps the socket readable.
        most = _AT_ONCE
        if 0 < self._alone < _ALONE:
            self._alone += 1
            most = 1
        if not self._accept(most):
            self._loop.remove_reader(self._socket.fileno())
            self._timer = self._loop.call_later(_REST_SECONDS, self.start)

    def _accept(self, most: int) -> bool:
        """Accept what waits, at most so many; False if it is time to rest."""
        for number in range(most):
            try:
                connected, address = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                self._complained = False
                self._alone = 1 if number < 2 else 0
                return True
            except ConnectionAbortedError:
                continue
            except OSError as error:
                # Out of descriptors or memory: making room and waiting is all that helps.
                self._service.metrics.count("connections_refused_total", "descriptors")
                self._door.shed()
                if not self._complained:
                    self._complained = True
                    self._service.report(f"accept on {self._service.listener}: {error.strerror}")
                return False
            client = address[0] if isinstance(address, tuple) else ""
            limit = self._door.admit(client, connected.fileno())
            if limit is None:
                self._enter(connected, client)
                continue
            connected.close()
            if limit == "descriptors":
                return False
        return True

    def _enter(self, connected: socket.socket, client: str) -> None:
        if self._service.expects_connect and self._takes is None and client not in self._proxied:
            self._newcomers.add(Newcomer(connected, self._service, client, self._passed))
        elif not self._shakes(connected, client):
            self._service.tasks.start(self._connect(connected, client), "accept")

    def _shakes(self, connected: socket.socket, client: str) -> bool:
        """Whether a handshake has begun for which no task is needed."""
        if self._handshakes is None or client in self._proxied:
            return False
        gave_up = self._door.gave_up
        return self._handshakes.begin(
            connected, self._service, client, lambda is_there: None if is_there else gave_up(client)
        )

    def _passed(self, newcomer: Newcomer, has_left: bool) -> None:
        self._newcomers.discard(newcomer)
        if not has_left:
            self._service.tasks.start(self._connect(newcomer.connected, newcomer.peer), "accept")

    async def _connect(self, connected: socket.socket, client: str) -> None:
        proxied, entered = client in self._proxied, False
        made: Callable[[], Connection] = lambda: Connection(self._service, client, proxied)  # noqa: E731
        try:
            if self._takes is not None:
                entered = True
                await self._takes.taken(self._service, connected, client)
            elif self._handshakes is not None:
                entered = await self._handshakes.run(connected, self._service, client, proxied)
            else:
                await aiofastnet.connect_accepted_socket(self._loop, made, connected)
                entered = True
        except OSError:
            connected.close()
        finally:
            if not entered:
                self._door.gave_up(client)
