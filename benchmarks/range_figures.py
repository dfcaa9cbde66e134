"""What measured ranges say: tables, limits, comparisons, samples and pictures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

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
from benchmarks.report import Comparison, Limit, Plot, Result, Series, Table, median, ratio, spread

FIRST_BYTE_LIMIT_MS = 5.0
BUSY, LOAD_BOUND = 0.9, 0.97


@dataclass
class Measured:
    """All rounds of one server; first bytes in milliseconds by rate of the origin and by kind of object."""

    random: list[Random] = field(default_factory=list)
    parallel: list[dict[str, Transfer]] = field(default_factory=list)
    first: dict[tuple[int, str], list[float]] = field(default_factory=dict)

    @property
    def was_stopped(self) -> bool:
        return any(run.fetching.unfinished for run in self.random)

    def add_first_bytes(self, rate: int, times: dict[str, list[float]]) -> None:
        for kind, values in times.items():
            self.first.setdefault((rate, kind), []).extend(values)

    def told(self) -> str:
        """The last round in a line."""
        last, transfers = self.random[-1], self.parallel[-1]
        speeds = " ".join(f"{way} {it.bytes_per_second / 1e6:.0f} MB/s" for way, it in transfers.items())
        return (
            f"{speeds}; random {last.fetching.seconds:.1f} s, origin "
            f"{last.cost.origin_bytes / last.cost.asked_bytes:.2f} of what was asked for, again "
            f"{last.again_ratio}; {[*last.fetching.problems[:1], *last.again_problems[:1]]}"
        )


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
        result.limits += [*_random_limits(ours), *_first_limits(ours, found), *_parallel_limits(ours)]
        result.failures += _failures(ours)
    result.comparisons += _comparisons(found)
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
        f"{name} random ranges failed": [_missing(run) for run in measured.random],
        f"{name} random ranges s": [run.fetching.seconds for run in measured.random],
    }
    for (rate, kind), values in measured.first.items():
        paced = ", paced origin" if rate else ""
        found[f"{name} first byte, {kind}{paced} ms"] = values
    for way in ("plain", "ranges"):
        speeds = [transfers[way].bytes_per_second / 1e6 for transfers in measured.parallel]
        found[f"{name} cold body, {way} MB/s"] = speeds
    return found


def _missing(run: Random) -> int:
    return len(run.fetching.problems) + run.fetching.unfinished


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
                f"{total - sum(_missing(run) for run in runs)} of {total}",
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
        plain, parts = _speeds(measured)
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


def _speeds(measured: Measured) -> tuple[list[float], list[float]]:
    """MB/s of each round: plain, in ranges."""
    plain, parts = (
        [transfers[way].bytes_per_second / 1e6 for transfers in measured.parallel]
        for way in ("plain", "ranges")
    )
    return plain, parts


def _random_limits(ours: Measured) -> list[Limit]:
    share = max(run.cost.origin_bytes / run.cost.touched_bytes for run in ours.random)
    wrong = sum(_missing(run) for run in ours.random)
    twice = max(run.cost.repeated_segments for run in ours.random)
    is_met = 0 < share <= 1.1 and not wrong
    return [
        Limit("random ranges: origin bytes / touched segments", "<= 1.1", f"{share:.3f}", is_met),
        Limit("random ranges: segments with bytes sent twice", "0", str(twice), not twice and not wrong),
        Limit("random ranges not right or not there", "0", str(wrong), not wrong),
    ]


def _first_limits(ours: Measured, found: dict[str, Measured]) -> list[Limit]:
    """The node's first byte after that of the origin itself, and after that of the soonest cache."""
    direct = found["direct"].first if "direct" in found else {}
    limits = []
    for (rate, kind), values in ours.first.items():
        how = f", origin at {bodies.show_size(rate)}/s" if rate else ""
        theirs = direct.get((rate, kind), [])
        added = median(values) - median(theirs) if values and theirs else None
        limits.append(
            Limit(
                f"first byte of a cold range, {kind}{how}: after the origin's own",
                f"<= {FIRST_BYTE_LIMIT_MS:g} ms",
                "not measured" if added is None else f"{added:.2f} ms",
                None if added is None else added <= FIRST_BYTE_LIMIT_MS,
            )
        )
    return limits


def _parallel_limits(ours: Measured) -> list[Limit]:
    plain, parts = _speeds(ours)
    compared = ratio(parts, plain) if all(plain) else 0.0
    sent = max(transfers["ranges"].origin_ratio for transfers in ours.parallel)
    is_whole = all(run.is_whole for transfers in ours.parallel for run in transfers.values())
    what = f"{PARALLEL} clients with {bodies.show_size(PARALLEL_PART)} ranges"
    return [
        Limit(f"{what}: throughput / plain GET", ">= 0.9x", f"{compared:.2f}x", compared >= 0.9 and is_whole),
        Limit(f"{what}: origin bytes / body", "<= 1.001", f"{sent:.4f}", 0 < sent <= 1.001 and is_whole),
    ]


def _failures(ours: Measured) -> list[str]:
    """What the node did wrong; of a peer it is a figure."""
    found = []
    for run in ours.random:
        problems = [*run.fetching.problems, *run.again_problems]
        if problems or run.fetching.unfinished:
            said = problems[0] if problems else "no end"
            found.append(f"edgeproxy, random: {len(problems) + run.fetching.unfinished} ranges: {said}")
    for transfers in ours.parallel:
        for way, run in transfers.items():
            if not run.is_whole:
                found.append(f"edgeproxy, {way}: {run.problems[0] if run.problems else 'no end'}")
    return found


def _keeping(found: dict[str, Measured]) -> list[str]:
    """Servers that brought all random ranges and had stored at least some: those that do what the node
    does, for which the origin is not asked for everything again."""
    return [
        name
        for name, measured in found.items()
        if name != "edgeproxy"
        and all(run.again_ratio is not None and run.again_ratio < 0.9 for run in measured.random)
    ]


def _comparisons(found: dict[str, Measured]) -> list[Comparison]:
    if not (ours := found.get("edgeproxy")) or ours.was_stopped:
        return []
    comparisons = []
    for name in _keeping(found):
        theirs = found[name]
        bytes_ = [
            median([run.cost.origin_bytes / run.cost.asked_bytes for run in it.random])
            for it in (ours, theirs)
        ]
        what = "random ranges of a cold body: origin bytes / bytes asked for"
        comparisons.append(Comparison(what, *bytes_, name, "times", less_is_better=True))
        seconds = [median([run.fetching.seconds for run in it.random]) for it in (ours, theirs)]
        what = "random ranges of a cold body: all there"
        comparisons.append(Comparison(what, *seconds, name, "s", less_is_better=True))
        for (rate, kind), values in ours.first.items():
            if values and (others := theirs.first.get((rate, kind))):
                what = f"first byte of a cold range, {kind}{', paced origin' if rate else ''}"
                sides = median(values), median(others)
                comparisons.append(Comparison(what, *sides, name, "ms", less_is_better=True))
    for name, measured in found.items():
        if name in ("edgeproxy", "direct"):
            continue
        sides = zip(_speeds(ours), _speeds(measured), strict=True)
        for way, (mine, speeds) in zip(("plain GET", "in ranges"), sides, strict=True):
            comparisons.append(Comparison(f"a cold body, {way}", median(mine), median(speeds), name, "MB/s"))
    return comparisons


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
        Series(way, [(name, median(_speeds(measured)[number])) for name, measured in found.items()])
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
