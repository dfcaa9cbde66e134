"""Builds a node from a Config, starts it, drains it, stops it. Only here are concrete classes named."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from edgeproxy import garbage, node_engine
from edgeproxy.admin.server import AdminServer
from edgeproxy.config import Config
from edgeproxy.configuration.changes import Changes, changes
from edgeproxy.errors import EdgeError, StartError
from edgeproxy.metrics import Metrics
from edgeproxy.node_engine import Engine, Lasting, build_engine, lasting
from edgeproxy.node_parts import Routing, load_later, routes_loaded_later, routing_of
from edgeproxy.node_place import Place
from edgeproxy.node_proxy import Knowing, NodeProxy, merged_status
from edgeproxy.node_tls import ClientTls
from edgeproxy.node_uplink import Uplink
from edgeproxy.node_views import Life, LiveViews
from edgeproxy.own_log import OWN_LOG
from edgeproxy.pipeline.purges import Purges
from edgeproxy.relay.gate import Gate
from edgeproxy.relay.handler import Channels, Relay
from edgeproxy.relay.listener import RelayListener
from edgeproxy.relay.marks import Marks
from edgeproxy.serving.access_log import AccessLog
from edgeproxy.serving.listener import Bound, Listeners
from edgeproxy.serving.sockets import Listening
from edgeproxy.storage.tiered import TieredStore, open_store
from edgeproxy.tasks import Tasks

THREADS = 4  # hash and derive: two cores are busy with that already, and the rest is waiting

Reload = Callable[[bool], Awaitable[dict[str, Any]]]


async def _no_reload(restart: bool) -> dict[str, Any]:
    raise StartError("this node was not started from a configuration that can be read again")


class Node:
    """One edge node. `start` raises StartError or ConfigurationError; `stop` drains. `reloaded` is asked
    when the control plane wants another configuration."""

    def __init__(self, config: Config, place: Place | None = None, *, reload: Reload = _no_reload) -> None:
        self._config = config
        self._place = place or Place()
        self._reload = reload
        self._is_bound = self._has_released = False
        self._unnamed = f"edgeproxy-{secrets.token_hex(4)}"
        self._log = OWN_LOG
        self._life = Life(time.time())
        self._clock = time.time
        self.metrics = Metrics()
        self._tasks = Tasks(self._report_task)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="work")
        self._routing = self._build_routing()
        self._access_log = AccessLog(config.log, self.metrics)
        table = self._place.table
        self._marks = None if table is None else Marks(table)
        self._store = self._open_store()
        self._purges = self._build_purges()
        self._uplink = self._build_uplink()
        self._lasting = self._build_lasting()
        self._engine = build_engine(config, self._lasting, self._routing, via=self._via)
        self._build_servers()

    def _open_store(self) -> TieredStore:
        table = self._place.table
        return open_store(
            self._config.cache,
            clock=self._clock,
            tasks=self._tasks,
            metrics=self.metrics,
            report=self._warn,
            sequence_changed=None if table is None else table.set_sequence,
        )

    def _build_routing(self) -> Routing:
        return routing_of(
            self._config,
            tasks=self._tasks,
            metrics=self.metrics,
            clock=self._clock,
            report=self._warn,
            threads=self._threads,
            store=lambda: self._store,
            connections=lambda: self.connections,
        )

    def _build_purges(self) -> Purges:
        return Purges(
            self._store, origins=lambda site: self._engine.sites.origins_of(site), tasks=self._tasks
        )

    def _build_uplink(self) -> Uplink:
        return Uplink(
            self._config,
            via=self._via,
            purges=self._purges,
            metrics=self.metrics,
            report=self._warn,
            report_task=self._report_task,
        )

    def _build_lasting(self) -> Lasting:
        return lasting(
            self._config,
            store=self._store,
            purges=self._purges,
            upstream=self._uplink.chain,
            metrics=self.metrics,
            clock=self._clock,
            threads=self._threads,
            tasks=self._tasks,
            report=self._warn,
        )

    def _build_servers(self) -> None:
        config, handler, heard = self._config, self._engine.handler, self._routing.heard
        self._relay: RelayListener | None = None
        self._former: RelayListener | None = None
        self._gate: Gate | None = None
        self._listeners: Listeners | None = None
        shared: dict[str, Any] = {"tasks": self._tasks, "metrics": self.metrics}
        shared |= {"clock": self._clock, "report": self._warn}
        if self._place.relay is not None:
            self._relay = RelayListener(handler, self._place.relay, marks=self._marks, heard=heard, **shared)
            self._life.further["proxy"] = lambda: merged_status(relay.told for relay in self._relays())
        if self._place.former is not None:
            self._former = RelayListener(handler, self._place.former.sockets[0], marks=None, **shared)
        self._tls: ClientTls | None = None
        self._proxy: NodeProxy | None = None
        if self._place.table is None:
            sites = Knowing(lambda: self._engine.sites)
            self._proxy = NodeProxy(config, sites, lambda: self._listeners, **shared)
            self._life.further["proxy"] = self._proxy.status
            self._tls = ClientTls(config, clock=self._clock, metrics=self.metrics, report=self._warn)
            self._listeners = Listeners(
                handler,
                config.listen,
                config.limits,
                clock=self._clock,
                sequence=lambda: self._store.sequence,
                tasks=self._tasks,
                metrics=self.metrics,
                access_log=self._access_log,
                report=self._warn,
                handshakes=self._tls.handshakes,
                inherited=self._place.inherited,
                connects=self._proxy.connects,
            )
        self._views = LiveViews(
            config,
            self._life,
            store=self._store,
            purges=self._purges,
            sites=self._engine.sites,
            inquiries=self._engine.inquiries,
            upstream=self._uplink.chain,
            metrics=self.metrics,
            threads=self._threads,
            clock=self._clock,
            connections=lambda: self.connections,
            running_fills=lambda: self._lasting.running_fills,
            reload=self._reload,
        )
        self._admin = AdminServer(
            config.admin,
            self._views,
            self.metrics,
            report=self._report_task,
            bound=self._place.admin,
            owns_path=self._place.table is None,
            further=lambda: routes_loaded_later(self._routing),
        )
        self._register_gauges()

    def _register_gauges(self) -> None:
        node_engine.register_gauges(self.metrics, lambda: self._store, lambda: self._lasting, self._tasks)
        self.metrics.gauge("connections", lambda: float(self.connections))
        relay = self._relay
        if self._listeners is None and relay is not None:
            self.metrics.gauge("memo_entries", lambda: relay.memo_entries)

    @property
    def tasks(self) -> Tasks:
        """Where what belongs to this node runs."""
        return self._tasks

    @property
    def _via(self) -> str:
        """Via and CDN-Loop must tell this node from its neighbours, who may have no name either."""
        return self._config.node.name or self._unnamed

    @property
    def connections(self) -> int:
        """Open client connections."""
        counted = self._listeners or self._relay
        return counted.connections if counted is not None else 0

    # -- life ----------------------------------------------------------------------------------

    async def bind(self) -> None:
        """What `start` needs but the store, so that it fails now if it cannot be had. Raises StartError."""
        if self._listeners is not None:
            self._access_log.start()
            if self._tls is not None and not self._is_bound:
                await self._tls.start(self._tasks)
            self._is_bound = True
            await self._listeners.bind()

    async def start(self) -> tuple[Bound, str]:
        """Accept connections. Gives the bound addresses: those for clients, that of the admin
        listener ("" if it is switched off)."""
        bound = Bound([], [])
        await self.bind()
        self._tasks.start(garbage.tidy_forever(), "garbage")
        await self._store.start()
        await self._start_above()
        await self._routing.start()
        if self._listeners is not None:
            bound = await self._listeners.start()
            self._listeners.measure(self._routing.measure)
        for relay in self._relays():
            relay.start()
        admin = await self._admin.start()
        load_later(self._tasks, has_admin=bool(admin))
        self._life.is_ready = True
        return bound, admin

    async def _start_above(self) -> None:
        """Everything that needs the store."""
        files = self._store.disk.directory if self._store.disk is not None else None
        await self._purges.open(files)
        await self._uplink.start(files)
        self._start_refresh()

    def _start_refresh(self) -> None:
        self._refreshing: asyncio.Task[None] | None = None
        if not self._config.node.offline:
            self._refreshing = self._tasks.start(self._engine.refresh.run(), "refresh")

    async def stop(self) -> None:
        """Stop accepting, finish what runs (at most limits.drain_timeout), close everything."""
        self._life.is_ready = False
        if self._listeners is not None:
            await self._listeners.drain()
        for relay in self._relays():
            await relay.drain(self._config.limits.drain_timeout)
        await self._close()

    # -- another process -----------------------------------------------------------------------

    @property
    def heritage(self) -> list[Listening]:
        """The listening sockets that another process may take over."""
        bound = self._listeners.listening if self._listeners is not None else []
        admin = self._admin.bound
        return bound if admin is None else [*bound, admin]

    def pause(self) -> None:
        """Accept nothing, and let wait what comes over open connections: `take_up`, or `leave`."""
        if self._listeners is not None:
            self._listeners.pause()
            self._gate = Gate()
            self._listeners.serve(self._gate)

    async def release(self) -> None:
        """Let the store go. What runs goes on: what is open stays readable, fills go on without storing."""
        self._life.is_ready = False
        if self._refreshing is not None:
            self._refreshing.cancel()
        await self._admin.leave()
        await node_engine.settled(self._lasting)
        await self._uplink.stop_following()
        await self._purges.aclose()
        await self._store.release()
        self._has_released = True

    async def take_up(self) -> None:
        """The other process came to nothing: go on as before, with the store opened again. Raises
        StartError."""
        former, self._store = self._store, self._open_store()
        await self._store.start()
        self._has_released = False
        self._tasks.start(node_engine.closed_when_unread(former, self._lasting), "close the former store")
        self._tasks.start(self._uplink.retire(), "close the former uplink")
        self._purges = self._build_purges()
        self._uplink = self._build_uplink()
        self._lasting = self._build_lasting()
        self._engine = build_engine(self._config, self._lasting, self._routing, via=self._via)
        await self._start_above()
        self._take_over(self._engine)
        self._views.store, self._views.purges = self._store, self._purges
        await self._admin.come_back()
        if self._listeners is not None:
            self._listeners.resume()
        if self._gate is not None:
            self._gate.open(self._engine.handler)
        self._life.is_ready = True

    async def leave(self, path: str) -> None:
        """Another process has taken over, and can be asked at `path`: answer what is open once more, finish
        what runs, close."""
        if self._gate is not None:
            self._gate.open(Relay(Channels(path), self._tasks, None))
        if self._listeners is not None:
            await self._listeners.leave()
        await self._close()

    def _relays(self) -> list[RelayListener]:
        return [relay for relay in (self._relay, self._former) if relay is not None]

    async def close_former(self) -> None:
        """The program this one has taken over from is gone."""
        former, self._former = self._former, None
        if former is not None:
            await former.drain(0.0)

    async def _close(self) -> None:
        if self._proxy is not None:
            await self._proxy.aclose()
        await self._admin.aclose()
        await self._routing.aclose()
        await self._uplink.stop_following()
        await self._tasks.aclose()
        if not self._has_released:
            await self._purges.aclose()
        await self._uplink.aclose()
        await self._store.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._access_log.close()

    # -- another configuration -----------------------------------------------------------------

    async def reload(self, config: Config) -> Changes:
        """Take over what can change in a running node. Raises ConfigurationError or StartError, and then
        nothing has changed."""
        before, found = self._config, changes(self._config, config)
        former, listeners, log = self._uplink, self._listeners, self._access_log
        uplink = former
        self._config = found.config
        try:
            if found.touches("upstream", "parent", "siblings") or former.is_outdated:
                uplink = self._build_uplink()
            engine = build_engine(
                found.config, self._lasting, self._routing, via=self._via, before=self._engine
            )
            added = await listeners.prepare(found.config.listen) if listeners is not None else []
            if listeners is not None and (found.touches("log") or log.has_file):
                log = AccessLog(found.config.log, self.metrics)
                log.start()
        except EdgeError:
            self._config = before
            if uplink is not former:
                self._tasks.start(uplink.aclose(), "close an uplink")
            raise
        if uplink is not former:
            self._uplink = uplink
            self._lasting.exchange.upstream = uplink.chain
            await former.stop_following()
            await uplink.start(self._store.disk.directory if self._store.disk is not None else None)
            self._tasks.start(former.retire(), "close the former uplink")
        self._take_over(engine)
        if listeners is not None:
            listeners.change(found.config.listen, added)
            if log is not self._access_log:
                listeners.log_to(log)
                former_log, self._access_log = self._access_log, log
                await asyncio.to_thread(former_log.close)
        return found

    def _take_over(self, engine: Engine) -> None:
        config, self._engine = self._config, engine
        self._lasting.parts.settings = config.fill
        if self._refreshing is not None:
            self._refreshing.cancel()
        self._start_refresh()
        self._routing.configure(config)
        self._views.reconfigured(config, engine.sites, engine.inquiries, self._uplink.chain)
        if self._proxy is not None:
            self._proxy.reconfigure(config)
        for relay in self._relays():
            relay.serve(engine.handler)
        if self._listeners is not None:
            self._listeners.serve(engine.handler)
            self._listeners.limit(config.limits)

    def _report_task(self, name: str, error: BaseException) -> None:
        self.metrics.count("task_errors_total")
        self._log.error("a background task failed", task=name, error=repr(error))

    def _warn(self, line: str) -> None:
        self._log.warning(line)
