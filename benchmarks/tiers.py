"""What do nodes below nodes bring over a long way, and what does a parent that dies cost?"""

from __future__ import annotations

import argparse
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import bodies, machine, ranged, small
from benchmarks.chain import FAR, GBIT, REGIONAL, Chain, chained, distance
from benchmarks.link import Counts, LinkProcess
from benchmarks.origin import Origin
from benchmarks.peers import Absent
from benchmarks.ranged import Fetched, Part
from benchmarks.report import Limit, Result, Table, median, spread
from benchmarks.running import scratch

SMALL_BYTES = 4 << 10
CLIENTS = 6
MANY_CLIENTS = 120  # in (b): few enough that nobody waits for one of six connections longer than a timeout
RTTS = (0.02, 0.08, 0.2)
JUDGED_RTT = 0.08
FASTER = 5.0
LINK_SHARE = 0.85
REPEATED_MAX = 1 << 20
HEAD_BYTES = 1024  # at most, of one response on a link
CONNECT_TIMEOUT = 2.0  # of a parent, by default
WINDOW = 4 << 20
LIMITED = f"\n[upstream]\nconnections_per_host = {CLIENTS}\n"


@dataclass(frozen=True, slots=True)
class Scale:
    objects: int
    body: int
    many: int
    large: int
    parallel: tuple[int, ...]
    rounds: int
    killed: int
    after: int


FULL = Scale(200, 256 << 20, 1000, 1 << 30, (1, 2, 4, 6), 3, 128 << 20, 20)
QUICK = Scale(60, 32 << 20, 200, 256 << 20, (1, 6), 1, 32 << 20, 10)


@dataclass(frozen=True, slots=True)
class Large:
    """One body over a link. `repeated_bytes` is what the link carried beyond it, heads left out."""

    seconds: float
    first_byte_seconds: float
    repeated_bytes: int
    problem: str

    def share(self, size: int, rate: float) -> float:
        return size / self.seconds / rate


def whole(url: str, target: str, seconds_max: float = 120.0) -> Fetched:
    """One client that takes a body and checks every byte."""
    size = bodies.size_of(target) or 0
    got = ranged.run(ranged.fetch_parts(url, target, [iter([Part(0, size, whole=True)])], 1, seconds_max))
    return got.fetched[0] if got.fetched else Fetched(Part(0, size), 0, 0.0, seconds_max, "no end in time")


def beyond(before: Sequence[Counts], after: Sequence[Counts], size: int, requests: int) -> int:
    """What links carried down beyond one body and the heads of its responses."""
    carried = sum(b.down_bytes - a.down_bytes for a, b in zip(before, after, strict=True))
    return max(0, carried - size - requests * HEAD_BYTES)


# -- (a) direct, edge, edge and parent -------------------------------------------------------------


def _tiers(directory: Path, origin: Origin, scale: Scale, result: Result) -> None:
    """Whoever asks first, whoever asks in a region where somebody has, whoever asks where all is there."""
    rows: list[list[str]] = []
    with LinkProcess(origin.address, distance(FAR)) as link:
        _row("direct", "", link.url, scale, result, rows, "direct")
    with chained(directory / "alone", origin) as alone:
        _row("edge", "cold", alone.edge.url, scale, result, rows, "alone")
        _row("edge", "warm", alone.edge.url, scale, result, rows, "alone")
    with chained(directory / "below", origin, parents=[distance(REGIONAL)]) as below:
        _row("edge + parent", "cold", below.edge.url, scale, result, rows, "cold")
        # What clients of another edge have asked for: the parent has it, this edge has not.
        _fill_parent(below, scale, "region")
        _row("edge + parent", "parent warm", below.edge.url, scale, result, rows, "region")
        _row("edge + parent", "warm", below.edge.url, scale, result, rows, "region")
    few = f"{scale.objects} small objects s"
    columns = ["way", "state", few, "each ms (median)", f"{_show(scale.body)} s", "first byte ms"]
    title = f"Origin {FAR * 1000:.0f} ms away, parent {REGIONAL * 1000:.0f} ms, {GBIT * 8 / 1e9:g} Gbit/s"
    result.tables.append(Table(columns, rows, title))


def _small_targets(count: int, name: str) -> list[str]:
    return [bodies.path(SMALL_BYTES, f"{name}-{number}") for number in range(count)]


