"""What does each tier of the store bring to those who load models?"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import bodies, loading, machine, ranged
from benchmarks.link import Distance, LinkProcess
from benchmarks.loading import Load
from benchmarks.origin import Origin
from benchmarks.peers import Absent, Edgeproxy
from benchmarks.report import Limit, Plot, Result, Series, Table, median, spread
from benchmarks.running import scratch

EXPONENT = 1.0
MODES = ("no cache", "memory", "memory + disk")
LEAST_RATIO = 0.92
LONGEST_MS = 95.0
REFERENCE = {"no cache": "1250 ms", "memory": "180 ms, 67 %", "memory + disk": "95 ms, 92 %"}


@dataclass(frozen=True, slots=True)
class Scale:
    """`models` of `shards` each, of which the RAM tier has room for `fitting`. A round is `loads`, of which
    without a cache only the first `sampled` are made: each costs the same."""

    models: int
    shards: int
    shard_bytes: int
    fitting: float
    loads: int
    sampled: int
    rounds: int
    distance: Distance

    @property
    def memory_bytes(self) -> int:
        return int(self.fitting * self.shards * self.shard_bytes)


_RATE = 60e6  # bytes a second: about 500 Mbit/s
FULL = Scale(
    models=8,
    shards=4,
    shard_bytes=8 << 20,
    fitting=4.2,
    loads=100,
    sampled=8,
    rounds=3,
    distance=Distance(rtt=0.1, rate_down=_RATE, rate_up=_RATE, window=4 << 20),
)
QUICK = Scale(
    models=4,
    shards=4,
    shard_bytes=1 << 20,
    fitting=2.2,
    loads=40,
    sampled=4,
    rounds=1,
    distance=Distance(rtt=0.02, rate_down=_RATE, rate_up=_RATE, window=4 << 20),
)


def trace(models: int, loads: int, seed: int) -> list[int]:
    """Numbers of models, independently drawn: the k-th most wanted with weight 1 / k ** EXPONENT."""
    weights = list(itertools.accumulate(1 / k**EXPONENT for k in range(1, models + 1)))
    return random.Random(f"tiers/{seed}").choices(range(models), cum_weights=weights, k=loads)


def shards_of(scale: Scale, model: int) -> list[str]:
    """The paths of a model's files."""
    return [bodies.path(scale.shard_bytes, f"model-{model}/shard-{number}") for number in range(scale.shards)]


def best_ratio(wanted: Sequence[int]) -> float:
    """Hits of a store that never lets go: all but the first load of each model."""
    return 1 - len(set(wanted)) / len(wanted)


def hit_ratio(loads: Sequence[Load]) -> float:
    """By shards, of all loads."""
    shards = sum(load.shards for load in loads)
    return sum(load.hits for load in loads) / shards if shards else 0.0


def mean_ms(loads: Sequence[Load]) -> float:
    """Of the loads that came right."""
    right = [1000 * load.seconds for load in loads if not load.problem]
    return sum(right) / len(right) if right else 0.0


# -- measuring -------------------------------------------------------------------------------------

Round = dict[str, list[Load]]


def measure_round(directory: Path, scale: Scale, number: int) -> Round:
    """The same trace by each mode, one after the other, each from an empty store."""
    wanted = trace(scale.models, scale.loads, number)
    found: Round = {}
    order = MODES[number % len(MODES) :] + MODES[: number % len(MODES)]
    with Origin() as origin, LinkProcess(origin.address, scale.distance) as link:
        for mode in order:
            count = scale.sampled if mode == "no cache" else scale.loads
            with _way(mode, directory / f"{number}-{MODES.index(mode)}", link.url, scale) as url:
                targets = [shards_of(scale, model) for model in wanted[:count]]
                found[mode] = ranged.run(loading.load_all(url, targets))
    return found


@contextlib.contextmanager
def _way(mode: str, directory: Path, url: str, scale: Scale) -> Iterator[str]:
    """Where clients ask. Raises Absent."""
    if mode == "no cache":
        yield url
        return
    cache = f'memory_body = "16MiB"\non_disk = {str(mode != "memory").lower()}'
    server = Edgeproxy(memory=str(scale.memory_bytes), cache=cache).start(directory, url)
    try:
        yield server.url
    finally:
        server.stop()


# -- telling ---------------------------------------------------------------------------------------


def _each(rounds: Sequence[Round], mode: str) -> tuple[list[float], list[float]]:
    """Mean load time in milliseconds and hit ratio of each round."""
    return [mean_ms(found[mode]) for found in rounds], [hit_ratio(found[mode]) for found in rounds]


def _table(rounds: Sequence[Round]) -> Table:
    rows = []
    for mode in MODES:
        means, ratios = _each(rounds, mode)
        loads = [load for found in rounds for load in found[mode]]
        whole = [load for load in loads if load.hits == load.shards]
        cold = [load for load in loads if not load.hits]
        rows.append(
            [
                mode,
                spread(means),
                spread([100 * ratio for ratio in ratios], ".1f"),
                f"{mean_ms(cold):.0f}" if cold else "-",
                f"{mean_ms(whole):.1f}" if whole else "-",
                str(len(loads)),
                REFERENCE[mode],
            ]
        )
    columns = [
        "store",
        "mean load ms",
        "hits %",
        "load without a hit ms",
        "load of hits only ms",
        "loads",
        "reference",
    ]
    return Table(columns, rows, "Loading models, from an empty store")


