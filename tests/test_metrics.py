import pytest

from edgeproxy.metrics import COUNTERS, GAUGES, HISTOGRAMS, SECONDS_BUCKETS, Metrics


def test_a_counter_counts_for_each_set_of_labels() -> None:
    metrics = Metrics()
    metrics.count("fills_total", "pypi", "complete")
    metrics.count("fills_total", "pypi", "complete", by=4)
    assert metrics.value("fills_total", "pypi", "complete") == 5
    assert metrics.value("fills_total", "pypi", "failed") == 0


def test_an_observation_falls_into_the_first_bucket_that_holds_it() -> None:
    metrics = Metrics()
    for seconds in (0.0, 0.001, 0.0011, 30.0, 31.0):
        metrics.observe("request_seconds", seconds, "pypi")
    histogram = metrics.histograms["request_seconds"][("pypi",)]
    assert histogram.counts[:2] == [2, 1]
    assert histogram.counts[-2:] == [1, 1]
    assert sum(histogram.counts) == 5
    assert len(histogram.counts) == len(SECONDS_BUCKETS) + 1


def test_a_name_outside_the_tables_is_refused() -> None:
    metrics = Metrics()
    with pytest.raises(KeyError):
        metrics.count("absent_total")
    with pytest.raises(KeyError):
        metrics.observe("absent_seconds", 1.0)
    with pytest.raises(KeyError):
        metrics.gauge("absent", lambda: 0.0)


def test_names_are_unique_and_described() -> None:
    tables = [*COUNTERS.items(), *HISTOGRAMS.items(), *GAUGES.items()]
    assert len({name for name, _ in tables}) == len(tables)
    assert all(metric.help for _, metric in tables)
    assert all(name.endswith("_total") for name in COUNTERS)
