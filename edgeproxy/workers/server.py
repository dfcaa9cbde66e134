"""A server: the process clients talk to. It answers what it remembers, and asks the filler for the rest."""

from __future__ import annotations

import asyncio
import socket
import time

from edgeproxy import garbage
from edgeproxy.config import Config
from edgeproxy.configuration.changes import changes
from edgeproxy.metrics import Metrics
from edgeproxy.node_proxy import Asking, NodeProxy
from edgeproxy.node_tls import ClientTls
from edgeproxy.own_log import OWN_LOG
from edgeproxy.proxy.refusers import Refusers
from edgeproxy.relay.gate import Gate
from edgeproxy.relay.handler import Channels, Relay
from edgeproxy.relay.recall import Recall
from edgeproxy.relay.reports import Reporter
from edgeproxy.relay.table import SharedTable
from edgeproxy.serving.access_log import AccessLog
from edgeproxy.serving.listener import Listeners
from edgeproxy.serving.sockets import Inherited, Listening
from edgeproxy.tasks import Tasks
from edgeproxy.workers.child import Supervised, decoded, started
from edgeproxy.workers.noticing import Noticing
from edgeproxy.workers.orders import Inherit, Leave, Order, Pause, Reconfigure, Resume, Stop
from edgeproxy.workers.share import share, workers


class Server:
    """Serves at `bound` what the filler at `path` says."""

    def __init__(
        self,
        config: Config,
        bound: list[Listening],
        path: str,
        table: SharedTable,
        refusers: Refusers,
        link: socket.socket,
    ) -> None:
        self._config = config
        self._log = OWN_LOG
        self._supervised = Supervised(link)
        self._metrics = Metrics()
        self._tasks = Tasks(self._report_task)
        self._access_log = AccessLog(config.log, self._metrics)
        self._recall = Recall(table, config.node.worker_memory)
        self._relay = Relay(Channels(path), self._tasks, self._recall)
        self._noticing = Noticing(config.router)
        self._reporter = Reporter(
            Channels(path),
            self._metrics,
            self._recall,
            notice=self._noticing.taken,
            told=lambda: self._proxy.status(),
        )
        self._gate = Gate()
        self._tls = ClientTls(config, clock=time.time, metrics=self._metrics, report=self._log.warning)
        words = table.words
        self._proxy = NodeProxy(
            config,
            Asking(lambda: self._relay),
            lambda: self._listeners,
            self._tasks,
            self._metrics,
            time.time,
            self._log.warning,
            refusers,
        )
        self._listeners = Listeners(
            self._relay,
            config.listen,
            share(config.limits, workers(config.node)),
            clock=time.time,
            sequence=lambda: words[0],
            tasks=self._tasks,
            metrics=self._metrics,
            access_log=self._access_log,
            report=self._log.warning,
            handshakes=self._tls.handshakes,
            inherited=Inherited(bound),
            owns_paths=False,
            connects=self._proxy.connects,
        )

    async def run(self) -> int:
        """Until told to end; gives the exit status."""
        if not await started(self._supervised, self._start):
            return 1
        orders = self._tasks.start(self._supervised.obey(self._obey), "orders")
        in_order = await self._supervised.wait()
        if not in_order:
            return 1
        orders.cancel()
        await self._reporter.tell()
        await self._proxy.aclose()
        await self._tasks.aclose()
        self._relay.channels.aclose()
        self._access_log.close()
        return 0

    async def _start(self) -> None:
        self._access_log.start()
        await self._tls.start(self._tasks)
        await self._listeners.start()
        self._listeners.measure(self._noticing.measure)
        self._noticing.start(self._tasks)
        self._tasks.start(self._reporter.run(), "reports")
        self._tasks.start(garbage.tidy_forever(), "garbage")

    async def _obey(self, order: Order) -> None:
        match order:
            case Stop():
                self._tasks.start(self._stop(), "stop")
            case Reconfigure(config):
                await self._reconfigure(decoded(config, Config))
            case Pause():
                self._listeners.pause()
                self._gate = Gate()
                self._listeners.serve(self._gate)
            case Resume():
                self._gate.open(self._relay)
                self._listeners.serve(self._relay)
                self._listeners.resume()
            case Leave(path):
                # The filler there belongs to another program, whose marks mean nothing here.
                self._gate.open(Relay(Channels(path), self._tasks, None))
                self._tasks.start(self._leave(), "leave")
            case _:
                pass

    async def _stop(self) -> None:
        await self._listeners.drain()
        self._supervised.end(in_order=True)

    async def _leave(self) -> None:
        self._relay.channels.close_idle()
        await self._listeners.leave()
        self._supervised.end(in_order=True)

    async def _reconfigure(self, config: Config) -> None:
        """Raises StartError if the access log cannot be opened."""
        found = changes(self._config, config)
        log = self._access_log
        if found.touches("log") or log.has_file:
            log = AccessLog(config.log, self._metrics)
            log.start()
        inherited, self._supervised.inherited = self._supervised.inherited, []
        added = _gathered(inherited)
        self._config = config
        self._proxy.reconfigure(config)
        self._listeners.serve(self._relay)
        self._listeners.limit(share(config.limits, workers(config.node)))
        self._listeners.change(config.listen, added)
        if found.touches("log"):
            OWN_LOG.configure(config.log.level)
        if log is not self._access_log:
            former, self._access_log = self._access_log, log
            self._listeners.log_to(log)
            await asyncio.to_thread(former.close)

    def _report_task(self, name: str, error: BaseException) -> None:
        self._metrics.count("task_errors_total")
        self._log.error("a background task failed", task=name, error=repr(error))


def _gathered(inherited: list[tuple[Inherit, socket.socket]]) -> list[Listening]:
    """The sockets of each address together."""
    found: dict[Inherit, list[socket.socket]] = {}
    for said, listening in inherited:
        found.setdefault(said, []).append(listening)
    return [Listening(of.kind, of.text, of.name, tuple(sockets)) for of, sockets in found.items()]