def running_mean(loads: Sequence[Load]) -> list[tuple[float | str, float]]:
    """After each load, the mean of all so far in milliseconds."""
    points: list[tuple[float | str, float]] = []
    total = 0.0
    for count, load in enumerate(loads, 1):
        total += 1000 * load.seconds
        points.append((float(count), round(total / count, 3)))
    return points


def _plots(rounds: Sequence[Round]) -> list[Plot]:
    bars = [(mode, median(_each(rounds, mode)[0])) for mode in MODES]
    ratios = [(mode, 100 * median(_each(rounds, mode)[1])) for mode in MODES]
    lines = [Series(mode, running_mean(rounds[0][mode])) for mode in MODES]
    title = "Mean of all loads so far, in the first round"
    return [
        Plot("Mean time to load a model", "bars", "", "ms", [Series("mean load", list(bars))]),
        Plot("Share of shards found in the store", "bars", "", "%", [Series("hits", list(ratios))]),
        Plot(title, "lines", "loads", "ms", lines, is_y_log=True),
    ]


def _limits(rounds: Sequence[Round], scale: Scale, *, judged: bool) -> list[Limit]:
    means, ratios = _each(rounds, "memory + disk")
    best = median([best_ratio(trace(scale.models, scale.loads, number)) for number in range(len(rounds))])
    _, in_memory = _each(rounds, "memory")
    ratio, memory_ratio = median(ratios), median(in_memory)
    return [
        Limit(
            "memory + disk: hits",
            f">= {LEAST_RATIO:.0%} (all but first loads: {best:.1%})",
            f"{ratio:.1%}",
            ratio >= LEAST_RATIO if judged else None,
        ),
        Limit(
            "memory + disk: mean load",
            f"<= {LONGEST_MS:g} ms",
            f"{median(means):.0f} ms",
            median(means) <= LONGEST_MS if judged else None,
        ),
        Limit(
            "memory alone: hits",
            ">= 67%",
            f"{memory_ratio:.1%}",
            memory_ratio >= 0.67 if judged else None,
        ),
    ]


def _method(scale: Scale) -> list[str]:
    far, shard = scale.distance, bodies.show_size(scale.shard_bytes)
    all_mib, memory_mib = scale.models * scale.shards * scale.shard_bytes >> 20, scale.memory_bytes >> 20
    return [
        f"{scale.models} models of {scale.shards} shards of {shard} each lie at an origin "
        f"{far.rtt * 1000:.0f} ms of round trip away at {far.rate_down * 8 / 1e6:.0f} Mbit/s "
        "(benchmarks/wire.py: slow start, 4 MiB a connection). Clients are beside the node.",
        "A load takes all shards of one model side by side, over fresh connections, into memory; every byte "
        f"is checked when the clock has stopped. One load after the other, {scale.loads} in a round, models "
        f"drawn by Zipf({EXPONENT:g}).",
        f"The RAM tier has {memory_mib} MiB, room for {scale.fitting:g} of {scale.models} models "
        f"({all_mib} MiB); memory_body is 16MiB, so that whole shards may lie in it. "
        "Everything else is the default, one worker.",
        "no cache: the clients ask the origin over the same link, past the node; only the first "
        f"{scale.sampled} loads of each round, since each costs the same. memory: cache.on_disk = false. "
        "memory + disk: the same RAM tier over a disk with room for all, in the page cache.",
        f"{scale.rounds} round(s), each with another trace, an empty store, and the modes in another order. "
        "Hits are by shards, as Cache-Status tells them; first loads are in all figures. Medians of rounds "
        "(least-greatest).",
        "The reference is what is reported of such tiers elsewhere, on other machines and links.",
    ]


def _tell(result: Result, rounds: Sequence[Round], scale: Scale, *, judged: bool) -> None:
    result.tables.append(_table(rounds))
    result.plots += _plots(rounds)
    result.limits += _limits(rounds, scale, judged=judged)
    samples: dict[str, list[float]] = {}
    for mode in MODES:
        means, ratios = _each(rounds, mode)
        samples[f"{mode} mean load ms"] = means
        if mode != "no cache":
            samples[f"{mode} hit ratio"] = ratios
        result.data[mode] = [[asdict(load) for load in found[mode]] for found in rounds]
        result.failures += sorted(
            {f"{mode}: {load.problem}" for found in rounds for load in found[mode] if load.problem}
        )
    result.data["samples"] = samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and short; results are not written")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    machine.pin(machine.load_core())
    scale = QUICK if options.quick else FULL
    result = Result("cache_tiers", __doc__ or "", _method(scale))
    if options.quick:
        result.method.append("Quick: one short round of small models near by; limits are not judged.")
    rounds: list[Round] = []
    with scratch() as directory:
        try:
            rounds.extend(measure_round(directory, scale, number) for number in range(scale.rounds))
        except Absent as reason:
            result.failures.append(str(reason))
    if rounds:
        _tell(result, rounds, scale, judged=not options.quick)
    result.finish(options.dry or options.quick)


if __name__ == "__main__":
    main()
