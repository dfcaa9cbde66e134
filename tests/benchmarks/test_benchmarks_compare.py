import json
import math
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import compare
from benchmarks.compare import Change
from benchmarks.report import Result

ROUNDS = st.lists(st.floats(0.01, 1e6), min_size=3, max_size=7)
MACHINE: dict[str, object] = {"cpu": "C", "cores": 2, "versions": {"nginx": "1.22", "edgeproxy": "0.1"}}


def result(samples: dict[str, list[float]], name: str = "hits", **more: Any) -> Result:
    return Result(name, "How?", ["thus"], data={"samples": samples}, **({"machine": MACHINE} | more))


@pytest.mark.parametrize(
    ("figure", "is_less"),
    [
        ("edgeproxy 1 KiB requests/s", False),
        ("edgeproxy 1 GiB MB/s", False),
        ("object hit ratio", False),
        ("edgeproxy p99 ms", True),
        ("edgeproxy first byte (ms)", True),
        ("restart s", True),
        ("origin bytes", True),
        ("clients failed", True),
        ("idle node MB", True),
        ("", False),
    ],
)
def test_the_unit_tells_which_direction_is_better(figure: str, is_less: bool) -> None:
    assert compare.is_less_better(figure) is is_less


@given(ROUNDS)
@settings(max_examples=15, deadline=None)
def test_a_run_does_not_differ_from_itself(rounds: list[float]) -> None:
    assert compare.changed("x ms", rounds, rounds)[0] is Change.NONE


@given(ROUNDS, ROUNDS)
@settings(max_examples=15, deadline=None)
def test_the_ratio_lies_in_its_interval_and_comes_out_the_same_again(
    before: list[float], after: list[float]
) -> None:
    found = compare.interval(before, after)
    assert found.low <= found.ratio * (1 + 1e-9)
    assert found.ratio <= found.high * (1 + 1e-9)
    assert compare.interval(before, after) == found


@given(ROUNDS, ROUNDS, st.sampled_from([0.25, 2.0, 1024.0]))
@settings(max_examples=15, deadline=None)
def test_an_interval_does_not_depend_on_the_unit_and_grows_with_the_figures(
    before: list[float], after: list[float], factor: float
) -> None:
    plain = compare.interval(before, after)
    other = compare.interval([v * factor for v in before], [v * factor for v in after])
    more = compare.interval(before, [v * factor for v in after])
    for one in ("low", "ratio", "high"):
        assert getattr(other, one) == pytest.approx(getattr(plain, one))
        assert getattr(more, one) == pytest.approx(factor * getattr(plain, one))


@given(ROUNDS, ROUNDS)
@settings(max_examples=15, deadline=None)
def test_what_is_better_for_a_rate_is_worse_for_a_time(before: list[float], after: list[float]) -> None:
    turned = {Change.BETTER: Change.WORSE, Change.WORSE: Change.BETTER, Change.NONE: Change.NONE}
    assert compare.changed("x ms", before, after)[0] is turned[compare.changed("x/s", before, after)[0]]


def test_equal_runs_are_called_different_at_most_once_in_twenty_times() -> None:
    chance, alarms = random.Random(5), 0
    for _ in range(120):
        before, after = ([math.exp(chance.gauss(0, 0.1)) for _ in range(3)] for _ in range(2))
        alarms += compare.changed("x ms", before, after)[0] is not Change.NONE
    assert alarms <= 6


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ([100, 101, 102], [121, 122, 120], Change.WORSE),
        ([100, 101, 102], [80, 81, 82], Change.BETTER),
        ([100, 101, 102], [102, 103, 101], Change.NONE),
        ([100, 101, 102], [101.5, 101.6, 101.7], Change.NONE),  # surely, and not worth a word
        ([100, 150, 60], [140, 90, 160], Change.NONE),
        ([100, 101], [200, 201], Change.NONE),  # two rounds tell nothing
        ([0, 0, 0], [0, 0, 0], Change.NONE),
        ([0, 0, 0], [2, 1, 3], Change.WORSE),
        ([0, 1, 0], [0, 2, 1], Change.NONE),
        ([5, 4, 6], [0, 0, 0], Change.BETTER),
    ],
)
def test_a_time_is_worse_or_better_only_where_the_rounds_say_so(
    before: list[float], after: list[float], change: Change
) -> None:
    assert compare.changed("edgeproxy p99 ms", before, after)[0] is change


