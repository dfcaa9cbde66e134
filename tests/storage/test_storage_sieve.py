"""SIEVE; what holds for every eviction is in test_storage_eviction."""

from __future__ import annotations

from edgeproxy.storage.sieve import Sieve


def evicted(sieve: Sieve) -> str:
    (victim,) = sieve.victims(1)
    sieve.remove(victim)
    return victim


def test_the_hand_goes_on_where_it_stopped_and_survivors_stay_where_they_are() -> None:
    sieve = Sieve()
    for key in "abcdefg":
        sieve.admit(key, 1)
    for key in "abg":
        sieve.touch(key)
    sieve.admit("h", 1)
    assert evicted(sieve) == "c", "a and b were used: they lose their marks"
    for key in "ad":
        sieve.touch(key)
    sieve.admit("i", 1)
    assert evicted(sieve) == "e", "d was used; the hand does not go back to b"
    assert [evicted(sieve) for _ in range(3)] == ["f", "h", "b"], "g was used; i is new; a was used again"


def test_room_is_made_for_a_newcomer_even_where_everything_else_was_used() -> None:
    sieve = Sieve()
    for key in "ab":
        sieve.admit(key, 1)
        sieve.touch(key)
    sieve.admit("c", 1)
    assert evicted(sieve) == "a"


def test_a_scan_leaves_what_is_wanted() -> None:
    sieve, held = Sieve(), set[str]()
    wanted = [f"wanted{number}" for number in range(50)]
    for key in wanted:
        sieve.admit(key, 1)
        held.add(key)
    for number in range(1000):
        for key in wanted:
            sieve.touch(key)
        sieve.admit(f"scan{number}", 1)
        held.add(f"scan{number}")
        while len(held) > 60:
            held.discard(evicted(sieve))
    assert set(wanted) <= held


def test_naming_changes_nothing_that_shows_if_nobody_leaves() -> None:
    sieve = Sieve()
    for key in "abc":
        sieve.admit(key, 1)
    assert [sieve.victims(2), sieve.victims(2)] == [["a", "b"], ["a", "b"]]
