import json
from pathlib import Path
from typing import Any

import click
import pytest

from edgeproxy.cli.bench_checkout import Scenario
from edgeproxy.cli.bench_process import Ended
from edgeproxy.cli.bench_run import cleared, judged, unasked

HITS = Scenario("hits", "How?", [], True, 5, False)
TABLE = {"columns": ["server"], "rows": [["edgeproxy"]]}


def result(**more: Any) -> bytes:
    return json.dumps({"name": "hits", "tables": [TABLE], "skipped": [], "failures": []} | more).encode()


@pytest.mark.parametrize(
    ("status", "written", "said", "state", "reason"),
    [
        (0, result(), "", "measured", ""),
        (0, result(skipped=["squid: is not installed"]), "", "measured", ""),
        (0, result(failures=["wrong bytes"]), "", "failed", "wrong bytes"),
        (0, result(failures=["a", "b", "c"]), "", "failed", "a (and 2 more)"),
        (0, result(tables=[], skipped=["gdnsd: is not installed"]), "", "skipped", "gdnsd: is not installed"),
        (0, result(tables=[]), "", "failed", "measured nothing"),
        (0, None, "bye", "failed", "wrote no result"),
        (0, b"{", "", "failed", "its result cannot be read: Input data was truncated"),
        (1, None, "OSError: no space", "failed", "OSError: no space"),
        (1, result(), "OSError: no space", "failed", "OSError: no space"),
        (3, None, "", "failed", "exit status 3"),
        (-9, None, "", "failed", "ended by signal 9"),
        (None, None, "3 of 9", "failed", "not done within 4 s; last: 3 of 9"),
        (None, result(), "", "failed", "not done within 4 s"),
    ],
)
def test_a_scenario_is_measured_failed_or_skipped_and_says_why(
    status: int | None, written: bytes | None, said: str, state: str, reason: str
) -> None:
    outcome = judged(HITS, Ended(status, 4.04), written, said)
    assert (outcome.name, outcome.state, outcome.reason) == ("hits", state, reason)
    assert outcome.seconds == 4.0


def test_a_library_that_is_not_there_is_told_with_what_brings_it() -> None:
    outcome = judged(HITS, Ended(1, 1.0), None, "ModuleNotFoundError: No module named 'x'")
    assert "pip install '.[bench]'" in outcome.reason


def test_a_reason_is_not_endless() -> None:
    assert len(judged(HITS, Ended(1, 1.0), None, "x" * 5000).reason) == 300


@pytest.mark.parametrize(
    ("has_quick", "is_alone", "is_quick", "is_named", "reason"),
    [
        (True, False, True, False, ""),
        (False, False, False, False, ""),
        (False, False, True, False, "has no quick run"),
        (False, False, True, True, "has no quick run"),
        (False, True, False, False, "takes up to 25 minutes; runs when it is named"),
        (False, True, False, True, ""),
    ],
)
def test_what_is_not_run_says_why(
    has_quick: bool, is_alone: bool, is_quick: bool, is_named: bool, reason: str
) -> None:
    scenario = Scenario("soak", "How?", [], has_quick, 25, is_alone)
    assert unasked(scenario, is_quick, is_named) == reason


def test_a_directory_of_a_report_is_made_and_cleared_of_the_run_before(tmp_path: Path) -> None:
    directory = cleared(tmp_path / "new" / "out")
    assert directory.is_dir()
    for name in ("run.json", "hits.json", "hits.log", "index.html", "notes.txt"):
        (directory / name).touch()
    assert cleared(directory) == directory
    assert [path.name for path in directory.iterdir()] == ["notes.txt"]


def test_a_directory_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.json").touch()
    with pytest.raises(click.UsageError, match="holds other things"):
        cleared(tmp_path)
    assert (tmp_path / "thesis.json").exists()
    with pytest.raises(click.UsageError, match=r"thesis\.json: File exists"):
        cleared(tmp_path / "thesis.json")
