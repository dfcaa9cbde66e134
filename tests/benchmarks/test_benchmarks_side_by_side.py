from typing import Any

import pytest

from benchmarks.report import Result
from benchmarks.side_by_side import Case, case, comparisons, tell

RUNS: dict[str, list[dict[str, float]]] = {
    "edgeproxy": [{"rate": 100.0, "bytes_per_second": 3e6, "busy": 0.5}] * 3,
    "nginx": [{"rate": 90.0, "bytes_per_second": 2e6, "busy": 1.0}] * 3,
    "haproxy": [],
}


@pytest.mark.parametrize(
    ("is_by_core", "ours", "unit"),
    [
        (None, 200.0, "requests/s of a busy core"),
        (True, 200.0, "requests/s of a busy core"),
        (False, 100.0, "requests/s"),
    ],
)
def test_servers_are_compared_by_core_where_one_had_not_all_of_its_own(
    is_by_core: bool | None, ours: float, unit: str
) -> None:
    told = case("1 KiB", "requests/s", RUNS, "rate")
    one = Case(told.label, told.unit, told.rates, told.busy, is_by_core)
    (found,) = comparisons("hits of", one)
    assert (found.what, found.ours, found.theirs) == ("hits of 1 KiB", ours, 90.0)
    assert (found.peer, found.unit, found.less_is_better) == ("nginx", unit, False)


def test_busy_servers_are_compared_by_what_they_did() -> None:
    busy: Any = {name: [run | {"busy": 0.95} for run in runs] for name, runs in RUNS.items()}
    (found,) = comparisons("hits of", case("1 KiB", "requests/s", busy, "rate"))
    assert (found.ours, found.unit) == (100.0, "requests/s")


def test_without_ourselves_there_is_nothing_to_compare() -> None:
    assert comparisons("hits of", case("1 KiB", "/s", {"nginx": RUNS["nginx"]}, "rate")) == []


def test_a_result_gets_comparisons_samples_and_a_plot_for_each_unit() -> None:
    result = Result("x", "?", [], machine={})
    cases = [
        case("1 KiB", "requests/s", RUNS, "rate"),
        case("64 KiB", "requests/s", RUNS, "rate"),
        case("1 GiB", "MB/s", RUNS, "bytes_per_second"),
    ]
    tell(result, "hits of", cases)
    assert len(result.comparisons) == 3
    samples = result.data["samples"]
    assert samples["edgeproxy 1 KiB requests/s"] == [100.0] * 3
    assert samples["edgeproxy 1 GiB by processor time MB/s"] == [6.0] * 3
    assert not any(name.startswith("haproxy") for name in samples)
    first, second = result.plots
    assert (first.title, first.y_label, second.y_label) == ("Hits", "requests/s", "MB/s")
    assert [one.label for one in first.series] == ["edgeproxy", "nginx", "haproxy"]
    assert first.series[0].points == [("1 KiB", 100.0), ("64 KiB", 100.0)]
    assert second.series[1].ranges == [(2.0, 2.0)]
