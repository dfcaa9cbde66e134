"""What do HTTP/1.1, HTTP/2 and gRPC cost through the node, at many connections and a constant rate?"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import bodies, ceiling, machine, records
from benchmarks.generator import Outcome, Plan, run
from benchmarks.generator.plan import Protocol
from benchmarks.peers import Absent, Edgeproxy, Server
from benchmarks.plain_server import PlainServer
from benchmarks.report import Limit, Plot, Result, Series, Table, median, ratio, spread
from benchmarks.running import scratch

QUESTION = "What do HTTP/1.1, HTTP/2 and gRPC cost through the node, at many connections and a constant rate?"
CONNECTIONS = 500
SHARE = 0.8  # of what the slowest can do
PROBED = 64  # connections that keep the node busy, and few enough to be fair in a short time
ANSWERED = 0.98
WAITED_MAX = 0.1
_OF_TIME = {"not sent", "timeout"}  # what a server that has no core to work on does to requests
FEW = 10  # connections that carry as many requests at once, over streams
HIT = bodies.path(1 << 10, "protocols")
FILES = 5
REFERENCE = {"HTTP/1.1": (148, 0.912), "HTTP/2": (35, 0.984), "gRPC": (22, 1.0)}  # mean ms; share of 10 000/s
_SITES = """\
[[site]]
name = "calls"
mount = "/edgeproxy.bench.Records"
origin = "{origin}/edgeproxy.bench.Records"
http2 = "prior-knowledge"

[[site]]
name = "api-over-http2"
mount = "/h2"
origin = "{origin}"
http2 = "prior-knowledge"
"""


@dataclass(frozen=True, slots=True)
class Way:
    """One protocol with one kind of answer. `is_stored`: hits; else each request reaches the origin."""

    label: str
    protocol: Protocol
    target: str
    is_stored: bool = False
    connections: int = CONNECTIONS
    streams: int = 1

    def plan(self, url: str, seconds: float, warm_seconds: float, rate: float | None) -> Plan:
        return Plan(
            url,
            (self.target,),
            rate=rate,
            connections=self.connections,
            streams=self.streams,
            protocol=self.protocol,
            seconds=seconds,
            warm_seconds=warm_seconds,
            timeout_seconds=10.0,
        )


_RECORD = records.path(FILES, "numpy")
CALLS = (
    Way("HTTP/1.1", "http/1.1", _RECORD),
    Way("HTTP/2", "h2", "/h2" + _RECORD),
    Way("gRPC", "grpc", _RECORD),
)
MULTIPLEXED = (
    Way(f"HTTP/2, {FEW} connections", "h2", "/h2" + _RECORD, False, FEW, CONNECTIONS // FEW),
    Way(f"gRPC, {FEW} connections", "grpc", _RECORD, False, FEW, CONNECTIONS // FEW),
)
HITS = (Way("HTTP/1.1", "http/1.1", HIT, True), Way("HTTP/2", "h2", HIT, True))


@dataclass(slots=True)
class Measured:
    """The rounds of one way; `cpu_us` is the node's processor time for each answer."""

    outcomes: list[Outcome] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)

    @property
    def waited(self) -> float:
        """The share of the time in which the node had work to do and others had its core."""
        return median([one.used["node"].waited for one in self.outcomes])

    @property
    def means(self) -> list[float]:
        return [one.latency.mean_ms for one in self.outcomes]

    @property
    def rates(self) -> list[float]:
        return [one.requests_per_second for one in self.outcomes]


