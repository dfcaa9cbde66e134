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
from edgeproxy.serving.service import Connects, Service

_AT_ONCE = 64  # connections taken before other work gets its turn
_REST_SECONDS = 0.1


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

    def stop(self) -> None:
        """Take what the kernel has already accepted, then close the socket."""
        is_resting = self._timer is not None
        self.pause()
        if not is_resting:
            self._accept()
        self._socket.close()

    def _ready(self) -> None:
        if not self._accept():
            self._loop.remove_reader(self._socket.fileno())
            self._timer = self._loop.call_later(_REST_SECONDS, self.start)

    def _accept(self) -> bool:
        """Accept what waits; False if it is time to rest."""
        for _ in range(_AT_ONCE):
            try:
                connected, address = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                self._complained = False
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
                self._service.tasks.start(self._connect(connected, client), "accept")
                continue
            connected.close()
            if limit == "descriptors":
                return False
        return True

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