def _fill_parent(below: Chain, scale: Scale, name: str) -> None:
    parent = below.parents[0].url
    _fill(parent, _small_targets(scale.objects, name), 64)
    _prove(whole(parent, bodies.path(scale.body, name)).problem)


def _fill(url: str, targets: Sequence[str], clients: int) -> None:
    for problem in ranged.run(small.fetch_small(url, targets, clients)).problems:
        _prove(problem)


def _prove(problem: str) -> None:
    """What is measured next rests on this."""
    if problem:
        raise RuntimeError(f"a parent could not be filled: {problem}")


def _row(
    way: str, state: str, url: str, scale: Scale, result: Result, rows: list[list[str]], name: str
) -> None:
    many = ranged.run(small.fetch_small(url, _small_targets(scale.objects, name), CLIENTS))
    body = whole(url, bodies.path(scale.body, name))
    if problems := [*many.problems, *filter(None, [body.problem])]:
        result.skipped.append(f"{way}, {state}: {problems[0]} (and {len(problems) - 1} more)")
        return
    rows.append(
        [
            way,
            state or "-",
            f"{many.seconds:.2f}",
            f"{1000 * median(many.latencies):.1f}",
            f"{body.seconds:.2f}",
            f"{1000 * body.first_byte_seconds:.0f}",
        ]
    )
    result.data[f"{way} {state}".strip()] = {"small_seconds": many.seconds, "body": asdict(body)}


# -- (b) many small objects from one parent --------------------------------------------------------


def _small(directory: Path, origin: Origin, scale: Scale, result: Result) -> None:
    rows = []
    for rtt in RTTS:
        seconds: dict[str, float] = {}
        for version, (http2, more) in {
            "HTTP/1.1": ("off", LIMITED),
            "HTTP/2": ("prior-knowledge", ""),
        }.items():
            place = directory / f"{version.replace('/', '')}-{rtt}"
            seconds[version] = _from_parent(place, origin, scale, rtt, http2, more, result)
        first, second = seconds["HTTP/1.1"], seconds["HTTP/2"]
        faster = first / second if first and second else 0.0
        rows.append([f"{rtt * 1000:.0f}", f"{first:.2f}", f"{second:.2f}", f"{faster:.1f}x"])
        result.data[f"small at {rtt * 1000:.0f} ms"] = seconds
        if rtt == JUDGED_RTT:
            what = f"{scale.many} small objects at {rtt * 1000:.0f} ms: HTTP/2 against HTTP/1.1"
            met = faster >= FASTER if faster and scale is FULL else None
            result.limits.append(Limit(what, f">= {FASTER:g}x", f"{faster:.1f}x", met))
    columns = ["round trip ms", f"HTTP/1.1, {CLIENTS} connections s", "HTTP/2 s", "faster"]
    result.tables.append(
        Table(columns, rows, f"{scale.many} cold objects of {_show(SMALL_BYTES)} from one parent")
    )


def _from_parent(
    directory: Path, origin: Origin, scale: Scale, rtt: float, http2: str, more: str, result: Result
) -> float:
    """Seconds until an edge has given all objects that its parent has; 0.0 when something went wrong."""
    targets = _small_targets(scale.many, "many")
    near = distance(0.0)
    with chained(
        directory, origin, parents=[distance(rtt)], origin_distance=near, http2=http2, more=more
    ) as nodes:
        filled = ranged.run(small.fetch_small(nodes.parents[0].url, targets, 32))
        before = nodes.to_origin.counts().connections
        got = ranged.run(small.fetch_small(nodes.edge.url, targets, MANY_CLIENTS))
        past = nodes.to_origin.counts().connections - before
    if problems := [*filled.problems, *got.problems]:
        result.skipped.append(f"{http2} at {rtt * 1000:.0f} ms: {problems[0]} (and {len(problems) - 1} more)")
        return 0.0
    if past:
        result.skipped.append(f"{http2} at {rtt * 1000:.0f} ms: {past} connections went past the parent")
    return got.seconds


# -- (c) one large body over the whole link ----------------------------------------------------------


