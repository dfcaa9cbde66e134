"""Where clients are accepted: addresses bound, connections kept, drained and ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from edgeproxy.config import Limits, Listen
from edgeproxy.configuration.changes import addresses
from edgeproxy.errors import StartError
from edgeproxy.message import Clock, Handler
from edgeproxy.metrics import Metrics
from edgeproxy.serving.acceptor import Acceptor
from edgeproxy.serving.access_log import AccessLog
from edgeproxy.serving.client_address import Networks
from edgeproxy.serving.door import Door
from edgeproxy.serving.handshakes import Handshakes
from edgeproxy.serving.measuring import Measure, Measuring
from edgeproxy.serving.request_memo import RequestMemo
from edgeproxy.serving.service import Connects, OpenConnection, Service, Upgrades
from edgeproxy.serving.sockets import Inherited, Listening, bind, remove_path
from edgeproxy.serving.sweep import Sweep
from edgeproxy.tasks import Tasks

_ABORT_SECONDS = 2.0  # for aborted connections to leave
_ENTER_SECONDS = 1.0  # for TLS handshakes under way, and then for the requests of their clients


GRACE_SECONDS = 5.0  # for idle clients to ask once more, when another process has taken over
HTTP = "http"
HTTPS = "https"
PROXY = "proxy"
TRANSPARENT = "transparent"


class Bound(NamedTuple):
    """Addresses that accept, in the order of the configuration, with the ports the kernel chose."""

    http: list[str]
    https: list[str]
    proxy: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Place:
    """An address with the service it offers."""

    bound: Listening
    service: Service
    acceptors: list[Acceptor]


def names(listening: Iterable[Listening]) -> Bound:
    """What is told of sockets."""
    found = list(listening)
    of = {kind: [one.name for one in found if one.kind == kind] for kind in (HTTP, HTTPS, PROXY)}
    return Bound(of[HTTP], of[HTTPS], of[PROXY])


class Listeners:
    """Serves `handler` at every address of `listen`.

    `report` takes one line for the node's own log. The clock gives wall-clock seconds, `sequence`
    the current number that a Reuse must have to be used. `handshakes` are needed for `listen.https`.
    Sockets that are `inherited` are not bound again. Whoever `owns_paths` removes the name of a unix socket
    at the end. `connects` answers CONNECT."""

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
        inherited: Inherited | None = None,
        owns_paths: bool = True,
        connects: Connects | None = None,
    ) -> None:
        self._connects = connects
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
        self._measuring: Measuring | None = None
        self._places: list[_Place] = []
        self._waiting: list[Listening] | None = None  # bound, not accepted from yet
        self._inherited = inherited or Inherited()
        self._owns_paths = owns_paths
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
        await self.bind()
        for bound in self._waiting or ():
            self._open(bound)
        self._sweep.start()
        return names(self.listening)

    async def bind(self) -> None:
        """The first half of `start`: connections wait in the kernel. Raises StartError."""
        if self._waiting is None:
            self._waiting = await self.prepare(self._listen)

    async def prepare(self, listen: Listen) -> list[Listening]:
        """Bind what `listen` names and we do not have. Raises StartError; nothing is bound then."""
        had = [(place.bound.kind, place.bound.text) for place in self._places]
        found: list[Listening] = []
        try:
            for address in addresses(listen):
                if address in had:
                    had.remove(address)
                else:
                    found.append(await self._bind(*address))
        except StartError:
            for bound in found:
                bound.close()
            raise
        return found

    def change(self, listen: Listen, added: list[Listening]) -> None:
        """Accept where `listen` says: at `added`, which was prepared for it, and no more where it does not.
        Connections that are open there are answered once more, then end."""
        wanted = addresses(listen)
        for place in list(self._places):
            address = (place.bound.kind, place.bound.text)
            if address in wanted:
                wanted.remove(address)
                continue
            self._places.remove(place)
            for acceptor in place.acceptors:
                acceptor.stop()
            if self._owns_paths:
                remove_path(place.bound)
            for service in (place.service, *place.service.named.values()):
                self._retire(service)
                self._services.remove(service)
        for bound in added:
            self._open(bound)
        self._listen = listen

    def _open(self, bound: Listening) -> None:
        handshakes = self._handshakes if bound.kind == HTTPS else None
        service = self._service(bound.name, HTTP if bound.kind == PROXY else bound.kind)
        takes = self._connects if bound.kind == TRANSPARENT else None
        acceptors = [
            Acceptor(each, service, self._door, self._proxied, handshakes, takes) for each in bound.sockets
        ]
        self._places.append(_Place(bound, service, acceptors))
        for acceptor in acceptors:
            acceptor.start()

    def _retire(self, service: Service) -> None:
        service.draining = True
        service.memo.close()
        service.memo_of_frames.close()

    async def _bind(self, kind: str, text: str) -> Listening:
        if kind == HTTPS and self._handshakes is None:
            raise StartError(f"cannot listen at {text}: the first https address needs a restart")
        inherited = self._inherited.take(kind, text)
        if inherited is not None:
            return inherited
        return await asyncio.get_running_loop().run_in_executor(None, bind, kind, text, self._listen)

    # -- another configuration -------------------------------------------------------------------

    def serve(self, handler: Handler) -> None:
        """Ask another handler from now on; what is running goes on with the former one."""
        self._handler = handler
        for service in self._services:
            service.serve(handler)
        for memo in self._memos():
            memo.clear()

    def limit(self, limits: Limits) -> None:
        """Hold to other limits; connections that are open keep those of a head."""
        self._limits = limits
        self._door.limit(limits)
        self._sweep.stop()
        self._sweep = Sweep(self._door.connections, limits, self._metrics, self._look)
        self._sweep.start()
        for service in self._services:
            service.limits = limits
            service.connect_heads.clear()
        for memo in self._memos():
            memo.limit(limits.memo, limits.memo_head)

    def measure(self, measure: Measure | None) -> None:
        """Have the round trips of clients measured from now on, or no more."""
        left_out = (self._trusted, self._proxied)
        self._measuring = None if measure is None else Measuring(measure, left_out, self._clock)

    def log_to(self, log: AccessLog) -> None:
        self._log = log
        for service in self._services:
            service.log = log

    def _service(self, name: str, scheme: str) -> Service:
        named: dict[str, Service] = {}
        if self._connects is not None:
            upgrades = self._connects.upgrades
            named = {
                each: self._make_service("proxy", each, is_named=True, upgrades=upgrades)
                for each in ("http", HTTPS)
            }
        return self._make_service(name, scheme, connects=self._connects, named=named)

    def _make_service(
        self,
        name: str,
        scheme: str,
        *,
        is_named: bool = False,
        connects: Connects | None = None,
        upgrades: Upgrades | None = None,
        named: Mapping[str, Service] | None = None,
    ) -> Service:
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
            connects=connects,
            upgrades=upgrades,
            readmit=self._door.readmit,
            admit=self._door.admit,
            gave_up=self._door.gave_up,
            named=named,
            is_named=is_named,
        )
        self._services.append(service)
        return service

    def _lost(self, connection: OpenConnection, peer: str) -> None:
        if self._measuring is not None:
            self._measuring.ended(connection)
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
        if self._measuring is not None:
            self._measuring.look(self._door.connections)
        self._log.count_lost()
        now = self._clock()
        for memo in self._memos():
            memo.sweep(now)

    # -- the end ---------------------------------------------------------------------------------

    def pause(self) -> None:
        """Accept nothing; connections wait in the kernel until `resume`, or for who else has the sockets."""
        for place in self._places:
            for acceptor in place.acceptors:
                acceptor.pause()

    def resume(self) -> None:
        for place in self._places:
            for acceptor in place.acceptors:
                acceptor.start()

    @property
    def listening(self) -> list[Listening]:
        """What is listened at, for who is to inherit it."""
        return [place.bound for place in self._places]

    async def leave(self) -> None:
        """Accept no more, because another process does at the same sockets. Clients that are connected are
        answered once more, and told to connect again; idle ones are given some seconds to ask."""
        self._close_places(is_heir=True)
        await self._emptied(min(GRACE_SECONDS, self._limits.drain_timeout))
        await self._end_connections()

    async def drain(self) -> None:
        """Accept no more, finish what runs for at most `drain_timeout` seconds, then break it off."""
        self._close_places(is_heir=False)
        for _ in range(3):  # connections just accepted are opened in the next turns of the loop
            await asyncio.sleep(0)
        await self._end_connections()

    def _close_places(self, *, is_heir: bool) -> None:
        places, self._places = self._places, []
        for place in places:
            for acceptor in place.acceptors:
                if is_heir:
                    acceptor.close()
                else:
                    acceptor.stop()
            if not is_heir and self._owns_paths:
                remove_path(place.bound)
        for service in self._services:
            self._retire(service)

    async def _end_connections(self) -> None:
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
