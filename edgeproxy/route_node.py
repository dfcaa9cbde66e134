"""A router as a process: `edgeproxy route`. It keeps nothing: it redirects, and passes on what it does not
redirect."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from edgeproxy import __version__, garbage
from edgeproxy.admin.server import AdminServer
from edgeproxy.config import Config
from edgeproxy.configuration.changes import Changes, changes
from edgeproxy.errors import ConfigurationError, EdgeError, RequestError, StartError
from edgeproxy.message import Handler, Headers
from edgeproxy.metrics import Metrics
from edgeproxy.node_tls import ClientTls
from edgeproxy.own_log import OWN_LOG
from edgeproxy.route_dns import RouteDns
from edgeproxy.route_http import build_reception
from edgeproxy.route_map import RouteMap
from edgeproxy.route_passing import PassOn
from edgeproxy.route_views import LiveRouting
from edgeproxy.router.file_facts import KnownFiles
from edgeproxy.serving.access_log import AccessLog
from edgeproxy.serving.handshakes import quiet_handshakes
from edgeproxy.serving.listener import Bound, Listeners
from edgeproxy.sites.registry import SiteTable, build_sites
from edgeproxy.sites.site import SiteContext
from edgeproxy.storage.store import Purge
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.assembly import build_lanes, egress_of, pins_of
from edgeproxy.upstream.resolver import Resolver
from edgeproxy.upstream.upstream import Identity, Reach

if TYPE_CHECKING:
    from aiohttp import web

Again = Callable[[], Config]


class RouterNode:
    """`again` reads the configuration again. Raises ConfigurationError; `start` StartError as well."""

    def __init__(self, config: Config, again: Again) -> None:
        self._config = config
        self._again = again
        self._log = OWN_LOG
        self._clock = time.time
        self._started_at = time.time()
        self._is_ready = False
        self._reloading = asyncio.Lock()
        self.metrics = Metrics()
        self._tasks = Tasks(self._report_task)
        self._via = config.node.name or f"edgeproxy-{secrets.token_hex(4)}"
        self._access_log = AccessLog(config.log, self.metrics)
        self.map = RouteMap(
            config, tasks=self._tasks, metrics=self.metrics, clock=self._clock, report=self._warn
        )
        self._resolver = Resolver(config.upstream)
        out = egress_of(config, self._warn)
        self._upstream = build_lanes(config, self._resolver, self.metrics, out)
        self._dns = RouteDns(
            config,
            self.map,
            tasks=self._tasks,
            metrics=self.metrics,
            clock=self._clock,
            report=self._report_task,
        )
        self._known = KnownFiles(config.router.facts, config.router.facts_ttl, self._clock)
        self._tls = ClientTls(config, clock=self._clock, metrics=self.metrics, report=self._warn)
        self._listeners = Listeners(
            self._handler(config),
            config.listen,
            config.limits,
            clock=self._clock,
            sequence=lambda: 0,
            tasks=self._tasks,
            metrics=self.metrics,
            access_log=self._access_log,
            report=self._warn,
            handshakes=self._tls.handshakes,
        )
        self._admin = AdminServer(
            config.admin,
            _Views(self),
            self.metrics,
            report=self._report_task,
            further=self._admin_routes,
        )
        self.metrics.gauge("tasks", lambda: float(len(self._tasks)))

    def _admin_routes(self) -> Sequence[web.RouteDef]:
        from edgeproxy.admin.routing import RoutingApi  # with the libraries of the control plane

        return RoutingApi(LiveRouting(self.map, self.metrics, self._clock)).routes()

    def _handler(self, config: Config) -> Handler:
        upstream, tls = config.upstream, config.router.tls
        reach = Reach(
            connect_timeout=upstream.connect_timeout,
            head_timeout=upstream.head_timeout,
            progress_timeout=upstream.progress_timeout,
            verify_tls=tls.verify_tls,
            ca_file=tls.ca_file or upstream.ca_file or None,
            private_addresses=True,  # nodes are those of the configuration
            http2=upstream.http2,
            identity=Identity(pins_of(tls.pins), tls.certificate, tls.key),
        )
        passing = PassOn(
            self.map.keeper,
            self._upstream,
            via=self._via,
            reach=reach,
            signer=self.map.signer,
            retry_after=str(max(1, math.ceil(config.router.retry_after))),
            metrics=self.metrics,
            clock=self._clock,
            failed=self.map.keeper.failed,
        )
        return build_reception(
            config,
            self.map,
            passing,
            self._sites(config, reach),
            known=self._known,
            tasks=self._tasks,
            metrics=self.metrics,
            clock=self._clock,
        )

    def _sites(self, config: Config, reach: Reach) -> SiteTable:
        """Asked for the URLs of origins, and for nothing else."""

        def nothing(keys: Sequence[str]) -> frozenset[str]:
            return frozenset()

        return build_sites(config.site, SiteContext(self._via, True, reach, self._clock, nothing))

    # -- life ----------------------------------------------------------------------------------------

    async def start(self) -> tuple[Bound, str, tuple[str, ...]]:
        """Accept connections; the bound addresses, as of Node.start, and those of DNS."""
        self._access_log.start()
        self._tasks.start(garbage.tidy_forever(), "garbage")
        await self._tls.start(self._tasks)
        await self._listeners.bind()
        await self.map.start()
        dns = await self._dns.start()
        bound = await self._listeners.start()
        admin = await self._admin.start() if self._config.admin.listen else ""
        self._is_ready = True
        return bound, admin, dns

    async def stop(self) -> None:
        """Stop accepting, finish what runs (at most limits.drain_timeout), close everything."""
        self._is_ready = False
        await self._listeners.drain()
        await self._dns.aclose()
        await self._admin.aclose()
        await self._tasks.aclose()
        await self._upstream.aclose()
        await self._resolver.aclose()
        self._access_log.close()

    async def reload(self) -> dict[str, Any]:
        """Raises ConfigurationError or StartError, and then nothing has changed."""
        async with self._reloading:
            found = changes(self._config, await asyncio.to_thread(self._again))
            await self._take_over(found)
        if found.touches("log"):
            OWN_LOG.configure(found.config.log.level)
        self._log.info("reloaded", changed=found.now, needs_restart=found.later)
        return {"reloaded": True, "changed": list(found.now), "needs_restart": list(found.later)}

    async def _take_over(self, found: Changes) -> None:
        handler = self._handler(found.config)
        added = await self._listeners.prepare(found.config.listen)
        self.map.configure(found.config)
        self._config = found.config
        self._listeners.serve(handler)
        self._listeners.limit(found.config.limits)
        self._listeners.change(found.config.listen, added)

    async def reload_and_log(self) -> None:
        """For who cannot be answered: a signal."""
        try:
            await self.reload()
        except EdgeError as error:
            self._log.error("not reloaded: the former configuration stays in force", why=str(error))

    def signalled(self) -> None:
        self._tasks.start(self.reload_and_log(), "reload")

    def status(self) -> dict[str, Any]:
        return {
            "node": {
                "name": self._config.node.name or "edgeproxy",
                "version": __version__,
                "uptime_seconds": round(self._clock() - self._started_at, 1),
                "ready": self._is_ready,
                "connections": self._listeners.connections,
            },
            "routing": LiveRouting(self.map, self.metrics, self._clock).routing_status(),
        }

    @property
    def is_ready(self) -> bool:
        return self._is_ready

    def _report_task(self, name: str, error: BaseException) -> None:
        self.metrics.count("task_errors_total")
        self._log.error("a background task failed", task=name, error=repr(error))

    def _warn(self, line: str) -> None:
        self._log.warning(line)


class _Views:
    """Implements NodeViews for a process without a store."""

    def __init__(self, node: RouterNode) -> None:
        self._node = node

    def status(self) -> dict[str, Any]:
        return self._node.status()

    def is_ready(self) -> tuple[bool, str]:
        return (True, "ready") if self._node.is_ready else (False, "starting or draining")

    async def reload(self, restart: bool) -> dict[str, Any]:
        if restart:
            raise StartError("a router keeps nothing: start another one, and end this one")
        return await self._node.reload()

    async def purge(self, purge: Purge) -> None:
        raise RequestError(404, "a router keeps nothing: purge at its nodes")

    async def listing(self, prefix: str, after: str, limit: int) -> list[dict[str, Any]]:
        return []

    async def explain(self, url: str, method: str, headers: Headers) -> dict[str, Any]:
        raise RequestError(404, "a router keeps nothing: ask /route/explain?ip=...&url=...")


async def run(config: Config, again: Again, announce: Callable[[Bound, str, tuple[str, ...]], None]) -> int:
    """Until SIGTERM or SIGINT. Raises StartError or ConfigurationError when it cannot start."""
    if not config.router.node and not (
        config.router.signals.announced or config.router.signals.announced_networks
    ):
        raise ConfigurationError("router.node", "a router needs nodes: [[router.node]] with name and url")
    node = RouterNode(config, again)
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    loop.set_exception_handler(quiet_handshakes)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, stopping)
    loop.add_signal_handler(signal.SIGHUP, node.signalled)
    try:
        started = await node.start()
        garbage.freeze()  # tables are read now, and what is remembered lasts for minutes
        announce(*started)
        await stopping.wait()
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await node.stop()
    return 0


def _stop(stopping: asyncio.Event) -> None:
    if stopping.is_set():  # a second signal means now
        sys.exit(1)
    stopping.set()
