from __future__ import annotations

import pytest

from benchmarks import growth
from benchmarks.growth import Asked


@pytest.mark.parametrize(
    ("empty", "started", "verdict"),
    [(0.5, [0.6, 0.7, 3.0], True), (0.5, [1.2, 1.1, 0.9], False), (4.0, [4.1, 4.0, 3.9], None)],
    ids=["soon", "late", "nobody could tell"],
)
def test_a_start_is_late_only_where_an_empty_node_starts_in_time(
    empty: float, started: list[float], verdict: bool | None
) -> None:
    asked = Asked(1000, start_seconds=started, empty_start_seconds=empty)
    assert growth._starts_soon(asked) is verdict


def test_bytes_for_each_object_are_beyond_the_empty_node_and_the_whole_ram_tier() -> None:
    asked = Asked(1000, idle_bytes=80_000_000, bytes=80_000_000 + growth.RAM_TIER_BYTES + 5_000)
    assert asked.bytes_for_each == 5
    assert Asked(10, idle_bytes=80, bytes=70).bytes_for_each == 0


def test_shares_of_what_was_taken() -> None:
    taken = [float(number) for number in range(100)]
    assert (growth.at(taken, 0.5), growth.at(taken, 0.99), growth.at([1.0], 0.99)) == (50, 99, 1)


def test_plots_and_limits_are_made_of_what_was_measured() -> None:
    found = [
        Asked(
            count,
            fill_seconds=1.0,
            start_seconds=[0.5],
            start_cpu_seconds=[0.4],
            empty_start_seconds=0.5,
            ram_ms=[0.1],
            disk_ms=[0.2],
            slowest_ms=[0.3],
            purge_ms=[count / 1e6],
        )
        for count in (1000, 100_000, 1_000_000)
    ]
    assert [limit.measured for limit in growth._object_limits(found)] == ["0 B", "0.50 s", "0.10 ms"]
    assert [len(plot.series[0].points) for plot in growth._object_plots(found)] == [3, 3, 3]
