"""What servers count goes to the filler twice a second and is added to what it counts itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from msgspec import structs

from edgeproxy.metrics import COUNTERS, HISTOGRAMS, SECONDS_BUCKETS, Histogram, Metrics
from edgeproxy.relay.channel import Channel, ChannelLost
from edgeproxy.relay.handler import Channels
from edgeproxy.relay.marks import Marks
from edgeproxy.relay.messages import Noticed, Report
from edgeproxy.relay.recall import Recall

PERIOD_SECONDS = 0.5

Heard = Callable[[Noticed], None]
"""Who gathers what routers are to be told."""


class Tally:
    """The filler's side: adds up what came, and keeps each server's gauges while its channel is open."""

    def __init__(self, metrics: Metrics, marks: Marks | None, heard: Heard = lambda _: None) -> None:
        self._metrics, self._marks, self._heard = metrics, marks, heard
        self._gauges: dict[Channel, dict[str, float]] = {}
        self._told: dict[Channel, dict[str, Any]] = {}

    @property
    def told(self) -> list[dict[str, Any]]:
        """What each server has to tell people."""
        return list(self._told.values())

    def total(self, gauge: str) -> float:
        return sum(gauges.get(gauge, 0.0) for gauges in self._gauges.values())

    def received(self, channel: Channel, report: Report) -> None:
        metrics = self._metrics
        for name, labels, count in report.counters:
            if name in COUNTERS:
                metrics.count(name, *labels, by=count)
        for name, labels, counts, seconds in report.histograms:
            if name in HISTOGRAMS and len(counts) == len(SECONDS_BUCKETS) + 1:
                known = metrics.histograms[name].setdefault(labels, Histogram([0] * len(counts)))
                for place, count in enumerate(counts):
                    known.counts[place] += count
                known.sum += seconds
        self._gauges[channel] = report.gauges
        if report.noticed is not None:
            self._heard(report.noticed)
        if report.told is not None:
            self._told[channel] = report.told
        if self._marks is not None:
            for slot, generation in report.used:
                self._marks.used(slot, generation)

    def gone(self, channel: Channel) -> None:
        self._gauges.pop(channel, None)
        self._told.pop(channel, None)


class Difference:
    """What `metrics` have counted since the last time."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._counters: dict[tuple[str, tuple[str, ...]], int] = {}
        self._histograms: dict[tuple[str, tuple[str, ...]], Histogram] = {}

    def report(self, used: list[tuple[int, int]], noticed: Noticed | None = None) -> Report:
        metrics = self._metrics
        metrics.settle()
        counters = []
        for name, values in metrics.counters.items():
            for labels, count in values.items():
                more = count - self._counters.get((name, labels), 0)
                if more:
                    counters.append((name, labels, more))
                    self._counters[name, labels] = count
        histograms = []
        for name, known in metrics.histograms.items():
            for labels, histogram in known.items():
                before = self._histograms.get((name, labels)) or Histogram([0] * len(histogram.counts))
                more_of = [now - then for now, then in zip(histogram.counts, before.counts, strict=True)]
                if any(more_of):
                    histograms.append((name, labels, more_of, histogram.sum - before.sum))
                    self._histograms[name, labels] = Histogram(list(histogram.counts), histogram.sum)
        gauges = {name: read() for name, read in metrics.gauges.items()}
        return Report(counters, histograms, gauges, used, noticed)


class Reporter:
    """A server's side. `notice` gives what was noticed since the last time, `told` what it has to tell
    people."""

    def __init__(
        self,
        channels: Channels,
        metrics: Metrics,
        recall: Recall,
        *,
        notice: Callable[[], Noticed | None] = lambda: None,
        told: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self._channels, self._recall = channels, recall
        self._notice, self._telling = notice, told
        self._told: dict[str, Any] = {}
        self._difference = Difference(metrics)
        self._channel: Channel | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.tell()
            await asyncio.sleep(PERIOD_SECONDS)

    async def tell(self) -> None:
        """Now. What cannot be told is told another time."""
        if self._channel is None or self._channel.is_closed:
            self._told = {}
            try:
                self._channel = await self._channels.take()
            except ChannelLost:
                return
        self._recall.sweep()
        used, self._recall.used = self._recall.used, set()
        told = self._telling()
        changed, self._told = told if told != self._told else None, told
        report = self._difference.report(list(used), self._notice())
        self._channel.send(structs.replace(report, told=changed))
