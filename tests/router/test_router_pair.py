import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.router.pair import MANY_CONNECTIONS, Pair, begun, updated


def fed(*samples: float, connections: int = 1) -> Pair:
    pair = begun(samples[0])
    for sample in samples[1:]:
        pair = updated(pair, sample, connections)
    return pair


def test_small_changes_move_it_by_a_quarter() -> None:
    assert fed(100, 104).rtt == 101


def test_one_odd_sample_changes_nothing() -> None:
    assert fed(100, 300).rtt == 100
    assert fed(100, 300, 101).rtt == pytest.approx(100.25)


def test_two_odd_samples_in_one_direction_are_a_new_level() -> None:
    assert fed(100, 300, 320).rtt == 310
    assert fed(100, 20, 22).rtt == 21


def test_odd_samples_in_both_directions_are_not() -> None:
    assert fed(100, 300, 20).rtt == 100


def test_what_stands_for_many_connections_is_believed_at_once() -> None:
    assert fed(100, 300, connections=MANY_CONNECTIONS).rtt == 300


@given(st.lists(st.floats(0.1, 10_000), min_size=1, max_size=50))
def test_it_stays_among_what_was_seen(samples: list[float]) -> None:
    assert min(samples) - 1e-6 <= fed(*samples).rtt <= max(samples) + 1e-6
