"""The router inside a node: what its configuration puts around the pipeline. A node that does not route by
itself still takes off what routers put into the URLs they send clients to it with."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from edgeproxy.config import Config
from edgeproxy.message import Clock, Handler
from edgeproxy.metrics import Metrics
from edgeproxy.node_signals import NodeSignals
from edgeproxy.relay.messages import Noticed
from edgeproxy.route_dns import RouteDns
from edgeproxy.route_http import build_reception
from edgeproxy.route_map import RouteMap, signer_of
from edgeproxy.route_views import LiveRouting
from edgeproxy.router.arrivals import Arrivals
from edgeproxy.router.file_facts import KnownFiles
from edgeproxy.serving.measuring import Measure
from edgeproxy.sites.registry import SiteTable
from edgeproxy.storage.store import Store
from edgeproxy.tasks import Tasks

if TYPE_CHECKING:
    from aiohttp import web


class NodeRouting:
    """Lasts as long as the node. Raises ConfigurationError for files that cannot be used."""

    def __init__(
        self,
        config: Config,
        *,
        tasks: Tasks,
        metrics: Metrics,
        clock: Clock,
        report: Callable[[str], None],
        threads: Executor,
        store: Callable[[], Store],
        connections: Callable[[], int],
    ) -> None:
        router = config.router
        self._tasks, self._metrics, self._clock = tasks, metrics, clock
        self._known = KnownFiles(router.facts, router.facts_ttl, clock)
        self._map: RouteMap | None = None
        self._signer = None
        self._dns: RouteDns | None = None
        if router.enabled:
            self._map = RouteMap(config, tasks=tasks, metrics=metrics, clock=clock, report=report)
            self._dns = RouteDns(
                config,
                self._map,
                tasks=tasks,
                metrics=metrics,
                clock=clock,
                report=lambda name, error: report(f"{name}: {error!r}"),
            )
        else:
            self._signer = signer_of(config)
        self._signals = NodeSignals(
            config,
            store,
            connections,
            tasks=tasks,
            threads=threads,
            metrics=metrics,
            clock=clock,
            report=report,
            own=None if self._map is None else self._map.announcements.own,
        )

    def around(self, config: Config, pipeline: Handler, sites: SiteTable) -> Handler:
        """What clients of this node are answered by."""
        if self._map is not None:
            return build_reception(
                config,
                self._map,
                pipeline,
                sites,
                known=self._known,
                tasks=self._tasks,
                metrics=self._metrics,
                clock=self._clock,
            )
        if self._signer is None:
            return pipeline
        return Arrivals(
            pipeline,
            pipeline,
            self._signer,
            own=config.router.own,
            private=tuple(config.router.private),
            metrics=self._metrics,
            clock=self._clock,
        )

    @property
    def measure(self) -> Measure | None:
        """Wants to know of the connections of clients."""
        return self._signals.measure

    def heard(self, noticed: Noticed) -> None:
        """What another process of this node has noticed of itself and its clients."""
        self._signals.heard(noticed)

    async def start(self) -> None:
        if self._map is not None:
            await self._map.start()
        if self._dns is not None:
            await self._dns.start()
        self._signals.start()

    async def aclose(self) -> None:
        """Answer no DNS any more; everything else ends with the node's tasks."""
        if self._dns is not None:
            await self._dns.aclose()

    def configure(self, config: Config) -> None:
        """Another configuration is in force."""
        if self._map is not None:
            self._map.configure(config)

    def admin_routes(self) -> list[web.RouteDef]:
        """What the control plane answers beside."""
        if self._map is None:
            return []
        from edgeproxy.admin.routing import RoutingApi  # with the libraries of the control plane

        return RoutingApi(LiveRouting(self._map, self._metrics, self._clock)).routes()
