"""How many exchanges run side by side, and what nobody need wait for."""

import pytest

from edgeproxy.pipeline.pace import BODY_BYTES_LARGE, FIRST_BYTES, NEAR_SECONDS, WINDOWED_BYTES_MIN, Pace
from edgeproxy.policy.claims import NEAR_BYTES
from edgeproxy.policy.parallelism import PERIOD_SECONDS, START

MIB = 1 << 20
GIB = 1 << 30
FAR, NEAR = 0.1, 0.001


@pytest.mark.parametrize(
    ("position", "stop", "head_seconds", "is_fresh", "count_max", "expected"),
    [
        (0, GIB, FAR, True, 6, FIRST_BYTES),
        (100, GIB, FAR, True, 6, 100 + FIRST_BYTES),
        (0, GIB, NEAR, True, 6, GIB),  # a short way needs no second exchange
        (0, GIB, FAR, False, 6, GIB),  # a used connection has a whole window on its way
        (
            0,
            BODY_BYTES_LARGE - 1,
            FAR,
            True,
            6,
            BODY_BYTES_LARGE - 1,
        ),  # more than a thousandth would come twice
        (0, GIB, FAR, True, 1, GIB),  # switched off
    ],
)
def test_an_answer_that_goes_on_is_cut_early_or_not_at_all(
    position: int, stop: int, head_seconds: float, is_fresh: bool, count_max: int, expected: int
) -> None:
    pace = Pace(GIB, count_max, 0.0)
    assert pace.first_stop(position, stop, head_seconds, 0.0, is_fresh=is_fresh) == expected
    assert (pace.count, pace.is_windowed) == ((START, True) if expected != stop else (1, False))


@pytest.mark.parametrize(
    ("size", "head_seconds", "count_max", "before", "after"),
    [
        (GIB, FAR, 6, (1, True), (6, True)),
        (GIB, FAR, 3, (1, True), (3, True)),
        (GIB, NEAR, 6, (1, True), (1, False)),  # the rest in one piece
        (GIB, FAR, 1, (1, False), (1, False)),
        (WINDOWED_BYTES_MIN - 1, FAR, 6, (1, False), (1, False)),
    ],
)
def test_what_is_asked_for_by_range_comes_in_windows_until_the_distance_is_known(
    size: int, head_seconds: float, count_max: int, before: tuple[int, bool], after: tuple[int, bool]
) -> None:
    pace = Pace(size, count_max, 0.0)
    assert (pace.count, pace.is_windowed) == before
    pace.answered(head_seconds, 1.0)
    assert (pace.count, pace.is_windowed) == after
    pace.answered(FAR, 2.0)  # one slow head later says nothing about the distance
    assert (pace.count, pace.is_windowed) == after


def grow(pace: Pace, goodput: float, periods: int, *, refuses_ranges: bool = False) -> int:
    """The count after so many periods in each of which that many bytes/s come for each exchange."""
    now = 0.0
    for _ in range(periods):
        now += PERIOD_SECONDS
        pace.received += int(goodput * pace.count * PERIOD_SECONDS)
        pace.measure(now, refuses_ranges=refuses_ranges)
    return pace.count


def test_a_running_answer_is_cut_for_others_only_where_that_costs_a_thousandth() -> None:
    def trial(size: int, head_seconds: float) -> int:
        pace = Pace(size, 6, 0.0)
        assert pace.first_stop(0, size, head_seconds, 0.0, is_fresh=False) == size
        return grow(pace, 20e6, 4)

    assert trial(2 * BODY_BYTES_LARGE, NEAR) > 1
    assert trial(BODY_BYTES_LARGE // 2, NEAR) == 1
    assert trial(2 * BODY_BYTES_LARGE, FAR) == 1  # two megabytes are on their way
    assert trial(16 * BODY_BYTES_LARGE, FAR) > 1


def test_an_upstream_without_ranges_gets_one_exchange() -> None:
    assert grow(Pace(GIB, 6, 0.0), 10e6, 5) > 1
    assert grow(Pace(GIB, 6, 0.0), 10e6, 5, refuses_ranges=True) == 1


def test_near_is_what_will_be_here_in_a_moment() -> None:
    pace = Pace(GIB, 6, 0.0)
    pace.resumed(10.0)
    assert pace.near_bytes(10.0 + NEAR_SECONDS / 2) == GIB  # nothing is known yet
    pace.received += 1000
    assert pace.near_bytes(11.0) == NEAR_BYTES
    pace.received += 100 * MIB
    assert pace.near_bytes(11.0) == pytest.approx(40 * MIB, rel=0.01)
