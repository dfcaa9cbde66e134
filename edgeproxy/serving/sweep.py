"""One coarse timer for the timeouts of all connections.

Each connection, and each of its streams, tells what it waits for and a mark that changes with any progress;
when a mark has stood for longer than that wait may last, it is ended. No request sets a timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Set

from edgeproxy.config import Limits
from edgeproxy.metrics import Metrics
from edgeproxy.serving.service import OpenConnection, Waiting

_PERIOD_MAX = 1.0
_PERIOD_MIN = 0.02


class Sweep:
    """Looks at all `connections` every so often; `also` is run each time."""

    def __init__(
        self, connections: Set[OpenConnection], limits: Limits, metrics: Metrics, also: Callable[[], None]
    ) -> None:
        self._connections = connections
        self._metrics = metrics
        self._also = also
        self._timer: asyncio.TimerHandle | None = None
        waits = (limits.head_timeout, limits.body_timeout, limits.idle_timeout, limits.write_timeout)
        shortest = min((wait for wait in waits if wait), default=_PERIOD_MAX)
        self._period = min(_PERIOD_MAX, max(_PERIOD_MIN, shortest / 4))

    def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._period, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self.start()
        self._also()
        now = asyncio.get_running_loop().time()
        for connection in tuple(self._connections):
            for stream in tuple(connection.streams):
                self._feel(stream, now)
            self._feel(connection, now)

    def _feel(self, waiting: Waiting, now: float) -> None:
        pulse = waiting.pulse()
        if pulse != waiting.pulse_seen:
            waiting.pulse_seen, waiting.pulse_since = pulse, now
        elif pulse[1] and now - waiting.pulse_since >= pulse[1]:
            if pulse[0] not in ("idle", "linger", "gone"):
                self._metrics.count("timeouts_total", pulse[0])
            waiting.pulse_since = now
            waiting.expire(pulse[0])
