"""What do ranges of a large cold object cost the origin and the client?"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from benchmarks import bodies, machine, range_costs
from benchmarks.origin import Origin
from benchmarks.peers import Peer
from benchmarks.range_costs import CLIENTS, FULL, PARALLEL, QUICK, RATES, Scale
from benchmarks.range_figures import report
from benchmarks.range_measured import Measured
from benchmarks.report import Result
from benchmarks.running import chosen, each, fitting, roomy, rounds, scratch

QUESTION = "What do ranges of a large cold object cost the origin and the client?"
PEERS = (
    "edgeproxy,nginx,nginx-slice,haproxy,varnish,squid,squid-whole,trafficserver,trafficserver-slice,direct"
)
PEERS_QUICK = "edgeproxy,nginx-slice,direct"


def _measure(
    peers: list[Peer], directory: Path, origin: Origin, scale: Scale, result: Result
) -> dict[str, Measured]:
    """Rounds, interleaved. What did not come to an end in the first is not asked the same again."""
    found: dict[str, Measured] = {}
    first = 2 * len(RATES) * scale.first_objects * scale.first_size
    stored = scale.random_size + first + 2 * scale.parallel_size
    for turn in rounds(scale.rounds, result.skipped):
        left = [
            peer for peer in peers if not turn or (peer.name in found and not found[peer.name].was_stopped)
        ]
        for server in each(roomy(left, stored), directory / str(turn), origin, result.skipped):
            measured = found.setdefault(server.name, Measured())
            measured.parallel.append(range_costs.measure_parallel(server, origin, scale, turn))
            for rate in RATES:
                times = range_costs.measure_first_bytes(server, scale, rate, turn)
                measured.add_first_bytes(rate, times)
            origin.settle(scale.quiet_seconds, scale.settle_seconds_max)
            size = scale.random_size
            measured.random.append(range_costs.measure_random(server, origin, size, scale, turn))
            print(turn, server.name, measured.told(), flush=True)
    return found


def _method(scale: Scale, peers: list[Peer]) -> list[str]:
    quick = ["A short run: fewer peers, smaller bodies, one round."] if scale.rounds == 1 else []
    return [
        *quick,
        "The origin generates its bytes and notes each span it sends; clients check every byte. The server "
        "has one core, clients and origin the other. Servers run one after the other, each with an empty "
        f"store, and only while they are measured; {scale.rounds} round(s) of all of them. A server that "
        "could not bring all random ranges in its first round has no second one.",
        f"Parallel: a plain GET and, with {PARALLEL} clients that take the next range in order from one "
        "list, ranges (first in turn), of bodies never asked for.",
        f"First byte: {scale.first_objects} objects of {bodies.show_size(scale.first_size)} a round, asked "
        "for one after the other: 1 MiB anywhere in the first half, then 1 MiB in the second half, on new "
        "connections. Median (least-greatest). An origin that is paced shows who fetches bytes before those "
        f"asked for. What has not come after {scale.first_seconds_max:g} s is left out.",
        f"Random: {CLIENTS} connections, each asking for {scale.random_each} ranges one after the other, the "
        "same for every server; segments are of 4 MiB; origin bytes are taken when the origin is quiet or "
        f"{scale.settle_seconds_max:g} s after the last answer. A server is stopped after "
        f"{scale.random_seconds_max:g} s. Then the same ranges once more: what has been stored costs the "
        "origin nothing.",
        "Three ways are documented, and each server has those it offers: to fetch aligned slices (nginx and "
        "Traffic Server with their slice modules), to fetch the whole body for a range (nginx without "
        "slices, Varnish, Squid with range_offset_limit none), to pass the range through and store nothing "
        "(Squid and Traffic Server by default, HAProxy). direct is the origin without a cache.",
        *(peer.method for peer in peers),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and short; results are not written")
    parser.add_argument("--rounds", type=int, help=f"default {FULL.rounds}; with --quick {QUICK.rounds}")
    parser.add_argument("--peers", help=f"default {PEERS}; with --quick {PEERS_QUICK}")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    machine.pin(machine.load_core())
    scale = QUICK if options.quick else FULL
    scale = replace(scale, rounds=options.rounds or scale.rounds)
    peers = chosen(options.peers or (PEERS_QUICK if options.quick else PEERS))
    result = Result("ranges", QUESTION, [])
    with scratch() as directory, Origin() as origin:
        scale = replace(scale, random_size=fitting(scale.random_size, 1, directory, result.skipped))
        result.method = _method(scale, peers)
        found = _measure(peers, directory, origin, scale, result)
    report(result, found, scale)
    result.skipped = list(dict.fromkeys(result.skipped))
    result.finish(options.dry or options.quick)


if __name__ == "__main__":
    main()
