"""The error budget, as a script of errors and times."""

from __future__ import annotations

import pytest

from edgeproxy.storage import trouble


@pytest.fixture
def clock(monkeypatch):
    class Time:
        now = 100.0

        def monotonic(self):
            return self.now

    time = Time()
    monkeypatch.setattr(trouble, "time", time)
    return time


def test_it_is_used_up_by_errors_within_a_minute_and_comes_back_after_the_rest(clock):
    budget = trouble.ErrorBudget(2, 30)
    budget.failed("EIO")
    assert budget.is_usable
    clock.now += 59
    budget.failed("EIO")
    assert (budget.is_usable, budget.reason) == (False, "EIO")
    clock.now += 29.9
    assert not budget.is_usable
    clock.now += 0.1
    assert budget.is_usable
    budget.failed("EROFS")
    assert (budget.is_usable, budget.reason) == (False, "EROFS")
    clock.now += 30
    budget.succeeded()
    assert (budget.is_usable, budget.reason) == (True, "")


def test_errors_far_apart_do_not_use_it_up(clock):
    budget = trouble.ErrorBudget(2, 30)
    for _ in range(10):
        budget.failed("EIO")
        clock.now += 61
        assert not budget.reason
