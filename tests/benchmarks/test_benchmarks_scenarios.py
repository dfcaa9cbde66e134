import json
import re
import shutil
import subprocess
import sys

import pytest

from benchmarks.scenarios import FOLDER, PACKAGES, SCENARIOS, Scenario, lacking, present


def test_every_file_with_a_result_is_in_the_list_and_asks_a_question() -> None:
    there = {path.stem for path in FOLDER.glob("*.py") if re.search(r"\bresult\.finish\(", path.read_text())}
    assert there - {scenario.name for scenario in SCENARIOS} == set()
    for scenario in present():
        assert scenario.question().endswith("?"), scenario.name


def test_every_scenario_is_there() -> None:
    assert [one.name for one in SCENARIOS if not one.file.exists()] == []


def test_no_name_is_twice_and_every_program_has_a_package() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(names) == len(set(names))
    assert {program for scenario in SCENARIOS for program in scenario.uses} <= set(PACKAGES)


@pytest.mark.parametrize("scenario", [one for one in present() if one.is_quick], ids=lambda one: one.name)
def test_a_quick_scenario_knows_the_option(scenario: Scenario) -> None:
    assert "--quick" in scenario.file.read_text()


def test_programs_that_are_not_installed_are_told_with_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path="": name if name == "nginx" else None)
    found = lacking([Scenario("hits", ("nginx", "wrk")), Scenario("dns", ("wrk",)), Scenario("cold")])
    assert found == [{"program": "wrk", "package": "wrk", "scenarios": ["hits", "dns"]}]


def test_the_list_is_told_as_json() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scenarios"], cwd=FOLDER.parent, capture_output=True, check=True
    )
    told = json.loads(done.stdout)
    assert [one["name"] for one in told["scenarios"]] == [one.name for one in present()]
    assert {"name", "question", "uses", "is_quick", "minutes_max", "is_alone"} <= set(told["scenarios"][0])
