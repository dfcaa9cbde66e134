"""Running scenarios one after the other, each whatever became of the others, and writing down what became."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from edgeproxy.cli.bench_checkout import Checkout, Scenario, module
from edgeproxy.cli.bench_process import END_SECONDS, Ended, last_line, run_bounded

QUICK_SECONDS_MAX = 30.0  # of one scenario
QUICK_SECONDS_ALL = 116.0  # of all, so that the report is there within two minutes
QUICK_SECONDS_END = 1.5  # for one to stop its servers when its time is over
REASON_MAX = 300
RUN_FILE = "run.json"
MEASURED, FAILED, SKIPPED = "measured", "failed", "skipped"


class Outcome(msgspec.Struct, frozen=True):
    """What became of one scenario; `reason` is "" for one that was measured."""

    name: str
    question: str
    state: str
    reason: str = ""
    seconds: float = 0.0


class Written(msgspec.Struct, frozen=True):
    """What is read of the result that a scenario writes."""

    skipped: list[str] = []
    failures: list[str] = []
    tables: list[msgspec.Raw] = []


def unasked(scenario: Scenario, is_quick: bool, is_named: bool) -> str:
    """Why it is not run, "" if it is."""
    if is_quick and not scenario.is_quick:
        return "has no quick run"
    if scenario.is_alone and not is_named:
        return f"takes up to {scenario.minutes_max:g} minutes; runs when it is named"
    return ""


def judged(scenario: Scenario, ended: Ended, written: bytes | None, said: str) -> Outcome:
    """What became of a scenario, by how it ended, the result it wrote and the last line it said."""

    def outcome(state: str, reason: str = "") -> Outcome:
        return Outcome(scenario.name, scenario.question, state, reason[:REASON_MAX], round(ended.seconds, 1))

    if ended.status is None:
        return outcome(FAILED, f"not done within {ended.seconds:.0f} s" + (f"; last: {said}" if said else ""))
    if ended.status != 0:
        if said.startswith("ModuleNotFoundError"):
            said += "; pip install '.[bench]' in the checkout brings what the scenarios need"
        how = f"exit status {ended.status}" if ended.status > 0 else f"ended by signal {-ended.status}"
        return outcome(FAILED, said or how)
    if written is None:
        return outcome(FAILED, "wrote no result")
    try:
        result = msgspec.json.decode(written, type=Written)
    except msgspec.MsgspecError as error:
        return outcome(FAILED, f"its result cannot be read: {error}")
    if result.failures:
        more = f" (and {len(result.failures) - 1} more)" if len(result.failures) > 1 else ""
        return outcome(FAILED, result.failures[0] + more)
    if not result.tables:
        return outcome(SKIPPED if result.skipped else FAILED, "; ".join(result.skipped) or "measured nothing")
    return outcome(MEASURED)


def cleared(directory: Path) -> Path:
    """The directory of a report, made, and without what a run before left. Raises click.UsageError for one
    that holds something else."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        inside = list(directory.iterdir())
        if inside and not (directory / RUN_FILE).is_file():
            raise click.UsageError(f"{directory} holds other things; name an empty directory, or a new one")
        for path in inside:
            if path.suffix in (".json", ".log", ".html", ".svg") and path.is_file():
                path.unlink()
    except OSError as error:
        raise click.UsageError(f"{directory}: {error.strerror}") from None
    return directory.resolve()


