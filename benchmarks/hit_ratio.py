"""Which share of requests does each eviction answer, by cache size, and how far is that from the optimum?"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from dataclasses import dataclass, field

from benchmarks import traces
from benchmarks.report import Limit, Plot, Result, Series, Table, median
from edgeproxy.simulation.replay import BELADY, BOUND, EVICTIONS, KINDS, UNLIMITED, Outcome, outcomes, replay
from edgeproxy.simulation.tiers import PLAIN
from edgeproxy.simulation.trace import Trace, made

LIMIT = 0.52
KEPT = 0.01
DEFAULT = "w-tinylfu"
SHARES = (0.003, 0.01, 0.03, 0.1, 0.3)
QUICK_SHARES = (0.01, 0.1)
QUESTION = (
    "Which share of requests does each eviction answer, by cache size, and how far is that from the optimum?"
)


@dataclass
class Ratios:
    """Object and byte hit ratios of one trace, a list of one for each seed, by eviction and share kept."""

    objects: dict[tuple[str, float], list[float]] = field(default_factory=lambda: defaultdict(list))
    bytes: dict[tuple[str, float], list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, outcome: Outcome, share: float) -> None:
        self.objects[outcome.eviction, share].append(outcome.object_hit_ratio)
        self.bytes[outcome.eviction, share].append(outcome.byte_hit_ratio)


def best_possible(objects: int, kept: int, exponent: float) -> float:
    """The share of requests for the `kept` most wanted: no eviction that does not know what will be drawn
    next can do better on such a trace."""
    weights = [1 / k**exponent for k in range(1, objects + 1)]
    return float(sum(weights[:kept]) / sum(weights))


def measured(trace: Trace, shares: tuple[float, ...], ratios: Ratios) -> None:
    """Every eviction at every share of the bytes of all objects."""
    capacities = {max(1, round(trace.footprint * share)): share for share in shares}
    for outcome in outcomes(trace, PLAIN, list(capacities), KINDS):
        ratios.add(outcome, capacities.get(outcome.capacity, 1.0))


def table(title: str, ratios: Ratios, shares: tuple[float, ...]) -> Table:
    columns = ["eviction", *(f"{share:.1%} kept" for share in shares)]
    rows = [
        [kind]
        + [
            f"{median(ratios.objects[kind, share]):.3f} / {median(ratios.bytes[kind, share]):.3f}"
            for share in shares
        ]
        for kind in KINDS
    ]
    no_limit = f"{median(ratios.objects[UNLIMITED, 1.0]):.3f} / {median(ratios.bytes[UNLIMITED, 1.0]):.3f}"
    rows.append(["everything kept", *[no_limit] * len(shares)])
    return Table(columns, rows, f"{title}: object / byte hit ratio")


def plots(title: str, ratios: Ratios, shares: tuple[float, ...]) -> list[Plot]:
    """Object and byte hit ratio by cache size."""
    drawn = [("object", ratios.objects), ("byte", ratios.bytes)]
    return [
        Plot(
            f"{title}: {what} hit ratio by cache size",
            "lines",
            "cache, % of the bytes of all objects",
            f"{what} hit ratio",
            [Series(kind, [(100 * share, median(found[kind, share])) for share in shares]) for kind in KINDS],
            is_x_log=True,
        )
        for what, found in drawn
    ]


def _zipf(result: Result, objects: int, options: argparse.Namespace) -> list[list[str]]:
    """The trace with a limit: one size, a hundredth kept."""
    kept = max(1, round(objects * KEPT))
    trace = made(traces.zipf(objects, options.requests, options.exponent, options.seed))
    costs, best = PLAIN.costs(trace), best_possible(objects, kept, options.exponent)
    rows = []
    optimum = {one.eviction: one for one in outcomes(trace, PLAIN, [kept], (BELADY, BOUND))}
    for kind, build in EVICTIONS.items():
        begun = time.process_time()
        share = replay(trace, costs, kept, build()).requests / len(trace.numbers)
        microseconds = (time.process_time() - begun) * 1e6 / len(trace.numbers)
        rows.append([f"{objects:,}", kind, f"{share:.3f}", f"{best:.3f}", f"{microseconds:.2f}"])
        samples = result.data["samples"]
        samples[f"Zipf, {objects} objects, 1 % kept: {kind} object hit ratio"] = [share]
        samples[f"Zipf, {objects} objects, 1 % kept: {kind} us a request"] = [microseconds]
        if kind == DEFAULT:
            what = f"object hit ratio, {objects:,} objects, 1 % kept"
            result.limits.append(Limit(what, f">= {LIMIT}", f"{share:.3f}", share >= LIMIT))
    knowing = [[f"{objects:,}", kind, f"{optimum[kind].object_hit_ratio:.3f}"] for kind in (BELADY, BOUND)]
    return rows + [[*row, "-", "-"] for row in knowing]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", default="10000,100000", help="of the Zipf traces, comma separated")
    parser.add_argument("--requests", type=int, default=1_000_000, help="of a Zipf trace")
    parser.add_argument("--realistic", type=int, default=120_000, help="requests of each other trace")
    parser.add_argument("--seeds", type=int, default=3, help="how many times each other trace is made")
    parser.add_argument("--exponent", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="short traces, one seed; leaves results alone")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    if options.quick:
        options.objects, options.requests, options.realistic, options.seeds = "10000", 120_000, 12_000, 1
    return options


def _result(options: argparse.Namespace, shares: tuple[float, ...]) -> Result:
    described = [
        f"{name}: {' '.join((make.__doc__ or '').split())}" for name, make in traces.REALISTIC.items()
    ]
    return Result(
        "hit_ratio",
        QUESTION,
        [
            *(["Quick: short traces, one seed, fewer sizes."] if options.quick else []),
            f"Zipf: {options.requests} requests drawn independently from Zipf({options.exponent:g}), seed "
            f"{options.seed}, objects of one size, from an empty cache: the first request for each object is "
            "a miss too. Best possible is the share of the most wanted objects that fit, for a cache that "
            "knew them before but not what is drawn next.",
            f"Three made-up traces of {options.realistic} requests (benchmarks/traces.py), figures are "
            f"medians of {options.seeds} seeds; caches of {', '.join(f'{share:.1%}' for share in shares)} of "
            "the bytes of all objects, from empty. The code is that of `edgeproxy simulate`.",
            *described,
            "belady knows the future: who is asked for again last leaves first. For objects of one size that "
            "is the optimum, for others a cache that could exist, so no more than it. bound: no cache can do "
            "better (the cheapest hits are summed up, whether or not they fit at the same time). The optimum "
            "lies between the two.",
        ],
        data={"samples": {}},
    )


def main() -> None:
    options = _options()
    shares = QUICK_SHARES if options.quick else SHARES
    result = _result(options, shares)
    rows = []
    for objects in [int(text) for text in options.objects.split(",")]:
        rows += _zipf(result, objects, options)
    columns = ["objects", "eviction", "hit ratio", "best possible", "us a request"]
    result.tables.append(Table(columns, rows, "Zipf, one size, 1 % kept"))
    for name, make in traces.REALISTIC.items():
        ratios = Ratios()
        for turn in range(options.seeds):
            measured(made(make(options.realistic, options.seed + turn)), shares, ratios)
        result.tables.append(table(name, ratios, shares))
        result.plots += plots(name, ratios, shares)
        for (kind, share), found in ratios.objects.items():
            result.data["samples"][f"{name}, {share:.1%} kept: {kind} object hit ratio"] = found
        for (kind, share), found in ratios.bytes.items():
            result.data["samples"][f"{name}, {share:.1%} kept: {kind} byte hit ratio"] = found
    result.finish(options.dry or options.quick)


if __name__ == "__main__":
    main()
