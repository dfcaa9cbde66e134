"""How do cache hits compare with other caches, from RAM and from disk, one core each?"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from dataclasses import replace

from benchmarks import bodies, load, machine
from benchmarks.busy import FULLY_BUSY, watched
from benchmarks.ceiling import BOUND_SHARE
from benchmarks.client import Client, WrongBytes
from benchmarks.hit_figures import CEILING, LOAD_BOUND, Case, Figures, conclude
from benchmarks.origin import Origin
from benchmarks.peers import Haproxy, Peer, Server, adjusted
from benchmarks.plain_server import PlainServer
from benchmarks.report import Result
from benchmarks.running import chosen, prove_hit, roomy, scratch, started

QUESTION = "How do cache hits compare with other caches, from RAM and from disk, one core each?"
PEERS = "edgeproxy,nginx,nginx-plain,haproxy,varnish,squid,trafficserver"
PEERS_QUICK = "edgeproxy,nginx,haproxy"
CONNECTIONS = 64
MIDDLE = 256 << 10  # from here on a plain reader: wrk would be the limit
LARGE = 256 << 20  # from here on one connection and a plain reader
RAM_BYTES = 256 << 20
WARM_SECONDS = 0.3


def _measure(server: Server, origin: Origin, target: str, seconds: float) -> dict[str, float]:
    size = bodies.size_of(target) or 0
    asked = origin.counts().requests

    def run() -> load.Run:
        if size >= LARGE:
            return load.stream(server.url + target, seconds=seconds)
        if size >= MIDDLE:
            return load.several(server.url + target, connections=CONNECTIONS, seconds=seconds)
        return load.wrk(server.url + target, connections=CONNECTIONS, seconds=max(1, round(seconds)))

    found = watched(server, run)
    return found | {"origin_requests": origin.counts().requests - asked}


def _warm(server: Server, target: str) -> None:
    if (bodies.size_of(target) or 0) >= LARGE:
        load.stream(server.url + target, seconds=WARM_SECONDS)
    else:
        load.several(server.url + target, connections=CONNECTIONS, seconds=WARM_SECONDS)


def _equipped(peers: Sequence[Peer], cases: Sequence[Case], result: Result) -> list[Peer]:
    """The peers with a RAM tier of one size, or without one; those for the disk have room for all bodies."""
    if not cases[0].is_on_disk:
        # nginx has no tier in RAM of its own; what it answers with is in the page cache.
        return [adjusted(peer, ram_bytes=RAM_BYTES) for peer in peers]
    largest = max(case.size for case in cases)
    found: list[Peer] = []
    for peer in roomy(peers, sum(case.size for case in cases)):
        if peer.name == "nginx-plain":
            result.skipped.append(f"{peer.name} from disk: it is here for the smallest hits")
        elif not isinstance(peer, Haproxy):
            found.append(adjusted(peer, ram_bytes=0, cache="memory_body = 0"))
        elif largest >= LARGE:
            found.append(replace(peer, megabytes=4095, buffer_bytes=64 << 10))
        else:
            result.skipped.append(f"{peer.name} from disk: it has no store on disk")
    return found


def _able(case: Case, peers: Sequence[Peer], skipped: list[str]) -> list[str]:
    able = []
    for peer in peers:
        if isinstance(peer, Haproxy) and case.is_on_disk and case.size < LARGE:
            skipped.append(f"{peer.name} from disk below {bodies.show_size(LARGE)}: it has no store on disk")
        elif why := peer.refuses(case.size):
            skipped.append(f"{peer.name}, {case.label}: {why}")
        else:
            able.append(peer.name)
    return able


def _run_case(
    case: Case, servers: dict[str, Server], origin: Origin, options: argparse.Namespace, result: Result
) -> Figures:
    """Rounds of one case, interleaved: every peer once, then every peer again; bytes before and after."""
    target = bodies.path(case.size, "hit")
    figures: Figures = {}
    for name, server in servers.items():
        if name != CEILING and (why := prove_hit(server, origin, target)):
            _note(result, name, f"{name}, {case.label}: {why}")
        else:
            figures[name] = []
            if not options.quick:
                _warm(server, target)
    for _ in range(options.rounds):
        for name in figures:
            run = _measure(servers[name], origin, target, options.seconds)
            figures[name].append(run)
            print(f"{case.label:16} {name:13} {_show(run)}", flush=True)
            if run["failures"] or run["origin_requests"]:
                said = (
                    f"{run['failures']:.0f} requests failed, {run['origin_requests']:.0f} went to the origin"
                )
                _note(
                    result, name, f"{name}, {case.label}: of {run['requests']:.0f} requests for hits {said}"
                )
    for name in figures if case.size < LARGE else ():
        try:
            with Client(servers[name].url) as client:
                client.get(target)
        except (WrongBytes, OSError) as error:
            _note(result, name, f"{name}, {case.label}, afterwards: {type(error).__name__}: {error}")
    return figures


def _note(result: Result, name: str, said: str) -> None:
    """What went wrong is told of a peer; when it is the node, the run has failed."""
    (result.failures if name == "edgeproxy" else result.skipped).append(said)


def _show(run: dict[str, float]) -> str:
    return (
        f"{run['requests_per_second']:9.0f} requests/s {run['bytes_per_second'] / 1e6:7.0f} MB/s "
        f"p50 {run['p50_us']:.0f} us p99 {run['p99_us']:.0f} us busy {run['busy']:.0%} load "
        f"{run['load_busy']:.0%} failed {run['failures']:.0f}"
    )


def _run_tier(
    cases: list[Case], peers: list[Peer], origin: Origin, options: argparse.Namespace, result: Result
) -> dict[Case, Figures]:
    """All servers up at once, with or without their tier in RAM, and one case after the other."""
    equipped = _equipped(peers, cases, result)
    found: dict[Case, Figures] = {}
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(scratch())
        servers = stack.enter_context(started(equipped, directory, origin, result.skipped))
        plain = None if options.quick else stack.enter_context(PlainServer(machine.server_core()))
        for case in cases:
            able = _able(case, equipped, result.skipped)
            taking = {name: server for name, server in servers.items() if name in able}
            if plain and case.size < LARGE:
                taking[CEILING] = Server(CEILING, plain.url, None)
            found[case] = _run_case(case, taking, origin, options, result)
            result.data[case.label] = found[case]
    return found


def _method(options: argparse.Namespace, peers: list[Peer]) -> list[str]:
    quick = ["A short run: fewer peers, sizes and rounds, without warming."] if options.quick else []
    return [
        *quick,
        "All servers run at once on loopback, each with one worker or thread, pinned to one core; only one "
        "has load at a time. Load and origin are on another core. Access logs are off everywhere.",
        f"{options.rounds} interleaved rounds (A B C A B C) of {options.seconds:g} s"
        + ("" if options.quick else " after warming")
        + "; figures are medians (least-greatest), ratios the median of the ratios of each round.",
        f"RAM: every server that has a cache in RAM has one of {RAM_BYTES >> 20} MiB and the body is in it "
        "(Varnish with malloc storage; nginx has none and answers from files in the page cache; edgeproxy "
        "does so beyond 256 KiB). Disk: those caches are off and bodies are files in the page cache, which "
        "is what a store much larger than RAM tiers has for what is popular (Varnish with file storage, a "
        "mapped file; edgeproxy with memory_body = 0, so that no body is in RAM).",
        f"Below {bodies.show_size(MIDDLE)}: `wrk -t1 -c{CONNECTIONS}`. From there: {CONNECTIONS} "
        "connections of a reader that takes up to 1 MiB a call, because wrk reads 8 KiB at a time and would "
        f"be the limit. From {bodies.show_size(LARGE)}: one connection of such a reader. Connections are "
        "kept alive, and all ask for one object.",
        "Before measuring, every server gave every byte right and was asked twice without the origin being "
        "asked; afterwards every byte is checked again, and the origin is asked how many requests it saw.",
        f"Busy is processor time by wall time. {CEILING}: the same load on the least a server can do, a "
        "program that only sends known bytes. Where a server comes within "
        f"{1 - BOUND_SHARE:.0%} of that (and the load was busy there), or where the load was busy from "
        f"{LOAD_BOUND:.0%} and the server below {FULLY_BUSY:.0%}, the load was the limit, which is told "
        "below the tables; where neither was busy, something else had the core or both waited.",
        "Per busy core is the rate divided by the share of the core the server had. Limits are judged by it "
        f"where a server had less than {FULLY_BUSY:.0%} of its core, because then something other than the "
        "server was the limit.",
        *(peer.method for peer in peers),
        "HAProxy at 1 GiB: a cache of 4095 MB (the most it takes), since a body may have half of it, and "
        "tune.bufsize 64 KiB; it answers from RAM while the others answer from files in the page cache. "
        "Below that tune.bufsize is its default, as its manual advises; 64 KiB would bring a third more at "
        "1 MiB and a little less at 1 KiB.",
    ]


def _cases(ram: str, disk: str) -> list[list[Case]]:
    """What is asked of the RAM tiers and of the disks, without a tier that has none."""
    tiers = [
        [Case(bodies.parse_size(size), is_on_disk) for size in sizes.split(",") if size]
        for sizes, is_on_disk in ((ram, False), (disk, True))
    ]
    return [cases for cases in tiers if cases]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, help="interleaved rounds (default 3; 1 with --quick)")
    parser.add_argument("--seconds", type=float, help="of each measured run (default 1)")
    parser.add_argument("--ram", help="bodies in RAM (default 1KiB,64KiB,1MiB; 1KiB with --quick)")
    parser.add_argument("--disk", help="bodies on disk (default 64KiB,1MiB,1GiB; 1MiB with --quick)")
    parser.add_argument("--peers", help=f"in this order in every round (default {PEERS})")
    parser.add_argument("--quick", action="store_true", help="seconds only; results are not written")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    machine.pin(machine.load_core())
    peers = chosen(options.peers or (PEERS_QUICK if options.quick else PEERS))
    if options.quick:  # HAProxy is soon up with a small cache
        peers = [adjusted(peer, megabytes=16) for peer in peers]
    options.seconds = options.seconds or (0.5 if options.quick else 1.0)  # of wrk it is at least 1
    options.rounds = options.rounds or (1 if options.quick else 3)
    default = ("1KiB", "1MiB") if options.quick else ("1KiB,64KiB,1MiB", "64KiB,1MiB,1GiB")
    ram = default[0] if options.ram is None else options.ram
    disk = default[1] if options.disk is None else options.disk
    result = Result("hits", QUESTION, _method(options, peers))
    found: dict[Case, Figures] = {}
    with Origin() as origin:
        for cases in _cases(ram, disk):
            found |= _run_tier(cases, peers, origin, options, result)
    conclude(result, found)
    result.skipped = list(dict.fromkeys(result.skipped))
    result.finish(options.dry or options.quick)


if __name__ == "__main__":
    main()
