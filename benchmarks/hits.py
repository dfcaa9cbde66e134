"""How do cache hits compare with nginx proxy_cache and HAProxy cache, one core each?"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks import bodies, load, machine
from benchmarks.origin import Origin
from benchmarks.peers import Haproxy, Peer, Server
from benchmarks.report import Limit, Result, Table, median, ratio, spread
from benchmarks.running import chosen, prove_hit, scratch, started

CONNECTIONS = 64
MIDDLE = 256 << 10  # from here on a plain reader: wrk would be the limit
FULLY_BUSY = 0.9
LARGE = 256 << 20  # from here on one connection and a plain reader
_REQUIRED = {"nginx": {1 << 10: 2.0}, "nginx-plain": {1 << 10: 2.0}, "haproxy": {1 << 10: 1.0}}


def _measure(server: Server, target: str, seconds: int) -> dict[str, float]:
    size = bodies.size_of(target) or 0
    used, loaded, begun = server.cpu_seconds(), _load_seconds(), time.perf_counter()
    if size >= LARGE:
        run = load.stream(server.url + target, times=max(1, round(seconds / 2)))
    elif size >= MIDDLE:
        run = load.several(server.url + target, connections=CONNECTIONS, seconds=seconds)
    else:
        run = load.wrk(server.url + target, connections=CONNECTIONS, seconds=seconds)
    seconds_taken = time.perf_counter() - begun
    busy = (server.cpu_seconds() - used) / seconds_taken
    load_busy = (_load_seconds() - loaded) / seconds_taken
    return asdict(run) | {
        "requests_per_second": run.requests_per_second,
        "bytes_per_second": run.bytes_per_second,
        "failures": run.failures,
        "busy": busy,
        "load_busy": load_busy,
    }


def _load_seconds() -> float:
    """Processor time of the load so far: wrk is a child that has ended, the plain reader is ourselves."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _scenario(
    size: int, peers: list[Peer], directory: Path, options: argparse.Namespace, skipped: list[str]
) -> dict[str, list[dict[str, float]]]:
    """Rounds of one size, interleaved: every peer once, then every peer again."""
    target, label = bodies.path(size, "hit"), bodies.show_size(size)
    able = []
    for peer in peers:
        if why := peer.refuses(size):
            skipped.append(f"{peer.name} at {label}: {why}")
        else:
            able.append(peer)
    with Origin() as origin, started(able, directory / str(size), origin, skipped) as servers:
        for name, server in list(servers.items()):
            if why := prove_hit(server, origin, target):
                skipped.append(f"{name} at {label}: {why}")
                servers.pop(name).stop()
        figures: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
        for server in servers.values():
            _measure(server, target, 1)
        before = origin.counts().requests
        for _ in range(options.rounds):
            for name, server in servers.items():
                figures[name].append(_measure(server, target, options.seconds))
                print(f"{label:>8} {name:10} {_show(size, figures[name][-1])}", flush=True)
        if asked := origin.counts().requests - before:
            skipped.append(f"{label}: not all were hits, the origin saw {asked} requests while measuring")
        return figures


def _show(size: int, run: dict[str, float]) -> str:
    return (
        f"{run['requests_per_second']:9.0f} requests/s {run['bytes_per_second'] / 1e6:7.0f} MB/s "
        f"p50 {run['p50_us']:.0f} us p99 {run['p99_us']:.0f} us busy {run['busy']:.0%} load "
        f"{run['load_busy']:.0%} failed {run['failures']:.0f}"
    )


def _summary(size: int, figures: dict[str, list[dict[str, float]]]) -> Table:
    key, scale = ("requests_per_second", 1.0) if size < LARGE else ("bytes_per_second", 1e6)
    ours = [run[key] for run in figures.get("edgeproxy", [])]
    rows = []
    for name, runs in figures.items():
        rates = [run[key] / scale for run in runs]
        compared = f"{ratio(ours, [run[key] for run in runs]):.2f}" if ours else "-"
        rows.append(
            [
                name,
                spread(rates),
                f"{sorted(run['bytes_per_second'] for run in runs)[len(runs) // 2] / 1e6:.0f}",
                spread([run["p50_us"] / 1000 for run in runs], ".2f") if size < LARGE else "-",
                spread([run["p99_us"] / 1000 for run in runs], ".2f") if size < LARGE else "-",
                spread([run[key] / scale / run["busy"] for run in runs if run["busy"]]),
                spread([100 * run["busy"] for run in runs]),
                spread([100 * run["load_busy"] for run in runs]),
                f"{sum(run['failures'] for run in runs):.0f}",
                compared,
            ]
        )
    unit = "requests/s" if size < LARGE else "MB/s (one stream)"
    columns = [
        "server",
        unit,
        "MB/s",
        "p50 ms",
        "p99 ms",
        "per busy core",
        "server busy %",
        "load busy %",
        "failed",
        "edgeproxy / this",
    ]
    return Table(columns, rows, bodies.show_size(size))


