"""What measured ranges say: tables, samples and pictures."""

from __future__ import annotations

from dataclasses import asdict

from benchmarks import bodies
from benchmarks.range_costs import (
    CLIENTS,
    KINDS,
    PACED,
    PARALLEL,
    PARALLEL_PART,
    RANGE,
    RATES,
    Random,
    Scale,
    Transfer,
)
from benchmarks.range_limits import (
    against_best,
    comparisons,
    failures,
    first_limits,
    parallel_limits,
    random_limits,
)
from benchmarks.range_measured import Measured, missing, speeds_of
from benchmarks.report import Plot, Result, Series, Table, median, ratio, spread

BUSY, LOAD_BOUND = 0.9, 0.97


def report(result: Result, found: dict[str, Measured], scale: Scale) -> None:
    """Fill the result in."""
    samples: dict[str, list[float]] = {}
    result.data["samples"] = samples
    result.tables += [_random_table(found, scale), _first_table(found), _parallel_table(found, scale)]
    for name, measured in found.items():
        result.data[name] = _figures(measured)
        samples |= _samples(name, measured)
        for way in ("plain", "ranges"):
            runs = [transfers[way] for transfers in measured.parallel]
            if name != "direct" and _is_bounded(runs):
                result.bounded.append(f"{name}, {way} of {bodies.show_size(scale.parallel_size)}")
    if ours := found.get("edgeproxy"):
        result.limits += [*random_limits(ours), *first_limits(ours, found), *parallel_limits(ours)]
        result.failures += failures(ours)
    told = comparisons(found)
    result.comparisons += told
    result.limits += against_best(told)
    result.plots += _plots(found)


def _figures(measured: Measured) -> dict[str, object]:
    return {
        "random": [
            asdict(run.cost)
            | {
                "seconds": run.fetching.seconds,
                "unfinished": run.fetching.unfinished,
                "problems": run.fetching.problems[:5],
                "again_ratio": run.again_ratio,
            }
            for run in measured.random
        ],
        "first_byte_ms": {f"{kind} at {rate}": values for (rate, kind), values in measured.first.items()},
        "parallel": [{way: asdict(it) for way, it in run.items()} for run in measured.parallel],
    }


def _samples(name: str, measured: Measured) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {
        f"{name} random ranges origin bytes": [run.cost.origin_bytes for run in measured.random],
        f"{name} random ranges failed": [missing(run) for run in measured.random],
        f"{name} random ranges s": [run.fetching.seconds for run in measured.random],
    }
    for (rate, kind), values in measured.first.items():
        paced = ", paced origin" if rate else ""
        found[f"{name} first byte, {kind}{paced} ms"] = values
    for way in ("plain", "ranges"):
        speeds = [transfers[way].bytes_per_second / 1e6 for transfers in measured.parallel]
        found[f"{name} cold body, {way} MB/s"] = speeds
    return found


def _is_bounded(runs: list[Transfer]) -> bool:
    busy, load_busy = (median([getattr(run, key) for run in runs]) for key in ("busy", "load_busy"))
    return busy < BUSY and load_busy >= LOAD_BOUND


def _firsts(run: Random) -> list[float]:
    return sorted(1000 * one.first_byte_seconds for one in run.fetching.fetched if not one.problem)


