"""The same rates of several servers, measured in rounds, as comparisons, samples and plots of a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.busy import FULLY_BUSY
from benchmarks.report import Comparison, Plot, Result, Series, median

OURS = "edgeproxy"


@dataclass(frozen=True, slots=True)
class Case:
    """One load that all servers had: `rates` and `busy` (the share of its core that a server used) are of
    each round, by server. More is better. `is_by_core` says whether they are compared by processor time; None
    for: where a server had less than nine tenths of its core, because something else was its limit then."""

    label: str
    unit: str
    rates: Mapping[str, Sequence[float]]
    busy: Mapping[str, Sequence[float]]
    is_by_core: bool | None = None

    def by_core(self) -> dict[str, list[float]]:
        """Rates divided by the share of the core that the server had for them."""
        return {
            name: [rate / busy for rate, busy in zip(rates, self.busy[name], strict=True) if busy > 0]
            for name, rates in self.rates.items()
        }


def case(label: str, unit: str, figures: Mapping[str, Sequence[Mapping[str, float]]], key: str) -> Case:
    """Of rounds that are dictionaries with `key`, a rate, and "busy"; rates of bytes become those of MB."""
    scale = 1e6 if key == "bytes_per_second" else 1.0
    rates = {name: [run[key] / scale for run in runs] for name, runs in figures.items()}
    return Case(label, unit, rates, {name: [run["busy"] for run in runs] for name, runs in figures.items()})


def tell(result: Result, about: str, cases: Sequence[Case]) -> None:
    """Fill `comparisons`, `data["samples"]` and `plots` of a result; `about` says what the rates are of."""
    samples = result.data.setdefault("samples", {})
    for one in cases:
        result.comparisons += comparisons(about, one)
        for way, figures in (("", one.rates), (" by processor time", one.by_core())):
            for name, values in figures.items():
                if values:
                    samples[f"{name} {one.label}{way} {one.unit}"] = list(values)
    for unit in dict.fromkeys(one.unit for one in cases):
        result.plots.append(_plot(about, unit, [one for one in cases if one.unit == unit]))


def comparisons(about: str, one: Case) -> list[Comparison]:
    """With each other server that was measured: by what they did, or by what a whole core would have done."""
    is_by_core = one.is_by_core
    if is_by_core is None:
        is_by_core = any(median(busy) < FULLY_BUSY for busy in one.busy.values() if busy)
    rates, unit = (one.by_core(), f"{one.unit} of a busy core") if is_by_core else (one.rates, one.unit)
    measured = {name: median(values) for name, values in rates.items() if values}
    what = f"{about} {one.label}".strip()
    return [
        Comparison(what, measured[OURS], value, name, unit)
        for name, value in measured.items()
        if name != OURS and OURS in measured
    ]


def _plot(about: str, unit: str, cases: Sequence[Case]) -> Plot:
    names = dict.fromkeys(name for one in cases for name in one.rates)
    series = []
    for name in names:
        having = [one for one in cases if one.rates.get(name)]
        series.append(
            Series(
                name,
                [(one.label, median(one.rates[name])) for one in having],
                [(min(one.rates[name]), max(one.rates[name])) for one in having],
            )
        )
    title = about.rstrip(" ,:").removesuffix(" of")
    return Plot(title[:1].upper() + title[1:], "bars", "load", unit, series, is_y_log=True)
