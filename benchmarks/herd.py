"""What does the origin see when many clients want one cold object?"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time

from benchmarks import bodies, machine, ranged
from benchmarks.herd_figures import SECONDS_MAX, Herd, report, row
from benchmarks.origin import Origin
from benchmarks.peers import Peer, Server
from benchmarks.ranged import Fetching, Part
from benchmarks.report import Result
from benchmarks.running import chosen, roomy, rounds, scratch, started

QUESTION = "What does the origin see when many clients want one cold object?"
PEERS = "edgeproxy,nginx,nginx-slice,haproxy,varnish,squid,trafficserver,trafficserver-slice,direct"
PEERS_QUICK = "edgeproxy,nginx,varnish"


class _Late:
    """A client in a process of its own, so that its clock does not wait for the loop of the herd."""

    def __init__(self, url: str, counts_url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.client", url, counts_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=machine.ROOT,
        )
        assert self._process.stdout
        self._process.stdout.readline()

    def join(self, after_seconds: float) -> dict[str, float] | None:
        """Have it ask so long from now and return the answer, None if it was not a right one."""
        try:
            said, _ = self._process.communicate(f"{after_seconds}\n", timeout=SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return None
        return json.loads(said) if said.strip() else None


async def _both(
    url: str, target: str, size: int, clients: int, late: _Late, join_after: float
) -> tuple[Fetching, dict[str, float] | None]:
    """The herd and the one who comes late, who keeps its own time: the loop of the herd is no clock."""
    joined = asyncio.create_task(asyncio.to_thread(late.join, join_after))
    await asyncio.sleep(0)
    queues = [iter([Part(0, size, whole=True)]) for _ in range(clients)]
    fetching = await ranged.fetch_parts(url, target, queues, clients, SECONDS_MAX)
    return fetching, await joined


def measure_herd(server: Server, origin: Origin, target: str, clients: int, join_after: float) -> Herd:
    """What one herd got, and what the origin saw of it."""
    size = bodies.size_of(target) or 1
    late = _Late(server.url + target, f"{origin.url}/-/counts")
    origin.reset()
    begun, used, loaded = time.perf_counter(), server.cpu_seconds(), _load_seconds(origin)
    fetching, answer = ranged.run(_both(server.url, target, size, clients, late, join_after))
    taken = time.perf_counter() - begun
    busy, load_busy = server.cpu_seconds() - used, _load_seconds(origin) - loaded
    counts = origin.counts()
    firsts = sorted(one.first_byte_seconds for one in fetching.fetched) or [SECONDS_MAX]
    return Herd(
        upstream_requests=counts.requests,
        origin_bytes=counts.body_bytes,
        origin_ratio=counts.body_bytes / size,
        complete=sum(not one.problem for one in fetching.fetched),
        wrong=sum("wrong" in one.problem for one in fetching.fetched),
        seconds=fetching.seconds,
        first_byte_ms_median=1000 * firsts[len(firsts) // 2],
        share_at_join=answer["origin_bytes"] / size if answer else 0.0,
        late_first_byte_ms=1000 * answer["first_byte_seconds"] if answer else None,
        late_seconds=answer["seconds"] if answer else None,
        peak_memory_mb=server.memory_bytes("VmHWM") / 1e6,
        busy=busy / taken,
        load_busy=load_busy / taken,
    )


def _load_seconds(origin: Origin) -> float:
    """Processor time so far of what shares the load's core: the herd, those who came late, the origin."""
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    return own + origin.cpu_seconds()


def _method(options: argparse.Namespace, join_after: float, peers: list[Peer]) -> list[str]:
    size, rate = bodies.parse_size(options.size), bodies.parse_size(options.rate)
    quick = ["A short run: fewer peers and clients, a smaller body, one round."] if options.quick else []
    return [
        *quick,
        f"{options.clients} clients ask at once for one cold object of {bodies.show_size(size)}, which the "
        f"origin gives at {bodies.show_size(rate)}/s to each request; every client checks every byte. Each "
        f"round has an object of its own; {options.rounds} round(s), servers in turn; medians "
        "(least-greatest).",
        f"One more client, a process of its own, asks {join_after:.1f} s later, while the fill still runs; "
        "its first byte is the first of the body.",
        "The server has one core; all clients and the origin share the other, so that where the server is "
        f"not busy, the clients are the limit of the whole time. A herd is stopped after {SECONDS_MAX:g} s.",
        "What collapses requests is turned on in every server that has it, and waits are short where they "
        "can be set; nginx's lock looks every 500 ms, which cannot. direct is the origin without a cache, "
        "and HAProxy does not collapse.",
        *(peer.method for peer in peers),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--size", default="32MiB")
    parser.add_argument("--rate", default="16MiB", help="bytes a second the origin gives to one request")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", help=f"default {PEERS}")
    parser.add_argument("--quick", action="store_true", help="small and short; results are not written")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    if options.quick:
        options.clients, options.size, options.rate, options.rounds = 40, "16MiB", "16MiB", 1
    machine.pin(machine.load_core())
    size, rate = bodies.parse_size(options.size), bodies.parse_size(options.rate)
    peers = chosen(options.peers or (PEERS_QUICK if options.quick else PEERS))
    join_after = size / rate / 2
    result = Result("herd", QUESTION, _method(options, join_after, peers))
    found: dict[str, list[Herd]] = {}
    with (
        scratch() as directory,
        Origin() as origin,
        started(roomy(peers, size * options.rounds), directory, origin, result.skipped) as servers,
    ):
        for turn in rounds(options.rounds, result.skipped):
            for name, server in servers.items():
                target = f"{bodies.path(size, f'herd-{turn}')}?rate={rate}"
                herd = measure_herd(server, origin, target, options.clients, join_after)
                found.setdefault(name, []).append(herd)
                print(" | ".join(row(name, [herd], options.clients)), flush=True)
    title = f"{options.clients} clients, one cold object of {bodies.show_size(size)}"
    report(result, found, options.clients, title)
    result.finish(options.dry or options.quick)


if __name__ == "__main__":
    main()
