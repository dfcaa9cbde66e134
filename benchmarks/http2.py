"""How do cache hits over HTTP/2 compare with nginx proxy_cache and HAProxy cache, one core each?"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from benchmarks import bodies, load, machine
from benchmarks.busy import FULLY_BUSY, judged, watched
from benchmarks.origin import Origin
from benchmarks.peers import Peer, Server
from benchmarks.report import Limit, Result, Table, median, ratio, spread
from benchmarks.running import chosen, prove_hit, scratch, started
from benchmarks.side_by_side import case, tell


@dataclass(frozen=True, slots=True)
class Load:
    """`requests` in one measured run on a server as fast as ours, of bodies of `size` bytes."""

    label: str
    size: int
    connections: int
    streams: int
    requests: int


LOADS = (
    Load("1 KiB, 8 connections x 16 streams", 1 << 10, 8, 16, 400_000),
    Load("1 KiB, 4 connections x 100 streams", 1 << 10, 4, 100, 400_000),
    Load("64 KiB, 8 connections x 16 streams", 64 << 10, 8, 16, 40_000),
    Load("1 MiB, 8 connections x 4 streams", 1 << 20, 8, 4, 4_000),
    Load("256 MiB from disk, one stream", 256 << 20, 1, 1, 12),
)


def _measure(server: Server, target: str, load_: Load, requests: int) -> dict[str, float]:
    return watched(
        server,
        lambda: load.h2load(
            server.http2_url + target,
            connections=load_.connections,
            streams=load_.streams,
            requests=requests,
        ),
    )


def _scenario(
    load_: Load, peers: list[Peer], directory: Path, rounds: int, scale: float, skipped: list[str]
) -> dict[str, list[dict[str, float]]]:
    """Rounds of one load, interleaved: every peer once, then every peer again."""
    target = bodies.path(load_.size, "hit")
    able = []
    for peer in peers:
        if why := peer.refuses(load_.size):
            skipped.append(f"{peer.name} at {load_.label}: {why}")
        else:
            able.append(peer)
    with Origin() as origin, started(able, directory, origin, skipped) as servers:
        for name, server in list(servers.items()):
            if why := prove_hit(server, origin, target):
                skipped.append(f"{name} at {load_.label}: {why}")
                servers.pop(name).stop()
        requests = max(load_.connections * load_.streams, int(load_.requests * scale))
        figures: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
        for server in servers.values():
            _measure(server, target, load_, max(load_.connections * load_.streams, requests // 10))
        before = origin.counts().requests
        for _ in range(rounds):
            for name, server in servers.items():
                figures[name].append(_measure(server, target, load_, requests))
                print(f"{load_.label:40} {name:12} {_show(figures[name][-1])}", flush=True)
        if asked := origin.counts().requests - before:
            skipped.append(f"{load_.label}: not all were hits, the origin saw {asked} requests")
        return figures


def _show(run: dict[str, float]) -> str:
    return (
        f"{run['requests_per_second']:9.0f} requests/s {run['bytes_per_second'] / 1e6:7.0f} MB/s busy "
        f"{run['busy']:.0%} load {run['load_busy']:.0%} failed {run['failures']:.0f}"
    )


def _summary(load_: Load, figures: dict[str, list[dict[str, float]]]) -> Table:
    ours = [run["requests_per_second"] for run in figures.get("edgeproxy", [])]
    rows = []
    for name, runs in figures.items():
        rates = [run["requests_per_second"] for run in runs]
        rows.append(
            [
                name,
                spread(rates, ".0f" if load_.size < 1 << 20 else ".1f"),
                f"{median([run['bytes_per_second'] for run in runs]) / 1e6:.0f}",
                spread([run["p50_us"] / 1000 for run in runs], ".2f"),
                spread([run["requests_per_second"] / run["busy"] for run in runs if run["busy"]]),
                spread([100 * run["busy"] for run in runs]),
                spread([100 * run["load_busy"] for run in runs]),
                f"{sum(run['failures'] for run in runs):.0f}",
                f"{ratio(ours, rates):.2f}" if ours else "-",
            ]
        )
    columns = [
        "server",
        "requests/s",
        "MB/s",
        "mean ms",
        "per busy core",
        "server busy %",
        "load busy %",
        "failed",
        "edgeproxy / this",
    ]
    return Table(columns, rows, load_.label)


def _limit(load_: Load, figures: dict[str, list[dict[str, float]]]) -> Limit:
    what = f"{load_.label}, against nginx"
    ours, theirs = figures.get("edgeproxy"), figures.get("nginx")
    if not ours or not theirs:
        return Limit(what, ">= 1x", "-", None)
    got, how = judged(ours, theirs, "requests_per_second")
    return Limit(what, ">= 1x", f"{got:.2f}x{how}", got >= 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default 3)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of requests (default 1)")
    parser.add_argument(
        "--loads", default="", help="which, by their numbers from 1, e.g. 1,3; all by default"
    )
    parser.add_argument("--peers", default="edgeproxy,nginx,haproxy", help="in this order in every round")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    machine.pin(machine.load_core())
    peers = chosen(options.peers)
    wanted = [int(number) - 1 for number in options.loads.split(",") if number] or range(len(LOADS))
    result = Result(
        "http2",
        "How do cache hits over HTTP/2 compare with nginx proxy_cache and HAProxy cache, one core each?",
        [
            "All servers run at once on loopback, each with one worker or thread, pinned to one core; only "
            "one has load at a time. h2load (one thread) and origin are on another core. HTTP/2 by prior "
            "knowledge, without TLS; access logs are off everywhere.",
            f"{options.rounds} interleaved rounds (A B C A B C) after a tenth of one for warming; figures "
            "are medians (least-greatest), ratios the median of the ratios of each round.",
            "Before measuring, every server gave every byte right and was asked twice without the origin "
            "being asked; afterwards the origin is asked how many requests it saw.",
            "Busy is processor time by wall time; per busy core is the rate divided by the share of the core "
            "the server had. Limits are judged by it where a server had less than "
            f"{FULLY_BUSY:.0%} of its core, because then something other than the server was the limit.",
            *(peer.method for peer in peers),
        ],
    )
    cases = []
    for number in wanted:
        load_ = LOADS[number]
        with scratch() as directory:
            figures = _scenario(load_, peers, directory, options.rounds, options.scale, result.skipped)
        if figures:
            result.data[load_.label] = figures
            result.tables.append(_summary(load_, figures))
            result.limits.append(_limit(load_, figures))
            cases.append(case(load_.label, "requests/s", figures, "requests_per_second"))
    tell(result, "HTTP/2 hits of", cases)
    result.skipped = list(dict.fromkeys(result.skipped))
    result.finish(options.dry)


if __name__ == "__main__":
    main()
