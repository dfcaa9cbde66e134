"""Bodies that arrived wrong are remembered for a while."""

from __future__ import annotations

import pytest

from edgeproxy.pipeline import distrust
from edgeproxy.pipeline.distrust import Distrust


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_each_name_added_is_held_and_no_other() -> None:
    held = Distrust(Clock())
    assert not held.holds("key", "digest")
    held.add("key", "digest")
    assert held.holds("key")
    assert held.holds("digest")
    assert held.holds("other", "digest")
    assert not held.holds("other")
    assert not held.holds()


def test_no_digest_is_not_a_name() -> None:
    held = Distrust(Clock())
    held.add("key", "")
    assert not held.holds("")


def test_it_is_forgotten_after_ten_minutes_unless_added_again() -> None:
    clock = Clock()
    held = Distrust(clock)
    held.add("first", "second")
    clock.now += distrust.SECONDS - 1
    assert held.holds("first")
    held.add("second")
    clock.now += 1
    assert not held.holds("first")
    assert held.holds("second")


def test_only_so_many_are_remembered_and_the_latest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distrust, "NAMES_MAX", 3)
    held = Distrust(Clock())
    held.add("a", "b", "c", "d")
    assert [held.holds(name) for name in "abcd"] == [False, True, True, True]