def chosen_rate(most: list[float], share: float = SHARE) -> float:
    """A rate that the slowest of those probed can bear, in round numbers: `share` of it."""
    rate = min(most) * share
    step = 10.0 ** max(0, len(str(int(rate))) - 2)
    return max(1.0, rate // step * step)


def _measure(node: Server, plan: Plan, measured: Measured) -> Outcome:
    assert node.process
    outcome = run(replace(plan, watched={"node": node.process.pid}))
    used = outcome.used["node"]
    measured.outcomes.append(outcome)
    if 2 * outcome.completed > outcome.requests:  # else most of the work was for answers outside of the span
        measured.cpu_us.append(1e6 * used.cpu_seconds / outcome.completed)
    measured.busy.append(used.cpu)
    return outcome


def _rounds(
    ways: tuple[Way, ...], node: Server, rate: float, options: argparse.Namespace
) -> dict[str, Measured]:
    """Interleaved: every way once, then every way again."""
    found = {way.label: Measured() for way in ways}
    for _ in range(options.rounds):
        for way in ways:
            plan = way.plan(node.url, options.seconds, options.warm, rate)
            outcome = _measure(node, plan, found[way.label])
            print(f"{way.label:24} {rate:.0f}/s {outcome.latency} {outcome.errors}", flush=True)
    return found


def _probe(ways: tuple[Way, ...], node: Server, options: argparse.Namespace) -> dict[str, float]:
    """What each can do at most, in a closed loop of few connections, by a short run."""
    most = {}
    for way in ways:
        few = replace(way, connections=min(way.connections, PROBED))
        outcome = run(few.plan(node.url, options.probe, options.warm, None))
        most[way.label] = outcome.requests_per_second
        print(f"{way.label:24} at most {most[way.label]:.0f}/s {outcome.errors}", flush=True)
    return most


def _rate(
    kind: str,
    ways: tuple[Way, ...],
    node: Server,
    options: argparse.Namespace,
    known: float,
    result: Result,
) -> tuple[float, dict[str, float]]:
    """The rate to ask at, `known` or by a probe, and what was found for each."""
    if known:
        result.method.append(f"{kind}: {known:.0f} requests/s, ten times as many, without a probe.")
        return known, {}
    most = _probe(ways[:1] if options.quick else ways, node, options)
    rate = chosen_rate(list(most.values()), options.share)
    found = ", ".join(f"{name} {value:.0f}" for name, value in most.items())
    result.method.append(
        f"{kind}: {rate:.0f} requests/s, {options.share:.0%} of what the slowest could do in a closed loop "
        f"of {PROBED} connections ({found})."
    )
    return rate, most


def _row(label: str, rate: float, measured: Measured, first: Measured) -> list[str]:
    asked = sum(one.requests + one.failed for one in measured.outcomes)
    right = sum(one.requests for one in measured.outcomes)
    outcomes = measured.outcomes
    return [
        label,
        spread(measured.rates),
        f"{rate:.0f}",
        f"{100 * right / asked:.2f}" if asked else "-",
        spread(measured.means, ".2f"),
        *(spread([one.latency.percentile_ms(q) for one in outcomes], ".2f") for q in (50, 95, 99)),
        f"{ratio(first.means, measured.means):.2f}x",
        spread(measured.cpu_us) if measured.cpu_us else "-",
        spread([100 * share for share in measured.busy]),
        f"{100 * measured.waited:.0f}",
    ]


_COLUMNS = ["client's protocol", "requests/s", "asked for", "answered %", "mean ms", "p50 ms", "p95 ms"]
_COLUMNS += ["p99 ms", "HTTP/1.1 mean / this", "node us an answer", "node busy %", "waited %"]


def _note(kind: str, measured: dict[str, Measured], result: Result) -> None:
    samples = result.data.setdefault("samples", {})
    for label, one in measured.items():
        samples[f"{kind} {label} mean ms"] = one.means
        samples[f"{kind} {label} p95 ms"] = [each.latency.percentile_ms(95) for each in one.outcomes]
        samples[f"{kind} {label} requests/s"] = one.rates
        if one.cpu_us:
            samples[f"{kind} {label} node us an answer"] = one.cpu_us
        failed = sum(each.failed for each in one.outcomes)
        kinds = {error for each in one.outcomes for error in each.errors}
        result.data.setdefault("errors", {})[f"{kind} {label}"] = [each.errors for each in one.outcomes]
        if failed and (one.waited <= WAITED_MAX or not kinds <= _OF_TIME):
            result.failures.append(f"{kind}, {label}: {failed} requests failed ({', '.join(sorted(kinds))})")
        if one.waited > WAITED_MAX:
            result.skipped.append(
                f"{kind}, {label}: the node waited {one.waited:.0%} of the time for a core that others had; "
                f"{failed} requests were not answered in time"
            )
        if any(each.was_late for each in one.outcomes):
            result.bounded.append(f"{kind}, {label}: the generator came late to requests")


def _judge(measured: dict[str, Measured], rate: float, result: Result) -> None:
    for label, one in measured.items():
        got = median(one.rates) / rate
        what = f"{label}: answered of {rate:.0f} requests/s"
        limit = f">= {ANSWERED:.0%} (reference {REFERENCE[label][1]:.1%})"
        is_met = None if got < ANSWERED and one.waited > WAITED_MAX else got >= ANSWERED
        result.limits.append(Limit(what, limit, f"{got:.1%}", is_met))
    for label in ("HTTP/2", "gRPC"):
        if label in measured and "HTTP/1.1" in measured:
            got = ratio(measured[label].means, measured["HTTP/1.1"].means)
            aim = REFERENCE[label][0] / REFERENCE["HTTP/1.1"][0]
            what = f"{label}: mean latency against HTTP/1.1"
            waited = max(measured[label].waited, measured["HTTP/1.1"].waited)
            is_met = None if waited > WAITED_MAX else got <= 1.0
            result.limits.append(Limit(what, f"<= 1 (reference {aim:.2f})", f"{got:.2f}", is_met))


def _bound(
    ways: tuple[Way, ...], kind: str, measured: dict[str, Measured], result: Result
) -> list[list[str]]:
    """What the generator bears for the same on the least of servers."""
    rows = []
    for way in ways:
        most = ceiling.measure(way.plan("http://any", 1.0, 0.3, None)).requests_per_second
        rate = median(measured[way.label].rates)
        rows.append([f"{kind}, {way.label}", f"{rate:.0f}", f"{most:.0f}"])
        if ceiling.is_bounded(rate, most):
            result.bounded.append(f"{kind}, {way.label}: the generator bears {most:.0f} requests/s at most")
    return rows


def _prove(node: Server, result: Result) -> None:
    """A client of others gets the record through the node, and its refusal, before anything is measured."""
    try:
        import grpc
    except ImportError:
        result.skipped.append("grpcio is not installed: that others' clients pass the node was not seen")
        return
    with grpc.insecure_channel(node.url.removeprefix("http://")) as channel:
        try:
            told = channel.unary_unary(records.METHOD)(records.request_message(_RECORD), timeout=10)
        except grpc.RpcError as error:
            result.failures.append(f"grpcio through the node: {error.code()}")
            return
        if told != records.as_message(_RECORD):
            result.failures.append("grpcio through the node: a wrong message")
        with contextlib.suppress(grpc.RpcError):
            channel.unary_unary(records.METHOD.replace("Get", "Put"))(b"", timeout=10)
            result.failures.append("grpcio through the node: a call that was refused has succeeded")


def _plots(kinds: dict[str, dict[str, Measured]]) -> Iterator[Plot]:
    for kind, measured in kinds.items():
        series = [
            Series(name, [(label, median(values(one))) for label, one in measured.items()])
            for name, values in (
                ("mean", lambda one: one.means),
                ("p95", lambda one: [each.latency.percentile_ms(95) for each in one.outcomes]),
            )
        ]
        yield Plot(f"{kind}: latency at a constant rate", "bars", "client's protocol", "ms", series)


def _run(directory: Path, options: argparse.Namespace, result: Result) -> None:
    kinds: dict[str, dict[str, Measured]] = {}
    rate = 0.0
    with PlainServer(machine.load_core()) as origin:
        node = Edgeproxy(more=_SITES.format(origin=origin.url)).start(directory / "node", origin.url)
        try:
            if not options.quick:
                _prove(node, result)
            groups = {"API calls": CALLS + (() if options.quick else MULTIPLEXED), "hits": HITS}
            for kind, ways in groups.items():
                rate, most = _rate(kind, ways, node, options, 10 * rate if options.quick else 0.0, result)
                kinds[kind] = _rounds(ways, node, rate, options)
                _note(kind, kinds[kind], result)
                measured = kinds[kind]
                rows = [_row(way.label, rate, measured[way.label], measured["HTTP/1.1"]) for way in ways]
                title = f"{kind}, {CONNECTIONS} connections, {rate:.0f} requests/s"
                result.tables.append(Table(_COLUMNS, rows, title))
                result.data[kind] = {"rate": rate, "most": most}
                if kind == "API calls":
                    _judge({way.label: measured[way.label] for way in CALLS}, rate, result)
        finally:
            node.stop()
    if not options.quick:
        rows = _bound(CALLS, "API calls", kinds["API calls"], result) + _bound(
            HITS, "hits", kinds["hits"], result
        )
        columns = ["load", "measured requests/s", "the generator alone, requests/s"]
        result.tables.append(Table(columns, rows, "How far from what the load generator bears"))
    result.plots += _plots(kinds)


def _method(options: argparse.Namespace) -> list[str]:
    sizes = f"{len(records.as_json(_RECORD))} bytes of JSON, {len(records.as_message(_RECORD))} of Protobuf"
    told = [
        f"{CONNECTIONS} connections from one client to one node, one request at a time on each, at one "
        "constant rate for all protocols: an open loop, latency counted from when each request was due. "
        "Node on one core; load generator and origin on another; loopback; no TLS.",
        f"API calls: answers that may not be stored, each through the node to the origin: one record of "
        f"{FILES} files ({sizes}). HTTP/1.1 and HTTP/2: GET, JSON; gRPC: a unary call, Protobuf. The node "
        "asks the origin in the same protocol. Hits: 1 KiB from the node's RAM; of gRPC there are none, its "
        "calls are POST.",
        f"{options.rounds} interleaved rounds of {options.seconds:g} s after {options.warm:g} s of warming; "
        "medians (least-greatest), ratios the median of those of each round. Every byte of every answer is "
        "compared, of gRPC also the trailers.",
        f"The reference is another system at 10 000 requests/s on a larger machine: mean "
        f"{', '.join(f'{name} {mean} ms' for name, (mean, _) in REFERENCE.items())}, answered "
        f"{', '.join(f'{share:.1%}' for _, share in REFERENCE.values())}. One core of this machine does "
        "less, so the rate is set by what the slowest protocol can do here; only shares and ratios compare.",
        f"With {FEW} connections, {CONNECTIONS // FEW} streams on each: as many requests at once, as clients "
        "of HTTP/2 and gRPC do it.",
        "Waited is the share of the time in which the node had work to do and others had its core: above "
        f"{WAITED_MAX:.0%} latencies are the machine's, and their limits count as not measured.",
        "Node us an answer is its processor time divided by the answers of the run: it does not change with "
        "what else the machine does.",
    ]
    if options.quick:
        told[4] = (
            "--quick: one short round, the rate by HTTP/1.1 alone, without multiplexed clients and grpcio."
        )
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default 3)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measured run (default 4)")
    parser.add_argument("--share", type=float, default=SHARE, help="of what the slowest can do (default 0.8)")
    parser.add_argument("--quick", action="store_true", help="one short round; results are left alone")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    options.warm, options.probe = 0.5, 2.0
    if options.quick:
        options.rounds, options.seconds, options.warm, options.probe = 1, 0.5, 0.1, 0.25
        options.share = 0.6
    machine.pin(machine.load_core())
    result = Result("protocols", QUESTION, _method(options))
    with scratch() as directory:
        try:
            _run(directory, options, result)
        except Absent as reason:
            result.skipped.append(f"edgeproxy: {reason}".replace(str(directory), "..."))
    result.finish(options.dry or options.quick)


if __name__ == "__main__":
    main()
