"""A run of many scenarios as `edgeproxy bench` writes it down: run.json, and NAME.json of each scenario."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.report import Result, asked, load
from benchmarks.scenarios import SCENARIOS

RUN_FILE = "run.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a scenario: `state` is "measured", or "failed" or "skipped" with a reason."""

    name: str
    question: str
    state: str
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Lacking:
    program: str
    package: str
    scenarios: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """`results` are in the order of `outcomes`; one that failed may have one."""

    date: str
    is_quick: bool
    seconds: float
    outcomes: tuple[Outcome, ...]
    lacking: tuple[Lacking, ...] = ()
    results: tuple[Result, ...] = field(default=())

    def failed(self) -> dict[str, str]:
        """Why, by name."""
        return {one.name: one.reason or "failed" for one in self.outcomes if one.state == "failed"}


def load_run(directory: Path) -> Run:
    """The run in `directory`, or the results there as if they were of one run. A result that cannot be read
    makes its scenario a failed one. Raises OSError, and ValueError for a run.json that is none."""
    told = _told(directory)
    outcomes, results = [], []
    for outcome in (Outcome(**one) for one in told["outcomes"]):
        path = directory / f"{outcome.name}.json"
        if path.exists() and outcome.state != "skipped":
            try:
                results.append(load(path))
            except ValueError as error:
                outcome = Outcome(outcome.name, outcome.question, "failed", str(error), outcome.seconds)
        outcomes.append(outcome)
    lacking = tuple(
        Lacking(one["program"], one["package"], tuple(one["scenarios"])) for one in told["lacking"]
    )
    return Run(told["date"], told["is_quick"], told["seconds"], tuple(outcomes), lacking, tuple(results))


def _told(directory: Path) -> dict[str, Any]:
    path = directory / RUN_FILE
    if not path.exists():
        return _gathered(directory)
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for key in ("date", "is_quick", "seconds", "outcomes", "lacking"):
            told[key]
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is not the record of a run: {error!r}") from None
    return told


def _gathered(directory: Path) -> dict[str, Any]:
    """Results that single scenarios left, each of its own date."""
    results = [load(path) for one in SCENARIOS if (path := directory / f"{one.name}.json").exists()]
    outcomes = [
        {
            "name": one.name,
            "question": asked(one.question),
            "state": "failed" if one.failures else "measured",
            "reason": one.failures[0] if one.failures else "",
        }
        for one in results
    ]
    date = max((one.date for one in results), default="")
    return {"date": date, "is_quick": False, "seconds": 0.0, "outcomes": outcomes, "lacking": []}
