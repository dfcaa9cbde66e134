"""Where clients are accepted: addresses bound, connections kept, drained and ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from edgeproxy.address import Address, parse_address
from edgeproxy.config import Limits, Listen
from edgeproxy.errors import StartError
from edgeproxy.message import Clock, Handler
from edgeproxy.metrics import Metrics
from edgeproxy.serving.acceptor import Acceptor
from edgeproxy.serving.access_log import AccessLog
from edgeproxy.serving.client_address import Networks
from edgeproxy.serving.door import Door
from edgeproxy.serving.handshakes import Handshakes
from edgeproxy.serving.request_memo import RequestMemo
from edgeproxy.serving.service import OpenConnection, Service
from edgeproxy.serving.sweep import Sweep
from edgeproxy.tasks import Tasks

_ABORT_SECONDS = 2.0  # for aborted connections to leave
_ENTER_SECONDS = 1.0  # for TLS handshakes under way, and then for the requests of their clients


class Bound(NamedTuple):
    """Addresses that accept, in the order of the configuration, with the ports the kernel chose."""

    http: list[str]
    https: list[str]


class Listeners:
    """Serves `handler` at every address of `listen`.

    `report` takes one line for the node's own log. The clock gives wall-clock seconds, `sequence`
    the current number that a Reuse must have to be used. `handshakes` are needed for `listen.https`."""

    def __init__(
        self,
        handler: Handler,
        listen: Listen,
        limits: Limits,
        *,
        clock: Clock,
        sequence: Callable[[], int],
        tasks: Tasks,
        metrics: Metrics,
        access_log: AccessLog,
        report: Callable[[str], None],
        handshakes: Handshakes | None = None,
    ) -> None:
        self._handler = handler
        self._listen = listen
        self._limits = limits
        self._clock = clock
        self._sequence = sequence
        self._tasks = tasks
        self._metrics = metrics
        self._log = access_log
        self._report = report
        self._handshakes = handshakes
        self._proxied = Networks(listen.proxy_protocol, "listen.proxy_protocol")
        self._trusted = Networks(listen.trusted_clients, "listen.trusted_clients")
        exempt = Networks([*listen.proxy_protocol, *listen.trusted_clients])
        self._door = Door(limits, metrics, exempt)
        self._sweep = Sweep(self._door.connections, limits, metrics, self._look)
        self._services: list[Service] = []
        self._acceptors: list[Acceptor] = []
        self._empty: asyncio.Event | None = None
        metrics.gauge("connections", lambda: self.connections)
        metrics.unsettled.append(self._settle)
        metrics.gauge("memo_entries", lambda: sum(len(memo) for memo in self._memos()))

    @property
    def connections(self) -> int:
        """Open client connections."""
        return len(self._door.connections)

    async def start(self) -> Bound:
        """Bind every address and accept. Raises StartError naming the address that cannot be had."""
        bound = Bound([], [])
        try:
            for text in self._listen.http:
                bound.http.append(await self._open(text, None))
            for text in self._listen.https:
                bound.https.append(await self._open(text, self._handshakes))
        except StartError:
            for acceptor in self._acceptors:
                acceptor.stop()
            raise
        for acceptor in self._acceptors:
            acceptor.start()
        self._sweep.start()
        return bound

    async def _open(self, text: str, handshakes: Handshakes | None) -> str:
        sockets, name = await self._bind(text)
        service = self._service(name, "http" if handshakes is None else "https")
        for listening in sockets:
            self._acceptors.append(Acceptor(listening, service, self._door, self._proxied, handshakes))
        return name

    def _service(self, name: str, scheme: str) -> Service:
        service = Service(
            self._handler,
            name,
            self._limits,
            clock=self._clock,
            sequence=self._sequence,
            tasks=self._tasks,
            metrics=self._metrics,
            log=self._log,
            report=self._report,
            trusted=self._trusted,
            opened=self._door.opened,
            lost=self._lost,
            turned=self._door.turned,
            scheme=scheme,
        )
        self._services.append(service)
        return service

    async def _bind(self, text: str) -> tuple[list[socket.socket], str]:
        try:
            address = parse_address(text)
            if address.path:
                return [_bind_unix(address.path, self._listen.backlog)], text
            found = await asyncio.get_running_loop().getaddrinfo(
                address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            return self._bind_tcp(address, found)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise StartError(f"cannot listen at {text}: {reason}") from error

    def _bind_tcp(
        self, address: Address, found: Sequence[tuple[Any, ...]]
    ) -> tuple[list[socket.socket], str]:
        """One socket for each address a name has, all on one port."""
        sockets: list[socket.socket] = []
        port = address.port
        try:
            for family, kind, protocol, _, where in dict.fromkeys(found):
                listening = socket.socket(family, kind, protocol)
                sockets.append(listening)
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if self._listen.reuse_port:
                    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                if family == socket.AF_INET6:
                    listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listening.bind((where[0], port, *where[2:]))
                listening.listen(self._listen.backlog)
                listening.setblocking(False)
                port = listening.getsockname()[1]
        except OSError:
            for listening in sockets:
                listening.close()
            raise
        return sockets, str(Address(host=address.host, port=port))

    def _lost(self, connection: OpenConnection, peer: str) -> None:
        self._door.lost(connection, peer)
        if self._empty is not None and not self._door.connections:
            self._empty.set()

    def _memos(self) -> Iterator[RequestMemo[Any]]:
        for service in self._services:
            yield service.memo
            yield service.memo_of_frames

    def _settle(self) -> None:
        for memo in self._memos():
            memo.settle()

    def _look(self) -> None:
        """What is done now and then beside the timeouts."""
        self._door.look()
        self._log.count_lost()
        now = self._clock()
        for memo in self._memos():
            memo.sweep(now)

    async def drain(self) -> None:
        """Accept no more, finish what runs for at most `drain_timeout` seconds, then break it off."""
        acceptors, self._acceptors = self._acceptors, []
        for acceptor in acceptors:
            acceptor.stop()
        for service in self._services:
            service.draining = True
        for _ in range(3):  # connections just accepted are opened in the next turns of the loop
            await asyncio.sleep(0)
        end = asyncio.get_running_loop().time() + self._limits.drain_timeout
        self._drain_all()
        if self._handshakes is not None and await self._handshakes.settle(_ENTER_SECONDS):
            await self._emptied(min(_ENTER_SECONDS, self._limits.drain_timeout))  # for their requests
            self._drain_all()
        if not await self._emptied(max(0.0, end - asyncio.get_running_loop().time())):
            for connection in tuple(self._door.connections):
                connection.abort()
            await self._emptied(_ABORT_SECONDS)
        self._sweep.stop()

    def _drain_all(self) -> None:
        for connection in tuple(self._door.connections):
            connection.drain()

    async def _emptied(self, seconds: float) -> bool:
        self._empty = asyncio.Event()
        if not self._door.connections:
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        return not self._door.connections


def _bind_unix(path: str, backlog: int) -> socket.socket:
    """A socket at `path`; one left behind by a process that is gone is replaced."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            with socket.socket(socket.AF_UNIX) as other:
                try:
                    other.connect(path)
                except ConnectionRefusedError:
                    os.unlink(path)
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.bind(path)
        listening.listen(backlog)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening
