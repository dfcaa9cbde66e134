"""Ranges of a cold body, measured: random ones, the first byte of one, and a body shared out in ranges."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import bodies, coverage, ranged
from benchmarks.origin import Counts, Origin
from benchmarks.peers import Server
from benchmarks.ranged import Fetching, Part

RANGE = 1 << 20
CLIENTS = 50
PARALLEL, PARALLEL_PART = 16, 10 << 20
PACED = 32 << 20
RATES = (0, PACED)
KINDS = ("unknown object", "known object")


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is asked for: the whole run, or the short one. `first_seconds_max` is for each rate."""

    rounds: int
    random_size: int
    random_each: int
    random_seconds_max: float
    first_objects: int
    first_size: int
    first_seconds_max: float
    parallel_size: int
    parallel_seconds_max: float
    quiet_seconds: float
    settle_seconds_max: float


FULL = Scale(3, 10 << 30, 6, 8.0, 3, 64 << 20, 2.5, 256 << 20, 8.0, 0.2, 2.0)
QUICK = Scale(1, 1 << 30, 2, 2.0, 2, 32 << 20, 0.5, 32 << 20, 1.0, 0.05, 0.2)


@dataclass(frozen=True, slots=True)
class Cost:
    """What the origin sent for some parts, against what they touch."""

    origin_bytes: int
    requests: int
    asked_bytes: int
    touched_bytes: int
    repeated_segments: int
    repeated_bytes: int


@dataclass(frozen=True, slots=True)
class Random:
    """Random ranges by many clients. `again_ratio` is origin bytes by bytes asked for when the same ranges
    are asked for once more, None if not all had come the first time."""

    fetching: Fetching
    cost: Cost
    again_ratio: float | None
    again_problems: list[str]


@dataclass(frozen=True, slots=True)
class Transfer:
    """One whole body, by one plain GET or in ranges. `busy` and `load_busy` are shares of the two cores."""

    bytes_per_second: float
    is_whole: bool
    origin_ratio: float
    problems: list[str]
    busy: float
    load_busy: float


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


def measure_random(server: Server, origin: Origin, size: int, scale: Scale, turn: int) -> Random:
    """The ranges of a cold object, and unless they took too long the same once more."""
    target = bodies.path(size, f"random-{turn}")
    parts = random_parts(size, CLIENTS * scale.random_each, 9110 + turn)

    def ask() -> Fetching:
        queues = [iter(parts[client::CLIENTS]) for client in range(CLIENTS)]
        origin.reset()
        return ranged.run(
            ranged.fetch_parts(server.url, target, queues, len(parts), scale.random_seconds_max)
        )

    fetching = ask()
    counts = origin.settle(scale.quiet_seconds, scale.settle_seconds_max)
    spent = cost(parts, _spans(counts), counts.requests, size)
    if fetching.unfinished or fetching.problems:
        return Random(fetching, spent, None, [])
    again = ask()
    sent = origin.settle(scale.quiet_seconds, scale.settle_seconds_max).body_bytes
    return Random(fetching, spent, sent / (len(parts) * RANGE), again.problems)


def measure_first_bytes(server: Server, scale: Scale, rate: int, turn: int) -> dict[str, list[float]]:
    """Milliseconds to the first byte of a range of an object never asked for, and of a second range of it
    that touches other segments. Answers that are not right, or not there in time, are left out."""
    draw = random.Random(9111 + turn)
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    end = time.monotonic() + scale.first_seconds_max
    for number in range(scale.first_objects):
        name = f"first-{turn}-{number}-{rate}"
        target = bodies.path(scale.first_size, name) + (f"?rate={rate}" if rate else "")
        half = scale.first_size // 2
        places = [draw.randrange(half - coverage.SEGMENT), half + draw.randrange(half - coverage.SEGMENT)]
        for kind, place in zip(KINDS, places, strict=True):
            if (left := end - time.monotonic()) <= 0:
                return found
            one = ranged.run(
                ranged.fetch_parts(server.url, target, [iter([Part(place, place + RANGE)])], 1, left)
            )
            found[kind] += [1000 * part.first_byte_seconds for part in one.fetched if not part.problem]
    return found


def measure_parallel(server: Server, origin: Origin, scale: Scale, turn: int) -> dict[str, Transfer]:
    """A plain whole GET and ranges by many clients, each of a body of its own."""
    found: dict[str, Transfer] = {}
    size = scale.parallel_size
    # What is measured second finds more of the disk's queue: take turns.
    for way in ("plain", "ranges") if turn % 2 == 0 else ("ranges", "plain"):
        target = bodies.path(size, f"{way}-{turn}")
        parts = [Part(0, size, whole=True)]
        queues: list[Iterator[Part]] = [iter(parts)]
        if way == "ranges":
            parts = ranged.apart(size, PARALLEL_PART)
            queues = [iter(parts)] * PARALLEL
        origin.reset()
        begun, used, loaded = time.perf_counter(), server.cpu_seconds(), _load_seconds(origin)
        done = ranged.run(
            ranged.fetch_parts(server.url, target, queues, len(parts), scale.parallel_seconds_max)
        )
        taken = time.perf_counter() - begun
        busy, load_busy = server.cpu_seconds() - used, _load_seconds(origin) - loaded
        sent = origin.settle(scale.quiet_seconds, scale.settle_seconds_max).body_bytes
        found[way] = Transfer(
            done.right_bytes / done.seconds,
            done.right_bytes == size,
            sent / size,
            done.problems,
            busy / taken,
            load_busy / taken,
        )
    return found


def _load_seconds(origin: Origin) -> float:
    """Processor time so far of what shares the load's core: our clients and the origin."""
    times = os.times()
    return times.user + times.system + origin.cpu_seconds()
