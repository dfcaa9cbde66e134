"""What a configuration makes of a node's lasting parts: its sites and the pipeline over them. Built again, as
a whole, for each new configuration."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial

from edgeproxy.config import Config, default_sites
from edgeproxy.config import Site as SiteSettings
from edgeproxy.message import Clock, Handler
from edgeproxy.metrics import Metrics
from edgeproxy.node_parts import Routing
from edgeproxy.node_proxy import rules_of, welcome_of
from edgeproxy.pipeline.answer import Answers
from edgeproxy.pipeline.blame import Blame
from edgeproxy.pipeline.children import Children
from edgeproxy.pipeline.distrust import Distrust
from edgeproxy.pipeline.exchange import Exchange
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
from edgeproxy.pipeline.purges import Purges
from edgeproxy.pipeline.refresh import Refresh
from edgeproxy.pipeline.views import Views
from edgeproxy.proxy.elsewhere import Elsewhere
from edgeproxy.sites.registry import SiteTable, build_sites
from edgeproxy.sites.site import Site, SiteContext
from edgeproxy.storage.ledger import Ledger, ledger_path
from edgeproxy.storage.store import Store
from edgeproxy.storage.tiered import TieredStore
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.upstream import Reach, Upstream

READING_SECONDS_MAX = 3600.0  # for who reads from a store that has been let go
SETTLE_SECONDS = 0.3


@dataclass(slots=True)
class Lasting:
    """What stays while configurations change: running fills, and what has been learned of them."""

    store: Store
    purges: Purges
    exchange: Exchange
    parts: FillParts
    fills: Fills
    large_fills: LargeFills
    distrust: Distrust

    @property
    def running_fills(self) -> int:
        return len(self.fills) + len(self.large_fills)


def register_gauges(
    metrics: Metrics, store: Callable[[], Store], last: Callable[[], Lasting], tasks: Tasks
) -> None:
    """What is read when it is asked for; store and what lasts may be others by then."""
    for name in ("memory_bytes", "memory_responses", "disk_bytes", "disk_responses"):
        metrics.gauge(name, partial(_statistic, store, name))
    metrics.gauge("fills", lambda: float(last().running_fills))
    metrics.gauge("tasks", lambda: float(len(tasks)))


def _statistic(store: Callable[[], Store], name: str) -> float:
    return float(getattr(store().statistics(), name))


async def settled(last: Lasting) -> None:
    """Wait a moment for what is nearly there."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_SECONDS):
            while last.running_fills:  # noqa: ASYNC110
                await asyncio.sleep(SETTLE_SECONDS / 10)


async def closed_when_unread(store: TieredStore, last: Lasting) -> None:
    """Close a store that was let go, when nothing that began with it runs any more."""
    while last.running_fills:  # noqa: ASYNC110
        await asyncio.sleep(SETTLE_SECONDS)
    await asyncio.sleep(READING_SECONDS_MAX)
    await store.aclose()


def lasting(
    config: Config,
    *,
    store: Store,
    purges: Purges,
    upstream: Upstream,
    metrics: Metrics,
    clock: Clock,
    threads: Executor,
    tasks: Tasks,
    report: Callable[[str], None],
) -> Lasting:
    """The parts that are made once."""
    exchange = Exchange(upstream, metrics, Blame(clock))
    distrust = Distrust(clock)
    parts = FillParts(exchange, store, config.fill, metrics, clock, threads, tasks, report, distrust)
    return Lasting(store, purges, exchange, parts, Fills(parts), LargeFills(parts), distrust)


@dataclass(frozen=True, slots=True)
class Engine:
    """The parts that are made again."""

    config: Config
    sites: SiteTable
    inquiries: Inquiries
    refresh: Refresh
    handler: Handler  # the pipeline, with the router around it if there is one

    def kept(self, context: SiteContext, before: SiteContext) -> Sequence[tuple[SiteSettings, Site]]:
        """The sites that may serve another configuration as they are, with all they have learned. Those that
        read files are made again: the files may have changed."""
        for name in ("node", "offline", "reach", "listens"):
            if getattr(context, name) != getattr(before, name):
                return ()
        settings = self.config.site or default_sites()
        both = zip(settings, self.sites.sites, strict=True)
        return [(one, site) for one, site in both if not (one.credentials_file or one.token_file)]


def site_context(config: Config, last: Lasting) -> SiteContext:
    parts, store = last.parts, last.store
    settings = config.upstream
    return SiteContext(
        node=config.node.name or "edgeproxy",
        offline=config.node.offline,
        reach=Reach(
            connect_timeout=settings.connect_timeout,
            head_timeout=settings.head_timeout,
            progress_timeout=settings.progress_timeout,
            ca_file=settings.ca_file or None,
            http2=settings.http2,
        ),
        clock=parts.clock,
        stored_keys=store.stored_keys,
        ledger=lambda name: Ledger(ledger_path(config.cache.directory, name), parts.report),
        listens=tuple(config.listen.http),
    )


def build_engine(
    config: Config, last: Lasting, routing: Routing, *, via: str, before: Engine | None = None
) -> Engine:
    """`via` tells this node from its neighbours. Raises ConfigurationError; nothing has been changed then."""
    parts, store = last.parts, last.store
    clock, tasks, metrics, threads = parts.clock, parts.tasks, parts.metrics, parts.hashing
    context = site_context(config, last)
    kept = before.kept(context, site_context(before.config, last)) if before is not None else ()
    sites = build_sites(config.site, context, kept)
    views = Views(store, tasks, threads)
    answers = Answers(
        node=context.node,
        via=via,
        ranges_max=config.limits.ranges,
        store=store,
        clock=clock,
        distrust=last.distrust,
    )
    passing = Passing(
        report=parts.report,
        via=via,
        exchange=last.exchange,
        store=store,
        fills=last.fills,
        answers=answers,
        metrics=metrics,
        threads=threads,
        clock=clock,
    )
    passing.invalidate_parts = last.large_fills.invalidate
    from_store = FromStore(store, views, answers)
    from_upstream = FromUpstream(
        via=via,
        fills=last.fills,
        large=LargeBodies(
            parts, last.large_fills, via=via, answers=answers, passing=passing, from_store=from_store
        ),
        large_fills=last.large_fills,
        views=views,
        passing=passing,
        from_store=from_store,
        answers=answers,
        clock=clock,
    )
    refresh = Refresh(store, from_upstream, clock)
    inquiries = Inquiries(store=store, metrics=metrics, tasks=tasks, threads=threads, clock=clock)
    pipeline = Pipeline(
        via=via,
        sites=sites,
        store=store,
        views=views,
        passing=passing,
        from_store=from_store,
        from_upstream=from_upstream,
        refresh=refresh,
        inquiries=inquiries,
        prefetch=Prefetch(tasks=tasks, metrics=metrics, clock=clock, jobs=config.fill.prefetch),
        children=Children(config.listen.node_tokens, last.purges),
        elsewhere=Elsewhere(
            rules_of(config.proxy),
            replace(context.reach, private_addresses=config.proxy.private_addresses),
            sites.has_host,
            sites.reach_of,
            welcome_of(config),
            metrics,
        ),
        answers=answers,
        clock=clock,
    )
    return Engine(config, sites, inquiries, refresh, routing.around(config, pipeline, sites))
