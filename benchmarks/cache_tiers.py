"""What does each tier of the store bring to those who load models?"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import bodies, loading, machine, ranged
from benchmarks.link import Distance, LinkProcess
from benchmarks.loading import Load
from benchmarks.origin import Origin
from benchmarks.peers import Absent, Edgeproxy, Nginx, Peer
from benchmarks.report import Limit, Plot, Result, Series, Table, median, spread
from benchmarks.running import scratch

EXPONENT = 1.0
MODES = ("no cache", "memory", "memory + disk", "nginx")
SMALL = (1 << 10, 20 << 10, 200 << 10)  # bytes of the small files of every model
LEAST_RATIO = 0.92
LONGEST_MS = 95.0
REFERENCE = {"no cache": "1250 ms", "memory": "180 ms, 67 %", "memory + disk": "95 ms, 92 %", "nginx": "-"}


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
    loads=30,
    sampled=4,
    rounds=1,
    distance=Distance(rtt=0.02, rate_down=_RATE, rate_up=_RATE, window=4 << 20),
)


def trace(models: int, loads: int, seed: int) -> list[int]:
    """Numbers of models, independently drawn: the k-th most wanted with weight 1 / k ** EXPONENT."""
    weights = list(itertools.accumulate(1 / k**EXPONENT for k in range(1, models + 1)))
    return random.Random(f"tiers/{seed}").choices(range(models), cum_weights=weights, k=loads)


def files_of(scale: Scale, model: int) -> list[str]:
    """The paths of a model's files: small ones, then shards."""
    sizes = [*SMALL, *[scale.shard_bytes] * scale.shards]
    return [bodies.path(size, f"model-{model}/file-{number}") for number, size in enumerate(sizes)]


def order(number: int) -> list[str]:
    """In which the modes take part in a round."""
    first = number % len(MODES)
    return [*MODES[first:], *MODES[:first]]


def best_ratio(wanted: Sequence[int]) -> float:
    """Hits of a store that never lets go: all but the first load of each model."""
    return 1 - len(set(wanted)) / len(wanted)


def hit_ratio(loads: Sequence[Load]) -> float:
    """By files, of all loads."""
    files = sum(load.files for load in loads)
    return sum(load.hits for load in loads) / files if files else 0.0


def mean_ms(loads: Sequence[Load]) -> float:
    """Of the loads that came right."""
    right = [1000 * load.seconds for load in loads if not load.problem]
    return sum(right) / len(right) if right else 0.0


# -- measuring -------------------------------------------------------------------------------------

Round = dict[str, list[Load]]


def measure_round(directory: Path, scale: Scale, number: int, skipped: list[str]) -> Round:
    """The same trace by each mode, one after the other, each from an empty store."""
    wanted = trace(scale.models, scale.loads, number)
    found: Round = {}
    with Origin() as origin, LinkProcess(origin.address, scale.distance) as link:
        for mode in order(number):
            place = directory / f"{number}-{MODES.index(mode)}"
            count = scale.sampled if mode == "no cache" else scale.loads
            targets = [files_of(scale, model) for model in wanted[:count]]
            try:
                with way(mode, place, link.url, scale) as url:
                    asked = (lambda: origin.counts().requests) if mode == "nginx" else None
                    found[mode] = ranged.run(loading.load_all(url, targets, asked))
            except Absent as reason:
                skipped.append(f"{mode}: {reason}")
            shutil.rmtree(place, ignore_errors=True)
    return found


@contextlib.contextmanager
def way(mode: str, directory: Path, url: str, scale: Scale) -> Iterator[str]:
    """Where clients ask. Raises Absent."""
    if mode == "no cache":
        yield url
        return
    memory = str(scale.memory_bytes)
    peers: dict[str, Peer] = {
        "memory": Edgeproxy(memory=memory, cache='memory_body = "16MiB"\non_disk = false'),
        "memory + disk": Edgeproxy(memory=memory),
        "nginx": Nginx(),
    }
    server = peers[mode].start(directory, url)
    try:
        yield server.url
    finally:
        server.stop()


# -- telling ---------------------------------------------------------------------------------------


