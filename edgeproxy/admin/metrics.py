"""Prometheus text from the node's counters.

The counters belong to the event loop: they are copied there, and the text is made in a thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from edgeproxy.metrics import COUNTERS, GAUGES, HISTOGRAMS, SECONDS_BUCKETS, Histogram, Metrics

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The node's metrics at one moment, shared with nobody."""

    counters: dict[str, dict[Labels, int]]
    histograms: dict[str, dict[Labels, Histogram]]
    gauges: dict[str, float]


def snapshot(metrics: Metrics) -> Snapshot:
    """A copy, to be taken on the event loop."""
    metrics.settle()
    return Snapshot(
        counters={name: dict(values) for name, values in metrics.counters.items()},
        histograms={
            name: {labels: Histogram(list(h.counts), h.sum) for labels, h in values.items()}
            for name, values in metrics.histograms.items()
        },
        gauges={name: read() for name, read in metrics.gauges.items()},
    )


class Exposition(Collector):
    """Renders snapshots, with the figures of the process. One call of `render` at a time."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._taken = Snapshot({}, {}, {})
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def render(self, taken: Snapshot, accept: str) -> tuple[bytes, str]:
        """The text and its Content-Type, in the format `accept` asks for. Reads /proc: call in a thread."""
        self._taken = taken
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("edgeproxy_build", "The node's version", {"version": self._version})
        for name, values in self._taken.counters.items():
            yield _counter(name, values)
        for name, observed in self._taken.histograms.items():
            yield _histogram(name, observed)
        for name, value in self._taken.gauges.items():
            yield GaugeMetricFamily(f"edgeproxy_{name}", GAUGES[name].help, value)


def _counter(name: str, values: dict[Labels, int]) -> Metric:
    described = COUNTERS[name]
    family = CounterMetricFamily(f"edgeproxy_{name}", described.help, labels=described.labels)
    if not described.labels and not values:
        family.add_metric((), 0)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _histogram(name: str, observed: dict[Labels, Histogram]) -> Metric:
    described = HISTOGRAMS[name]
    family = HistogramMetricFamily(f"edgeproxy_{name}", described.help, labels=described.labels)
    for labels, histogram in observed.items():
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, SECONDS_BUCKETS), "+Inf"), histogram.counts, strict=True):
            total += count
            buckets.append((bound, total))
        family.add_metric(labels, buckets, histogram.sum)
    return family
