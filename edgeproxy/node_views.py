"""A running node as the control plane sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from edgeproxy import __version__
from edgeproxy.admin.explain import explanation
from edgeproxy.admin.listing import listing_rows
from edgeproxy.admin.status import store_status, traffic_status
from edgeproxy.config import Config, default_sites
from edgeproxy.errors import RequestError
from edgeproxy.message import Clock, Headers, Request, Response
from edgeproxy.metrics import Metrics
from edgeproxy.own_log import OWN_LOG
from edgeproxy.pipeline.exchange import parse_url
from edgeproxy.pipeline.inquiries import Inquiries
from edgeproxy.pipeline.purges import Purges
from edgeproxy.policy.decision import before
from edgeproxy.sites.registry import NOT_SERVED, SiteTable
from edgeproxy.sites.site import Plan
from edgeproxy.storage.store import Listed, Purge, PurgeScope, Store
from edgeproxy.upstream.tracker import UpstreamStatus


@dataclass(slots=True)
class Life:
    """Where a node is in its life; times in wall-clock seconds. `further` are parts of its status that not
    every node has, by name."""

    started_at: float
    is_ready: bool = False
    further: dict[str, Callable[[], Any]] = field(default_factory=dict)


class States(Protocol):
    """Upstreams and how they are."""

    def states(self) -> tuple[UpstreamStatus, ...]: ...


class LiveViews:
    """Implements NodeViews."""

    def __init__(
        self,
        config: Config,
        life: Life,
        *,
        store: Store,
        purges: Purges,
        sites: SiteTable,
        inquiries: Inquiries,
        upstream: States,
        metrics: Metrics,
        threads: Executor,
        clock: Clock,
        connections: Callable[[], int],
        running_fills: Callable[[], int],
        reload: Callable[[bool], Awaitable[dict[str, Any]]],
    ) -> None:
        self._log = OWN_LOG
        self._config = config
        self._life = life
        self.store = store
        self.purges = purges
        self._sites = sites
        self._inquiries = inquiries
        self._upstream = upstream
        self._metrics = metrics
        self._threads = threads
        self._clock = clock
        self._connections = connections
        self._running_fills = running_fills
        self._reload = reload

    def reconfigured(self, config: Config, sites: SiteTable, inquiries: Inquiries, upstream: States) -> None:
        """Another configuration is in force."""
        self._config, self._sites, self._inquiries, self._upstream = config, sites, inquiries, upstream

    def is_ready(self) -> tuple[bool, str]:
        return (True, "ready") if self._life.is_ready else (False, "starting or draining")

    def status(self) -> dict[str, Any]:
        return {
            "node": {
                "name": self._config.node.name or "edgeproxy",
                "version": __version__,
                "uptime_seconds": round(self._clock() - self._life.started_at, 1),
                "ready": self._life.is_ready,
                "offline": self._config.node.offline,
                "connections": self._connections(),
                "fills": self._running_fills(),
            },
            "sites": [
                {"name": site.name, "kind": site.kind, "mount": site.mount, "hosts": ", ".join(site.hosts)}
                for site in self._config.site or default_sites()
            ],
            "store": store_status(self.store.statistics()),
            "traffic": traffic_status(self._metrics),
            "upstreams": [asdict(state) for state in self._upstream.states()],
            **{name: tell() for name, tell in self._life.further.items()},
        }

    async def reload(self, restart: bool) -> dict[str, Any]:
        return await self._reload(restart)

    async def purge(self, purge: Purge) -> None:
        if purge.scope is PurgeScope.SITE and self._sites.named(purge.value) is None:
            raise RequestError(404, f"no site is named {purge.value!r}")
        if purge.scope in (PurgeScope.URL, PurgeScope.PREFIX):
            purge = replace(purge, value=await self._key_of(purge.value))
        self._log.info("purge", scope=purge.scope.value, value=purge.value, soft=purge.soft)
        await self.purges.purge(purge)

    async def _key_of(self, url: str) -> str:
        """The cache key behind a path of ours; a whole URL is a key already."""
        if not url.startswith("/"):
            return url
        routed = self._sites.route(_as_request(url, "GET", Headers()))
        if routed is None:
            raise RequestError(404, f"no site is mounted at {url}")
        request = _as_request(url, "GET", Headers())
        _, planned = await self._inquiries.plan(request, routed.site, routed.path)
        return planned.key if isinstance(planned, Plan) else url

    async def listing(self, prefix: str, after: str, limit: int) -> list[dict[str, Any]]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, self.store.listing, prefix, after, limit)
        return listing_rows(found)

    async def _parts_of(self, plan: Plan) -> list[Listed]:
        """What is there in part for the body of `plan`, under any name."""
        found = await self.store.lookup_partial(plan.key, plan.expected.sha256)
        loop = asyncio.get_running_loop()
        rows: list[Listed] = []
        for key in {stored.key for stored in found}:
            listed = await loop.run_in_executor(self._threads, self.store.listing, key, "", 4)
            rows += [row for row in listed if row.stored.key == key and not row.is_complete]
        return rows

    async def explain(self, url: str, method: str, headers: Headers) -> dict[str, Any]:
        request, now = _as_request(url, method, headers), self._clock()
        for routed in self._sites.routes(request):
            site = routed.site
            request, plan = await self._inquiries.plan(request, site, routed.path)
            if plan is not NOT_SERVED:
                break
        else:
            return explanation(site="", method=method, url=url, plan=None, now=now)
        if isinstance(plan, Response):
            return explanation(site=site.name, method=method, url=url, plan=plan, now=now)
        variants = await self.store.lookup(plan.key)
        parts = await self._parts_of(plan)
        return explanation(
            parts=parts,
            site=site.name,
            method=method,
            url=url,
            plan=plan,
            variants=variants,
            decision=before(request, variants, plan.rules, now),
            now=now,
        )


def _as_request(url: str, method: str, headers: Headers) -> Request:
    """The request a client would make for `url`: absolute, or a path. Raises RequestError."""
    if not url.isascii() or any(char <= " " for char in url):
        raise RequestError(400, "a URL is printable ASCII; encode the rest")
    if url.startswith("/"):
        return Request(method, url, headers, authority=headers.get("Host"))
    parsed = parse_url(url)
    if parsed is None:
        raise RequestError(400, "a URL starts with http://, https:// or /")
    origin, target = parsed
    return Request(method, target, headers, origin.scheme, origin.authority)
