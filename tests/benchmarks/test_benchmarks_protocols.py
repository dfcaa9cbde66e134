import pytest

from benchmarks.generator import Histogram, Outcome
from benchmarks.generator.watch import Used
from benchmarks.protocols import CALLS, HITS, MULTIPLEXED, Measured, _judge, _row, chosen_rate
from benchmarks.report import Result


@pytest.mark.parametrize(
    ("most", "share", "rate"),
    [([5234.0, 3111.0], 0.8, 2400), ([51.0], 0.8, 40), ([0.4], 0.8, 1), ([123_456.0], 0.8, 98_000)],
)
def test_the_rate_is_a_round_share_of_what_the_slowest_can_do(
    most: list[float], share: float, rate: float
) -> None:
    assert chosen_rate(most, share) == rate


@pytest.mark.parametrize("way", [*CALLS, *MULTIPLEXED, *HITS])
def test_every_way_is_a_plan_of_as_many_requests_at_once(way: object) -> None:
    plan = way.plan("http://127.0.0.1:1", 1.0, 0.1, 10.0)  # type: ignore[attr-defined]
    assert plan.connections * plan.streams == 500


def measured(milliseconds: int, completed: int, waited: float = 0.0) -> Measured:
    latency = Histogram()
    for _ in range(100):
        latency.add(milliseconds / 1000)
    used = {"node": Used(1.0, 0.5, waited, 1, 1, 0, 0, 0)}
    outcome = Outcome(seconds=1.0, requests=99, failed=1, completed=completed, latency=latency, used=used)
    return Measured([outcome], [250.0], [0.5])


def test_a_row_tells_rate_share_latency_and_the_ratio_to_http_1() -> None:
    row = _row("HTTP/2", 100, measured(10, 98), measured(20, 98))
    assert row[:4] == ["HTTP/2", "98", "100", "99.00"]
    assert row[4].startswith("10.0")
    assert row[8:] == ["2.00x", "250", "50", "0"]


def test_limits_are_the_share_answered_and_a_mean_not_above_that_of_http_1() -> None:
    result = Result("protocols", "?", [])
    ways = {"HTTP/1.1": measured(20, 97), "HTTP/2": measured(10, 100), "gRPC": measured(30, 98)}
    _judge(ways, 100, result)
    assert [(limit.measured, limit.met) for limit in result.limits] == [
        ("97.0%", False),
        ("100.0%", True),
        ("98.0%", True),
        ("0.50", True),
        ("1.50", False),
    ]


def test_what_could_not_be_met_while_others_had_the_core_was_not_measured() -> None:
    result = Result("protocols", "?", [])
    _judge({"HTTP/1.1": measured(20, 97, 0.2), "HTTP/2": measured(10, 100, 0.0)}, 100, result)
    assert [limit.met for limit in result.limits] == [None, True, None]
