"""What do 500, 1 000 and 2 000 users at once, 100 to 500 ms away, see of one node?"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from benchmarks import bodies, ceiling, load, machine, records
from benchmarks.generator import Outcome, Plan, run
from benchmarks.generator.targets import order
from benchmarks.generator.watch import Used
from benchmarks.link import Distance, LinkProcess
from benchmarks.peers import Absent, Edgeproxy, Server
from benchmarks.plain_server import PlainServer
from benchmarks.report import Limit, Plot, Result, Series, Table, median, spread
from benchmarks.running import scratch

QUESTION = "What do 500, 1 000 and 2 000 users at once, 100 to 500 ms away, see of one node?"
USERS = (500, 1000, 2000)
RTT = (0.1, 0.5)
LINKED_USERS, LINKED_RTT = 500, 0.3
SIZES = (1 << 10, 4 << 10, 16 << 10, 64 << 10)
_WEIGHTS = (50, 30, 15, 5)
OBJECTS, CALLS_OF_100, SEQUENCE = 400, 5, 20_000
ADDRESSES = 50

# What the service has set itself, and the success of the reference.
WAITED_MAX = 0.1
SUCCESS, P95_MS, RATE, ERRORS, CPU, MEMORY = 0.987, 200.0, 1500.0, 0.005, 0.75, 0.80


@dataclass(slots=True)
class Measured:
    """The rounds of one number of users."""

    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def used(self) -> list[Used]:
        """What the node took in each."""
        return [one.used["node"] for one in self.outcomes]

    @property
    def success(self) -> float:
        """Of all rounds together."""
        right = sum(one.requests for one in self.outcomes)
        made = right + sum(one.failed for one in self.outcomes)
        return right / made if made else 0.0

    @property
    def is_disturbed(self) -> bool:
        """Others had so much of the core that latencies and rates are the machine's, not the node's."""
        return median([used.waited for used in self.used]) > WAITED_MAX

    def percentiles(self, q: float) -> list[float]:
        return [one.latency.percentile_ms(q) for one in self.outcomes]

    def beyond(self, q: float) -> list[float]:
        """Milliseconds beyond the network's own round trip."""
        return [one.beyond.percentile_ms(q) for one in self.outcomes]


def objects(count: int, seed: int) -> list[str]:
    """Bodies of a site, most of them small, in the order of how often they are asked for."""
    sizes = random.Random(seed).choices(SIZES, _WEIGHTS, k=count)
    return [bodies.path(size, f"object-{number}") for number, size in enumerate(sizes)]


def mix(stored: Sequence[str], count: int, calls_of_100: int, seed: int) -> list[str]:
    """What users ask for, in this order: bodies by Zipf(1.0), and among them calls of the API, which reach
    the origin each time."""
    drawn, dice = order(stored, 1.0, seed), random.Random(seed + 1)
    call = records.path(5, "numpy")
    return [call if dice.uniform(0, 100) < calls_of_100 else target for target in islice(drawn, count)]


def memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _plan(url: str, targets: list[str], users: int, options: argparse.Namespace) -> Plan:
    return Plan(
        url,
        targets,
        connections=users,
        seconds=options.seconds,
        warm_seconds=options.warm,
        timeout_seconds=10.0,
        rtt_seconds=RTT,
        client_addresses=ADDRESSES,
    )


def _measure(node: Server, plan: Plan, measured: Measured) -> Outcome:
    assert node.process
    outcome = run(replace(plan, watched={"node": node.process.pid}))
    measured.outcomes.append(outcome)
    return outcome


def _all(
    node: Server, targets: list[str], levels: Sequence[int], options: argparse.Namespace
) -> dict[str, Measured]:
    """Interleaved: every number of users once, then every one again; then once over the link emulator."""
    found = {f"{users:,} users": Measured() for users in levels}
    for _ in range(options.rounds):
        for users in levels:
            outcome = _measure(node, _plan(node.url, targets, users, options), found[f"{users:,} users"])
            print(f"{users:>6} users {outcome.requests_per_second:.0f}/s {outcome.latency}", flush=True)
    if not options.quick:
        label = f"{LINKED_USERS:,} users over the link emulator"
        found[label] = Measured()
        with LinkProcess(node.url.removeprefix("http://"), Distance(rtt=LINKED_RTT)) as link:
            plan = replace(
                _plan(link.url, targets, LINKED_USERS, options), rtt_seconds=None, client_addresses=1
            )
            # Opening them takes a round trip each, and a slow start: they are warmed for longer.
            outcome = _measure(node, replace(plan, warm_seconds=options.warm + 2), found[label])
            print(f"{label} {outcome.requests_per_second:.0f}/s {outcome.latency}", flush=True)
    return found


