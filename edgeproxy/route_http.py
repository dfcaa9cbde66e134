"""What clients of a router meet first: marks are taken off, nodes that announce themselves are heard, and the
HTTP router decides about the rest."""

from __future__ import annotations

from edgeproxy.config import Config, default_sites
from edgeproxy.errors import RequestError
from edgeproxy.message import Clock, Handler, Request, Response, at_once_of
from edgeproxy.metrics import Metrics
from edgeproxy.route_map import RouteMap
from edgeproxy.router.announcements import PATH as ANNOUNCE_PATH
from edgeproxy.router.arrivals import Arrivals
from edgeproxy.router.file_facts import KnownFiles
from edgeproxy.router.files import Files
from edgeproxy.router.http_router import HttpRouter, Original
from edgeproxy.router.redirects import Redirects
from edgeproxy.sites.registry import SiteTable
from edgeproxy.sites.site import Plan
from edgeproxy.tasks import Tasks


class Reception:
    """A Handler: announcements to those who take them, everything else to `clients`."""

    def __init__(self, announcements: Handler, clients: Handler) -> None:
        self._announcements = announcements
        self._clients = clients
        self._clients_at_once = at_once_of(clients)

    def at_once(self, request: Request) -> Response | None:
        at_once = self._clients_at_once
        return None if at_once is None or request.target == ANNOUNCE_PATH else at_once(request)

    async def __call__(self, request: Request) -> Response:
        if request.target == ANNOUNCE_PATH:
            return await self._announcements(request)
        return await self._clients(request)


class Nowhere:
    """A Handler for who was sent here by a mark although here is nothing to be had."""

    def __init__(self, retry_after: float) -> None:
        self._redirects = Redirects(None, duplicates=0, endpoint="", retry_after=retry_after)
        self._fields = (("Retry-After", str(max(1, int(retry_after)))),)

    async def __call__(self, request: Request) -> Response:
        return self._redirects.refusal(503, "a router has sent you to a router; ask again", self._fields)


def originals(sites: SiteTable) -> Original:
    """The URL at its origin that a request means, as its site plans it."""

    def original(request: Request) -> str | None:
        routed = sites.route(request)
        if routed is None:
            return None
        try:
            planned = routed.site.plan(request, routed.path)
        except RequestError:
            return None
        return f"{planned.origin.url}{planned.target}" if isinstance(planned, Plan) else None

    return original


def build_reception(
    config: Config,
    route_map: RouteMap,
    inner: Handler,
    sites: SiteTable,
    *,
    known: KnownFiles,
    tasks: Tasks,
    metrics: Metrics,
    clock: Clock,
) -> Handler:
    """`inner` answers what is not redirected: this node's own pipeline, or who passes requests on."""
    settings = config.router
    own = settings.own if settings.enabled else ""
    router = HttpRouter(
        settings,
        route_map.keeper,
        inner,
        files=Files((site.kind, site.mount, site.hosts) for site in config.site or default_sites()),
        original=originals(sites),
        signer=route_map.signer,
        known=known,
        tasks=tasks,
        metrics=metrics,
        clock=clock,
    )
    clients: Handler = router
    if route_map.signer is not None:
        clients = Arrivals(
            inner if own else Nowhere(settings.retry_after),
            router,
            route_map.signer,
            own=own,
            private=tuple(settings.private) if own else (),
            metrics=metrics,
            clock=clock,
        )
    return Reception(route_map.announcements, clients)
