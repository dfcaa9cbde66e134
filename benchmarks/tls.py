"""How do hits over TLS, and TLS handshakes, compare with nginx, one core each?"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import bodies, load, machine
from benchmarks.busy import FULLY_BUSY, judged, watched
from benchmarks.origin import Origin
from benchmarks.peers import Edgeproxy, Nginx, Peer, Server
from benchmarks.report import Limit, Result, Table, median, ratio, spread
from benchmarks.running import chosen, prove_hit, scratch, started
from benchmarks.side_by_side import case, tell
from edgeproxy.serving.self_signed import make

CONNECTIONS = 64
FRESH = 2000


@dataclass(frozen=True, slots=True)
class Load:
    """How bodies of `size` bytes are asked for: "kept" connections, one "stream", "http2" (8 connections of
    16 streams), or "fresh": each connection asks once, all of them at once."""

    label: str
    size: int
    how: str

    @property
    def unit(self) -> str:
        return "MB/s (one stream)" if self.how == "stream" else "requests/s"

    @property
    def key(self) -> str:
        return "bytes_per_second" if self.how == "stream" else "requests_per_second"


LOADS = (
    Load("1 KiB", 1 << 10, "kept"),
    Load("64 KiB", 64 << 10, "kept"),
    Load("1 MiB", 1 << 20, "kept"),
    Load("1 GiB", 1 << 30, "stream"),
    Load("1 KiB over HTTP/2", 1 << 10, "http2"),
    Load("handshakes, each with a request of 1 KiB", 1 << 10, "fresh"),
)


def _measure(server: Server, load_: Load, seconds: int) -> dict[str, float]:
    url = server.secure_url + bodies.path(load_.size, "hit")

    def run() -> load.Run:
        match load_.how:
            case "stream":
                return load.stream(url, times=max(1, round(seconds / 2)))
            case "http2":
                return load.h2load(url, connections=8, streams=16, requests=20_000 * seconds)
            case "fresh":
                return load.h2load(url, connections=FRESH, streams=1, requests=FRESH, http1=True)
            case _:
                return load.wrk(url, connections=CONNECTIONS, seconds=seconds)

    return watched(server, run)


def _scenario(
    load_: Load, peers: list[Peer], directory: Path, options: argparse.Namespace, skipped: list[str]
) -> dict[str, list[dict[str, float]]]:
    """Rounds of one load, interleaved: every peer once, then every peer again."""
    target = bodies.path(load_.size, "hit")
    with Origin() as origin, started(peers, directory, origin, skipped) as servers:
        for name, server in list(servers.items()):
            if why := prove_hit(server, origin, target):
                skipped.append(f"{name} at {load_.label}: {why}")
                servers.pop(name).stop()
        figures: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
        for server in servers.values():
            _measure(server, load_, 1)
        before = origin.counts().requests
        for _ in range(options.rounds):
            for name, server in servers.items():
                figures[name].append(_measure(server, load_, options.seconds))
                print(f"{load_.label:36} {name:10} {_show(figures[name][-1])}", flush=True)
        if asked := origin.counts().requests - before:
            skipped.append(f"{load_.label}: not all were hits, the origin saw {asked} requests")
        return figures


def _show(run: dict[str, float]) -> str:
    return (
        f"{run['requests_per_second']:9.1f} requests/s {run['bytes_per_second'] / 1e6:7.0f} MB/s busy "
        f"{run['busy']:.0%} load {run['load_busy']:.0%} failed {run['failures']:.0f}"
    )


def _summary(load_: Load, figures: dict[str, list[dict[str, float]]]) -> Table:
    scale = 1e6 if load_.how == "stream" else 1.0
    ours = figures.get("edgeproxy", [])
    rows = []
    for name, runs in figures.items():
        rates = [run[load_.key] / scale for run in runs]
        by_time = [run[load_.key] / scale / run["busy"] for run in runs if run["busy"]]
        rows.append(
            [
                name,
                spread(rates),
                f"{median([run['bytes_per_second'] for run in runs]) / 1e6:.0f}",
                spread([run["p99_us"] / 1000 for run in runs], ".2f")
                if load_.how in ("kept", "fresh")
                else "-",
                spread(by_time),
                spread([100 * run["busy"] for run in runs]),
                spread([100 * run["load_busy"] for run in runs]),
                f"{sum(run['failures'] for run in runs):.0f}",
                f"{ratio([run[load_.key] / scale for run in ours], rates):.2f}" if ours else "-",
            ]
        )
    columns = [
        "server",
        load_.unit,
        "MB/s",
        "p99 ms",
        "per busy core",
        "server busy %",
        "load busy %",
        "failed",
        "edgeproxy / this",
    ]
    return Table(columns, rows, load_.label)


def _limit(load_: Load, figures: dict[str, list[dict[str, float]]]) -> Limit:
    what = f"{load_.label} against nginx"
    ours, theirs = figures.get("edgeproxy"), figures.get("nginx")
    if not ours or not theirs:
        return Limit(what, ">= 1x", "-", None)
    got, how = judged(ours, theirs, load_.key)
    return Limit(what, ">= 1x", f"{got:.2f}x{how}", got >= 1)


def _with_certificate(peer: Peer, file: Path) -> Peer:
    if isinstance(peer, Edgeproxy | Nginx):
        return replace(peer, certificate=str(file))
    raise SystemExit(f"{peer.name} has no TLS here")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default 3)")
    parser.add_argument("--seconds", type=int, default=3, help="of each measured run (default 3)")
    parser.add_argument("--loads", default="", help="only those whose name holds this")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    machine.pin(machine.load_core())
    result = Result(
        "tls",
        "How do hits over TLS, and TLS handshakes, compare with nginx, one core each?",
        [
            "Both servers run at once on loopback, each with one worker, pinned to one core; only one has "
            "load at a time. Load and origin are on another core. Access logs are off.",
            "Both have the same certificate (ECDSA P-256) and ciphers; what is spoken is TLS 1.3 with "
            "AES-256-GCM. There is no kernel TLS on this machine.",
            f"{options.rounds} interleaved rounds (A B A B) of {options.seconds} s after 1 s of warming; "
            "figures are medians (least-greatest), ratios the median of the ratios of each round.",
            f"Up to 1 MiB: `wrk -t1 -c{CONNECTIONS}`. 1 GiB: one connection of a plain reader, from disk "
            "(page cache). HTTP/2: `h2load -c8 -m16`. Handshakes: "
            f"`h2load --h1 -n{FRESH} -c{FRESH}`, that is "
            f"{FRESH} clients who connect at once, ask once and leave; no session is taken up.",
            "The load deciphers what the server has enciphered, and verifies what it has signed, so it is "
            "often the limit: per busy core is the rate divided by the share of its core the server had, and "
            f"limits are judged by it where a server had less than {FULLY_BUSY:.0%} of its core.",
            "Before measuring, both gave every byte right and were asked twice without the origin being "
            "asked.",
        ],
    )
    cases = []
    for load_ in LOADS:
        if options.loads not in load_.label:
            continue
        with scratch() as directory:
            file = directory / "both.pem"
            file.write_bytes(b"".join(make(["localhost", "127.0.0.1"], time.time())))
            peers = [_with_certificate(peer, file) for peer in chosen("edgeproxy,nginx")]
            figures = _scenario(load_, peers, directory, options, result.skipped)
        if figures:
            result.data[load_.label] = figures
            result.tables.append(_summary(load_, figures))
            result.limits.append(_limit(load_, figures))
            cases.append(case(load_.label, load_.unit, figures, load_.key))
    tell(result, "over TLS:", cases)
    result.skipped = list(dict.fromkeys(result.skipped))
    result.finish(options.dry)


if __name__ == "__main__":
    main()