def _large(directory: Path, origin: Origin, scale: Scale, result: Result) -> None:
    rows = []
    for parallel in scale.parallel:
        # Once for the curve, several times for what is judged.
        runs = []
        for turn in range(scale.rounds if parallel == max(scale.parallel) else 1):
            place = directory / f"{parallel}-{turn}"
            runs.append(_over_the_link(place, origin, scale.large, parallel))
        if bad := [run.problem for run in runs if run.problem]:
            result.skipped.append(f"{parallel} side by side: {bad[0]}")
            continue
        shares = [100 * run.share(scale.large, GBIT) for run in runs]
        repeated = max(run.repeated_bytes for run in runs)
        rows.append(
            [
                str(parallel),
                spread([run.seconds for run in runs], ".2f"),
                spread(shares, ".1f"),
                spread([1000 * run.first_byte_seconds for run in runs]),
                f"{repeated / scale.large:.3%}",
            ]
        )
        result.data[f"large, {parallel}"] = [asdict(run) for run in runs]
        if parallel == max(scale.parallel):
            is_full = scale is FULL
            what = f"one cold body of {_show(scale.large)} at {FAR * 1000:.0f} ms and 1 Gbit/s"
            met = median(shares) >= 100 * LINK_SHARE if is_full else None
            result.limits.append(
                Limit(what, f">= {LINK_SHARE:.0%} of the link", f"{median(shares):.1f}%", met)
            )
            met = repeated <= scale.large / 1000 if is_full else None
            result.limits.append(
                Limit("of it fetched twice", "<= 0.1%", f"{repeated / scale.large:.3%}", met)
            )
    columns = ["fill.parallel", "seconds", "% of the link", "first byte ms", "fetched twice"]
    title = f"One cold body of {_show(scale.large)}, {_show(WINDOW)} a connection"
    result.tables.append(Table(columns, rows, title))


def _over_the_link(directory: Path, origin: Origin, size: int, parallel: int) -> Large:
    target = bodies.path(size, "far")
    with chained(directory, origin, more=f"\n[fill]\nparallel = {parallel}\n") as nodes:
        before, asked = nodes.to_origin.counts(), origin.counts().requests
        got = whole(nodes.edge.url, target)
        time.sleep(1.0)  # what was on its way when an exchange was cut arrives
        requests = origin.counts().requests - asked
        repeated = beyond([before], [nodes.to_origin.counts()], size, requests)
    return Large(got.seconds, got.first_byte_seconds, repeated, got.problem)


# -- (d) a parent that dies ----------------------------------------------------------------------------


def _killed(directory: Path, origin: Origin, scale: Scale, result: Result) -> None:
    troubles: dict[str, Callable[[Chain], object]] = {
        "killed": lambda nodes: nodes.parents[0].server.stop(signal.SIGKILL),
        "stopped": lambda nodes: _signal(nodes, signal.SIGSTOP),
        "link dark": lambda nodes: nodes.parents[0].link.order("dark"),
    }
    rows = []
    for name, strike in troubles.items():
        place = directory / name.replace(" ", "-")
        near = distance(REGIONAL, GBIT / 5)
        with chained(place, origin, parents=[near, near]) as nodes:
            try:
                rows.append(_struck(name, nodes, strike, scale, result))
            finally:
                _signal(nodes, signal.SIGCONT)
    columns = [
        "parent",
        "body right",
        "s",
        "fetched twice KiB",
        "before ms",
        "first after ms",
        "then ms (median)",
    ]
    result.tables.append(Table(columns, rows, "The preferred of two parents goes away at half of a body"))


