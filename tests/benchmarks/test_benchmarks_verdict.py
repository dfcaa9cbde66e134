from typing import Any

import pytest

from benchmarks.report import Comparison, Limit, Result
from benchmarks.verdict import Standing, counted, is_of, of_result, standing_of, times_shown, verdicts


def result(name: str = "hits", **more: Any) -> Result:
    return Result(name, "How?", [], machine={}, **more)


def compared(ours: float, theirs: float, *, less: bool = False, peer: str = "nginx") -> Comparison:
    return Comparison("1 KiB hits", ours, theirs, peer, "ms" if less else "requests/s", less)


@pytest.mark.parametrize(
    ("times", "standing"),
    [(0.5, "behind"), (0.94, "behind"), (0.96, "equal"), (1.0, "equal"), (1.04, "equal"), (1.06, "ahead")],
)
def test_equal_is_what_is_within_five_percent(times: float, standing: str) -> None:
    assert standing_of(times) == standing


@pytest.mark.parametrize(
    ("ours", "theirs", "less", "standing", "times"),
    [
        (100.0, 50.0, False, "ahead", "2.00x"),
        (100.0, 50.0, True, "behind", "0.50x"),
        (50.0, 100.0, True, "ahead", "2.00x"),
        (0.0, 0.0, True, "equal", "-"),
        (0.0, 3.0, True, "ahead", "-"),
        (3.0, 0.0, True, "behind", "0.00x"),
        (3.0, 0.0, False, "ahead", "-"),
        (0.0, 3.0, False, "behind", "0.00x"),
    ],
)
def test_more_or_less_is_better_as_the_comparison_says(
    ours: float, theirs: float, less: bool, standing: str, times: str
) -> None:
    (found,) = of_result(result(comparisons=[compared(ours, theirs, less=less)]))
    assert (found.standing, times_shown(found)) == (standing, times)


def test_a_figure_is_told_against_the_best_of_its_peers() -> None:
    for less, best in ((False, "haproxy"), (True, "nginx")):
        comparisons = [compared(10, 8, less=less), compared(10, 9, less=less, peer="haproxy")]
        (found,) = of_result(result(comparisons=comparisons))
        assert found.peer == best


def test_a_way_without_a_cache_is_no_peer_unless_there_is_no_other() -> None:
    comparisons = [compared(10, 8), compared(10, 99, peer="direct")]
    for some, peer in ((comparisons, "nginx"), (comparisons[1:], "direct")):
        (found,) = of_result(result(comparisons=some))
        assert found.peer == peer


def test_what_is_bad_comes_first_and_a_failed_run_tells_no_figure() -> None:
    slow = result("slow", comparisons=[compared(1, 2)])
    fast = result("fast", comparisons=[compared(9, 1), compared(5, 4)])
    lying = result("lying", comparisons=[compared(99, 1)], failures=["wrong bytes"])
    missed = result("missed", limits=[Limit("memory", "< 5 MB", "9 MB", False)])
    fine = result("fine", limits=[Limit("a", "1", "1", True), Limit("b", "1", "-", None)])
    found = verdicts([fast, fine, missed, lying, slow], {"dead": "not done within 30 s"})
    assert [(one.standing, one.scenario, one.note) for one in found] == [
        (Standing.FAILED, "dead", "not done within 30 s"),
        (Standing.FAILED, "lying", "wrong bytes"),
        (Standing.BEHIND, "slow", ""),
        (Standing.MISSED, "missed", "limit < 5 MB"),
        (Standing.AHEAD, "fast", ""),
        (Standing.MET, "fine", "1 of 2, 1 not judged"),
    ]
    assert counted(found) == "failed 2, behind 1, limit missed 1, ahead 1, limits met 1"
    assert counted([]) == "nothing was compared"


@pytest.mark.parametrize(
    ("limits", "note"), [([], "no limit and no peer"), ([Limit("a", "1", "1", None)], "limits not judged")]
)
def test_every_result_has_a_line(limits: list[Limit], note: str) -> None:
    (found,) = of_result(Result("x", "What is\n  asked? And more.", [], limits=limits, machine={}))
    assert (found.standing, found.what, found.note) == (Standing.NONE, "What is asked?", note)


def test_limits_set_against_peers_stand_in_for_comparisons() -> None:
    limits = [
        Limit("1 KiB hit against nginx", ">= 2x", "1.69x", False),
        Limit("1 KiB hit against haproxy", ">= 1x", "1.40x", True),
        Limit("1 GiB hit, against nginx", ">= 1x", "0.85x by processor time", False),
        Limit("1 GiB hit, against haproxy", ">= 1x", "-", None),
        Limit("tunnel against direct", ">= 0.7x", "0.79x", True),
    ]
    found = verdicts([result(limits=limits)])
    assert [(one.standing, one.what, one.peer, times_shown(one), one.note) for one in found] == [
        (
            "behind",
            "1 GiB hit",
            "nginx",
            "0.85x",
            "limit >= 1x against nginx missed: 0.85x by processor time",
        ),
        ("limit missed", "1 KiB hit against nginx", "", "-", "limit >= 2x"),
        ("ahead", "1 KiB hit", "haproxy", "1.40x", "limit >= 2x against nginx missed: 1.69x"),
    ]


def test_a_missed_limit_of_a_figure_that_is_behind_is_told_with_it() -> None:
    limits = [Limit("1 KiB hits against nginx", ">= 1x", "0.50x", False)]
    (found,) = of_result(result(comparisons=[compared(5, 10)], limits=limits))
    assert (found.standing, found.note) == (Standing.BEHIND, "limit >= 1x against nginx missed: 0.50x")


@pytest.mark.parametrize(
    ("limit", "what", "is_set_for_it"),
    [
        ("1 KiB from RAM against the fastest of the others", "hits of 1 KiB from RAM", True),
        ("a herd: all served, against the best", "a herd: all served", True),
        ("1 KiB from RAM", "hits of 11 KiB from RAM", False),
        ("memory", "memory when idle", False),
    ],
)
def test_a_limit_is_of_a_figure_of_the_same_words(limit: str, what: str, is_set_for_it: bool) -> None:
    assert is_of(Limit(limit, "", "", True), what) is is_set_for_it
