from prometheus_client.parser import text_string_to_metric_families

from edgeproxy.admin.metrics import Exposition, snapshot
from edgeproxy.metrics import COUNTERS, GAUGES, HISTOGRAMS, SECONDS_BUCKETS, Metrics

PLAIN = "text/plain"


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text, _ = Exposition("1.2.3").render(snapshot(metrics), PLAIN)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_every_counter_of_the_table_is_told_with_its_labels() -> None:
    metrics = Metrics()
    for name, described in COUNTERS.items():
        metrics.count(name, *(f"v-{label}" for label in described.labels), by=7)
    told = samples(metrics)
    for name, described in COUNTERS.items():
        labels = frozenset((label, f"v-{label}") for label in described.labels)
        assert told[f"edgeproxy_{name}", labels] == 7


def test_a_counter_without_labels_is_there_before_it_counts() -> None:
    assert samples(Metrics())["edgeproxy_connections_total", frozenset()] == 0


def test_histograms_are_cumulative_and_end_with_all() -> None:
    metrics = Metrics()
    for name in HISTOGRAMS:
        for seconds in (0.0005, 0.02, 0.02, 99.0):
            metrics.observe(name, seconds, "pypi")
    told = samples(metrics)
    for name in HISTOGRAMS:
        site = ("site", "pypi")
        assert told[f"edgeproxy_{name}_bucket", frozenset({site, ("le", "0.001")})] == 1
        assert told[f"edgeproxy_{name}_bucket", frozenset({site, ("le", "0.025")})] == 3
        assert told[f"edgeproxy_{name}_bucket", frozenset({site, ("le", "+Inf")})] == 4
        assert told[f"edgeproxy_{name}_count", frozenset({site})] == 4
        assert told[f"edgeproxy_{name}_sum", frozenset({site})] == 99.0405
        assert sum(key[0] == f"edgeproxy_{name}_bucket" for key in told) == len(SECONDS_BUCKETS) + 1


def test_gauges_are_read_when_asked_for() -> None:
    metrics = Metrics()
    for name in GAUGES:
        metrics.gauge(name, lambda: 3.5)
    told = samples(metrics)
    assert {told[f"edgeproxy_{name}", frozenset()] for name in GAUGES} == {3.5}


def test_a_snapshot_is_not_changed_by_later_counting() -> None:
    metrics = Metrics()
    metrics.count("connections_total")
    metrics.observe("request_seconds", 0.1, "pypi")
    taken = snapshot(metrics)
    metrics.count("connections_total")
    metrics.observe("request_seconds", 0.1, "pypi")
    assert taken.counters["connections_total"] == {(): 1}
    assert sum(taken.histograms["request_seconds"][("pypi",)].counts) == 1


def test_version_and_process_are_told_too() -> None:
    told = samples(Metrics())
    assert told["edgeproxy_build_info", frozenset({("version", "1.2.3")})] == 1
    assert ("process_open_fds", frozenset()) in told


def test_openmetrics_is_given_to_who_asks_for_it() -> None:
    text, content_type = Exposition("1").render(
        snapshot(Metrics()), "application/openmetrics-text; version=1.0.0"
    )
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


def test_labels_cannot_break_out_of_their_quotes() -> None:
    metrics = Metrics()
    metrics.count("purges_total", 'a"\n\\b')
    assert samples(metrics)["edgeproxy_purges_total", frozenset({("scope", 'a"\n\\b')})] == 1
