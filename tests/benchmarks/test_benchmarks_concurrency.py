from collections import Counter

import pytest

from benchmarks import bodies, records
from benchmarks.concurrency import Measured, judge, mix, objects
from benchmarks.generator import Histogram, Outcome
from benchmarks.generator.watch import Used


def test_the_bodies_of_a_site_are_mostly_small_and_the_same_each_time() -> None:
    stored = objects(400, seed=1)
    sizes = Counter(bodies.size_of(target) for target in stored)
    assert len(set(stored)) == 400
    assert sizes[1 << 10] > sizes[4 << 10] > sizes[16 << 10] > sizes[64 << 10] > 0
    assert stored == objects(400, seed=1)


def test_users_ask_for_bodies_by_zipf_and_now_and_then_for_the_api() -> None:
    stored = objects(100, seed=1)
    targets = mix(stored, 20_000, calls_of_100=5, seed=2)
    counts = Counter(targets)
    assert counts[records.path(5, "numpy")] / 20_000 == pytest.approx(0.05, abs=0.01)
    assert counts[stored[0]] / counts[stored[9]] == pytest.approx(10, rel=0.3)
    assert set(targets) <= {*stored, records.path(5, "numpy")}


def measured(
    *, beyond_ms: float, failed: int = 0, rate: float = 2000, cpu: float = 0.5, waited: float = 0.0
) -> Measured:
    latency, beyond = Histogram(), Histogram()
    for _ in range(100):
        latency.add(0.3 + beyond_ms / 1000)
        beyond.add(beyond_ms / 1000)
    used = {"node": Used(1.0, cpu, waited, 1 << 30, 1 << 30, 0, 0, 0)}
    outcome = Outcome(
        seconds=1.0,
        requests=1000 - failed,
        failed=failed,
        completed=int(rate),
        latency=latency,
        beyond=beyond,
        used=used,
    )
    return Measured([outcome])


def verdicts(of: Measured, memory: int = 4 << 30) -> list[bool | None]:
    """Success, errors, p95, rate, processor, memory."""
    return [limit.met for limit in judge(500, of, memory)]


def test_goals_are_of_the_service_and_p95_is_beyond_the_network() -> None:
    assert verdicts(measured(beyond_ms=150)) == [True] * 6
    assert verdicts(measured(beyond_ms=250)) == [True, True, False, True, True, True]
    assert verdicts(measured(beyond_ms=1, failed=5)) == [True, False, True, True, True, True]
    assert verdicts(measured(beyond_ms=1, failed=20)) == [False, False, True, True, True, True]
    assert verdicts(measured(beyond_ms=1, rate=1400)) == [True, True, True, False, True, True]
    assert verdicts(measured(beyond_ms=1, cpu=0.76)) == [True, True, True, True, False, True]
    assert verdicts(measured(beyond_ms=1), memory=1 << 30) == [True, True, True, True, True, False]


def test_a_goal_missed_while_others_had_the_core_was_not_measured() -> None:
    disturbed = measured(beyond_ms=250, rate=1400, cpu=0.8, waited=0.3)
    assert verdicts(disturbed) == [True, True, None, None, False, True]
    assert verdicts(measured(beyond_ms=150, waited=0.3)) == [True] * 6


def test_a_run_in_which_nothing_was_asked_is_no_success() -> None:
    assert Measured([Outcome(seconds=1.0)]).success == 0.0
