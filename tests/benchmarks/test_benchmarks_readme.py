import json
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import readme
from benchmarks.report import Comparison, Plot, Result, Series
from benchmarks.scenarios import Scenario
from benchmarks.verdict import verdicts

EMPTY = """# Benchmarks
By hand.
<!-- scenarios: generated, do not edit -->
old list
<!-- end of scenarios -->
Also by hand.
<!-- results: generated, do not edit -->
old results
<!-- end of results -->
The end.
"""
MACHINE: dict[str, object] = {
    "cpu": "C",
    "cores": 2,
    "memory_gib": 1,
    "system": "L",
    "load_average": [0.1],
    "versions": {"nginx": "1"},
}


def result(name: str, **more: Any) -> Result:
    return Result(name, f"What of {name}?", ["thus"], machine=MACHINE, **more)


def written(directory: Path, *results: Result) -> None:
    directory.mkdir(exist_ok=True)
    for one in results:
        (directory / f"{one.name}.json").write_text(json.dumps(asdict(one)))


HITS = result(
    "hits",
    comparisons=[Comparison("1 KiB hits", 5.0, 10.0, "nginx", "requests/s")],
    plots=[Plot("Hits [a second]", "bars", "", "requests/s", [Series("", [("edgeproxy", 5.0)])])],
)


def test_lists_verdict_and_pictures_stand_between_the_marks_and_the_rest_stays(tmp_path: Path) -> None:
    file, results = tmp_path / "README.md", tmp_path / "results"
    file.write_text(EMPTY)
    written(results, HITS)
    (results / "hits-2.svg").write_text("of a run before")
    readme.write_readme(results, file)
    text = file.read_text()
    order = ["By hand.", "| `hits` |", "Also by hand.", "**behind** | 0.50x", "## What of hits?", "The end."]
    assert [text.index(part) for part in order] == sorted(text.index(part) for part in order)
    assert "![Hits a second](results/hits-1.svg)" in text
    assert "old list" not in text
    assert "old results" not in text
    assert [path.name for path in results.glob("*.svg")] == ["hits-1.svg"]
    ElementTree.fromstring((results / "hits-1.svg").read_text())
    readme.write_readme(results, file)
    assert file.read_text() == text


def test_a_readme_without_its_marks_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("mine")
    with pytest.raises(ValueError, match="no place for scenarios"):
        readme.write_readme(tmp_path, file)
    assert file.read_text() == "mine"


def test_what_is_bad_is_bold_and_no_cell_breaks_the_table() -> None:
    found = verdicts([HITS], {"dead": "a | b"})
    lines = readme.verdict_table(found).splitlines()
    assert lines[-2:] == [
        "| **failed** | - | dead | dead | - | - | a / b |",
        "| **behind** | 0.50x | hits | 1 KiB hits | 5 requests/s | nginx: 10 requests/s | - |",
    ]


def test_the_list_tells_what_is_quick_and_what_runs_only_when_named() -> None:
    text = readme.listed([Scenario("hits", is_quick=True), Scenario("soak", minutes_max=25, is_alone=True)])
    first, second = text.strip().splitlines()[-2:]
    assert first.startswith("| `hits` | ")
    assert first.endswith("? | yes |")
    assert second.endswith("| when named, up to 25 minutes |")


def test_a_full_run_is_taken_over_and_a_quick_one_is_not(tmp_path: Path) -> None:
    report, results = tmp_path / "out", tmp_path / "results"
    written(report, HITS, result("herd"))
    outcomes = [
        {"name": "hits", "question": "?", "state": "measured"},
        {"name": "herd", "question": "?", "state": "skipped", "reason": "of a run before"},
    ]
    run: dict[str, Any] = {
        "date": "d",
        "is_quick": False,
        "seconds": 1.0,
        "outcomes": outcomes,
        "lacking": [],
    }
    (report / "run.json").write_text(json.dumps(run))
    assert readme.take_over(report, results) == ["hits"]
    assert [path.name for path in results.iterdir()] == ["hits.json"]
    (report / "run.json").write_text(json.dumps(run | {"is_quick": True}))
    with pytest.raises(ValueError, match="quick run"):
        readme.take_over(report, results)