def test_worse_comes_first_and_a_run_that_fails_now_is_worse() -> None:
    before = {
        "hits": result({"edgeproxy ms": [1, 1, 1], "edgeproxy/s": [1, 1, 1], "gone": [1, 1, 1]}),
        "herd": result({}, "herd"),
        "old": result({}, "old"),
    }
    after = {
        "hits": result({"edgeproxy ms": [1, 1, 1], "edgeproxy/s": [0.5, 0.5, 0.5], "new": [1, 1, 1]}),
        "herd": result({}, "herd", failures=["wrong bytes"]),
    }
    found = [(one.change, one.scenario, one.figure) for one in compare.compared(before, after)]
    assert found == [
        (Change.WORSE, "herd", "failed: wrong bytes"),
        (Change.WORSE, "hits", "edgeproxy/s"),
        (Change.NONE, "hits", "edgeproxy ms"),
        (Change.ONLY_A, "hits", "gone"),
        (Change.ONLY_A, "old", "all figures"),
        (Change.ONLY_B, "hits", "new"),
    ]


def test_figures_of_peers_tell_of_the_machine_and_not_of_us() -> None:
    before = {"hits": result({"nginx 1 KiB requests/s": [100, 101, 102], "edgeproxy p50 ms": [5, 5, 5]})}
    after = {"hits": result({"nginx 1 KiB requests/s": [50, 51, 52], "edgeproxy p50 ms": [5, 5, 5]})}
    lines = compare.told(compare.compared(before, after))
    assert lines[0] == "edgeproxy: no difference told 1"
    assert "1 of 1 figures moved" in lines[1]
    assert "-49.5%" in lines[1]
    assert lines[2].startswith("  worse: hits: nginx 1 KiB requests/s: 101 -> 51 (x0.50, 95 %")


def test_other_machines_versions_and_methods_are_warned_of() -> None:
    other = MACHINE | {"cpu": "D", "versions": {"nginx": "1.26", "haproxy": "2.6", "edgeproxy": "0.2"}}
    before = {"hits": result({"a ms": [1, 2, 3], "b ms": [1, 2, 3]})}
    after = {"hits": result({"a ms": [1, 2], "b ms": [1, 2, 3], "c ms": [1]}, machine=other)}
    after["hits"].method = ["quickly"]
    assert compare.warnings(before, before) == []
    assert compare.warnings(before, after) == [
        "another machine: cpu C and D",
        "another version of nginx: 1.22 and 1.26",
        "another version of haproxy: none and 2.6",
        "hits was measured in another way (its method differs), or one of the runs was quick",
        "figures of fewer than 3 rounds, of which no difference is told: 1",
    ]


@pytest.mark.parametrize(
    "data", [{}, {"samples": 7}, {"samples": {"x": "no list", "y": [], "z": [math.nan], "w": ["1"]}}]
)
def test_results_without_samples_have_none(data: dict[str, Any]) -> None:
    assert compare.samples(Result("x", "?", [], data=data, machine={})) == {}


def test_the_command_ends_with_1_only_if_something_of_ours_is_worse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, rate in (("a", 100.0), ("b", 50.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
        told = result({"edgeproxy/s": [rate, rate + 1, rate + 2]})
        (tmp_path / name / "hits.json").write_text(json.dumps(asdict(told)))

    def ended(*arguments: Path) -> Any:
        monkeypatch.setattr("sys.argv", ["compare", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            compare.main()
        return caught.value.code

    a, b = tmp_path / "a", tmp_path / "b"
    assert ended(a, b) == 1
    assert capsys.readouterr().out.splitlines()[2].startswith("worse: hits: edgeproxy/s: 101 -> 51 (x0.50")
    assert ended(b, a) == 0
    assert ended(a / "hits.json", a) == 0
    assert ended(a, tmp_path) == 2
    assert "holds no result" in capsys.readouterr().err
    (a / "hits.json").write_text("[]")
    assert ended(a, b) == 2
