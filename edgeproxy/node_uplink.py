"""A node's way up: siblings, parents and origins, and the purges of the first two. Built again as a whole
when the configuration of any of them changes; what was asked of the former one goes on with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from edgeproxy.config import Config
from edgeproxy.metrics import Metrics
from edgeproxy.pipeline.parent_links import Introduced, links_of
from edgeproxy.pipeline.purge_follower import PurgeFollower
from edgeproxy.pipeline.purges import Purges, SmallFiles
from edgeproxy.tasks import Report, Tasks
from edgeproxy.upstream.assembly import build_chain, files_of
from edgeproxy.upstream.remote import Remote
from edgeproxy.upstream.resolver import Resolver
from edgeproxy.upstream.upstream import Upstream

RETIRE_SECONDS = 0.5  # between looks whether a former one still has something to do
RETIRE_SECONDS_MAX = 3600.0


class Uplink:
    """`via` tells this node from others. Raises ConfigurationError."""

    def __init__(
        self,
        config: Config,
        *,
        via: str,
        purges: Purges,
        metrics: Metrics,
        report: Callable[[str], None],
        report_task: Report,
    ) -> None:
        self._config = config
        self._files = files_of(config)
        self._via = via
        self._purges = purges
        self._tasks = Tasks(report_task)
        self._following = Tasks(report_task)
        self._introduced: Introduced | None = None
        self._resolver = Resolver(config.upstream)
        self.chain = build_chain(
            config,
            self._resolver,
            metrics=metrics,
            tasks=self._tasks,
            report=report,
            around=self._introduce,
        )
        self._follower = self._build_follower(metrics, report)

    @property
    def is_outdated(self) -> bool:
        """Whether a token or a certificate that it was built with has been replaced."""
        return files_of(self._config) != self._files

    def _introduce(self, upstream: Upstream, remotes: Sequence[Remote]) -> Upstream:
        """The way to parents and siblings, on which they are told who asks."""
        links = links_of(remotes, self._config.site)
        self._introduced = Introduced(upstream, links, self._via, lambda: self._purges.position)
        return self._introduced

    def _build_follower(self, metrics: Metrics, report: Callable[[str], None]) -> PurgeFollower | None:
        introduced = self._introduced
        if introduced is None:
            return None
        follower = PurgeFollower(
            introduced.links,
            node=self._via,
            upstream=introduced,
            purges=self._purges,
            tasks=self._following,
            metrics=metrics,
            report=report,
        )
        introduced.heard = follower.heard
        return follower

    async def start(self, files: SmallFiles | None) -> None:
        """Probe, and follow the purges of parents and siblings from where `files` say that was left off."""
        if self._config.node.offline:
            return
        self.chain.start()
        if self._follower is not None:
            self._purges.has_followed = self._follower.has_followed
            await self._follower.start(files)

    async def stop_following(self) -> None:
        """No purge of another node is taken over any more, and nothing about them is written down."""
        await self._following.aclose()

    async def retire(self) -> None:
        """Close when the last exchange has ended, or after an hour: fills that are broken off then go on with
        another one."""
        await self.stop_following()
        for _ in range(int(RETIRE_SECONDS_MAX / RETIRE_SECONDS)):
            if not self.chain.running:
                break
            await asyncio.sleep(RETIRE_SECONDS)
        await self.aclose()

    async def aclose(self) -> None:
        await self._following.aclose()
        await self._tasks.aclose()
        await self.chain.aclose()
        await self._resolver.aclose()
