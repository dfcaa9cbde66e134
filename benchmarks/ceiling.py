"""How much can the load generator itself bear, and does it agree with wrk and h2load?

`measure` runs the generator on the plain server (plain_server.py), the least that a server can do, for the
same protocol, size and connections as a measurement; `is_bounded` then tells whether the generator was its
limit."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from benchmarks import bodies, load, machine, records
from benchmarks.generator import Outcome, Plan, run
from benchmarks.generator.plan import Protocol
from benchmarks.peers import Absent
from benchmarks.peers.peer import program
from benchmarks.plain_server import PlainServer
from benchmarks.report import Limit, Plot, Result, Series, Table, median, ratio, spread

BOUND_SHARE = 0.85
AGREEMENT = 1.15  # wrk and h2load count their own start; a second is short
DELAY, CONNECTIONS = 0.02, 50
WAITED_MAX = 0.1
RECORD = records.path(5, "numpy")


@dataclass(frozen=True, slots=True)
class Case:
    """One load. `other` is the program that it is compared with, "" for none."""

    label: str
    target: str
    protocol: Protocol
    connections: int
    streams: int
    other: str


CASES = (
    Case("HTTP/1.1, 1 KiB", bodies.path(1 << 10, "ceiling"), "http/1.1", 64, 1, "wrk"),
    Case("HTTP/1.1, 64 KiB", bodies.path(64 << 10, "ceiling"), "http/1.1", 64, 1, "wrk"),
    Case("HTTP/1.1, 1 MiB", bodies.path(1 << 20, "ceiling"), "http/1.1", 64, 1, "wrk"),
    Case("HTTP/2, 1 KiB, 16 streams", bodies.path(1 << 10, "ceiling"), "h2", 8, 16, "h2load"),
    Case("HTTP/2, 64 KiB, 16 streams", bodies.path(64 << 10, "ceiling"), "h2", 8, 16, "h2load"),
    Case("gRPC, a record of five files", RECORD, "grpc", 64, 1, ""),
)
QUICK = ("HTTP/1.1, 1 KiB", "HTTP/2, 1 KiB, 16 streams", "gRPC, a record of five files")


def is_bounded(measured_rate: float, ceiling_rate: float, share: float = BOUND_SHARE) -> bool:
    """Whether a rate comes so near to what the generator can bear on the least a server can do that the
    generator was the limit, not the server. Both in the same unit, of the same load."""
    return ceiling_rate > 0 and measured_rate >= share * ceiling_rate


def measure(plan: Plan, seconds: float = 1.0) -> Outcome:
    """The plan as a closed loop on the plain server on the servers' core. `plan.url` may be any."""
    with PlainServer(machine.server_core()) as server:
        return run(replace(plan, url=server.url, rate=None, think_seconds=0.0, seconds=seconds))


def _other(case: Case, url: str, seconds: int, rate: float) -> load.Run:
    """wrk or h2load with the same load."""
    if case.other == "wrk":
        return load.wrk(url + case.target, connections=case.connections, seconds=seconds)
    requests = max(case.connections * case.streams, int(rate * seconds))
    return load.h2load(
        url + case.target, connections=case.connections, streams=case.streams, requests=requests
    )


def _rounds(
    case: Case, url: str, options: argparse.Namespace, result: Result
) -> Iterator[tuple[Outcome, load.Run | None]]:
    plan = Plan(
        url,
        (case.target,),
        protocol=case.protocol,
        connections=case.connections,
        streams=case.streams,
        seconds=options.seconds,
        warm_seconds=0.2,
    )
    has_other = bool(case.other) and _is_there(case.other, result)
    for _ in range(options.rounds):
        ours = run(plan)
        if ours.failed:
            result.failures.append(f"{case.label}: {ours.failed} requests failed ({ours.errors})")
        theirs = (
            _other(case, url, max(1, round(options.seconds)), ours.requests_per_second) if has_other else None
        )
        yield ours, theirs


def _row(case: Case, runs: list[tuple[Outcome, load.Run | None]], result: Result) -> list[str]:
    ours = [one for one, _ in runs]
    rates = [one.requests_per_second for one in ours]
    means = [one.latency.mean_ms for one in ours]
    result.data["samples"][f"generator {case.label} requests/s"] = rates
    others = [ran for _, ran in runs if ran is not None]
    row = [case.label, spread(rates), spread(means, ".2f"), spread([100 * one.busy for one in ours])]
    if len(others) < len(ours):
        return [*row, "-", "-", "-", "-"]
    their_rates, their_means = (
        [ran.requests_per_second for ran in others],
        [ran.mean_us / 1000 for ran in others],
    )
    result.data["samples"][f"{case.other} {case.label} requests/s"] = their_rates
    got = ratio(rates, their_rates)
    # What both must agree on is what they saw of one server: latency by rate is the number in flight.
    in_flight = case.connections * case.streams
    seen = median([rate * mean / 1000 / in_flight for rate, mean in zip(rates, means, strict=True)])
    result.limits.append(
        Limit(
            f"{case.label}: requests in flight by the generator's own mean and rate",
            "0.9-1.1 of those asked for",
            f"{seen:.2f}",
            0.9 <= seen <= 1.1,
        )
    )
    return [*row, case.other, spread(their_rates), spread(their_means, ".2f"), f"{got:.2f}"]