def _struck(
    name: str, nodes: Chain, strike: Callable[[Chain], object], scale: Scale, result: Result
) -> list[str]:
    links = [parent.link for parent in nodes.parents]
    target = bodies.path(scale.killed, "struck")
    objects = _small_targets(2 * scale.after, "after")
    for parent in nodes.parents:  # both have everything: what is measured is the way from them
        _fill(parent.url, objects, 16)
        _prove(whole(parent.url, target).problem)
    normal = ranged.run(small.fetch_small(nodes.edge.url, objects[: scale.after], 1))
    before = [link.counts() for link in links]
    requests = nodes.to_origin.counts().connections
    striking = threading.Thread(
        target=_at_half, args=(links[0], before[0].down_bytes, scale.killed, nodes, strike)
    )
    striking.start()
    got = whole(nodes.edge.url, target, 60.0)
    striking.join()
    after = ranged.run(small.fetch_small(nodes.edge.url, objects[scale.after :], 1))
    repeated = beyond(before, [link.counts() for link in links], scale.killed, 16)
    problems = [*filter(None, [got.problem]), *after.problems, *normal.problems]
    result.skipped += [f"parent {name}: {problem}" for problem in problems[:2]]
    if past := nodes.to_origin.counts().connections - requests:
        result.skipped.append(f"parent {name}: {past} connections went past both parents")
    first, rest = after.latencies[:1] or [0.0], after.latencies[1:] or [0.0]
    usual = median(normal.latencies or [0.0])
    result.data[f"parent {name}"] = {
        "body": asdict(got),
        "repeated": repeated,
        "first": first[0],
        "rest": rest,
    }
    result.limits += [
        Limit(f"parent {name} in mid-body: client unaware", "yes", got.problem or "yes", not got.problem),
        Limit(f"parent {name}: fetched twice", "<= 1 MiB", f"{repeated >> 10} KiB", repeated <= REPEATED_MAX),
        Limit(
            f"parent {name}: new requests, first and then",
            f"<= {CONNECT_TIMEOUT:g} s, then as before",
            f"{first[0]:.3f} s, then {1000 * (median(rest) - usual):+.1f} ms",
            not after.problems and first[0] <= CONNECT_TIMEOUT + 0.2 and median(rest) <= usual + 0.01,
        ),
    ]
    return [
        name,
        got.problem or "yes",
        f"{got.seconds:.1f}",
        f"{repeated >> 10}",
        f"{1000 * usual:.1f}",
        f"{1000 * first[0]:.1f}",
        f"{1000 * median(rest):.1f}",
    ]


def _at_half(
    link: LinkProcess, before: int, size: int, nodes: Chain, strike: Callable[[Chain], object]
) -> None:
    end = time.monotonic() + 60
    while link.counts().down_bytes - before < size // 2 and time.monotonic() < end:
        time.sleep(0.02)
    strike(nodes)


def _signal(nodes: Chain, number: int) -> None:
    process = nodes.parents[0].server.process
    if process is not None and process.poll() is None:
        process.send_signal(number)


# -- all -----------------------------------------------------------------------------------------------


def _show(size: int) -> str:
    return bodies.show_size(size)


def _method(scale: Scale) -> list[str]:
    return [
        "Distances are emulated (benchmarks/wire.py): round trips, a rate for each direction, slow start "
        f"from ten segments and at most {_show(WINDOW)} under way for each connection, as hosts have by "
        "default. Clients are beside the edge. Nodes are on one core; links, clients and origin on another. "
        "Every byte is checked.",
        f"Tiers: {CLIENTS} clients take {scale.objects} objects of {_show(SMALL_BYTES)}, then one takes a "
        f"body of {_show(scale.body)}; cold, after another edge's clients (parent warm), and again (warm).",
        f"Small objects: {MANY_CLIENTS} clients ask an edge for {scale.many} objects that its parent has; "
        f"the edge asks over {CLIENTS} connections of HTTP/1.1, or over HTTP/2.",
        f"Large body: an edge alone, the origin {FAR * 1000:.0f} ms away at 1 Gbit/s, a new edge each time; "
        f"{scale.rounds} round(s) with the most exchanges side by side, one with fewer. Fetched twice is "
        f"what the link carried beyond the body and {HEAD_BYTES} bytes for each response head.",
        f"Dying parent: two parents at {REGIONAL * 1000:.0f} ms and 200 Mbit/s that have everything; when "
        f"half of {_show(scale.killed)} has come, the first is killed, stopped (SIGSTOP), or its link goes "
        f"dark. Then {scale.after} new objects one after the other.",
    ]


SECTIONS = {"tiers": _tiers, "small": _small, "large": _large, "killed": _killed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and short; results are not written")
    parser.add_argument("--parts", default=",".join(SECTIONS), help="which questions (default all)")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    machine.pin(machine.load_core())
    scale = QUICK if options.quick else FULL
    result = Result("tiers", __doc__ or "", _method(scale))
    for part in options.parts.split(","):
        with scratch() as directory, Origin() as origin:
            try:
                SECTIONS[part](directory, origin, scale, result)
            except Absent as reason:
                result.skipped.append(f"{part}: {reason}")
    result.finish(options.dry or options.quick)


if __name__ == "__main__":
    main()
