"""`edgeproxy bench`: measure this node beside other caches, and say how it stands."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeproxy.cli.bench_checkout import Checkout, Scenario, checkout, module
from edgeproxy.cli.bench_process import ended_by_signals
from edgeproxy.cli.bench_run import FAILED, RUN_FILE, SKIPPED, Bench, Outcome, cleared
from edgeproxy.cli.rendering import show
from edgeproxy.errors import EdgeError

PAGE_SECONDS_MAX = 60.0


@click.command("compare")
@click.argument("before", metavar="A", type=click.Path(exists=True, path_type=Path))
@click.argument("after", metavar="B", type=click.Path(exists=True, path_type=Path))
def compare(before: Path, after: Path) -> int:
    """What became better or worse from A to B, two reports (directories) or two results (.json), as far as
    the spread of the rounds lets it be told. Ends with 1 when a figure of edgeproxy became worse."""
    directory = checkout().directory
    command = module("compare", str(before.resolve()), str(after.resolve()))
    return subprocess.run(command, cwd=directory, check=False).returncode


class _Bench(click.Command):
    """A command whose first argument may be the word "compare" instead of a scenario."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == ["compare"]:
            return compare.make_context(f"{info_name} compare", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=_Bench, epilog="edgeproxy bench compare A B tells what changed between two reports.")
@click.argument("names", nargs=-1, metavar="[SCENARIO]...")
@click.option("--quick", is_flag=True, help="Short runs, two minutes in all; scenarios without are left out.")
@click.option(
    "--report",
    metavar="DIR",
    default="bench-report",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where index.html and the raw results go.",
)
@click.option("--list", "only_list", is_flag=True, help="Only tell which scenarios there are.")
def bench(names: tuple[str, ...], quick: bool, report: Path, only_list: bool) -> int:
    """Measure hits, misses, ranges, trouble and more, side by side with the caches that are installed, and
    write a report. Needs a checkout of edgeproxy, where the scenarios are.

    Ends with 0 when all was measured, 1 when something failed, 2 for wrong usage."""
    place = checkout()
    scenarios = place.chosen(names)
    if only_list:
        show(_listed(scenarios))
        _tell_lacking(place, scenarios)
        return 0
    directory = cleared(report)
    _tell_lacking(place, scenarios)
    run = Bench(place, scenarios, directory, is_quick=quick, is_named=bool(names))
    try:
        with ended_by_signals():
            run.measure()
    finally:  # what has been measured until Ctrl-C is a report too
        _write_page(place, directory)
        click.echo(f"report: {directory / 'index.html'} (the run: {RUN_FILE}, what was said: *.log)")
    show(_summary(run.outcomes))
    return 1 if any(outcome.state == FAILED for outcome in run.outcomes) else 0


def _tell_lacking(place: Checkout, scenarios: Sequence[Scenario]) -> None:
    names = {scenario.name for scenario in scenarios}
    missing = [one for one in place.lacking if names.intersection(one.scenarios)]
    for one in missing:
        users = ", ".join(name for name in one.scenarios if name in names)
        click.echo(f"not installed: {one.program} (used by {users})", err=True)
    if missing:
        packages = " ".join(dict.fromkeys(one.package for one in missing))
        click.echo(f"  on Debian: apt install {packages}; what is not there is left out by name", err=True)


def _write_page(place: Checkout, directory: Path) -> None:
    """index.html; the checkout prints the verdict with it. Raises EdgeError."""
    try:
        subprocess.run(
            module("page", str(directory)), cwd=place.directory, check=True, timeout=PAGE_SECONDS_MAX
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise EdgeError(f"the page could not be made; the results are in {directory}: {error}") from None


def _listed(scenarios: Sequence[Scenario]) -> Table:
    table = Table(box=None, header_style="cyan", padding=(0, 2, 0, 0))
    table.add_column("scenario", no_wrap=True)
    table.add_column("runs", no_wrap=True)
    table.add_column("question", overflow="fold")
    for one in scenarios:
        runs = "when named" if one.is_alone else "also --quick" if one.is_quick else "in full"
        table.add_row(Text(one.name), runs, Text(one.question))
    return table


def _summary(outcomes: Sequence[Outcome]) -> RenderableType:
    """What ran, line by line; what did not, by its reason."""
    table = Table(box=None, header_style="cyan", padding=(0, 2, 0, 0))
    for column in ("scenario", "", "seconds"):
        table.add_column(column, no_wrap=True)
    table.add_column("why", overflow="fold")
    skipped: dict[str, list[str]] = {}
    for one in outcomes:
        if one.state == SKIPPED and not one.seconds:
            skipped.setdefault(one.reason, []).append(one.name)
            continue
        style = "bold red" if one.state == FAILED else ""
        table.add_row(
            Text(one.name), Text(one.state, style=style), f"{one.seconds:.1f}", Text(one.reason or "-")
        )
    left_out = [Text(f"skipped, {reason}: {', '.join(names)}") for reason, names in skipped.items()]
    return Group(*([table] if table.row_count else []), *left_out)
