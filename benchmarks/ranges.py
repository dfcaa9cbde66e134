"""What do ranges of a large cold object cost the origin and the client?"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import bodies, coverage, machine, ranged
from benchmarks.origin import Counts, Origin
from benchmarks.peers import Peer, Server
from benchmarks.ranged import Fetching, Part
from benchmarks.report import Limit, Result, Table, median, ratio, spread
from benchmarks.running import chosen, each, fitting, roomy, scratch

PEERS = "edgeproxy,nginx-slice,nginx-slice-4m,varnish,trafficserver-slice"
RANGE = 1 << 20
CLIENTS = 50
PARALLEL, PARALLEL_PART = 16, 10 << 20
FIRST_BYTE_LIMIT_MS = 5.0
PACED = 32 << 20


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is asked for: the whole run, or the short one."""

    random_size: int
    random_each: int
    random_seconds_max: float
    first_objects: int
    first_size: int
    parallel_size: int
    parallel_rounds: int
    parallel_seconds_max: float


FULL = Scale(10 << 30, 10, 15.0, 12, 64 << 20, 2 << 30, 3, 15.0)
QUICK = Scale(1 << 30, 4, 4.0, 4, 32 << 20, 256 << 20, 1, 4.0)


@dataclass(frozen=True, slots=True)
class Cost:
    """What the origin sent for some parts, against what they touch."""

    origin_bytes: int
    requests: int
    asked_bytes: int
    touched_bytes: int
    repeated_segments: int
    repeated_bytes: int


def cost(parts: list[Part], spans: list[coverage.Span], requests: int, size: int) -> Cost:
    """`parts` were asked for, `spans` are what the origin sent."""
    asked = [(part.start, part.end) for part in parts]
    again = coverage.repeated_spans(spans)
    return Cost(
        coverage.length(spans),
        requests,
        coverage.length(coverage.union(asked)),
        coverage.segment_bytes(coverage.segments(asked), size),
        len(coverage.segments(again)),
        coverage.repeated(spans),
    )


def _spans(counts: Counts) -> list[coverage.Span]:
    return [(start, end) for start, end in counts.spans]


def random_parts(size: int, count: int, seed: int) -> list[Part]:
    """Parts of one MiB anywhere in the body, the same for every server."""
    draw = random.Random(seed)
    return [Part(start, start + RANGE) for start in (draw.randrange(size - RANGE) for _ in range(count))]


def _measure_random(server: Server, origin: Origin, size: int, scale: Scale) -> tuple[Fetching, Cost]:
    target = bodies.path(size, "random")
    parts = random_parts(size, CLIENTS * scale.random_each, 9110)
    queues = [iter(parts[client::CLIENTS]) for client in range(CLIENTS)]
    origin.reset()
    fetching = ranged.run(
        ranged.fetch_parts(server.url, target, queues, len(parts), scale.random_seconds_max)
    )
    counts = origin.settle(seconds_max=2.0)
    return fetching, cost(parts, _spans(counts), counts.requests, size)


def _measure_first_bytes(server: Server, scale: Scale, rate: int) -> dict[str, list[float]]:
    """Milliseconds to the first byte of a range of an object never asked for, and of a second range of it
    that touches other segments. Answers that are not right are left out."""
    draw = random.Random(9111)
    found: dict[str, list[float]] = {"unknown object": [], "known object": []}
    end = time.monotonic() + 12.0
    for number in range(scale.first_objects):
        target = bodies.path(scale.first_size, f"first-{number}-{rate}") + (f"?rate={rate}" if rate else "")
        half = scale.first_size // 2
        places = [draw.randrange(half - coverage.SEGMENT), half + draw.randrange(half - coverage.SEGMENT)]
        for what, place in zip(found, places, strict=True):
            if (left := end - time.monotonic()) <= 0:
                return found
            one = ranged.run(
                ranged.fetch_parts(server.url, target, [iter([Part(place, place + RANGE)])], 1, left)
            )
            found[what] += [1000 * part.first_byte_seconds for part in one.fetched if not part.problem]
    return found


