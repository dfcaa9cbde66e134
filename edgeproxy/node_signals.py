"""What a node tells routers of itself: that it lives, how full it is, how far its clients are, which other
nodes it sees, and what it holds."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor

from msgspec.structs import replace

from edgeproxy.config import Config
from edgeproxy.config_router import RouterNode
from edgeproxy.errors import StorageError
from edgeproxy.message import Clock
from edgeproxy.metrics import Metrics
from edgeproxy.relay.messages import Noticed
from edgeproxy.route_map import read_secret
from edgeproxy.router.announcement import ROUND_TRIPS_MAX, Announcement, RoundTrip
from edgeproxy.router.announcer import Announcer, AnnouncerSettings
from edgeproxy.router.client_rtts import ClientRtts
from edgeproxy.router.configured import tells_itself, tells_round_trips, trust_of
from edgeproxy.router.holdings import DIGESTS_MAX, encode
from edgeproxy.router.mesh import Mesh, MeshSettings
from edgeproxy.router.node_load import LoadLimits, NodeLoad
from edgeproxy.serving.measuring import Measure
from edgeproxy.storage.store import Store
from edgeproxy.tasks import Tasks
from edgeproxy.workers.share import workers

HOLDS_SECONDS = 60.0  # between two looks at what is stored
ROWS_MAX = 1000
PAGES_MAX = 20

Own = Callable[[Announcement], Awaitable[None]]


class NodeSignals:
    """Tells `router.signals.routers`, and by `own` the map in this process; nothing where there is neither.
    Raises ConfigurationError for a file that cannot be used."""

    def __init__(
        self,
        config: Config,
        store: Callable[[], Store],
        connections: Callable[[], int],
        *,
        tasks: Tasks,
        threads: Executor,
        metrics: Metrics,
        clock: Clock,
        report: Callable[[str], None],
        own: Own | None = None,
    ) -> None:
        router, signals = config.router, config.router.signals
        self._tasks, self._threads, self._metrics, self._store = tasks, threads, metrics, store
        self._own = own if tells_itself(router) else None
        self._has_routers = bool(signals.routers)
        self._unheard: list[RoundTrip] = []  # told to routers, and not yet to the map here
        self._interval, self._clock = signals.interval, clock
        self._name = router.own or config.node.name
        self._node = next(
            (node for node in router.node if node.name == self._name), RouterNode(name="", url="")
        )
        self._connections = connections
        self._smallest = router.redirect_above
        self._holds = ""
        self._digest_bytes = signals.digest
        self._limits = LoadLimits(config.limits.connections, cores=float(workers(config.node)))
        self._load: NodeLoad | None = None
        self._rtts = ClientRtts()
        self.measure: Measure | None = self._rtts.ended if tells_round_trips(router) else None
        mesh = MeshSettings(burst_seconds=signals.mesh or MeshSettings().burst_seconds)
        tls = trust_of(router, config.upstream.ca_file) if self._has_routers else None
        self._mesh = Mesh(
            mesh, tasks=tasks, timer=time.monotonic, changed=lambda: self._announcer.hurry(), tls=tls
        )
        self._has_mesh = signals.mesh > 0
        token = read_secret(signals.token, signals.token_file, "router.signals.token_file")
        self._announcer = Announcer(
            AnnouncerSettings(
                tuple(url.rstrip("/") for url in signals.routers), token, heartbeat_seconds=signals.interval
            ),
            self._gathered,
            clock=clock,
            tasks=tasks,
            report=report,
            heard=self._mesh.look_at if self._has_mesh else lambda _: None,
            tls=tls,
        )

    def start(self) -> None:
        if not self._has_routers and self._own is None:
            return
        load = self._load = NodeLoad(
            self._limits,
            connections=self._connections,
            bytes_sent=self._bytes_sent,
            timer=time.monotonic,
        )
        self._tasks.start(load.lateness.run(), "load")
        if self._own is not None:
            self._tasks.start(self._tell_own(self._own), "own map")
        if self._has_routers:
            self._tasks.start(self._announcer.run(), "announcements")
        if self._has_routers and self._has_mesh:
            self._tasks.start(self._mesh.run(), "mesh")
        if self._digest_bytes:
            self._tasks.start(self._keep_holdings(), "holdings")

    def heard(self, noticed: Noticed) -> None:
        """What another process of this node has noticed."""
        self._rtts.heard(noticed.round_trips)
        if self._load is not None:
            self._load.worked(noticed.processor_seconds, noticed.late_seconds)

    async def _tell_own(self, own: Own) -> None:
        """By itself: routers that cannot be reached do not hold it up."""
        while True:
            if self._has_routers:
                told, self._unheard = self._unheard, []
            else:
                told = self._rtts.taken()
            await own(replace(self._gathered(self._clock(), measures=False), round_trips=told))
            await asyncio.sleep(self._interval)

    def _measured(self) -> list[RoundTrip]:
        taken = self._rtts.taken()
        if self._own is not None:
            self._unheard = [*self._unheard, *taken][-ROUND_TRIPS_MAX:]
        return taken

    def _gathered(self, now: float, *, measures: bool = True) -> Announcement:
        """What was measured is told to routers once: without `measures` it stays for them."""
        node = self._node
        return Announcement(
            name=self._name,
            sent_at=now,
            url=node.url.rstrip("/"),
            addresses=list(node.addresses),
            region=node.country or node.region,
            latitude=node.latitude,
            longitude=node.longitude,
            asn=node.asn,
            capacity=min(node.capacity, 1e6),
            state=node.state,
            utilisation=0.0 if self._load is None else self._load.taken().utilisation,
            in_flight=self._connections(),
            fill_ms=min(60_000.0, self._fill_ms()),
            holds=self._holds,
            round_trips=self._measured() if measures else [],
            seen=self._mesh.seen() if measures and self._has_mesh else [],
        )

    def _bytes_sent(self) -> int:
        return sum(self._metrics.counters["client_bytes_total"].values())

    def _fill_ms(self) -> float:
        """What an answer from above takes, on average."""
        found = self._metrics.histograms["upstream_head_seconds"].values()
        count = sum(sum(histogram.counts) for histogram in found)
        return 1000.0 * sum(histogram.sum for histogram in found) / count if count else 0.0

    async def _keep_holdings(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            packed = await loop.run_in_executor(self._threads, self._packed)
            self._holds = base64.b64encode(packed).decode() if len(packed) <= self._digest_bytes else ""
            await asyncio.sleep(HOLDS_SECONDS)

    def _packed(self) -> bytes:
        """The digests of what is stored and large enough to be worth a way. Blocks."""
        found: dict[str, None] = {}
        after, store = "", self._store()
        try:
            for _ in range(PAGES_MAX):
                rows = store.listing("", after, ROWS_MAX)
                for row in rows:
                    if (
                        row.is_complete
                        and row.stored.digest
                        and (row.stored.body_bytes or 0) >= self._smallest
                    ):
                        found[row.stored.digest] = None
                if len(rows) < ROWS_MAX or len(found) >= DIGESTS_MAX:
                    break
                after = rows[-1].place
        except StorageError:
            pass  # what was seen is told
        return encode(found)
