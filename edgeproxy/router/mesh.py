"""What a node sees of others: whether they live, and how far they are.

The router is one point and sees its own uplink; nodes that look at each other are the other points of the
majority. The time that TCP needs for a connection, the least of three, is the round trip from here to there:
what clients near this node may expect of the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edgeproxy.message import Clock
from edgeproxy.router.announcement import Seen
from edgeproxy.router.nodes import RouteNode
from edgeproxy.router.prober import Prober, ProbeSettings
from edgeproxy.router.registry import Listed
from edgeproxy.router.short_exchange import ExchangeFailed, connect_ms
from edgeproxy.router.tls_trust import TlsTrust
from edgeproxy.router.votes import Looks, VoteRules, looked
from edgeproxy.tasks import Tasks


@dataclass(frozen=True, slots=True)
class MeshSettings:
    """Counts, seconds."""

    peers_max: int = 16
    burst: int = 3
    burst_seconds: float = 30.0  # between two measurements of one peer
    probe: ProbeSettings = ProbeSettings()
    votes: VoteRules = VoteRules()


class Mesh:
    """Looks at its `peers`; `changed` is called when an opinion changes, so that routers hear of it at once.
    `run` lasts until cancelled."""

    def __init__(
        self,
        settings: MeshSettings,
        *,
        tasks: Tasks,
        timer: Clock,
        changed: Callable[[], None],
        tls: TlsTrust | None = None,
    ) -> None:
        self._settings = settings
        self._tasks = tasks
        self._timer = timer
        self._changed = changed
        self._peers: dict[str, str] = {}
        self._looks: dict[str, Looks] = {}
        self._rtts: dict[str, float] = {}
        self._prober = Prober(self._targets, self, settings.probe, tasks=tasks, timer=timer, tls=tls)

    def look_at(self, peers: Iterable[tuple[str, str]]) -> None:
        """From now on at these: names and the URLs that tell whether they live."""
        self._peers = dict(list(peers)[: self._settings.peers_max])
        for table in (self._looks, self._rtts):
            for name in [name for name in table if name not in self._peers]:
                del table[name]

    def _targets(self) -> list[Listed]:
        return [Listed(RouteNode(name), probe=url) for name, url in self._peers.items()]

    def looked(self, node: str, alive: bool) -> None:
        before = self._looks.get(node, Looks())
        after = self._looks[node] = looked(before, alive, self._timer(), self._settings.votes)
        if before.alive is not None and before.alive is not after.alive:
            self._changed()

    def is_suspicious(self, node: str) -> bool:
        return self._looks.get(node, Looks()).is_suspicious

    def seen(self) -> list[Seen]:
        """What is to be told. A round trip is told once."""
        rtts, self._rtts = self._rtts, {}
        return [
            Seen(name, looks.alive, round(rtts.get(name, 0.0), 3))
            for name, looks in self._looks.items()
            if looks.alive is not None
        ]

    async def run(self) -> None:
        measuring = self._tasks.start(self._measure(), "mesh")
        try:
            await self._prober.run()
        finally:
            measuring.cancel()

    async def _measure(self) -> None:
        """One peer after the other, each every so often."""
        while True:
            for name, url in list(self._peers.items()):
                await self.measure(name, url)
                await asyncio.sleep(self._settings.burst_seconds / max(1, len(self._peers)))
            if not self._peers:
                await asyncio.sleep(min(1.0, self._settings.burst_seconds))

    async def measure(self, name: str, url: str) -> None:
        """The least time of a burst of connections, if each of them comes about."""
        taken: list[float] = []
        for _ in range(self._settings.burst):
            try:
                taken.append(await connect_ms(url, seconds=self._settings.probe.timeout_seconds))
            except ExchangeFailed:
                return
        if name in self._peers:
            self._rtts[name] = min(taken)
