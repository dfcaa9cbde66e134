from __future__ import annotations

import random

import pytest

from edgeproxy.router.votes import Looks, Opinion, Verdict, VoteRules, is_cut_off, judged, looked

RULES = VoteRules()


def seen(text: str) -> Looks:
    """ "+" is a look that found it alive, "-" one that did not."""
    looks = Looks()
    for at, sign in enumerate(text):
        looks = looked(looks, sign == "+", float(at))
    return looks


@pytest.mark.parametrize(
    ("text", "alive"),
    [
        ("", None),
        ("+", True),
        ("-", None),
        ("--", None),
        ("---", False),
        ("++++--", True),
        ("++++---", False),
        ("+-+-+-+-", True),
        ("+-+-+-+-+-", False),  # five of ten
        ("+---++++", False),
        ("+---+++++", True),
        ("+---++++-++++", False),
        ("+---+++++-", True),  # what took it down is not counted twice
        ("+---+++++--", True),
        ("+---+++++---", False),
    ],
)
def test_a_point_changes_its_opinion_slowly(text: str, alive: bool | None) -> None:
    assert seen(text).alive is alive


@pytest.mark.parametrize(
    ("text", "is_suspicious"), [("", False), ("+", False), ("+-", True), ("+---", False), ("+---+", True)]
)
def test_another_look_soon_tells_something_where_the_last_one_surprised(
    text: str, is_suspicious: bool
) -> None:
    assert seen(text).is_suspicious is is_suspicious


def opinions(*alive: bool, at: float = 100.0) -> list[Opinion]:
    return [Opinion(one, at) for one in alive]


@pytest.mark.parametrize(
    ("alive", "is_down"),
    [
        ((), False),
        ((True,), False),
        ((False,), True),
        ((True, False), False),  # divided
        ((True, False, False), True),
        ((True, True, False), False),
        ((True, True, False, False), False),
    ],
)
def test_a_majority_of_points_decides(alive: tuple[bool, ...], is_down: bool) -> None:
    assert judged(Verdict(), opinions(*alive), 100.0).is_down is is_down


def test_an_old_opinion_does_not_count() -> None:
    old = [Opinion(True, 0.0), Opinion(True, 0.0), Opinion(False, 100.0)]
    assert judged(Verdict(), old, 100.0).is_down
    down = Verdict(is_down=True)
    assert judged(down, opinions(True, at=0.0), 100.0) is down, "nobody has said anything: nothing changes"


def test_a_node_that_comes_back_begins_slowly() -> None:
    back = judged(Verdict(is_down=True), opinions(True), 100.0)
    assert not back.is_down
    assert back.returned == 100.0


def test_the_second_return_takes_longer() -> None:
    verdict = judged(Verdict(is_down=True), opinions(True, at=0.0), 0.0)
    verdict = judged(verdict, opinions(False, at=60.0), 60.0)
    assert verdict.is_down
    for now in range(70, 70 + 600, 5):
        verdict = judged(verdict, opinions(True, at=float(now)), float(now))
        assert verdict.is_down
    verdict = judged(verdict, opinions(False, at=670.0), 670.0)  # a break: it begins anew
    for now in range(675, 675 + 600, 5):
        verdict = judged(verdict, opinions(True, at=float(now)), float(now))
        assert verdict.is_down
    assert not judged(verdict, opinions(True, at=1275.0), 1275.0).is_down


@pytest.mark.parametrize("phase", [0.0, 1.3, 2.5, 4.9])
@pytest.mark.parametrize("on_off", [(10.0, 10.0), (30.0, 10.0), (60.0, 60.0), (300.0, 30.0)])
def test_a_flapping_node_changes_its_state_at_most_four_times_an_hour(
    on_off: tuple[float, float], phase: float
) -> None:
    on, off = on_off
    chance = random.Random(int(phase * 10))
    looks = {point: Looks() for point in range(3)}
    verdict, changed = Verdict(), []
    now = 0.0
    while now < 3 * 3600.0:
        now += 5.0 / 3
        point = round(now / 5.0 * 3) % 3
        alive = (now + phase + chance.random() * 0.5) % (on + off) < on
        looks[point] = looked(looks[point], alive, now)
        after = judged(verdict, [o for one in looks.values() if (o := one.opinion)], now)
        if after.changes != verdict.changes:
            changed.append(now)
        verdict = after
    most = max((sum(start <= at < start + 3600.0 for at in changed) for start in changed), default=0)
    assert most <= 4


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["+", "+-"], False),
        (["+-", "+-"], True),
        (["+-", "+-", "+"], True),
        (["+-", "+", "+"], False),
        (["---"], False),  # the only node: there is nobody to compare it with
        ([], False),
    ],
)
def test_who_sees_most_fail_doubts_itself(texts: list[str], expected: bool) -> None:
    assert is_cut_off([seen(text) for text in texts]) is expected
