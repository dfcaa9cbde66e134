"""A candidate's health as a script: events come, time passes, and it is ejected, probed, and returns."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edgeproxy.upstream.candidate_health import (
    EJECT_SECONDS_MAX,
    FORGET_SECONDS,
    IDLE_SECONDS,
    JITTER,
    PROBE_SECONDS_MAX,
    SLOW_START_SECONDS,
    Health,
    State,
    Trouble,
    admits,
    answered,
    delivered,
    error_share,
    may_eject,
    next_probe,
    probed,
    state,
    troubled,
)

T = 1000.0


def hit(health: Health, trouble: Trouble, now: float = T, *, others: bool = True) -> Health:
    return troubled(health, now, trouble, "scripted", 0.0, others=others)


@pytest.mark.parametrize("deadly", [Trouble.UNREACHABLE, Trouble.SILENT, Trouble.LOCKED])
def test_who_cannot_be_asked_is_ejected_at_once_even_alone(deadly: Trouble) -> None:
    health = hit(answered(Health(), T - 1), deadly, others=False)
    assert state(health, T) is State.EJECTED
    assert health.is_dead
    assert health.why == f"{deadly.value}: scripted"


def test_three_errors_among_few_answers_eject_and_the_same_among_many_do_not() -> None:
    health = answered(answered(Health(), T), T)
    for _ in range(3):
        health = hit(health, Trouble.FAILED)
    assert state(health, T) is State.EJECTED
    assert not health.is_dead
    busy = Health()
    for _ in range(20):
        busy = answered(busy, T)
    for _ in range(10):
        busy = hit(busy, Trouble.FAILED)
    assert state(busy, T) is State.HEALTHY
    assert error_share(busy) == pytest.approx(1 / 3)


def test_errors_far_apart_do_not_add_up() -> None:
    health = Health()
    for number in range(50):
        health = hit(health, Trouble.FAILED, T + 6 * number)
    assert state(health, T + 300) is State.HEALTHY


def test_being_slow_counts_half() -> None:
    health = Health()
    for _ in range(4):
        health = hit(health, Trouble.SLOW)
    assert not health.is_ejected
    assert hit(health, Trouble.SLOW).is_ejected


def test_errors_eject_at_most_half_of_the_candidates() -> None:
    ejected, well = Health(is_ejected=True), Health()
    groups = ([well], [well, well], [ejected, well], [ejected, well, well, well])
    assert [may_eject(group) for group in groups] == [False, True, False, True]
    health = Health()
    for _ in range(20):
        health = hit(health, Trouble.FAILED, others=False)
    assert not health.is_ejected


def test_a_dead_one_is_ejected_until_a_probe_has_found_it_alive() -> None:
    dead = hit(Health(), Trouble.UNREACHABLE)
    for after in (0.0, 1.0, 600.0):
        dead = probed(dead, T + after, alive=False)
        assert state(dead, T + after) is State.EJECTED
    assert state(probed(dead, T + 601.0, alive=True), T + 601.0) is State.RETURNING


def test_an_ejected_one_serves_its_time_and_returns_slowly() -> None:
    health = Health()
    for _ in range(3):
        health = hit(health, Trouble.FAILED)
    early = answered(health, T + 0.5)
    assert state(early, T + 0.5) is State.EJECTED
    assert state(early, T + 1.0) is State.HALF_OPEN
    back = answered(early, T + 1.0)
    assert state(back, T + 1.0) is State.RETURNING
    shares = [sum(admits(back, T + 1 + s, n / 100) for n in range(100)) for s in (0, 5, SLOW_START_SECONDS)]
    assert shares == [10, 55, 100]
    assert state(back, T + 1 + SLOW_START_SECONDS) is State.HEALTHY


def test_a_failed_trial_ejects_for_twice_as_long() -> None:
    health, now, waits = Health(), T, []
    health = hit(health, Trouble.SILENT, now)
    for _ in range(8):
        waits.append(health.ejected_until - now)
        now = health.ejected_until
        health = hit(probed(health, now - 0.1, alive=True), Trouble.FAILED, now)
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_flapping_candidate_is_left_alone_longer_and_longer_until_it_behaves() -> None:
    health, now = Health(), T
    for _ in range(4):
        health = hit(health, Trouble.UNREACHABLE, now)
        now = health.ejected_until + 1
        health = answered(probed(health, now, alive=True), now + 1)
        assert state(health, now + 1) is State.RETURNING
    assert hit(health, Trouble.UNREACHABLE, now + 2).ejections == 5
    assert hit(health, Trouble.UNREACHABLE, now + FORGET_SECONDS + 1).ejections == 1


def test_a_probe_revives_but_does_not_pardon() -> None:
    health = hit(Health(), Trouble.UNREACHABLE)
    for number in range(3):
        health = probed(health, T + 0.1 * number, alive=False)
    assert (health.is_dead, health.probes_failed, health.ejections) == (True, 3, 1)
    health = probed(health, T + 0.5, alive=True)
    assert (health.is_dead, state(health, T + 0.5)) == (False, State.EJECTED)
    assert next_probe(health, T, 0.0) == health.ejected_until
    assert state(probed(health, health.ejected_until, alive=True), T + 1) is State.RETURNING


def test_a_failed_probe_tells_more_than_that_another_was_faster() -> None:
    health = Health()
    for _ in range(10):
        health = hit(health, Trouble.SLOW)
    assert (health.is_ejected, health.why) == (True, "slow: scripted")
    assert probed(health, T, alive=False, why="bad certificate").why == "unreachable: bad certificate"
    assert probed(health, T, alive=False).why == "slow: scripted"


def test_a_failed_probe_of_an_idle_candidate_ejects_it() -> None:
    assert probed(Health(), T, alive=False, why="refused").why == "unreachable: refused"
    assert probed(Health(), T, alive=False).is_ejected


def test_the_dead_are_probed_within_seconds_and_the_idle_now_and_then() -> None:
    health, now, waits = hit(Health(), Trouble.UNREACHABLE), T, []
    for _ in range(6):
        due = next_probe(health, T - 50, 0.0)
        waits.append(due - now)
        now = due
        health = probed(health, now, alive=False)
    assert waits == [0.5, 1, 2, 4, 4, 4]
    assert next_probe(Health(), T, 0.0) == T + IDLE_SECONDS
    assert next_probe(Health(), T, 1.0) == T + IDLE_SECONDS * (1 + JITTER)


def test_small_and_bulk_are_measured_apart() -> None:
    health = answered(Health(), T, 0.1)
    health = delivered(health, 10_000_000, 1.0)
    health = answered(health, T)  # a bulk head says nothing of latency
    assert (health.latency, health.goodput, health.answers) == (0.1, 10_000_000, 1)
    assert answered(health, T, 0.2).latency == pytest.approx(0.12)
    assert delivered(health, 0, 1.0).goodput == pytest.approx(7_000_000)


def test_the_running_p95_comes_near_the_true_one() -> None:
    dice = random.Random(1)
    for scale in (0.0005, 0.05, 2.0):
        samples = [scale * dice.expovariate(1) for _ in range(3000)]
        health = Health()
        for sample in samples:
            health = answered(health, T, sample)
        above = sum(sample > (health.p95 or 0) for sample in samples) / len(samples)
        assert 0.01 < above < 0.12


EVENTS = st.lists(
    st.tuples(
        st.floats(0, 20), st.sampled_from([*Trouble, "answer", "good probe", "bad probe"]), st.booleans()
    )
)


@given(EVENTS, st.floats(0, 0.999))
def test_whatever_happens_the_bounds_hold(
    events: list[tuple[float, Trouble | str, bool]], draw: float
) -> None:
    health, now = Health(), T
    for wait, event, others in events:
        now += wait
        before = health
        if isinstance(event, Trouble):
            health = troubled(health, now, event, "x" * 500, draw, others=others)
        elif event == "answer":
            health = answered(health, now, 0.1)
        else:
            health = probed(health, now, alive=event == "good probe", draw=draw)
        assert health.ejected_until <= now + EJECT_SECONDS_MAX * (1 + JITTER)
        assert len(health.why) <= 200
        assert not health.is_dead or health.is_ejected
        if before.is_ejected and not health.is_ejected:
            assert now >= before.ejected_until, "it returned before its time"
        if health.is_dead:
            assert next_probe(health, now, draw) <= now + PROBE_SECONDS_MAX * (1 + JITTER)
    assert replace(health) == health
