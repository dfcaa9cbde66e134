"""The router inside a node: what its configuration puts around the pipeline. A node that does not route by
itself still takes off what routers put into the URLs they send clients to it with."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from edgeproxy.admin.routing import RoutingApi
from edgeproxy.config import Config
from edgeproxy.message import Clock, Handler
from edgeproxy.metrics import Metrics
from edgeproxy.route_http import build_reception
from edgeproxy.route_map import RouteMap, signer_of
from edgeproxy.route_views import LiveRouting
from edgeproxy.router.arrivals import Arrivals
from edgeproxy.router.file_facts import KnownFiles
from edgeproxy.sites.registry import SiteTable
from edgeproxy.tasks import Tasks


class NodeRouting:
    """Lasts as long as the node. Raises ConfigurationError for files that cannot be used."""

    def __init__(
        self,
        config: Config,
        tasks: Tasks,
        metrics: Metrics,
        clock: Clock,
        report: Callable[[str], None],
    ) -> None:
        router = config.router
        self._tasks, self._metrics, self._clock = tasks, metrics, clock
        self._known = KnownFiles(router.facts, router.facts_ttl, clock)
        self._map: RouteMap | None = None
        self._signer = None
        if router.enabled:
            self._map = RouteMap(config, tasks=tasks, metrics=metrics, clock=clock, report=report)
        else:
            self._signer = signer_of(config)

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

    async def start(self) -> None:
        if self._map is not None:
            await self._map.start()

    def configure(self, config: Config) -> None:
        """Another configuration is in force."""
        if self._map is not None:
            self._map.configure(config)

    @property
    def admin_routes(self) -> list[web.RouteDef]:
        """What the control plane answers beside."""
        if self._map is None:
            return []
        return RoutingApi(LiveRouting(self._map, self._metrics, self._clock)).routes()
