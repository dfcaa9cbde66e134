from __future__ import annotations

from edgeproxy.router.moving import Bookings, Weights


def test_moves_take_a_share_of_the_weight_each_minute() -> None:
    bookings = Bookings(0.05)
    times = [bookings.book(1, 100, 30.0, 0.0) for _ in range(20)]
    minutes = [int(time // 60) for time in times]
    assert max(minutes.count(minute) for minute in minutes) == 5
    assert times[0] == 30.0
    assert times[5] == 60.0
    assert times[-1] == 180.0


def test_a_heavy_group_has_a_minute_for_itself() -> None:
    bookings = Bookings(0.05)
    assert bookings.book(50, 100, 30.0, 0.0) == 30.0
    assert bookings.book(50, 100, 30.0, 0.0) == 60.0
    assert bookings.book(1, 100, 30.0, 0.0) == 120.0


def test_minutes_that_have_passed_are_forgotten() -> None:
    bookings = Bookings(0.05)
    for _ in range(1000):
        bookings.book(1, 100, 0.0, 0.0)
    assert bookings.book(1, 100, 7200.0, 7200.0) == 7200.0


def test_weights_follow_who_asks() -> None:
    weights = Weights(10)
    for _ in range(3):
        weights.asked("one", 10.0)
    weights.asked("two", 70.0)
    assert (weights.of("one"), weights.of("two"), weights.of("nobody")) == (3, 1, 1)
    assert weights.total == 4
    weights.asked("two", 500.0)
    assert (weights.of("one"), weights.total) == (1, 1)


def test_weights_are_bounded() -> None:
    weights = Weights(2)
    for group in "abc":
        weights.asked(group, 0.0)
    assert weights.total == 2
