"""Builds a node from a Config, starts it, drains it, stops it. Only here are concrete classes named."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from edgeproxy.admin.server import AdminServer
from edgeproxy.config import Config
from edgeproxy.metrics import Metrics
from edgeproxy.node_views import Life, LiveViews
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
from edgeproxy.pipeline.parent_links import Introduced, links_of
from edgeproxy.pipeline.passing import Passing
from edgeproxy.pipeline.prefetch import Prefetch
from edgeproxy.pipeline.purge_follower import PurgeFollower
from edgeproxy.pipeline.purges import Purges
from edgeproxy.pipeline.refresh import Refresh
from edgeproxy.pipeline.views import Views
from edgeproxy.serving.access_log import AccessLog
from edgeproxy.serving.handshakes import Handshakes
from edgeproxy.serving.listener import Bound, Listeners
from edgeproxy.serving.negotiation import PROTOCOLS
from edgeproxy.sites.registry import build_sites
from edgeproxy.sites.site import SiteContext
from edgeproxy.storage.directory import directory_path
from edgeproxy.storage.ledger import Ledger, ledger_path
from edgeproxy.storage.tiered import open_store
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.assembly import build_chain
from edgeproxy.upstream.chain import Chain
from edgeproxy.upstream.remote import Remote
from edgeproxy.upstream.resolver import Resolver
from edgeproxy.upstream.upstream import Reach, Upstream

THREADS = 4  # hash and derive: two cores are busy with that already, and the rest is waiting


class Node:
    """One edge node. `start` raises StartError or ConfigurationError; `stop` drains."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._name = config.node.name or "edgeproxy"
        # Via and CDN-Loop must tell this node from its neighbours, who may have no name either.
        self._via = config.node.name or f"edgeproxy-{secrets.token_hex(4)}"
        self._log = structlog.get_logger("edgeproxy")
        self._life = Life(time.time())
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
        self._introduced: Introduced | None = None
        self._upstream = self._build_upstream()
        self._sites = build_sites(config.site, self._site_context())
        self._purges = Purges(self._store, origins=self._sites.origins_of, tasks=self._tasks)
        self._follower = self._build_follower()
        self._build_pipeline()

    def _build_upstream(self) -> Chain:
        self._resolver = Resolver(self._config.upstream)
        return build_chain(
            self._config,
            self._resolver,
            metrics=self.metrics,
            tasks=self._tasks,
            report=self._warn,
            around=self._introduce,
        )

    def _introduce(self, upstream: Upstream, remotes: Sequence[Remote]) -> Upstream:
        """The way to parents and siblings, on which they are told who asks."""
        self._introduced = Introduced(upstream, links_of(remotes, self._config.site), self._via)
        return self._introduced

    def _build_follower(self) -> PurgeFollower | None:
        introduced = self._introduced
        if introduced is None:
            return None
        follower = PurgeFollower(
            introduced.parents,
            node=self._via,
            upstream=introduced,
            purges=self._purges,
            tasks=self._tasks,
            metrics=self.metrics,
            report=self._warn,
        )
        introduced.heard = follower.heard
        return follower

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
            ledger=self._ledger,
            listens=tuple(self._config.listen.http),
        )

    def _ledger(self, name: str) -> Ledger:
        return Ledger(ledger_path(self._config.cache.directory, name), self._warn)

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
        exchange = Exchange(self._upstream, self.metrics, Blame(clock))
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
            report=self._warn,
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
            children=Children(config.listen.node_tokens, self._purges),
            answers=answers,
            clock=clock,
        )
        self._build_servers(pipeline)

    def _build_tls(self) -> Handshakes | None:
        config = self._config
        if not config.listen.https:
            return None
        # What reads certificates takes megabytes and tens of milliseconds: only nodes with TLS have it.
        from edgeproxy.serving.certificates import describe
        from edgeproxy.serving.self_signed import names_wanted
        from edgeproxy.serving.tls import Sources
        from edgeproxy.serving.tls_watch import TlsWatch

        sources = Sources(
            config.tls, directory_path(config.cache.directory), names_wanted(config.listen, config.site)
        )
        self._tls = TlsWatch(
            sources, tuple(PROTOCOLS), clock=self._clock, metrics=self.metrics, report=self._warn
        )
        return Handshakes(lambda: self._tls.contexts, describe, config.limits, self.metrics)

    def _build_servers(self, pipeline: Pipeline) -> None:
        config, store = self._config, self._store
        handshakes = self._build_tls()
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
            handshakes=handshakes,
        )
        views = LiveViews(
            config,
            self._life,
            store=store,
            purges=self._purges,
            sites=self._sites,
            inquiries=self._inquiries,
            upstream=self._upstream,
            metrics=self.metrics,
            threads=self._threads,
            clock=self._clock,
            connections=lambda: self._listeners.connections,
            running_fills=lambda: len(self._fills) + len(self._large_fills),
        )
        self._admin = AdminServer(config.admin, views, self.metrics, report=self._report_task)
        self._register_gauges()

    def _register_gauges(self) -> None:
        statistics = self._store.statistics
        self.metrics.gauge("memory_bytes", lambda: statistics().memory_bytes)
        self.metrics.gauge("memory_responses", lambda: statistics().memory_responses)
        self.metrics.gauge("disk_bytes", lambda: statistics().disk_bytes)
        self.metrics.gauge("disk_responses", lambda: statistics().disk_responses)
        self.metrics.gauge("fills", lambda: float(len(self._fills) + len(self._large_fills)))
        self.metrics.gauge("tasks", lambda: float(len(self._tasks)))
        self.metrics.gauge("connections", lambda: float(self._listeners.connections))

    # -- life ----------------------------------------------------------------------------------

    async def start(self) -> tuple[Bound, str]:
        """Accept connections. Gives the bound addresses: those for clients, that of the admin
        listener ("" if it is switched off)."""
        self._access_log.start()
        await self._store.start()
        files = self._store.disk.directory if self._store.disk is not None else None
        await self._purges.open(files)
        if not self._config.node.offline:
            self._upstream.start()
            self._tasks.start(self._refresh.run(), "refresh")
            if self._follower is not None:
                await self._follower.start(files)
        if self._config.listen.https:
            await self._tls.start()
            self._tasks.start(self._tls.run(), "certificates")
        bound = await self._listeners.start()
        admin = await self._admin.start() if self._config.admin.listen else ""
        self._life.is_ready = True
        return bound, admin

    async def stop(self) -> None:
        """Stop accepting, finish what runs (at most limits.drain_timeout), close everything."""
        self._life.is_ready = False
        await self._listeners.drain()
        await self._admin.aclose()
        await self._tasks.aclose()
        await self._purges.aclose()
        await self._upstream.aclose()
        await self._resolver.aclose()
        await self._store.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._access_log.close()

    # -- trouble -------------------------------------------------------------------------------

    def _report_task(self, name: str, error: BaseException) -> None:
        self.metrics.count("task_errors_total")
        self._log.error("a background task failed", task=name, error=repr(error))

    def _warn(self, line: str) -> None:
        self._log.warning(line)