_COLUMNS = [
    "users at once",
    "requests/s",
    "success %",
    "mean ms",
    "p95 ms",
    "p99 ms",
    "p95 beyond the network ms",
]
_COLUMNS += ["node busy %", "node waited for its core %", "node peak MB"]


def _row(label: str, measured: Measured) -> list[str]:
    has_beyond = measured.outcomes[0].beyond.count > 0
    return [
        label,
        spread([one.requests_per_second for one in measured.outcomes]),
        f"{100 * measured.success:.2f}",
        spread([one.latency.mean_ms for one in measured.outcomes]),
        spread(measured.percentiles(95)),
        spread(measured.percentiles(99)),
        spread(measured.beyond(95), ".1f") if has_beyond else "-",
        spread([100 * used.cpu for used in measured.used]),
        spread([100 * used.waited for used in measured.used]),
        f"{max(used.peak_bytes for used in measured.used) / 1e6:.0f}",
    ]


def judge(users: int, measured: Measured, memory: int) -> list[Limit]:
    """The goals of the service for so many users. Memory is that of the whole machine."""
    rate = median([one.requests_per_second for one in measured.outcomes])
    p95 = median(measured.beyond(95))
    busy = median([used.cpu for used in measured.used])
    held = max(used.peak_bytes for used in measured.used) / memory
    success = measured.success
    name = f"{users:,} users"

    def timed(is_met: bool) -> bool | None:
        """A goal that is missed on a machine that had other work has not been measured."""
        return None if not is_met and measured.is_disturbed else is_met

    return [
        Limit(f"{name}: success", f">= {SUCCESS:.1%}", f"{success:.2%}", success >= SUCCESS),
        Limit(f"{name}: errors", f"< {ERRORS:.1%}", f"{1 - success:.2%}", 1 - success < ERRORS),
        Limit(
            f"{name}: p95 beyond the network", f"<= {P95_MS:.0f} ms", f"{p95:.1f} ms", timed(p95 <= P95_MS)
        ),
        Limit(f"{name}: requests/s", f">= {RATE:.0f}", f"{rate:.0f}", timed(rate >= RATE)),
        Limit(f"{name}: processor of the node", f"<= {CPU:.0%} of a core", f"{busy:.0%}", busy <= CPU),
        Limit(
            f"{name}: memory of the node", f"<= {MEMORY:.0%} of the machine", f"{held:.1%}", held <= MEMORY
        ),
    ]


def _note(found: dict[str, Measured], result: Result) -> None:
    samples = result.data.setdefault("samples", {})
    for label, measured in found.items():
        samples[f"{label} requests/s"] = [one.requests_per_second for one in measured.outcomes]
        samples[f"{label} mean ms"] = [one.latency.mean_ms for one in measured.outcomes]
        samples[f"{label} p95 ms"] = measured.percentiles(95)
        samples[f"{label} share failed"] = [1 - one.success for one in measured.outcomes]
        samples[f"{label} node peak bytes"] = [float(used.peak_bytes) for used in measured.used]
        if measured.outcomes[0].beyond.count:
            samples[f"{label} p95 beyond the network ms"] = measured.beyond(95)
        kinds: dict[str, int] = {}
        for one in measured.outcomes:
            for kind, count in one.errors.items():
                kinds[kind] = kinds.get(kind, 0) + count
        result.data.setdefault("errors", {})[label] = kinds
        if wrong := sum(one.wrong for one in measured.outcomes):
            result.failures.append(f"{label}: {wrong} answers had wrong bytes")
        if 1 - measured.success >= ERRORS and not (measured.is_disturbed and set(kinds) <= {"timeout"}):
            result.failures.append(f"{label}: {1 - measured.success:.2%} of requests failed ({kinds})")
        if measured.is_disturbed:
            share = median([used.waited for used in measured.used])
            result.skipped.append(
                f"{label}: the node waited {share:.0%} of the time for a core that others had; latency and "
                "rate are the machine's, and a goal missed so counts as not measured"
            )
        if any(one.was_late for one in measured.outcomes):
            result.bounded.append(f"{label}: the generator had no more of its core")


