"""Parts of a node that need not be there when it first answers a client. What its configuration leaves out
is not loaded at all and costs neither time nor memory; what no hit needs is loaded when hits are answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from edgeproxy.config import Config
from edgeproxy.config_router import Router
from edgeproxy.loading import loaded
from edgeproxy.message import Clock, Handler
from edgeproxy.metrics import Metrics
from edgeproxy.own_log import OWN_LOG
from edgeproxy.serving.measuring import Measure
from edgeproxy.sites.registry import SiteTable
from edgeproxy.storage.store import Store
from edgeproxy.tasks import Tasks

if TYPE_CHECKING:
    from aiohttp import web

    from edgeproxy.relay.messages import Noticed


# Files may be replaced under a running node by those of a newer version, which fit together but may not fit
# what is loaded: so what can wait is loaded soon, not when it is first needed.
LATER = ("edgeproxy.admin.application", "edgeproxy.upstream.name_servers")


def load_all() -> None:
    """Load what a start does not wait for. Blocks for about as long as a start takes: call it in a thread."""
    for name in LATER:
        import_module(name)
    OWN_LOG.load()


class Routing(Protocol):
    """The router inside a node, as the node knows it."""

    @property
    def measure(self) -> Measure | None:
        """Wants to know of the connections of clients."""
        ...

    def around(self, config: Config, pipeline: Handler, sites: SiteTable) -> Handler:
        """What clients of this node are answered by."""
        ...

    def heard(self, noticed: Noticed) -> None:
        """What another process of this node has noticed of itself and its clients."""
        ...

    async def start(self) -> None: ...

    async def aclose(self) -> None: ...

    def configure(self, config: Config) -> None:
        """Another configuration is in force."""
        ...

    def admin_routes(self) -> Sequence[web.RouteDef]:
        """What the control plane answers beside."""
        ...


def routes_loaded_later(routing: Routing) -> Sequence[web.RouteDef]:
    """What the control plane answers for `routing`, when everything has been loaded. Blocks likewise."""
    load_all()
    return routing.admin_routes()


def load_later(tasks: Tasks, *, has_admin: bool) -> None:
    """Load what a start has not waited for: the control plane does so where there is one."""
    if not has_admin:
        tasks.start(loaded(load_all), "load")


class Unrouted:
    """A node without [router]: nothing stands before its pipeline, and it tells nobody how it fares."""

    measure: Measure | None = None

    def around(self, config: Config, pipeline: Handler, sites: SiteTable) -> Handler:
        return pipeline

    def heard(self, noticed: Noticed) -> None:
        pass

    async def start(self) -> None:
        pass

    async def aclose(self) -> None:
        pass

    def configure(self, config: Config) -> None:
        pass

    def admin_routes(self) -> Sequence[web.RouteDef]:
        return ()


def routing_of(
    config: Config,
    *,
    tasks: Tasks,
    metrics: Metrics,
    clock: Clock,
    report: Callable[[str], None],
    threads: Executor,
    store: Callable[[], Store],
    connections: Callable[[], int],
) -> Routing:
    """Raises ConfigurationError for files that cannot be used."""
    if config.router == Router():
        return Unrouted()
    from edgeproxy.node_routing import NodeRouting

    return NodeRouting(
        config,
        tasks=tasks,
        metrics=metrics,
        clock=clock,
        report=report,
        threads=threads,
        store=store,
        connections=connections,
    )
