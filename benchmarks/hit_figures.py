"""What the rounds of measured hits say: tables, limits, samples and pictures.

A rate is in requests/s, for bodies that one connection takes one after the other in MB/s."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import bodies
from benchmarks.busy import FULLY_BUSY, is_by_core, judged
from benchmarks.ceiling import is_bounded
from benchmarks.report import Comparison, Limit, Plot, Result, Series, Table, median, ratio, spread

LOAD_BOUND = 0.97
STREAMED = 256 << 20
CEILING = "load alone"
_COLUMNS = [
    "MB/s",
    "p50 ms",
    "p99 ms",
    "per busy core",
    "server busy %",
    "load busy %",
    "failed",
    "edgeproxy / this",
]

Figures = dict[str, list[dict[str, float]]]
"""The runs of each server, in the order of rounds."""


@dataclass(frozen=True, slots=True)
class Case:
    """Bodies of `size` bytes, from RAM or from disk."""

    size: int
    is_on_disk: bool

    @property
    def label(self) -> str:
        return f"{bodies.show_size(self.size)} from {'disk' if self.is_on_disk else 'RAM'}"

    @property
    def unit(self) -> str:
        return "MB/s" if self.size >= STREAMED else "requests/s"

    @property
    def key(self) -> str:
        return "bytes_per_second" if self.size >= STREAMED else "requests_per_second"

    def rates(self, runs: list[dict[str, float]]) -> list[float]:
        """In `unit`, of each round."""
        scale = 1e6 if self.size >= STREAMED else 1.0
        return [run[self.key] / scale for run in runs]

    def rates_per_core(self, runs: list[dict[str, float]]) -> list[float]:
        return [rate / max(0.01, run["busy"]) for rate, run in zip(self.rates(runs), runs, strict=True)]


# What the project has set itself beyond being as fast as the best.
_REQUIRED = {
    (Case(1 << 10, False), "nginx"): 2.0,
    (Case(1 << 10, False), "nginx-plain"): 2.0,
    (Case(1 << 10, False), "haproxy"): 1.0,
}


def conclude(result: Result, found: dict[Case, Figures]) -> None:
    """Fill the result in."""
    samples = result.data["samples"] = {}
    for case, measured in found.items():
        result.tables.append(_table(case, measured))
        figures = {name: runs for name, runs in measured.items() if name != CEILING and runs}
        ceiling = measured.get(CEILING, [])
        right = {name: runs for name, runs in figures.items() if not any(run["failures"] for run in runs)}
        result.limits += _limits(case, right)
        result.comparisons += _comparisons(case, right)
        for name, runs in figures.items():
            samples[f"{name} {case.label} {case.unit}"] = case.rates(runs)
            if case.size < STREAMED:
                samples[f"{name} {case.label} p99 ms"] = [run["p99_us"] / 1000 for run in runs]
            if _is_bounded(case, runs, ceiling):
                result.bounded.append(f"{name}, {case.label}")
    result.plots += _plots(found)


def _is_bounded(case: Case, runs: list[dict[str, float]], ceiling: list[dict[str, float]]) -> bool:
    """Whether the load, not the server, was the limit: by the load's own rate, where it was the load that
    could not do more, or by who was busy."""
    busy, loaded, alone = (
        median([run[key] for run in of]) if of else 0.0
        for of, key in ((runs, "busy"), (runs, "load_busy"), (ceiling, "load_busy"))
    )
    if alone >= FULLY_BUSY and is_bounded(median(case.rates(runs)), median(case.rates(ceiling))):
        return True
    return loaded >= LOAD_BOUND and busy < FULLY_BUSY


def _table(case: Case, figures: Figures) -> Table:
    ours = figures.get("edgeproxy")
    is_timed = case.size < STREAMED
    rows = []
    for name, runs in figures.items():
        is_server = name != CEILING
        compared = f"{ratio(case.rates(ours), case.rates(runs)):.2f}" if ours else "-"
        rows.append(
            [
                name,
                spread(case.rates(runs)),
                f"{median([run['bytes_per_second'] for run in runs]) / 1e6:.0f}",
                spread([run["p50_us"] / 1000 for run in runs], ".2f") if is_timed else "-",
                spread([run["p99_us"] / 1000 for run in runs], ".2f") if is_timed else "-",
                spread(case.rates_per_core(runs)) if is_server else "-",
                spread([100 * run["busy"] for run in runs]) if is_server else "-",
                spread([100 * run["load_busy"] for run in runs]),
                f"{sum(run['failures'] for run in runs):.0f}",
                compared,
            ]
        )
    unit = case.unit if is_timed else "MB/s (one stream)"
    return Table(["server", unit, *_COLUMNS], rows, case.label)


def _limits(case: Case, figures: Figures) -> list[Limit]:
    """Those set for the case, and that no other server is faster."""
    ours = figures.get("edgeproxy")
    found = []
    for (required_case, name), least in _REQUIRED.items():
        if required_case == case and ours and (theirs := figures.get(name)):
            got, how = judged(ours, theirs, case.key)
            found.append(
                Limit(f"{case.label} against {name}", f">= {least:g}x", f"{got:.2f}x{how}", got >= least)
            )
    others = {name: runs for name, runs in figures.items() if name != "edgeproxy"}
    if not ours or not others:
        return [*found, Limit(f"{case.label} against the fastest", ">= 1x", "-", None)]
    compared = {name: judged(ours, runs, case.key) for name, runs in others.items()}
    fastest = min(compared, key=lambda name: compared[name][0])
    got, how = compared[fastest]
    what = f"{case.label} against the fastest of the others"
    return [*found, Limit(what, ">= 1x", f"{got:.2f}x {fastest}{how}", got >= 1)]


def _comparisons(case: Case, figures: Figures) -> list[Comparison]:
    if not (ours := figures.get("edgeproxy")):
        return []
    others = {name: runs for name, runs in figures.items() if name != "edgeproxy"}
    by_core = is_by_core(list(figures.values()))
    rates = case.rates_per_core if by_core else case.rates
    unit = f"{case.unit} of a busy core" if by_core else case.unit
    what = f"hits of {case.label}"
    return [
        Comparison(what, median(rates(ours)), median(rates(runs)), name, unit)
        for name, runs in others.items()
    ]


def _plots(found: dict[Case, Figures]) -> list[Plot]:
    plots = []
    for is_on_disk, where in ((False, "RAM"), (True, "disk")):
        cases = {case: figures for case, figures in found.items() if case.is_on_disk == is_on_disk}
        names = list(dict.fromkeys(name for figures in cases.values() for name in figures if name != CEILING))
        series = [
            Series(
                name,
                [
                    (
                        bodies.show_size(case.size),
                        median([run["bytes_per_second"] / 1e6 for run in figures[name]]),
                    )
                    for case, figures in cases.items()
                    if name in figures
                ],
            )
            for name in names
        ]
        if series:
            plots.append(Plot(f"Hits from {where}", "bars", "body", "MB/s", series, is_y_log=True))
    return plots
