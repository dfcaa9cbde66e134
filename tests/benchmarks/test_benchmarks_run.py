import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report import Comparison, Limit, Plot, Result, Series, Table
from benchmarks.run import Lacking, load_run

FULL = Result(
    "hits",
    "How?",
    ["thus"],
    tables=[Table(["server"], [["edgeproxy"]], "1 KiB")],
    limits=[Limit("a", ">= 1x", "2x", True)],
    comparisons=[Comparison("a", 2.0, 1.0, "nginx", "/s")],
    plots=[Plot("t", "bars", "", "/s", [Series("", [("edgeproxy", 2.0)], [(1.0, 3.0)])])],
    machine={},
    date="today",
)


def recorded(directory: Path, *outcomes: dict[str, Any]) -> None:
    run = {
        "date": "today",
        "is_quick": True,
        "seconds": 9.5,
        "outcomes": [{"question": "?", "reason": "", "seconds": 1.0} | one for one in outcomes],
        "lacking": [{"program": "wrk", "package": "wrk", "scenarios": ["hits"]}],
    }
    (directory / "run.json").write_text(json.dumps(run))


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    recorded(tmp_path, {"name": "hits", "state": "measured"}, {"name": "herd", "state": "skipped"})
    (tmp_path / "hits.json").write_text(json.dumps(asdict(FULL)))
    (tmp_path / "herd.json").write_text("of a run before")
    run = load_run(tmp_path)
    assert [(one.name, one.state) for one in run.outcomes] == [("hits", "measured"), ("herd", "skipped")]
    assert run.lacking == (Lacking("wrk", "wrk", ("hits",)),)
    (read,) = run.results
    # Pairs are lists in JSON; all else is equal.
    assert json.dumps(asdict(read)) == json.dumps(asdict(FULL))
    assert (run.is_quick, run.seconds, run.failed()) == (True, 9.5, {})


def test_a_result_that_cannot_be_read_makes_its_scenario_a_failed_one(tmp_path: Path) -> None:
    recorded(tmp_path, {"name": "hits", "state": "measured"}, {"name": "dead", "state": "failed"})
    (tmp_path / "hits.json").write_text('{"name": "hits"}')
    run = load_run(tmp_path)
    assert run.results == ()
    assert "is not the result of a benchmark" in run.failed()["hits"]
    assert run.failed()["dead"] == "failed"


def test_results_without_a_record_are_read_as_one_run(tmp_path: Path) -> None:
    (tmp_path / "hits.json").write_text(json.dumps(asdict(FULL)))
    run = load_run(tmp_path)
    assert [(one.name, one.state) for one in run.outcomes] == [("hits", "measured")]
    assert run.date == "today"


def test_a_result_from_before_there_were_plots_is_read(tmp_path: Path) -> None:
    old = {name: value for name, value in asdict(FULL).items() if name not in ("plots", "comparisons")}
    (tmp_path / "hits.json").write_text(json.dumps(old))
    assert load_run(tmp_path).results[0].plots == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"date": "d"}'])
def test_a_record_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match="is not the record of a run"):
        load_run(tmp_path)