class Bench:
    """A run of `scenarios`. `outcomes` are of those run or skipped so far; run.json tells them all, those to
    come as not measured."""

    def __init__(
        self,
        checkout: Checkout,
        scenarios: Sequence[Scenario],
        report: Path,
        *,
        is_quick: bool,
        is_named: bool,
    ) -> None:
        self._checkout, self._report, self._is_quick = checkout, report, is_quick
        self._scenarios = scenarios
        self._reasons = {one.name: unasked(one, is_quick, is_named) for one in scenarios}
        self._date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        self._begun = time.monotonic()
        self.outcomes: list[Outcome] = []

    def measure(self) -> None:
        """Each in turn. What has been measured stays written when an exception passes."""
        wanted = [scenario for scenario in self._scenarios if not self._reasons[scenario.name]]
        with _shown(len(wanted)) as (tell, watch, advance):
            for scenario in self._scenarios:
                self._write()
                if reason := self._reasons[scenario.name]:
                    outcome = Outcome(scenario.name, scenario.question, SKIPPED, reason)
                else:
                    outcome = self._run(scenario, tell, watch)
                    tell(_line(outcome))
                    advance()
                self.outcomes.append(outcome)
        self._write()

    def _run(
        self, scenario: Scenario, tell: Callable[[str], None], watch: Callable[[str, str], None]
    ) -> Outcome:
        seconds_max = own = scenario.minutes_max * 60
        if self._is_quick:
            own = min(own, QUICK_SECONDS_MAX)
            seconds_max = min(own, QUICK_SECONDS_ALL - (time.monotonic() - self._begun))
            if seconds_max <= 0:
                return Outcome(scenario.name, scenario.question, FAILED, "not begun: two minutes were over")
        log, result = (self._report / f"{scenario.name}{suffix}" for suffix in (".log", ".json"))
        tell(f"{scenario.name}: {scenario.question} (at most {seconds_max:.0f} s)")
        # What a scenario that is ended by force leaves behind goes with its directory; the name is short
        # because sockets lie in there.
        with tempfile.TemporaryDirectory(prefix="ep-", ignore_cleanup_errors=True) as scratch:
            ended = run_bounded(
                module(scenario.name, *(["--quick"] if self._is_quick else [])),
                directory=self._checkout.directory,
                environment=os.environ | self._variables() | {"TMPDIR": scratch},
                log=log,
                seconds_max=seconds_max,
                end_seconds=QUICK_SECONDS_END if self._is_quick else END_SECONDS,
                watch=lambda passed: watch(f"{scenario.name} {passed:.0f} s", last_line(log)),
            )
        written = result.read_bytes() if result.exists() else None
        outcome = judged(scenario, ended, written, last_line(log))
        if ended.status is None and seconds_max < own:
            return msgspec.structs.replace(outcome, reason=f"two minutes were over: {outcome.reason}")
        return outcome

    def _variables(self) -> dict[str, str]:
        return {"EDGEPROXY_BENCH_OUT": str(self._report), "PYTHONUNBUFFERED": "1"}

    def _write(self) -> None:
        """run.json, whole at any time."""
        to_come = [
            Outcome(one.name, one.question, SKIPPED, self._reasons[one.name] or "the run was ended before it")
            for one in self._scenarios[len(self.outcomes) :]
        ]
        run = {
            "date": self._date,
            "is_quick": self._is_quick,
            "seconds": round(time.monotonic() - self._begun, 1),
            "outcomes": [*self.outcomes, *to_come],
            "lacking": self._checkout.lacking,
        }
        whole = self._report / f"{RUN_FILE}.part"
        whole.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")
        whole.replace(self._report / RUN_FILE)


def _line(outcome: Outcome) -> str:
    text = f"{outcome.name}: {outcome.state} in {outcome.seconds:.1f} s"
    return f"{text}: {outcome.reason}" if outcome.reason else text


@contextmanager
def _shown(
    count: int,
) -> Iterator[tuple[Callable[[str], None], Callable[[str, str], None], Callable[[], None]]]:
    """On standard error: a bar below the lines, or the lines alone where that is no terminal."""
    console = Console(file=sys.stderr, highlight=False)
    if not console.is_terminal:
        yield (lambda text: click.echo(text, err=True)), (lambda title, said: None), (lambda: None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn())
    # Twice a second: what draws more often takes time from the cores that are measured.
    with Progress(
        *columns, TextColumn("{task.fields[said]}"), console=console, refresh_per_second=2, transient=True
    ) as progress:
        task = progress.add_task("", total=count, said="")
        yield (
            lambda text: console.print(escape(text)),
            lambda title, said: progress.update(task, description=title, said=escape(said[:60])),
            lambda: progress.advance(task),
        )