def _limits(size: int, figures: dict[str, list[dict[str, float]]]) -> list[Limit]:
    key = "requests_per_second" if size < LARGE else "bytes_per_second"
    found = []
    for name, required in _REQUIRED.items():
        least = required.get(size, 0.0 if name == "haproxy" else 1.0)
        if not least:
            continue
        what, bar = f"{bodies.show_size(size)} hit against {name}", f">= {least:g}x"
        ours, theirs = figures.get("edgeproxy"), figures.get(name)
        if ours and theirs:
            got, how = ratio([run[key] for run in ours], [run[key] for run in theirs]), ""
            if min(median([run["busy"] for run in runs]) for runs in (ours, theirs)) < FULLY_BUSY:
                how = " by processor time"
                got = ratio(
                    [run[key] / run["busy"] for run in ours], [run[key] / run["busy"] for run in theirs]
                )
            found.append(Limit(what, bar, f"{got:.2f}x{how}", got >= least))
        else:
            found.append(Limit(what, bar, "-", None))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default 3)")
    parser.add_argument("--seconds", type=int, default=3, help="of each measured run (default 3)")
    parser.add_argument("--sizes", default="1KiB,64KiB,1MiB,1GiB", help="bodies, e.g. 1KiB,1MiB")
    parser.add_argument(
        "--peers", default="edgeproxy,nginx,nginx-plain,haproxy", help="in this order in every round"
    )
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    machine.pin(machine.load_core())
    peers = chosen(options.peers)
    result = Result(
        "hits",
        "How do cache hits compare with nginx proxy_cache and HAProxy cache, one core each?",
        [
            "All servers run at once on loopback, each with one worker or thread, pinned to one core; only "
            "one has "
            "load at a time. Load and origin are on another core. Access logs are off everywhere.",
            f"{options.rounds} interleaved rounds (A B C A B C) of {options.seconds} s after 1 s of "
            "warming; figures "
            "are medians (least-greatest), ratios the median of the ratios of each round.",
            f"Below {bodies.show_size(MIDDLE)}: `wrk -t1 -c{CONNECTIONS}`. From there: {CONNECTIONS} "
            "connections of a "
            "reader that takes up to 1 MiB a call, because wrk reads 8 KiB at a time and would be the "
            "limit. From "
            f"{bodies.show_size(LARGE)}: one connection of such a reader. Connections are kept alive.",
            "Before measuring, every server gave every byte right and was asked twice without the origin "
            "being "
            "asked; afterwards the origin is asked how many requests it saw.",
            "Busy is processor time by wall time: where the load is near 100 % and the server is not, the "
            "load was the "
            "limit; where neither is, something else had the core or both waited.",
            "Per busy core is the rate divided by the share of the core the server had. Limits are judged "
            "by it where a "
            f"server had less than {FULLY_BUSY:.0%} of its core, because then something other than the "
            "server was the "
            "limit.",
            *(peer.method for peer in peers),
            "HAProxy at 1 GiB: a cache of 4095 MB (the most it takes), since a body may have half of it; "
            "it answers "
            "from RAM while the others answer from files in the page cache.",
        ],
    )
    for size in [bodies.parse_size(text) for text in options.sizes.split(",")]:
        taking = [
            replace(peer, megabytes=4095) if isinstance(peer, Haproxy) and size >= LARGE else peer
            for peer in peers
        ]
        with scratch() as directory:
            figures = _scenario(size, taking, directory, options, result.skipped)
        if figures:
            result.data[str(size)] = figures
            result.tables.append(_summary(size, figures))
            result.limits += _limits(size, figures)
    result.skipped = list(dict.fromkeys(result.skipped))
    result.finish(options.dry)


if __name__ == "__main__":
    main()
