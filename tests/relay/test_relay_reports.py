"""What servers count is added up, once."""

from __future__ import annotations

from typing import Any

import pytest
from relay_stand import NOW, HeldCopy, Repeats, Stand, until

from edgeproxy.message import Request, Response
from edgeproxy.metrics import Metrics
from edgeproxy.relay.marks import Marks
from edgeproxy.relay.messages import Noticed, Report
from edgeproxy.relay.reports import Difference, Reporter, Tally
from edgeproxy.relay.table import SharedTable
from edgeproxy.router.announcement import RoundTrip


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def test_what_was_told_is_not_told_again(metrics: Metrics) -> None:
    difference = Difference(metrics)
    metrics.count("requests_total", "s", "hit", "200", by=3)
    metrics.observe("request_seconds", 0.002, "s")
    first = difference.report([])
    assert first.counters == [("requests_total", ("s", "hit", "200"), 3)]
    assert [(name, labels, sum(counts)) for name, labels, counts, _ in first.histograms] == [
        ("request_seconds", ("s",), 1)
    ]
    metrics.count("requests_total", "s", "hit", "200")
    second = difference.report([(1, 2)])
    assert (second.counters, second.histograms, second.used) == (
        [("requests_total", ("s", "hit", "200"), 1)],
        [],
        [(1, 2)],
    )


def test_the_sum_is_that_of_all_servers_and_of_the_filler_itself(metrics: Metrics) -> None:
    tally, servers = Tally(metrics, None), [Metrics(), Metrics()]
    metrics.count("connections_total")
    metrics.observe("request_seconds", 0.5, "s")
    for number, server in enumerate(servers):
        server.count("connections_total", by=10)
        server.observe("request_seconds", 0.002, "s")
        server.gauge("connections", lambda number=number: 3.0 + number)  # type: ignore[misc]
        channel: Any = number
        tally.received(channel, Difference(server).report([]))
    assert metrics.value("connections_total") == 21
    histogram = metrics.histograms["request_seconds"]["s",]
    assert (sum(histogram.counts), round(histogram.sum, 3)) == (3, 0.504)
    assert tally.total("connections") == 7.0
    gone: Any = 1
    tally.gone(gone)
    assert tally.total("connections") == 3.0


def test_what_has_no_name_here_is_not_counted(metrics: Metrics) -> None:
    channel: Any = 1
    Tally(metrics, None).received(
        channel,
        Report([("unknown", (), 1)], [("unknown", (), [1], 0.1), ("request_seconds", (), [1], 1.0)], {}, []),
    )
    assert metrics.histograms["request_seconds"] == {}


async def test_a_report_reaches_the_filler_over_a_channel(relayed: Any) -> None:
    async def handler(request: Request) -> Response:
        return Response(200)

    one: Stand = relayed(handler)
    reuse = Repeats(HeldCopy(), b"")
    reusing = one.marks.reusing(reuse, NOW)
    assert reusing is not None
    one.recall.reuse(reusing, b"").used()
    counted = Metrics()
    counted.gauge("connections", lambda: 5.0)
    reporter = Reporter(one.relay.channels, counted, one.recall)
    counted.count("timeouts_total", "idle")
    await reporter.tell()
    await until(lambda: one.metrics.value("timeouts_total", "idle") == 1)
    assert (one.listener.connections, reuse.uses) == (5, 1)


async def test_what_servers_notice_reaches_the_filler_once(relayed: Any) -> None:
    async def handler(request: Request) -> Response:
        return Response(200)

    heard: list[Noticed] = []
    one: Stand = relayed(handler, heard=heard.append)
    told = [Noticed(0.2, 0.01, [RoundTrip("8.8.8.0/24", 12.5, 3)]), Noticed(0.0, 0.0, [])]
    due = list(told)

    def notice() -> Noticed | None:
        return due.pop(0) if due else None

    reporters = [Reporter(one.relay.channels, Metrics(), one.recall, notice=notice) for _ in range(2)]
    for reporter in reporters:
        await reporter.tell()
        await reporter.tell()
    await until(lambda: len(heard) == 2)
    assert heard == told


def test_uses_of_what_has_been_retired_since_are_nobodys() -> None:
    table = SharedTable(2)
    marks, reuse, channel = Marks(table), Repeats(HeldCopy(), b""), Any
    reusing = marks.reusing(reuse, NOW)
    assert reusing is not None
    reuse.held.retire()
    used = [(reusing.held.slot, reusing.held.generation)]
    Tally(Metrics(), marks).received(channel, Report([], [], {}, used))  # type: ignore[arg-type]
    assert reuse.uses == 0
