"""Results of benchmarks as values, files and text: date, machine, versions and method before any figure.
README.md is made from the files by `readme`, the page of a whole run by `page`."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine

RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True, slots=True)
class Table:
    columns: list[str]
    rows: list[list[str]]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """One line or one colour of bars: `points` are (x, y), x a number for lines and a name for bars.
    `ranges` are the least and greatest y of each point, or nothing."""

    label: str
    points: list[tuple[float | str, float]]
    ranges: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture of figures that a table has too. `kind` is "bars" or "lines"."""

    title: str
    kind: str
    x_label: str
    y_label: str
    series: list[Series]
    is_x_log: bool = False
    is_y_log: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit the project has set itself, and what was measured. `met` is None when it could not be told."""

    what: str
    limit: str
    measured: str
    met: bool | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of edgeproxy beside that of one peer, measured in one run: medians in `unit`. Comparisons
    of the same `what` are one line of the verdict, which is told against the best of their peers. `what`
    names the figure so that it is understood outside of its table, such as "1 KiB hits"."""

    what: str
    ours: float
    theirs: float
    peer: str
    unit: str
    less_is_better: bool = False


@dataclass
class Result:
    """The answer to one question. `method`, `skipped` and `failures` are sentences; `data` is every single
    figure, in it "samples" the figures of each round by what they are of. `failures` say what went wrong
    while measuring (a wrong byte, a request that failed where none may): a run with one has failed, however
    fast it was. `bounded` names figures that the load generator, not the server, was the limit of."""

    name: str
    question: str
    method: list[str]
    skipped: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    bounded: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    date: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))
    machine: dict[str, object] = field(default_factory=machine.describe)

    def finish(self, dry: bool) -> None:
        """Print; unless `dry`, write results/NAME.json and make README.md anew. With EDGEPROXY_BENCH_OUT in
        the environment NAME.json is written into that directory, dry or not, and README.md left alone."""
        print(render(asdict(self)))
        if elsewhere := os.environ.get("EDGEPROXY_BENCH_OUT"):
            (Path(elsewhere) / f"{self.name}.json").write_text(json.dumps(asdict(self), indent=1) + "\n")
            return
        if dry:
            return
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{self.name}.json").write_text(json.dumps(asdict(self), indent=1) + "\n")
        from benchmarks.readme import write_readme  # it is made of results, so it cannot come first

        write_readme()


def load(path: Path) -> Result:
    """The result in a file that `Result.finish` wrote, now or before there were plots. Raises OSError, and
    ValueError for one that is none."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        told["tables"] = [Table(**table) for table in told["tables"]]
        told["limits"] = [Limit(**limit) for limit in told["limits"]]
        told["comparisons"] = [Comparison(**one) for one in told.get("comparisons", ())]
        told["plots"] = [
            Plot(**plot | {"series": [Series(**one) for one in plot["series"]]})
            for plot in told.get("plots", ())
        ]
        return Result(**told)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is not the result of a benchmark: {error}") from None


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float], form: str = ".0f") -> str:
    """Median with least and greatest, as "50 (48-53)"; of one value, that."""
    if len(values) == 1:
        return f"{values[0]:{form}}"
    return f"{median(values):{form}} ({min(values):{form}}-{max(values):{form}})"


def shown(value: float) -> str:
    """A figure in three digits or more: 137,441 or 12.5 or 0.303."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of each round, so that a slow minute touches both sides alike."""
    return median([mine / other for mine, other in zip(ours, theirs, strict=True) if other])


def asked(question: str) -> str:
    """A question in one line, of what may be the docstring of a module."""
    words, mark, _ = " ".join(question.split()).partition("?")
    return words + mark


def _table(table: dict[str, Any]) -> str:
    lines = [f"**{table['title']}**", ""] if table["title"] else []
    lines.append("| " + " | ".join(table["columns"]) + " |")
    lines.append("|" + " --- |" * len(table["columns"]))
    lines += ["| " + " | ".join(row) + " |" for row in table["rows"]]
    return "\n".join(lines)


def render(result: dict[str, Any]) -> str:
    """One section of markdown."""
    on = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in on["versions"].items())
    parts = [
        f"## {asked(result['question'])}",
        f"{result['date']}; {on['cpu']}, {on['cores']} cores, {on['memory_gib']} GiB, {on['system']}; "
        f"load average at the end {on['load_average'][0]}. {versions}.",
        "Method (`python -m benchmarks."
        + result["name"]
        + "`):\n\n"
        + "\n".join(f"- {sentence}" for sentence in result["method"]),
    ]
    if result["skipped"]:
        parts.append("Left out:\n\n" + "\n".join(f"- {sentence}" for sentence in result["skipped"]))
    if result.get("failures"):
        parts.append("**Failed:**\n\n" + "\n".join(f"- {sentence}" for sentence in result["failures"]))
    parts += [_table(table) for table in result["tables"]]
    if result.get("bounded"):
        parts.append("Limited by the load generator: " + "; ".join(result["bounded"]) + ".")
    if result["limits"]:
        met = {True: "yes", False: "**no**", None: "not judged"}
        rows = [
            [item["what"], item["limit"], item["measured"], met[item["met"]]] for item in result["limits"]
        ]
        parts.append(
            _table({"title": "", "columns": ["limit set", "limit", "measured", "met"], "rows": rows})
        )
    return "\n\n".join(parts) + "\n"
