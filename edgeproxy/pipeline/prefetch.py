"""Fetches what a client will probably ask next, before it does.

One target after another for each group, a few groups at a time, through the same way as a client's own
request and with its credentials; nothing of it is sent anywhere. A group ends when nobody has asked for
anything of it for a while: the client has left, or wanted something else."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from edgeproxy.errors import BodyAborted, RequestError
from edgeproxy.message import CacheOutcome, Clock, Request, Response
from edgeproxy.metrics import Metrics
from edgeproxy.policy import forwarding
from edgeproxy.sites.site import Upcoming
from edgeproxy.tasks import Tasks

GROUPS_MAX = 64
TARGETS_MAX = 2_000  # of one group
DONE_MAX = 10_000
FOLLOWED_SECONDS = 20.0

OURS = "prefetch"  # the listener named in requests of our own, which lead to no further ones

Ask = Callable[[Request], Awaitable[Response]]


@dataclass(slots=True)
class _Group:
    request: Request
    mount: str
    targets: deque[str] = field(default_factory=deque)
    known: set[str] = field(default_factory=set)
    used_at: float = 0.0


class Prefetch:
    """`ask` answers a request as if a client had sent it. `jobs` run at a time; 0 switches it off."""

    def __init__(self, *, tasks: Tasks, metrics: Metrics, clock: Clock, jobs: int) -> None:
        self.ask: Ask | None = None
        self._tasks = tasks
        self._metrics = metrics
        self._clock = clock
        self._jobs = asyncio.Semaphore(max(1, jobs))
        self._is_on = jobs > 0
        self._groups: dict[tuple[str, str], _Group] = {}

    def __len__(self) -> int:
        return sum(len(group.targets) for group in self._groups.values())

    def expect(self, request: Request, site: str, upcoming: Upcoming, mount: str = "") -> None:
        """A client asked for something of a group; these will follow, below `mount`."""
        if not self._is_on or request.listener == OURS:
            return
        key = (site, f"{upcoming.group} {request.headers.get('Authorization')}")
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= GROUPS_MAX or not upcoming.targets:
                return
            headers = forwarding.for_fill(request.headers)
            own = replace(request, method="GET", headers=headers, body=None, listener=OURS)
            group = self._groups[key] = _Group(own, mount)
            task = self._tasks.start(self._run(group, site), f"prefetch {upcoming.group[:200]}")
            task.add_done_callback(lambda _: self._groups.pop(key, None))
        group.used_at = self._clock()
        for target in upcoming.targets:
            if target not in group.known and len(group.known) < TARGETS_MAX:
                group.known.add(target)
                group.targets.append(target)

    async def _run(self, group: _Group, site: str) -> None:
        while group.targets:
            if self._clock() - group.used_at > FOLLOWED_SECONDS:
                self._metrics.count("prefetch_total", site, "unfollowed")
                return
            target = group.targets.popleft()
            async with self._jobs:
                await self._fetch(group, site, target)

    async def _fetch(self, group: _Group, site: str, target: str) -> None:
        assert self.ask is not None
        request = replace(group.request, target=group.mount + target, received_at=self._clock())
        try:
            response = await self.ask(request)
        except RequestError:
            self._metrics.count("prefetch_total", site, "failed")
            return
        if response.outcome.cache is CacheOutcome.HIT:
            await response.body.aclose()
            return
        try:
            async for _ in response.body.parts():
                if self._clock() - group.used_at > FOLLOWED_SECONDS:
                    break
            self._metrics.count("prefetch_total", site, "fetched" if response.status == 200 else "failed")
        except BodyAborted:
            self._metrics.count("prefetch_total", site, "failed")
        finally:
            await response.body.aclose()
