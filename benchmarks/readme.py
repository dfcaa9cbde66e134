"""README.md made from results: the list of scenarios, the verdict, and a section for each result, with its
plots beside as files.

`python -m benchmarks.readme` makes it anew from benchmarks/results; `python -m benchmarks.readme DIR` takes
the results of a full run of `edgeproxy bench` over into there first."""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import plots, report
from benchmarks.report import load
from benchmarks.run import load_run
from benchmarks.scenarios import Scenario, present
from benchmarks.verdict import EQUAL_WITHIN, Standing, Verdict, counted, times_shown, verdicts

README = Path(__file__).with_name("README.md")
_MARKS = {
    name: (f"<!-- {name}: generated, do not edit -->\n", f"<!-- end of {name} -->\n")
    for name in ("scenarios", "results")
}


def write_readme(results: Path = report.RESULTS, readme: Path = README) -> None:
    """Replace what stands between the marks, and the pictures in `results`. Raises OSError and ValueError."""
    found = [load(path) for one in present() if (path := results / f"{one.name}.json").exists()]
    for old in results.glob("*-[0-9].svg"):
        old.unlink()
    parts = []
    for result in found:
        pictures = []
        for number, plot in enumerate(result.plots, 1):
            picture = results / f"{result.name}-{number}.svg"
            picture.write_text(plots.svg(plot), encoding="utf-8")
            alternative = re.sub(r"[\[\]]", "", " ".join(plot.title.split()))
            pictures.append(f"![{alternative}]({results.name}/{picture.name})")
        parts.append("\n".join([report.render(asdict(result)), *(f"{picture}\n" for picture in pictures)]))
    text = readme.read_text(encoding="utf-8")
    text = between(text, "scenarios", listed(present()))
    sections = "\n".join([verdict_table(verdicts(found)), *parts]) if parts else "No results yet.\n"
    readme.write_text(between(text, "results", sections), encoding="utf-8")


def between(text: str, name: str, content: str) -> str:
    """`text` with `content` between the marks of that name. Raises ValueError if they are not there."""
    begin, end = _MARKS[name]
    before, has_begin, rest = text.partition(begin)
    _, has_end, after = rest.partition(end)
    if not has_begin or not has_end:
        raise ValueError(f"{README.name} has no place for {name}: {begin.strip()} and {end.strip()}")
    return f"{before}{begin}\n{content}\n{end}{after}"


def listed(scenarios: Sequence[Scenario]) -> str:
    """The table of what there is."""
    rows = []
    for one in scenarios:
        run = (
            "when named, up to " + f"{one.minutes_max} minutes"
            if one.is_alone
            else "yes"
            if one.is_quick
            else ""
        )
        rows.append(f"| `{one.name}` | {one.question()} | {run} |")
    return "\n".join(["| scenario | question | quick |", "| --- | --- | --- |", *rows, ""])


def verdict_table(found: Sequence[Verdict]) -> str:
    """What is bad comes first; the same lines as on the page of a report."""
    rows = []
    for one in found:
        standing = (
            f"**{one.standing}**"
            if one.standing in (Standing.FAILED, Standing.BEHIND, Standing.MISSED)
            else one.standing
        )
        peer = f"{one.peer}: {one.theirs}" if one.theirs else one.peer
        cells = (standing, times_shown(one), one.scenario, one.what, one.ours, peer, one.note)
        rows.append("| " + " | ".join(cell.replace("|", "/") or "-" for cell in cells) + " |")
    columns = ("standing", "times as good", "scenario", "figure", "edgeproxy", "best peer", "limits, remarks")
    return "\n".join(
        [
            "## How edgeproxy stands\n",
            f"{counted(found).capitalize()}. Each figure against the best peer of the same run: above 1 "
            f"edgeproxy is better, equal is within {EQUAL_WITHIN:.0%}. Of a scenario that failed no figure "
            "is told.\n",
            "| " + " | ".join(columns) + " |",
            "|" + " --- |" * len(columns),
            *rows,
            "",
        ]
    )


def take_over(directory: Path, results: Path = report.RESULTS) -> list[str]:
    """Copy what was measured in a full run; their names. Raises OSError, and ValueError for a quick run."""
    run = load_run(directory)
    if run.is_quick:
        raise ValueError(f"{directory} is of a quick run; README.md tells of full ones")
    results.mkdir(exist_ok=True)
    for result in run.results:
        shutil.copyfile(directory / f"{result.name}.json", results / f"{result.name}.json")
    return [result.name for result in run.results]


def main() -> None:
    parser = argparse.ArgumentParser(description="Make benchmarks/README.md anew.")
    parser.add_argument("directory", type=Path, nargs="?", help="a report of a full run to take over")
    options = parser.parse_args()
    try:
        if options.directory is not None:
            print(f"taken over: {', '.join(take_over(options.directory))}")
        write_readme()
    except (OSError, ValueError) as error:
        raise SystemExit(f"README.md is as it was: {error}") from None


if __name__ == "__main__":
    main()