def _bound(targets: list[str], users: int, found: dict[str, Measured], result: Result) -> None:
    """What the generator bears with as many connections on the least of servers, no network between."""
    plan = replace(
        _plan("http://any", targets, users, argparse.Namespace(seconds=1.0, warm=0.5)), rtt_seconds=None
    )
    most = ceiling.measure(plan).requests_per_second
    rate = median([one.requests_per_second for one in found[f"{users:,} users"].outcomes])
    result.method.append(
        f"The generator bears {most:.0f} requests/s with {users:,} connections on the least of servers; "
        f"measured were {rate:.0f}."
    )
    if ceiling.is_bounded(rate, most):
        result.bounded.append(f"{users:,} users: the generator bears {most:.0f} requests/s at most")


def _plots(levels: Sequence[int], found: dict[str, Measured]) -> list[Plot]:
    at = {users: found[f"{users:,} users"] for users in levels}
    lines: dict[str, Callable[[Measured], float]] = {
        "mean": lambda one: median([each.latency.mean_ms for each in one.outcomes]),
        "p95": lambda one: median(one.percentiles(95)),
        "p95 beyond the network": lambda one: median(one.beyond(95)),
    }
    latency = [
        Series(name, [(float(users), value(one)) for users, one in at.items()])
        for name, value in lines.items()
    ]
    rates = [
        (float(users), median([each.requests_per_second for each in one.outcomes]))
        for users, one in at.items()
    ]
    return [
        Plot("Latency by users at once", "lines", "users at once", "ms", latency),
        Plot(
            "Requests answered by users at once",
            "lines",
            "users at once",
            "requests/s",
            [Series("node", rates)],
        ),
    ]


def _run(directory: Path, options: argparse.Namespace, result: Result) -> None:
    levels = USERS[:2] if options.quick else USERS
    stored = objects(OBJECTS // (4 if options.quick else 1), seed=1)
    targets = mix(stored, SEQUENCE, CALLS_OF_100, seed=2)
    with PlainServer(machine.load_core()) as origin:
        node = Edgeproxy().start(directory / "node", origin.url)
        try:
            load.fill(node.url, stored)
            found = _all(node, targets, levels, options)
        finally:
            node.stop()
    rows = [_row(label, measured) for label, measured in found.items()]
    result.tables.append(Table(_COLUMNS, rows))
    for users in levels:
        result.limits += judge(users, found[f"{users:,} users"], memory_bytes())
    _note(found, result)
    if not options.quick:
        _bound(targets, levels[-1], found, result)
    result.plots += _plots(levels, found)


def _method(options: argparse.Namespace) -> list[str]:
    told = [
        "Each user has one connection and asks again as soon as the answer is there. "
        f"{100 - CALLS_OF_100} of 100 requests are for {OBJECTS} stored bodies of 1 to 64 KiB, drawn by "
        f"Zipf(1.0), {CALLS_OF_100} are calls of an API that each go to the origin. Node on one core; load "
        "generator and origin on another. Every byte is compared.",
        f"The network is time: each connection has a round trip of its own, drawn evenly from "
        f"{RTT[0] * 1000:.0f} to {RTT[1] * 1000:.0f} ms by a seed; a request leaves half of it late and an "
        "answer arrives half of it late. Users come from "
        f"{ADDRESSES} addresses, since a node allows each so many connections.",
        f"The goal of p95 <= {P95_MS:.0f} ms is read as what is beyond the network's own round trip, because "
        "that alone is above it for most users; mean, p95 and p99 are with the network, as users see them.",
        f"{options.rounds} interleaved rounds of {options.seconds:g} s after {options.warm:g} s of warming; "
        "medians (least-greatest); success is of all rounds together, a request that was not answered within "
        "10 s has failed.",
        f"Over the link emulator (a relay that keeps order, windows and slow start of TCP): {LINKED_USERS} "
        f"users at {LINKED_RTT * 1000:.0f} ms, one round, to see that emulating time alone does not flatter.",
        f"Where the node had work to do and waited for its core more than {WAITED_MAX:.0%} of the time, "
        "because others had it, goals of latency and rate that are missed count as not measured.",
        "Memory is the node's peak of resident memory, its processes together, of that of this machine.",
    ]
    if options.quick:
        told[4] = "--quick: one short round, two numbers of users, a quarter of the bodies, no link emulator."
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default 3)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measured run (default 6)")
    parser.add_argument("--quick", action="store_true", help="one short round; results are left alone")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    options.warm = 1.5
    if options.quick:
        options.rounds, options.seconds, options.warm = 1, 0.7, 0.3
    machine.pin(machine.load_core())
    result = Result("concurrency", QUESTION, _method(options))
    with scratch() as directory:
        try:
            _run(directory, options, result)
        except Absent as reason:
            result.skipped.append(f"edgeproxy: {reason}".replace(str(directory), "..."))
    result.finish(options.dry or options.quick)


if __name__ == "__main__":
    main()
