"""Results as files, and README.md made from them: date, machine, versions and method before any figure.

`python -m benchmarks.report` writes the generated part of README.md anew from benchmarks/results/*.json."""

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
README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- results: generated, do not edit -->\n", "<!-- end of results -->\n"
_ORDER = (
    "hits",
    "mirror",
    "cache_tiers",
    "real_clients",
    "http2",
    "tls",
    "protocols",
    "concurrency",
    "cold",
    "herd",
    "ranges",
    "broken_origin",
    "large",
    "tiers",
    "redirects",
    "restart",
    "workers",
    "dns",
    "footprint",
    "hit_ratio",
    "routing",
    "soak",
    "ceiling",
)


@dataclass(frozen=True, slots=True)
class Table:
    columns: list[str]
    rows: list[list[str]]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """One line or one colour of bars: `points` are (x, y), x a number for lines and a name for bars."""

    label: str
    points: list[tuple[float | str, float]]


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
        write_readme()


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float], form: str = ".0f") -> str:
    """Median with least and greatest, as "50 (48-53)"."""
    return f"{median(values):{form}} ({min(values):{form}}-{max(values):{form}})"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of each round, so that a slow minute touches both sides alike."""
    return median([mine / other for mine, other in zip(ours, theirs, strict=True) if other])


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
        f"## {result['question']}",
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
        met = {True: "yes", False: "**no**", None: "not measured"}
        rows = [
            [item["what"], item["limit"], item["measured"], met[item["met"]]] for item in result["limits"]
        ]
        parts.append(
            _table({"title": "", "columns": ["limit set", "limit", "measured", "met"], "rows": rows})
        )
    return "\n\n".join(parts) + "\n"


def write_readme() -> None:
    """Replace what stands between the two marks by one section for each result there is."""
    found = [json.loads(path.read_text()) for name in _ORDER if (path := RESULTS / f"{name}.json").exists()]
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    sections = "\n".join(render(result) for result in found) or "No results yet.\n"
    README.write_text(f"{before}{BEGIN}\n{sections}\n{END}{after}")


if __name__ == "__main__":
    write_readme()
