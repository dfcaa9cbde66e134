from __future__ import annotations

from edgeproxy.router.suspicions import Suspicions


def test_a_group_is_heeded_once_in_a_while_for_each_node() -> None:
    doubts = Suspicions()
    assert [doubts.raised("one", "berlin", float(at)) for at in range(22)].count(True) == 3
    assert doubts.raised("one", "paris", 21.0)
    assert doubts.raised("two", "berlin", 21.0)


def test_failures_at_the_same_time_are_one_look() -> None:
    doubts = Suspicions()
    assert [doubts.counts_as_look("berlin", at / 10) for at in range(25)].count(True) == 3
    assert doubts.counts_as_look("paris", 2.4)


def test_a_clock_that_is_set_back_silences_nobody() -> None:
    doubts = Suspicions()
    assert doubts.raised("one", "berlin", 1000.0)
    assert doubts.raised("one", "berlin", 500.0)
    assert doubts.counts_as_look("berlin", 1000.0)
    assert doubts.counts_as_look("berlin", 500.0)


def test_the_oldest_are_forgotten() -> None:
    doubts = Suspicions(entries_max=2)
    for number in range(3):
        assert doubts.raised(f"group{number}", "berlin", 0.0)
        assert doubts.counts_as_look(f"node{number}", 0.0)
    assert doubts.raised("group0", "berlin", 0.0)
    assert not doubts.raised("group2", "berlin", 0.0)
    assert doubts.counts_as_look("node0", 0.0)
    assert not doubts.counts_as_look("node2", 0.0)