def _random_table(found: dict[str, Measured], scale: Scale) -> Table:
    rows = []
    for name, measured in found.items():
        runs = measured.random
        firsts = sorted(value for run in runs for value in _firsts(run))
        again = [run.again_ratio for run in runs if run.again_ratio is not None]
        total = sum(len(run.fetching.fetched) + run.fetching.unfinished for run in runs)
        rows.append(
            [
                name,
                spread([run.cost.origin_bytes / run.cost.asked_bytes for run in runs], ".3f"),
                spread([run.cost.origin_bytes / run.cost.touched_bytes for run in runs], ".3f"),
                spread([run.cost.repeated_segments for run in runs]),
                spread([run.cost.requests for run in runs]),
                spread(again, ".3f") if again else "-",
                f"{total - sum(missing(run) for run in runs)} of {total}",
                spread([run.fetching.seconds for run in runs], ".1f")
                + (" (stopped)" if measured.was_stopped else ""),
                f"{median(firsts):.1f}" if firsts else "-",
                f"{firsts[int(len(firsts) * 0.99)]:.1f}" if firsts else "-",
            ]
        )
    columns = [
        "server",
        "origin bytes / bytes asked for",
        "origin bytes / touched segments",
        "segments with bytes sent twice",
        "origin requests",
        "asked once more: origin bytes / bytes",
        "right",
        "seconds",
        "first byte ms p50",
        "p99",
    ]
    title = (
        f"{CLIENTS} clients, {CLIENTS * scale.random_each} random ranges of {bodies.show_size(RANGE)} of a "
        f"cold object of {bodies.show_size(scale.random_size)}"
    )
    return Table(columns, rows, title)


def _first_table(found: dict[str, Measured]) -> Table:
    rows = []
    for name, measured in found.items():
        cells = [measured.first.get((rate, kind), []) for rate in RATES for kind in KINDS]
        rows.append([name, *(spread(values, ".1f") if values else "no answer" for values in cells)])
    paced = bodies.show_size(PACED)
    columns = ["server", *KINDS, *(f"{kind}, origin at {paced}/s" for kind in KINDS)]
    return Table(columns, rows, "First byte of a cold range, ms")


def _parallel_table(found: dict[str, Measured], scale: Scale) -> Table:
    rows = []
    for name, measured in found.items():
        plain, parts = speeds_of(measured)
        runs = [it for transfers in measured.parallel for it in transfers.values()]
        sent = [
            max(transfers[way].origin_ratio for transfers in measured.parallel) for way in ("plain", "ranges")
        ]
        rows.append(
            [
                name,
                spread(plain),
                spread(parts),
                f"{ratio(parts, plain):.2f}" if all(plain) else "-",
                *(f"{value:.4f}" for value in sent),
                "yes" if all(run.is_whole for run in runs) else "**no**",
                f"{100 * median([run.busy for run in runs]):.0f}" if name != "direct" else "-",
                f"{100 * median([run.load_busy for run in runs]):.0f}",
            ]
        )
    columns = [
        "server",
        "plain GET MB/s",
        "ranges MB/s",
        "ranges / plain",
        "origin bytes / body, plain",
        "ranges",
        "all right and whole",
        "server busy %",
        "load busy %",
    ]
    title = (
        f"One cold object of {bodies.show_size(scale.parallel_size)}: one plain GET, and {PARALLEL} clients "
        f"that share its ranges of {bodies.show_size(PARALLEL_PART)}"
    )
    return Table(columns, rows, title)


def _plots(found: dict[str, Measured]) -> list[Plot]:
    origin_bytes: list[tuple[float | str, float]] = [
        (name, median([run.cost.origin_bytes / run.cost.asked_bytes for run in measured.random]))
        for name, measured in found.items()
    ]
    firsts = [
        Series(
            kind + (", paced origin" if rate else ""),
            [
                (name, median(values))
                for name, measured in found.items()
                if (values := measured.first.get((rate, kind)))
            ],
        )
        for rate in RATES
        for kind in KINDS
    ]
    speeds = [
        Series(way, [(name, median(speeds_of(measured)[number])) for name, measured in found.items()])
        for number, way in enumerate(("plain GET", "ranges"))
    ]
    return [
        Plot(
            "Random ranges of a cold body: origin bytes by bytes asked for",
            "bars",
            "server",
            "times",
            [Series("median", origin_bytes)],
            is_y_log=True,
        ),
        Plot("First byte of a cold range", "bars", "server", "ms", firsts, is_y_log=True),
        Plot("A cold body", "bars", "server", "MB/s", speeds),
    ]
