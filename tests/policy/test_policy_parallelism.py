from collections.abc import Callable

from edgeproxy.policy.parallelism import PERIOD_SECONDS, START, Parallelism


def run(goodput: Callable[[int], float], periods: int, count_max: int = 8) -> list[int]:
    """The counts over time if `goodput(count)` bytes/s arrive."""
    state, received, counts = Parallelism(1, 0.0), 0.0, []
    for period in range(1, periods + 1):
        received += goodput(state.count) * PERIOD_SECONDS
        state = state.measured(period * PERIOD_SECONDS, int(received), count_max)
        counts.append(state.count)
    return counts


def test_a_link_that_limits_each_connection_gets_as_many_as_help() -> None:
    counts = run(lambda count: 10e6 * min(count, 5), 60)
    assert max(counts) == 6
    assert counts[-1] in (5, 6)
    assert counts[4] >= 4


def test_a_near_origin_is_left_alone() -> None:
    assert set(run(lambda _: 500e6, 40)) == {1}


def test_a_link_that_is_full_keeps_one_and_is_tried_rarely() -> None:
    counts = run(lambda _: 12e6, 40)
    assert set(counts) == {1, 2}
    assert counts.count(2) <= 5


def test_the_bound_holds() -> None:
    assert max(run(lambda count: 1e6 * count, 50, count_max=3)) == 3
    assert set(run(lambda count: 1e6 * count, 50, count_max=1)) == {1}


def test_nothing_changes_within_a_period() -> None:
    state = Parallelism(2, 0.0)
    assert state.measured(PERIOD_SECONDS / 2, 10**9, 8) is state


def test_a_distant_upstream_is_begun_with_several_and_a_near_one_with_one() -> None:
    assert Parallelism.begun(0.0, 0.2, 8).count == START
    assert Parallelism.begun(0.0, 0.2, 3).count == 3
    assert Parallelism.begun(0.0, 0.001, 8).count == 1


def test_over_a_long_way_more_are_tried_however_much_comes() -> None:
    state, received = Parallelism.begun(0.0, 0.2, 12), 0
    for period in range(1, 20):
        received += int(50e6 * state.count)
        state = state.measured(float(period), received, 12)
    assert state.count > START