def _measure_parallel(
    server: Server, origin: Origin, scale: Scale, size: int
) -> dict[str, list[dict[str, float]]]:
    """Rounds of a plain whole GET, then of ranges by many clients, each of a body of its own."""
    found: dict[str, list[dict[str, float]]] = {"sequential": [], "parallel": []}
    for turn in range(scale.parallel_rounds):
        # What is measured second finds more of the disk's queue: take turns.
        for way, runs in list(found.items())[:: -1 if turn % 2 else 1]:
            target = bodies.path(size, f"{way}-{turn}")
            parts = [Part(0, size, whole=True)]
            queues: list[Iterator[Part]] = [iter(parts)]
            if way == "parallel":
                parts = ranged.apart(size, PARALLEL_PART)
                queues = [iter(parts)] * PARALLEL
            origin.reset()
            done = ranged.run(
                ranged.fetch_parts(server.url, target, queues, len(parts), scale.parallel_seconds_max)
            )
            sent = origin.settle(0.3, 1.5).body_bytes
            runs.append(
                {
                    "bytes_per_second": done.right_bytes / done.seconds,
                    "whole": float(done.right_bytes == size),
                    "origin_ratio": sent / size,
                    "problems": len(done.problems),
                }
            )
    return found


def _random_section(peers: list[Peer], directory: Path, origin: Origin, scale: Scale, result: Result) -> None:
    size = fitting(scale.random_size, 1, directory, result.skipped)
    rows = []
    for server in each(roomy(peers, size), directory, origin, result.skipped):
        fetching, spent = _measure_random(server, origin, size, scale)
        rows.append(_random_row(server.name, fetching, spent))
        print(rows[-1], flush=True)
        result.data[f"random {server.name}"] = asdict(spent) | {
            "seconds": fetching.seconds,
            "unfinished": fetching.unfinished,
            "problems": fetching.problems[:5],
        }
        if server.name == "edgeproxy":
            result.limits += _random_limits(fetching, spent)
    columns = [
        "server",
        "origin bytes / touched segments",
        "origin bytes / bytes asked for",
        "segments with bytes sent twice",
        "origin requests",
        "right",
        "seconds",
        "first byte ms p50",
        "p99",
    ]
    title = (
        f"{CLIENTS} clients, {CLIENTS * scale.random_each} random ranges of 1 MiB of a cold object of "
        f"{bodies.show_size(size)}"
    )
    result.tables.append(Table(columns, rows, title))


def _random_row(name: str, fetching: Fetching, spent: Cost) -> list[str]:
    right = [one for one in fetching.fetched if not one.problem]
    firsts = sorted(1000 * one.first_byte_seconds for one in right)
    total = len(fetching.fetched) + fetching.unfinished
    return [
        name,
        f"{spent.origin_bytes / spent.touched_bytes:.3f}",
        f"{spent.origin_bytes / spent.asked_bytes:.3f}",
        str(spent.repeated_segments),
        str(spent.requests),
        f"{len(right)} of {total}",
        f"{fetching.seconds:.1f}" + (" (stopped)" if fetching.unfinished else ""),
        f"{statistics.median(firsts):.1f}" if firsts else "-",
        f"{firsts[int(len(firsts) * 0.99)]:.1f}" if firsts else "-",
    ]


def _random_limits(fetching: Fetching, spent: Cost) -> list[Limit]:
    share = spent.origin_bytes / spent.touched_bytes
    wrong = len(fetching.problems) + fetching.unfinished
    return [
        Limit(
            "random ranges: origin bytes / touched segments",
            "<= 1.1",
            f"{share:.3f}",
            0 < share <= 1.1 and not wrong,
        ),
        Limit(
            "random ranges: segments with bytes sent twice",
            "0",
            str(spent.repeated_segments),
            not spent.repeated_segments and not wrong,
        ),
        Limit("random ranges not right or not there", "0", str(wrong), not wrong),
    ]


def _first_byte_section(
    peers: list[Peer], directory: Path, origin: Origin, scale: Scale, result: Result
) -> None:
    whole = 2 * scale.first_objects * scale.first_size
    taken: dict[str, dict[int, dict[str, list[float]]]] = {}
    for server in each([*chosen("direct"), *roomy(peers, whole)], directory, origin, result.skipped):
        taken[server.name] = {rate: _measure_first_bytes(server, scale, rate) for rate in (0, PACED)}
    direct = taken["direct"]
    rows = []
    for name, rates in taken.items():
        row = [name]
        for rate, times in rates.items():
            for what, values in times.items():
                row.append(spread(values, ".1f") if values else "no answer")
                result.data[f"first byte {name} {what} at {rate}"] = values
                if name != "edgeproxy":
                    continue
                added = median(values) - median(direct[rate][what]) if values and direct[rate][what] else None
                how = f", origin at {bodies.show_size(rate)}/s" if rate else ""
                result.limits.append(
                    Limit(
                        f"first byte of a cold range, {what}{how}: after the origin's own",
                        f"<= {FIRST_BYTE_LIMIT_MS:g} ms",
                        "no answer" if added is None else f"{added:.2f} ms",
                        added is not None and added <= FIRST_BYTE_LIMIT_MS,
                    )
                )
        rows.append(row)
    paced = bodies.show_size(PACED)
    columns = [
        "server",
        "unknown object",
        "known object",
        f"unknown, origin at {paced}/s",
        f"known, origin at {paced}/s",
    ]
    result.tables.append(Table(columns, rows, "First byte of a cold range, ms"))


