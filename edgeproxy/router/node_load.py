"""How busy this node is: connections, bandwidth, processor and event loop, each over its limit. The most used
one counts, since it is the one that gives out first."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from dataclasses import dataclass

from edgeproxy.message import Clock

LAG_EVERY_SECONDS = 0.25
TAKEN_SECONDS = 0.5  # of which a load is made, at least
LATE_MAX = 256  # samples of lateness; a load is taken long before there are so many
SHARE_MOST = 10.0  # what is said of a limit that is far behind


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """What full means; 0 where it is not known. `bandwidth` in bytes/s, `cores` of processor time that this
    process may use, `lag_seconds` by which the event loop may be late."""

    connections: int
    bandwidth: float = 0.0
    cores: float = 1.0
    lag_seconds: float = 0.05


@dataclass(frozen=True, slots=True)
class Usage:
    """As counted so far, at `at` (monotonic seconds); `lag` is the mean of the last while."""

    at: float
    connections: int
    bytes_sent: int
    processor_seconds: float
    lag: float


@dataclass(frozen=True, slots=True)
class Load:
    """Shares of the limits, 1 is full."""

    connections: float = 0.0
    bandwidth: float = 0.0
    processor: float = 0.0
    loop: float = 0.0

    @property
    def utilisation(self) -> float:
        return max(self.connections, self.bandwidth, self.processor, self.loop)


def load_of(before: Usage, after: Usage, limits: LoadLimits) -> Load:
    """Between two moments. Pure."""
    seconds = after.at - before.at
    if seconds <= 0:
        return Load(connections=_share(after.connections, limits.connections))
    return Load(
        _share(after.connections, limits.connections),
        _share((after.bytes_sent - before.bytes_sent) / seconds, limits.bandwidth),
        _share((after.processor_seconds - before.processor_seconds) / seconds, limits.cores),
        _share(after.lag, limits.lag_seconds),
    )


def _share(used: float, limit: float) -> float:
    return min(max(0.0, used / limit), SHARE_MOST) if limit > 0 else 0.0


class Lateness:
    """By how much the event loop is late. `run` watches it and lasts until cancelled; what others were late
    by can be added."""

    def __init__(self) -> None:
        self._late: list[float] = []

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_EVERY_SECONDS
            await asyncio.sleep(LAG_EVERY_SECONDS)
            self.add(loop.time() - due)

    def add(self, seconds: float) -> None:
        self._late.append(max(0.0, seconds))
        del self._late[:-LATE_MAX]

    def taken(self) -> float:
        """The mean since the last time, in seconds."""
        late, self._late = self._late, []
        return sum(late) / len(late) if late else 0.0


class NodeLoad:
    """`taken` tells the load since the last time. `lateness` is to be run by whoever made this. `processor`
    counts seconds: of this process and the children that have ended, unless told otherwise; other processes
    of the node tell by `worked`."""

    def __init__(
        self,
        limits: LoadLimits,
        *,
        connections: Callable[[], int],
        bytes_sent: Callable[[], int],
        timer: Clock,
        processor: Callable[[], float] | None = None,
    ) -> None:
        self._limits = limits
        self._connections = connections
        self._bytes_sent = bytes_sent
        self._timer = timer
        self._processor = processor or _processor_seconds
        self._elsewhere = 0.0
        self._told: Load | None = None
        self.lateness = Lateness()
        self._before = self._usage()

    def worked(self, processor_seconds: float, late_seconds: float) -> None:
        """Another process of this node used so much, and its event loop was late by so much."""
        self._elsewhere += max(0.0, processor_seconds)
        self.lateness.add(late_seconds)

    def _usage(self) -> Usage:
        used = self._processor() + self._elsewhere
        return Usage(self._timer(), self._connections(), self._bytes_sent(), used, self.lateness.taken())

    def taken(self) -> Load:
        """Two who ask at the same time are told the same: of a moment no load can be made. Before there is
        one, who is asked has only its connections: its start has kept the processor busy, not its clients."""
        if self._timer() - self._before.at >= TAKEN_SECONDS:
            before, self._before = self._before, self._usage()
            self._told = load_of(before, self._before, self._limits)
        return self._told or Load(connections=_share(self._connections(), self._limits.connections))


def _processor_seconds() -> float:
    used = 0.0
    for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        told = resource.getrusage(whose)
        used += told.ru_utime + told.ru_stime
    return used