def _agreement(options: argparse.Namespace, result: Result) -> None:
    """On a server that takes its time by the clock, everybody must tell the same rate and latency, however
    fast the machine is and whatever else it does."""
    target, whole = bodies.path(1 << 10, "agreement"), max(1, round(options.seconds))
    requests = whole * int(CONNECTIONS / DELAY)
    plan = Plan("http://any", (target,), connections=CONNECTIONS, seconds=options.seconds, warm_seconds=0.2)
    loads: dict[str, Callable[[str], tuple[float, float]]] = {
        "generator": lambda url: _figures(run(replace(plan, url=url)), waited),
        "wrk": lambda url: _their_figures(load.wrk(url + target, connections=CONNECTIONS, seconds=whole)),
        "h2load": lambda url: _their_figures(
            load.h2load(url + target, connections=CONNECTIONS, streams=1, requests=requests, http1=True)
        ),
    }
    waited: list[float] = []
    seen: dict[str, list[tuple[float, float]]] = {}
    with PlainServer(machine.server_core(), DELAY) as server:
        present = [name for name in loads if name == "generator" or _is_there(name, result)]
        for _ in range(options.rounds):
            for name in present:
                seen.setdefault(name, []).append(loads[name](server.url))
    if is_disturbed := median(waited) > WAITED_MAX:
        result.skipped.append(
            f"agreement: the generator waited {median(waited):.0%} of the time for a core that others had; a "
            "limit missed so counts as not measured"
        )
    rows = []
    for name, figures in seen.items():
        rates, means = [rate for rate, _ in figures], [mean for _, mean in figures]
        rows.append([name, spread(rates), spread(means, ".2f")])
        result.data["samples"] |= {
            f"{name} on a slow server requests/s": rates,
            f"{name} on a slow server mean ms": means,
        }
        if name != "generator":
            for what, of in (("rate", 0), ("mean latency", 1)):
                got = ratio([one[of] for one in seen["generator"]], [one[of] for one in figures])
                limit = f"{1 / AGREEMENT:.2f}-{AGREEMENT}"
                is_near = 1 / AGREEMENT <= got <= AGREEMENT
                is_met = None if not is_near and is_disturbed else is_near
                result.limits.append(Limit(f"{what}: generator / {name}", limit, f"{got:.2f}", is_met))
    title = (
        f"The same server, which answers {DELAY * 1000:.0f} ms after it was asked: {CONNECTIONS} connections"
    )
    result.tables.append(Table(["load", "requests/s", "mean ms"], rows, title))


def _figures(outcome: Outcome, waited: list[float]) -> tuple[float, float]:
    waited.append(outcome.waited)
    return outcome.requests_per_second, outcome.latency.mean_ms


def _their_figures(ran: load.Run) -> tuple[float, float]:
    return ran.requests_per_second, ran.mean_us / 1000


def _is_there(name: str, result: Result) -> bool:
    try:
        program(name)
    except Absent as reason:
        result.skipped.append(f"{name}: {reason}")
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default 3)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measured run (default 2)")
    parser.add_argument("--quick", action="store_true", help="one short round; results are left alone")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 0.4
    machine.pin(machine.load_core())
    result = Result(
        "ceiling",
        "How much can the load generator itself bear, and does it agree with wrk and h2load?",
        [
            "The load generator (asyncio on uvloop, one process) on the least that a server can do: an "
            "asyncio server on uvloop that has its answers ready. Server on one core, load on another, "
            "loopback, closed loop. The generator compares every byte; wrk and h2load compare none.",
            f"{options.rounds} interleaved rounds of {options.seconds:g} s (h2load: as many requests as the "
            "generator made in its). Medians (least-greatest); ratio: the median of those of each round.",
            "In a closed loop rate times mean latency is the number of requests in flight (Little's law): a "
            "generator that told a wrong rate or a wrong latency would not arrive at the number it was "
            "given.",
            f"A measured rate of at least {BOUND_SHARE:.0%} of the ceiling is called bounded by the load.",
        ],
    )
    if options.quick:
        result.method.append("--quick: one short round; single figures say little.")
    result.data["samples"] = {}
    rows, bars = [], []
    with PlainServer(machine.server_core()) as server:
        for case in [case for case in CASES if not options.quick or case.label in QUICK]:
            runs = list(_rounds(case, server.url, options, result))
            rows.append(_row(case, runs, result))
            bars.append((case.label, median([ours.requests_per_second for ours, _ in runs])))
            print(rows[-1], flush=True)
    _agreement(options, result)
    columns = ["load", "requests/s", "mean ms", "generator busy %", "compared with"]
    columns += ["its requests/s", "its mean ms", "generator / it"]
    result.tables.insert(0, Table(columns, rows))
    series = [Series("generator", list(bars))]
    result.plots.append(Plot("What the load generator can bear", "bars", "load", "requests/s", series))
    result.skipped = list(dict.fromkeys(result.skipped))
    result.finish(options.dry or options.quick)


if __name__ == "__main__":
    main()
