from typing import Any

import pytest

from benchmarks.generator import Histogram, Outcome, Plan
from benchmarks.generator.watch import Used


def test_a_plan_comes_out_of_json_as_it_went_in() -> None:
    plan = Plan("http://127.0.0.1:80", ("/a", "/b"), rate=10, fields=(("accept", "x"),), rtt_seconds=(0, 1))
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"url": "127.0.0.1:80"}, "http://HOST:PORT"),
        ({"url": "http://a/path"}, "no path"),
        ({"targets": ()}, "one target"),
        ({"targets": ("a",)}, "begins with /"),
        ({"rate": 0}, "above 0"),
        ({"rate": 5, "think_seconds": 1}, "closed loop"),
        ({"protocol": "h3"}, "protocol is one of"),
        ({"protocol": "grpc"}, "path of a record"),
        ({"connections": 0}, "at least one"),
        ({"streams": 2}, "one stream"),
        ({"seconds": 0}, "above 0"),
        ({"warm_seconds": -1}, "below 0"),
        ({"rtt_seconds": (0.2, 0.1)}, "least and the most"),
        ({"rtt_seconds": (0.1, 0.2), "is_fresh": True}, "kept"),
        ({"client_addresses": 0}, "from 1"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_the_reason(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Plan(**({"url": "http://127.0.0.1:80", "targets": ("/a",)} | changed))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url": "http://a", "targets": ["/"], "more": 1}'])
def test_json_that_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Plan.from_json(text)


def outcome(**given: Any) -> Outcome:
    latency, lag = Histogram(), Histogram()
    for milliseconds in (1, 2, 3):
        latency.add(milliseconds / 1000)
        lag.add(given.pop("late_ms", 0.1) / 1000)
    return Outcome(seconds=2.0, latency=latency, lag=lag, **given)


def test_an_outcome_comes_out_of_json_as_it_went_in() -> None:
    whole = outcome(requests=3, failed=1, errors={"timeout": 1}, completed=3, bytes=300)
    whole.used["node"] = Used(2.0, 1.0, 0.5, 10, 20, 3, 4, 5)
    assert Outcome.from_json(whole.to_json()) == whole


def test_rates_are_of_what_came_and_success_of_what_was_due() -> None:
    told = outcome(requests=3, failed=1, completed=4, bytes=300)
    assert (told.requests_per_second, told.bytes_per_second, told.success) == (2.0, 150.0, 0.75)


def test_a_run_without_a_request_is_no_success() -> None:
    assert Outcome(seconds=1.0).success == 0.0


@pytest.mark.parametrize(
    ("given", "is_late"),
    [
        ({"is_open_loop": True, "busy": 1.0}, False),
        ({"is_open_loop": True, "late_ms": 6.0}, True),
        ({"is_open_loop": False, "busy": 0.5, "late_ms": 6.0}, False),
        ({"is_open_loop": False, "busy": 0.96}, True),
    ],
)
def test_an_open_loop_was_late_by_its_lag_and_a_closed_one_when_its_core_was_full(
    given: dict[str, Any], is_late: bool
) -> None:
    assert outcome(**given).was_late is is_late
