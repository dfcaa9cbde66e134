"""How much later does a cold small object come through the node than directly?"""

from __future__ import annotations

import argparse
import statistics

from benchmarks import bodies, machine
from benchmarks.client import Client
from benchmarks.origin import Origin
from benchmarks.report import Limit, Result, Table, spread
from benchmarks.running import chosen, scratch, started

LIMIT_MS = 2.0


def _ask(url: str, targets: list[str]) -> list[float]:
    """Milliseconds of each answer, one after the other on one connection."""
    with Client(url) as client:
        client.get(targets[0] + "-warming")
        return [client.get(target).seconds * 1000 for target in targets]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=200, help="unique URLs in each round (default 200)")
    parser.add_argument("--size", default="1KiB")
    parser.add_argument("--peers", default="edgeproxy,nginx,haproxy")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    machine.pin(machine.load_core())
    size = bodies.parse_size(options.size)
    peers = chosen("direct," + options.peers)
    result = Result(
        "cold",
        "How much later does a cold small object come through the node?",
        [
            f"{options.rounds} interleaved rounds; in each, every server is asked for {options.requests} "
            "URLs of "
            f"{bodies.show_size(size)} it has never seen, one after the other on one keep-alive connection; "
            "every byte "
            "is checked. Time is from before the request to after the last byte.",
            "Added is the difference of the medians of a round to those of asking the origin itself. Each "
            "server is on "
            "one core; client and origin share the other. The origin must see every request exactly once.",
            *(peer.method for peer in peers),
        ],
    )
    medians: dict[str, list[float]] = {}
    slow: dict[str, list[float]] = {}
    with (
        scratch() as directory,
        Origin() as origin,
        started(peers, directory, origin, result.skipped) as servers,
    ):
        for turn in range(options.rounds):
            for name, server in servers.items():
                origin.reset()
                times = _ask(
                    server.url,
                    [bodies.path(size, f"cold-{name}-{turn}-{i}") for i in range(options.requests)],
                )
                if (asked := origin.counts().requests) != options.requests + 1:
                    result.skipped.append(
                        f"{name}: the origin saw {asked} requests for {options.requests + 1}"
                    )
                medians.setdefault(name, []).append(statistics.median(times))
                slow.setdefault(name, []).append(statistics.quantiles(times, n=100)[98])
    added = {
        name: [mine - base for mine, base in zip(values, medians["direct"], strict=True)]
        for name, values in medians.items()
    }
    rows = [
        [name, spread(medians[name], ".3f"), spread(slow[name], ".3f"), spread(added[name], ".3f")]
        for name in medians
    ]
    result.tables.append(Table(["server", "median ms", "p99 ms", "added at the median ms"], rows))
    if "edgeproxy" in added:
        got = statistics.median(added["edgeproxy"])
        result.limits.append(
            Limit(
                "added latency of a cold small object", f"<= {LIMIT_MS} ms", f"{got:.3f} ms", got <= LIMIT_MS
            )
        )
    result.data = {"median_ms": medians, "p99_ms": slow, "added_ms": added}
    result.finish(options.dry)


if __name__ == "__main__":
    main()