def _parallel_section(
    peers: list[Peer], directory: Path, origin: Origin, scale: Scale, result: Result
) -> None:
    size = fitting(scale.parallel_size, 2 * scale.parallel_rounds, directory, result.skipped)
    held = size * 2 * scale.parallel_rounds
    rows = []
    for server in each(roomy(peers, held), directory, origin, result.skipped):
        found = _measure_parallel(server, origin, scale, size)
        result.data[f"parallel {server.name}"] = found
        plain, parts = found["sequential"], found["parallel"]
        speeds = [[run["bytes_per_second"] / 1e6 for run in runs] for runs in (plain, parts)]
        compared = ratio(speeds[1], speeds[0]) if all(speeds[0]) else 0.0
        sent = max(run["origin_ratio"] for run in parts)
        whole = all(run["whole"] for run in parts + plain)
        rows.append(
            [
                server.name,
                spread(speeds[0]),
                spread(speeds[1]),
                f"{compared:.2f}",
                f"{max(run['origin_ratio'] for run in plain):.4f}",
                f"{sent:.4f}",
                "yes" if whole else "no",
            ]
        )
        print(rows[-1], flush=True)
        if server.name == "edgeproxy":
            result.limits += [
                Limit(
                    f"{PARALLEL} clients with 10 MiB ranges: throughput / plain GET",
                    ">= 0.9x",
                    f"{compared:.2f}x",
                    compared >= 0.9 and whole,
                ),
                Limit(
                    f"{PARALLEL} clients with 10 MiB ranges: origin bytes / body",
                    "<= 1.001",
                    f"{sent:.4f}",
                    0 < sent <= 1.001 and whole,
                ),
            ]
    columns = [
        "server",
        "plain GET MB/s",
        "ranges MB/s",
        "ranges / plain",
        "origin bytes / body, plain",
        "ranges",
        "all right and whole",
    ]
    title = (
        f"One cold object of {bodies.show_size(size)}: one plain GET, and {PARALLEL} clients that share its "
        "ranges of 10 MiB"
    )
    result.tables.append(Table(columns, rows, title))


def _method(scale: Scale, peers: list[Peer]) -> list[str]:
    return [
        "The origin generates its bytes and notes each span it sends; clients check every byte. The server "
        "has one core, clients and origin the other. Servers run one after the other, each with an empty "
        "store, and only while they are measured.",
        f"Random: {CLIENTS} connections, each asking for {scale.random_each} ranges one after the other, the "
        "same for every server; segments are of 4 MiB; origin bytes are taken when the origin is quiet or "
        f"2 s after the last answer. A server is stopped after {scale.random_seconds_max:g} s.",
        f"First byte: {scale.first_objects} objects of {bodies.show_size(scale.first_size)}, asked for one "
        "after the other: 1 MiB anywhere in the first half, then 1 MiB in the second half, on new "
        "connections. Median (least-greatest). An origin that is paced shows who fetches bytes before those "
        "asked for.",
        f"Parallel: {scale.parallel_rounds} round(s), each of a plain GET and of ranges (first in turn), of "
        "bodies never asked for; clients take the next range in order from one list.",
        *(peer.method for peer in peers),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and short; results are not written")
    parser.add_argument("--peers", default=PEERS)
    parser.add_argument("--parts", default="random,first,parallel", help="which questions (default all)")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    machine.pin(machine.load_core())
    scale = QUICK if options.quick else FULL
    peers = chosen(options.peers)
    result = Result(
        "ranges",
        "What do ranges of a large cold object cost the origin and the client?",
        _method(scale, peers),
    )
    sections = {"random": _random_section, "first": _first_byte_section, "parallel": _parallel_section}
    with scratch() as directory, Origin() as origin:
        for part in options.parts.split(","):
            sections[part](peers, directory, origin, scale, result)
    result.skipped = list(dict.fromkeys(result.skipped))
    result.finish(options.dry or options.quick)


if __name__ == "__main__":
    main()
