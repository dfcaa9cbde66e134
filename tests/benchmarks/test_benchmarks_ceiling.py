import pytest

from benchmarks.ceiling import CASES, QUICK, is_bounded, measure
from benchmarks.generator import Plan
from benchmarks.load import Run, parse_wrk


@pytest.mark.parametrize(
    ("measured", "ceiling", "bounded"),
    [(100, 1000, False), (849, 1000, False), (850, 1000, True), (2000, 1000, True), (5, 0, False)],
)
def test_a_rate_near_the_ceiling_is_bounded_by_the_load(
    measured: float, ceiling: float, bounded: bool
) -> None:
    assert is_bounded(measured, ceiling) is bounded


def test_the_ceiling_of_a_plan_is_a_closed_loop_of_the_same_load_on_the_plain_server() -> None:
    plan = Plan("http://elsewhere", ("/b/1024/a",), rate=5, connections=4, warm_seconds=0, protocol="h2")
    outcome = measure(plan, seconds=0.2)
    assert (outcome.failed, outcome.is_open_loop, outcome.connections_opened) == (0, False, 4)
    assert outcome.requests > 10


def test_a_quick_run_takes_some_of_the_cases() -> None:
    assert set(QUICK) < {case.label for case in CASES}


def test_wrk_tells_its_mean() -> None:
    line = (
        'wrk-json {"seconds":1.0,"requests":10,"bytes":99,"errors":0,"bad_status":0,"timeouts":0,'
        '"mean_us":20.5,"p50_us":20,"p99_us":30,"p999_us":31,"max_us":32}'
    )
    assert parse_wrk(f"noise\n{line}\n") == Run(1.0, 10, 99, 0, 0, 0, 20, 30, 31, 32, 20.5)
