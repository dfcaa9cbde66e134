from __future__ import annotations

import asyncio

import pytest
from upstream_town import Calm, Now

from edgeproxy.metrics import Metrics
from edgeproxy.upstream.candidate import ORIGIN, Candidate, Role
from edgeproxy.upstream.candidate_health import State, Trouble
from edgeproxy.upstream.tracker import Tracker


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def lines() -> list[str]:
    return []


def tracker(now: Now, lines: list[str], candidate: Candidate | None = None) -> Tracker:
    known = candidate or Candidate("up", Role.PARENT)
    return Tracker(known, "http://up", metrics=Metrics(), timer=now, chance=Calm(), report=lines.append)


def test_an_outage_is_told_once_when_it_begins_and_once_when_it_ends(now: Now, lines: list[str]) -> None:
    one = tracker(now, lines)
    for _ in range(5):
        one.troubled(Trouble.UNREACHABLE, "refused")
        one.probed(alive=False)
        now.seconds += 1
    one.probed(alive=True)
    now.seconds += 60
    one.probed(alive=True)
    assert lines == [
        "parent up is not asked for now: unreachable: refused",
        "parent up is back",
    ]


def test_whoever_watches_is_woken_by_an_ejection(now: Now, lines: list[str]) -> None:
    async def watching() -> None:
        one = tracker(now, lines)
        first, second = (asyncio.get_running_loop().create_future() for _ in range(2))
        one.watch(first)
        one.watch(second)
        one.unwatch(second)
        one.troubled(Trouble.FAILED, "once is not enough")
        assert not first.done()
        one.troubled(Trouble.SILENT, "nothing came")
        assert (first.done(), second.done()) == (True, False)

    asyncio.run(watching())


def test_an_origin_is_never_ejected_here(now: Now, lines: list[str]) -> None:
    one = tracker(now, lines, ORIGIN)
    for _ in range(20):
        one.troubled(Trouble.UNREACHABLE, "refused")
    assert (one.state, one.status.why, lines) == (State.HEALTHY, "unreachable: refused", [])


def test_what_is_under_way_is_counted_and_silence_measured_from_there(now: Now, lines: list[str]) -> None:
    one = tracker(now, lines)
    began = one.began()
    assert (one.in_use, one.standing.in_use, one.was_silent(began)) == (1, 1, True)
    now.seconds += 0.5
    one.answered(0.5)
    assert not one.was_silent(began)
    one.ended()
    assert (one.in_use, one.requests, one.status.latency_seconds) == (0, 1, 0.5)


def test_a_slow_reader_makes_nobody_slow(now: Now, lines: list[str]) -> None:
    one = tracker(now, lines)
    one.delivered(10_000_000, 1.0, is_least=False)
    one.delivered(1_000, 1.0, is_least=True)
    assert one.status.goodput_bytes == 10_000_000
    one.delivered(20_000_000, 1.0, is_least=True)
    assert one.status.goodput_bytes == 13_000_000