def _each(rounds: Sequence[Round], mode: str) -> tuple[list[float], list[float]]:
    """Mean load time in milliseconds and hit ratio of each round."""
    there = [found[mode] for found in rounds if mode in found]
    return [mean_ms(loads) for loads in there], [hit_ratio(loads) for loads in there]


def measured(rounds: Sequence[Round]) -> list[str]:
    """Modes that took part in every round."""
    return [mode for mode in MODES if rounds and all(mode in found for found in rounds)]


def _table(rounds: Sequence[Round]) -> Table:
    rows = []
    for mode in measured(rounds):
        means, ratios = _each(rounds, mode)
        loads = [load for found in rounds for load in found.get(mode, [])]
        whole = [load for load in loads if load.hits == load.files]
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
    bars = [(mode, median(_each(rounds, mode)[0])) for mode in measured(rounds)]
    ratios = [(mode, 100 * median(_each(rounds, mode)[1])) for mode in measured(rounds)]
    lines = [Series(mode, running_mean(rounds[0][mode])) for mode in measured(rounds)]
    title = "Mean of all loads so far, in the first round"
    return [
        Plot("Mean time to load a model", "bars", "", "ms", [Series("mean load", list(bars))]),
        Plot("Share of files found in the store", "bars", "", "%", [Series("hits", list(ratios))]),
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
    small = ", ".join(bodies.show_size(size) for size in SMALL)
    return [
        f"{scale.models} models of {scale.shards} shards of {shard} and small files ({small}) lie at an "
        f"origin {far.rtt * 1000:.0f} ms of round trip away at {far.rate_down * 8 / 1e6:.0f} Mbit/s "
        "(benchmarks/wire.py: slow start, 4 MiB a connection). Clients are beside the node.",
        "A load takes all files of one model side by side, over fresh connections, into memory; every byte "
        f"is checked when the clock has stopped. One load after the other, {scale.loads} in a round, models "
        f"drawn by Zipf({EXPONENT:g}).",
        "no cache: the clients ask the origin over the same link, past the node; only the first "
        f"{scale.sampled} loads of each round, since each costs the same.",
        f"memory: a node with cache.on_disk = false and a RAM tier of {memory_mib} MiB, room for "
        f"{scale.fitting:g} of {scale.models} models ({all_mib} MiB); memory_body is 16MiB, so that shards "
        "may lie in it. memory + disk: the same RAM tier over a disk with room for all, memory_body at its "
        "default of 1MiB: small files lie in RAM, shards are sent from the page cache.",
        Nginx().method,
        f"{scale.rounds} round(s), each with another trace, an empty store, and the modes in another order. "
        "Hits are by files, as Cache-Status tells them (nginx: files that the origin was not asked for); "
        "first loads are in all figures. Medians of rounds (least-greatest).",
        "The reference is what is reported of such tiers elsewhere, on other machines and links.",
    ]


def _tell(result: Result, rounds: Sequence[Round], scale: Scale, *, judged: bool) -> None:
    result.tables.append(_table(rounds))
    result.plots += _plots(rounds)
    result.limits += _limits(rounds, scale, judged=judged)
    samples: dict[str, list[float]] = {}
    for mode in measured(rounds):
        means, ratios = _each(rounds, mode)
        samples[f"{mode} mean load ms"] = means
        if mode != "no cache":
            samples[f"{mode} hit ratio"] = ratios
        result.data[mode] = [[asdict(load) for load in found[mode]] for found in rounds]
        result.failures += sorted(
            {f"{mode}: {load.problem}" for found in rounds for load in found.get(mode, []) if load.problem}
        )
    result.data["samples"] = samples
    result.skipped = list(dict.fromkeys(result.skipped))


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
    with scratch() as directory:
        rounds = [measure_round(directory, scale, number, result.skipped) for number in range(scale.rounds)]
    if missing := [mode for mode in MODES[:3] if mode not in measured(rounds)]:
        result.failures.append(f"not measured: {', '.join(missing)}")
    else:
        _tell(result, rounds, scale, judged=not options.quick)
    result.finish(options.dry or options.quick)


if __name__ == "__main__":
    main()
