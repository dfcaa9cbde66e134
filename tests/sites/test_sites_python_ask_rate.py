from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.sites.python_ask_rate import BURST_SECONDS, AskRate


@given(st.integers(1, 20), st.lists(st.floats(0, 2), max_size=200))
@settings(max_examples=100)
def test_no_client_gets_more_than_its_burst_and_its_rate(rate: int, pauses: list[float]) -> None:
    bucket, now, allowed = AskRate(rate), 100.0, 0
    for pause in pauses:
        now += pause
        allowed += bucket.wait("a", now) == 0.0
    assert allowed <= rate * (BURST_SECONDS + now - 100.0) + 1e-6


def test_after_the_wait_that_is_told_there_is_a_token() -> None:
    bucket = AskRate(4)
    while not (wait := bucket.wait("a", 0.0)):
        pass
    assert 0 < wait <= 0.25
    assert bucket.wait("b", 0.0) == 0.0
    assert bucket.wait("a", wait + 1e-9) == 0.0


def test_no_rate_is_no_limit_and_a_clock_set_back_gives_nothing() -> None:
    assert not any(AskRate(0).wait("a", 0.0) for _ in range(1000))
    bucket = AskRate(1)
    while not bucket.wait("a", 100.0):
        pass
    assert bucket.wait("a", 0.0) > 0


def test_the_clients_longest_unseen_are_forgotten() -> None:
    bucket = AskRate(1, clients_max=2)
    while not bucket.wait("a", 0.0):
        pass
    bucket.wait("b", 0.0)
    assert bucket.wait("a", 0.0) > 0
    bucket.wait("c", 0.0)
    bucket.wait("d", 0.0)
    assert bucket.wait("a", 0.0) == 0.0
