"""Builds a node from a Config, starts it, drains it, stops it. Only here are concrete classes named."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

import aiofastnet
import structlog
import uvloop

from edgeproxy import __version__
from edgeproxy.admin.explain import explanation
from edgeproxy.admin.listing import listing_rows
from edgeproxy.admin.server import AdminServer
from edgeproxy.admin.status import store_status, traffic_status
from edgeproxy.config import Config, default_sites
from edgeproxy.errors import RequestError
from edgeproxy.message import Headers, Request, Response
from edgeproxy.metrics import Metrics
from edgeproxy.pipeline.answer import Answers
from edgeproxy.pipeline.distrust import Distrust
from edgeproxy.pipeline.exchange import Exchange, parse_url
from edgeproxy.pipeline.fill_parts import FillParts
from edgeproxy.pipeline.fills import Fills
from edgeproxy.pipeline.from_store import FromStore
from edgeproxy.pipeline.from_upstream import FromUpstream
from edgeproxy.pipeline.handler import Pipeline
from edgeproxy.pipeline.inquiries import Inquiries
from edgeproxy.pipeline.large_bodies import LargeBodies
from edgeproxy.pipeline.large_fills import LargeFills
from edgeproxy.pipeline.passing import Passing
from edgeproxy.pipeline.prefetch import Prefetch
from edgeproxy.pipeline.refresh import Refresh
from edgeproxy.pipeline.views import Views
from edgeproxy.policy.decision import before
from edgeproxy.serving.access_log import AccessLog
from edgeproxy.serving.listener import Listeners
from edgeproxy.sites.registry import build_sites
from edgeproxy.sites.site import Plan, SiteContext
from edgeproxy.storage.store import Listed, Purge, PurgeScope
from edgeproxy.storage.tiered import open_store
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.client import CurlUpstream
from edgeproxy.upstream.health import Breaker
from edgeproxy.upstream.resolver import Resolver
from edgeproxy.upstream.upstream import Reach

THREADS = 4  # hash and derive: two cores are busy with that already, and the rest is waiting


class Node:
    """One edge node. `start` raises StartError or ConfigurationError; `stop` drains."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._name = config.node.name or "edgeproxy"
        # Via and CDN-Loop must tell this node from its neighbours, who may have no name either.
        self._via = config.node.name or f"edgeproxy-{secrets.token_hex(4)}"
        self._log = structlog.get_logger("edgeproxy")
        self._started_at = time.time()
        self._clock = time.time
        self.metrics = Metrics()
        self._tasks = Tasks(self._report_task)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="work")
        self._access_log = AccessLog(config.log, self.metrics)
        self._store = open_store(
            config.cache,
            clock=self._clock,
            tasks=self._tasks,
            metrics=self.metrics,
            report=self._warn,
        )
        self._upstream = self._build_upstream()
        self._sites = build_sites(config.site, self._site_context())
        self._build_pipeline()
        self._is_ready = False

    def _build_upstream(self) -> Breaker:
        settings = self._config.upstream
        self._resolver = Resolver(settings)
        client = CurlUpstream(settings, self._resolver, metrics=self.metrics)
        return Breaker(client)

    def _site_context(self) -> SiteContext:
        settings = self._config.upstream
        return SiteContext(
            node=self._name,
            offline=self._config.node.offline,
            reach=Reach(
                connect_timeout=settings.connect_timeout,
                head_timeout=settings.head_timeout,
                progress_timeout=settings.progress_timeout,
                ca_file=settings.ca_file or None,
                http2=settings.http2,
            ),
            clock=self._clock,
            stored_keys=self._store.stored_keys,
        )

    def _fill_parts(self, exchange: Exchange, distrust: Distrust) -> FillParts:
        return FillParts(
            exchange,
            self._store,
            self._config.fill,
            self.metrics,
            self._clock,
            self._threads,
            self._tasks,
            self._warn,
            distrust,
        )

    def _build_pipeline(self) -> None:
        config, clock, store = self._config, self._clock, self._store
        exchange = Exchange(self._upstream, self.metrics)
        distrust = Distrust(clock)
        parts = self._fill_parts(exchange, distrust)
        self._fills, self._large_fills = Fills(parts), LargeFills(parts)
        views = Views(store, self._tasks, self._threads)
        answers = Answers(
            node=self._name,
            via=self._via,
            ranges_max=config.limits.ranges,
            store=store,
            clock=clock,
            distrust=distrust,
        )
        passing = Passing(
            via=self._via,
            exchange=exchange,
            store=store,
            fills=self._fills,
            answers=answers,
            metrics=self.metrics,
            threads=self._threads,
            clock=clock,
        )
        from_store = FromStore(store, views, answers)
        large = LargeBodies(
            parts, self._large_fills, via=self._via, answers=answers, passing=passing, from_store=from_store
        )
        passing.invalidate_parts = self._large_fills.invalidate
        from_upstream = FromUpstream(
            via=self._via,
            fills=self._fills,
            large=large,
            large_fills=self._large_fills,
            views=views,
            passing=passing,
            from_store=from_store,
            answers=answers,
            clock=clock,
        )
        self._refresh = Refresh(store, from_upstream, clock)
        self._inquiries = Inquiries(
            store=store, metrics=self.metrics, tasks=self._tasks, threads=self._threads, clock=clock
        )
        self._prefetch = Prefetch(
            tasks=self._tasks, metrics=self.metrics, clock=clock, jobs=config.fill.prefetch
        )
        pipeline = Pipeline(
            via=self._via,
            sites=self._sites,
            store=store,
            views=views,
            passing=passing,
            from_store=from_store,
            from_upstream=from_upstream,
            refresh=self._refresh,
            inquiries=self._inquiries,
            prefetch=self._prefetch,
            answers=answers,
            clock=clock,
        )
        self._build_servers(pipeline)

    def _build_servers(self, pipeline: Pipeline) -> None:
        config, store = self._config, self._store
        self._listeners = Listeners(
            pipeline,
            config.listen,
            config.limits,
            clock=self._clock,
            sequence=lambda: store.sequence,
            tasks=self._tasks,
            metrics=self.metrics,
            access_log=self._access_log,
            report=self._warn,
        )
        self._admin = AdminServer(config.admin, self, self.metrics, report=self._report_task)
        self._register_gauges()

    def _register_gauges(self) -> None:
        statistics = self._store.statistics
        self.metrics.gauge("memory_bytes", lambda: statistics().memory_bytes)
        self.metrics.gauge("memory_responses", lambda: statistics().memory_responses)
        self.metrics.gauge("disk_bytes", lambda: statistics().disk_bytes)
        self.metrics.gauge("disk_responses", lambda: statistics().disk_responses)
        self.metrics.gauge("fills", lambda: float(len(self._fills) + len(self._large_fills)))
        self.metrics.gauge("connections", lambda: float(self._listeners.connections))

    # -- life ----------------------------------------------------------------------------------

    async def start(self) -> tuple[list[str], str]:
        """Accept connections. Gives the bound addresses: those for clients, that of the admin
        listener ("" if it is switched off)."""
        self._access_log.start()
        await self._store.start()
        if not self._config.node.offline:
            self._tasks.start(self._refresh.run(), "refresh")
        addresses = await self._listeners.start()
        admin = await self._admin.start() if self._config.admin.listen else ""
        self._is_ready = True
        return addresses, admin

    async def stop(self) -> None:
        """Stop accepting, finish what runs (at most limits.drain_timeout), close everything."""
        self._is_ready = False
        await self._listeners.drain()
        await self._admin.aclose()
        await self._tasks.aclose()
        await self._upstream.aclose()
        await self._resolver.aclose()
        await self._store.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._access_log.close()

    # -- what the admin listener sees ----------------------------------------------------------

    def is_ready(self) -> tuple[bool, str]:
        return (True, "ready") if self._is_ready else (False, "starting or draining")

    def status(self) -> dict[str, Any]:
        return {
            "node": {
                "name": self._name,
                "version": __version__,
                "uptime_seconds": round(self._clock() - self._started_at, 1),
                "ready": self._is_ready,
                "offline": self._config.node.offline,
                "connections": self._listeners.connections,
                "fills": len(self._fills) + len(self._large_fills),
            },
            "sites": [
                {"name": site.name, "kind": site.kind, "mount": site.mount, "hosts": ", ".join(site.hosts)}
                for site in self._config.site or default_sites()
            ],
            "store": store_status(self._store.statistics()),
            "traffic": traffic_status(self.metrics),
            "upstreams": [asdict(state) for state in self._upstream.states()],
        }

    async def purge(self, purge: Purge) -> None:
        if purge.scope is PurgeScope.SITE and self._sites.named(purge.value) is None:
            raise RequestError(404, f"no site is named {purge.value!r}")
        if purge.scope in (PurgeScope.URL, PurgeScope.PREFIX):
            purge = replace(purge, value=self._key_of(purge.value))
        self._log.info("purge", scope=purge.scope.value, value=purge.value, soft=purge.soft)
        await self._store.purge(purge)

    def _key_of(self, url: str) -> str:
        """The cache key behind a path of ours; a whole URL is a key already."""
        if not url.startswith("/"):
            return url
        routed = self._sites.route(_as_request(url, "GET", Headers()))
        if routed is None:
            raise RequestError(404, f"no site is mounted at {url}")
        site, path = routed
        planned = site.plan(_as_request(url, "GET", Headers()), path)
        return planned.key if isinstance(planned, Plan) else url

    async def listing(self, prefix: str, after: str, limit: int) -> list[dict[str, Any]]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, self._store.listing, prefix, after, limit)
        return listing_rows(found)

    async def _parts_of(self, plan: Plan) -> list[Listed]:
        """What is there in part for the body of `plan`, under any name."""
        found = await self._store.lookup_partial(plan.key, plan.expected.sha256)
        loop = asyncio.get_running_loop()
        rows: list[Listed] = []
        for key in {stored.key for stored in found}:
            listed = await loop.run_in_executor(self._threads, self._store.listing, key, "", 4)
            rows += [row for row in listed if row.stored.key == key and not row.is_complete]
        return rows

    async def explain(self, url: str, method: str, headers: Headers) -> dict[str, Any]:
        request, now = _as_request(url, method, headers), self._clock()
        routed = self._sites.route(request)
        if routed is None:
            return explanation(site="", method=method, url=url, plan=None, now=now)
        site, path = routed
        request, plan = await self._inquiries.plan(request, site, path)
        if isinstance(plan, Response):
            return explanation(site=site.name, method=method, url=url, plan=plan, now=now)
        variants = await self._store.lookup(plan.key)
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

    # -- trouble -------------------------------------------------------------------------------

    def _report_task(self, name: str, error: BaseException) -> None:
        self.metrics.count("task_errors_total")
        self._log.error("a background task failed", task=name, error=repr(error))

    def _warn(self, line: str) -> None:
        self._log.warning(line)


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


async def _serve(config: Config) -> int:
    node = Node(config)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = 0

    def on_signal() -> None:
        nonlocal signals
        signals += 1
        stopping.set()
        if signals > 1:  # a second signal means now
            sys.exit(1)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        addresses, admin = await node.start()
        listed = ",".join(addresses)
        print(f"edgeproxy: ready http={listed}" + (f" admin={admin}" if admin else ""), flush=True)  # noqa: T201
        await stopping.wait()
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await node.stop()
    return 0


def _configure_log(level: str) -> None:
    """The node's own log: lines on standard error, for people on a terminal, JSON elsewhere."""
    terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def serve(config: Config) -> int:
    """Run a node until SIGTERM or SIGINT. Raises StartError or ConfigurationError when it cannot
    start; gives the exit status."""
    _configure_log(config.log.level)
    factory = aiofastnet.loop_factory(uvloop.new_event_loop)
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_serve(config))
