"""What does the origin see when many clients want one cold object?"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

from benchmarks import bodies, machine, ranged
from benchmarks.origin import Origin
from benchmarks.peers import Peer, Server
from benchmarks.ranged import Fetching, Part
from benchmarks.report import Comparison, Limit, Plot, Result, Series, Table, median, spread
from benchmarks.running import chosen, roomy, rounds, scratch, started

QUESTION = "What does the origin see when many clients want one cold object?"
PEERS = "edgeproxy,nginx,nginx-slice,haproxy,varnish,squid,trafficserver,trafficserver-slice,direct"
PEERS_QUICK = "edgeproxy,nginx,varnish"
SECONDS_MAX = 25.0
RATIO_MAX = 1.001
LATE_MAX_MS = 20.0
BUSY, LOAD_BOUND = 0.9, 0.97
SPARED_MAX = 1.1
SAME = 1.05  # the origin's pace is the least that any of them takes


@dataclass(frozen=True, slots=True)
class Herd:
    """One herd. `late_*` are of the client that came when `share_at_join` of the body had left the origin;
    None if it had no right answer. `busy` and `load_busy` are shares of the two cores."""

    upstream_requests: int
    origin_bytes: int
    origin_ratio: float
    complete: int
    wrong: int
    seconds: float
    first_byte_ms_median: float
    share_at_join: float
    late_first_byte_ms: float | None
    late_seconds: float | None
    peak_memory_mb: float
    busy: float
    load_busy: float


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


def _run(server: Server, origin: Origin, target: str, clients: int, join_after: float) -> Herd:
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


def _row(name: str, herds: list[Herd], clients: int) -> list[str]:
    lates = [herd.late_first_byte_ms for herd in herds if herd.late_first_byte_ms is not None]
    wholes = [herd.late_seconds for herd in herds if herd.late_seconds is not None]
    unanswered = len(herds) - len(lates)
    memory = max(herd.peak_memory_mb for herd in herds)
    return [
        name,
        spread([herd.upstream_requests for herd in herds]),
        spread([herd.origin_ratio for herd in herds], ".4f"),
        f"{sum(herd.complete for herd in herds)} of {clients * len(herds)}",
        str(sum(herd.wrong for herd in herds)),
        spread([herd.seconds for herd in herds], ".1f")
        + (" (stopped)" if any(herd.seconds >= SECONDS_MAX for herd in herds) else ""),
        spread([herd.first_byte_ms_median for herd in herds]),
        f"{median([herd.share_at_join for herd in herds]):.0%}",
        (spread(lates, ".1f") if lates else "")
        + (f"{'; ' if lates else ''}no answer {unanswered}x" if unanswered else ""),
        spread(wholes, ".1f") if wholes else "-",
        f"{memory:.0f}" if memory else "-",
        f"{100 * median([herd.busy for herd in herds]):.0f}" if memory else "-",
    ]


_COLUMNS = [
    "server",
    "origin requests",
    "origin bytes / body",
    "right and whole",
    "wrong bytes",
    "all done s",
    "first byte ms",
    "late joiner at",
    "its first byte ms",
    "its whole body s",
    "peak memory MB",
    "server busy %",
]


def _limits(herds: list[Herd], clients: int) -> list[Limit]:
    lates = [herd.late_first_byte_ms for herd in herds]
    known = [late for late in lates if late is not None]
    ratio = max(herd.origin_ratio for herd in herds)
    complete = min(herd.complete for herd in herds)
    is_whole = complete == clients
    late_said = spread(known, ".1f") + " ms" if known else "no answer"
    return [
        Limit("origin bytes / body bytes", f"<= {RATIO_MAX}", f"{ratio:.4f}", 0 < ratio <= RATIO_MAX),
        Limit("clients with the right whole body", str(clients), str(complete), is_whole),
        Limit(
            "late joiner's first byte, median",
            f"<= {LATE_MAX_MS:g} ms",
            late_said,
            len(known) == len(lates) and median(known) <= LATE_MAX_MS,
        ),
    ]


def _against(found: dict[str, list[Herd]], result: Result) -> None:
    """Limits that no other server that spares the origin is sooner, and comparisons with those."""
    ours = found.get("edgeproxy")
    others = {name: herds for name, herds in found.items() if name not in ("edgeproxy", "direct")}
    if not ours:
        return
    for what, unit, key in (
        ("a herd on one cold object: all served", "s", "seconds"),
        ("a herd on one cold object: first byte of a late joiner", "ms", "late_first_byte_ms"),
        ("a herd on one cold object: origin bytes / body", "times", "origin_ratio"),
    ):
        mine = _values(ours, key)
        # Sooner at the price of the origin's bytes is no comparison.
        theirs = {
            name: values
            for name, herds in others.items()
            if (values := _values(herds, key)) and (key == "origin_ratio" or _spares(herds))
        }
        if not mine or not theirs:
            continue
        result.comparisons += [
            Comparison(what, median(mine), median(values), name, unit, less_is_better=True)
            for name, values in theirs.items()
        ]
        if key == "origin_ratio":
            continue
        best = min(theirs, key=lambda name: median(theirs[name]))
        least = median(theirs[best])
        measured = f"{median(mine):.1f} {unit}, {best} {least:.1f} {unit}"
        is_met = median(mine) <= SAME * least
        result.limits.append(Limit(f"{what}, against the best", f"<= {SAME}x", measured, is_met))


def _spares(herds: list[Herd]) -> bool:
    return median([herd.origin_ratio for herd in herds]) <= SPARED_MAX


def _values(herds: list[Herd], key: str) -> list[float]:
    """Of herds that were all served."""
    values = [getattr(herd, key) for herd in herds if herd.seconds < SECONDS_MAX]
    return values if len(values) == len(herds) and None not in values else []


def _report(found: dict[str, list[Herd]], options: argparse.Namespace, result: Result) -> None:
    clients = options.clients
    samples: dict[str, list[float]] = {}
    result.data |= {name: [asdict(herd) for herd in herds] for name, herds in found.items()}
    result.data["samples"] = samples
    for name, herds in found.items():
        samples[f"{name} herd of {clients} s"] = [herd.seconds for herd in herds]
        samples[f"{name} herd origin bytes"] = [herd.origin_bytes for herd in herds]
        samples[f"{name} herd clients failed"] = [clients - herd.complete for herd in herds]
        if lates := _values(herds, "late_first_byte_ms"):
            samples[f"{name} late joiner's first byte ms"] = lates
        busy, load_busy = (median([getattr(herd, key) for herd in herds]) for key in ("busy", "load_busy"))
        if name != "direct" and busy < BUSY and load_busy >= LOAD_BOUND:
            result.bounded.append(f"{name}, all done")
    title = f"{clients} clients, one cold object of {bodies.show_size(bodies.parse_size(options.size))}"
    result.tables.append(
        Table(_COLUMNS, [_row(name, herds, clients) for name, herds in found.items()], title)
    )
    for herd in found.get("edgeproxy", []):
        if herd.complete < clients or herd.late_first_byte_ms is None:
            result.failures.append(
                f"edgeproxy: {herd.complete} of {clients} clients had the right whole body "
                f"({herd.wrong} wrong), the late one {'not ' if herd.late_first_byte_ms is None else ''}so"
            )
    if ours := found.get("edgeproxy"):
        result.limits += _limits(ours, clients)
    _against(found, result)
    for what, unit, key in (
        ("Origin bytes by body bytes", "times", "origin_ratio"),
        ("First byte of a late joiner", "ms", "late_first_byte_ms"),
        ("All clients served", "s", "seconds"),
    ):
        points = [(name, median(values)) for name, herds in found.items() if (values := _values(herds, key))]
        # Every server is a bar of its own name.
        series = [Series("median", [*points])]
        result.plots.append(Plot(what, "bars", "server", unit, series, is_y_log=key != "seconds"))


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
                herd = _run(server, origin, target, options.clients, join_after)
                found.setdefault(name, []).append(herd)
                print(" | ".join(_row(name, [herd], options.clients)), flush=True)
    _report(found, options, result)
    result.finish(options.dry or options.quick)


if __name__ == "__main__":
    main()
