"""What changes as a node grows: from a thousand to a million objects, from one to ten thousand clients?"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import bodies, machine
from benchmarks.bulk import BLOCK
from benchmarks.client import Client, WrongBytes
from benchmarks.footprint import TAG, is_asked_again, purge, settled
from benchmarks.idle_connections import files_for, held_open
from benchmarks.origin import Origin
from benchmarks.peers import Absent, Edgeproxy, Server
from benchmarks.report import Limit, Plot, Result, Series, Table, median, spread
from benchmarks.running import scratch
from edgeproxy.storage.upkeep import FIRST_SECONDS

QUESTION = (
    "What changes as a node grows: from a thousand to a million objects, from one to ten thousand clients?"
)
RAM_TIER, RAM_TIER_BYTES = "8MiB", 8 << 20
BODY = 512
NAME = "growth"
PURGES = 5
QUIET_SECONDS = 0.05  # of processor time in half a second: no more than a node at rest takes
OBJECT_LIMIT, START_LIMIT, PURGE_LIMIT_MS, CONNECTION_LIMIT = 1024, 1.0, 5.0, 10 << 10
PURGED = 100_000  # the number of objects that the limit for a purge names
ROOMY = """
[limits]
connections = 20000
idle_timeout = "10m"
"""


@dataclass
class Asked:
    """What is measured of a store of `count` responses; lists have one value for each round."""

    count: int
    fill_seconds: float = 0.0
    start_seconds: list[float] = field(default_factory=list)
    start_cpu_seconds: list[float] = field(default_factory=list)
    empty_start_seconds: float = 0.0
    sweep_seconds: float = 0.0
    idle_bytes: int = 0
    bytes: int = 0
    most_bytes: int = 0
    ram_ms: list[float] = field(default_factory=list)
    disk_ms: list[float] = field(default_factory=list)
    slowest_ms: list[float] = field(default_factory=list)
    sweeping_ms: float = 0.0
    sweeping_slowest_ms: float = 0.0
    purge_ms: list[float] = field(default_factory=list)

    @property
    def bytes_for_each(self) -> float:
        """What is beyond the idle node and the whole RAM tier, by object."""
        return max(0, self.bytes - self.idle_bytes - RAM_TIER_BYTES) / self.count


def target(number: int) -> str:
    return f"{bodies.path(BODY, f'{NAME}-{number}')}?tag={TAG}"


def latencies(server: Server, targets: Sequence[str]) -> list[float]:
    """Milliseconds of each, one after the other on one connection; every byte is checked."""
    with Client(server.url) as client:
        client.get(targets[0])
        return sorted(client.get(one).seconds * 1000 for one in targets)


def at(taken: Sequence[float], share: float) -> float:
    return taken[min(len(taken) - 1, int(len(taken) * share))]


class Objects:
    """One store after the other, each larger, each from an empty directory."""

    def __init__(self, directory: Path, origin: Origin, options: argparse.Namespace, result: Result) -> None:
        self._directory, self._origin = directory / "node", origin
        self._options, self._result = options, result
        self._peer = Edgeproxy(memory=RAM_TIER, disk="200GiB")

    def measure(self, count: int) -> Asked:
        """Raises Absent, OSError, WrongBytes."""
        asked = Asked(count)
        self._begin(asked)
        asked.count, asked.fill_seconds = self._fill(count)
        for turn in range(self._options.rounds):
            server = self._start(asked, turn)
            if turn < self._options.rounds - 1:
                server.stop()
        try:
            self._hits_beside_sweep(server, asked)
            self._rest(server, asked)
            asked.bytes = settled(server)
            self._hits(server, asked)
            asked.bytes = max(asked.bytes, server.memory_bytes())
            asked.most_bytes = server.memory_bytes("VmHWM")
            self._purge(server, asked)
        finally:
            server.stop()
            shutil.rmtree(self._directory)
        return asked

    def _begin(self, asked: Asked) -> None:
        """A node that stores the pattern: how it starts, and its resident bytes."""
        server = self._peer.start(self._directory, self._origin.url)
        try:
            with Client(server.url) as client:
                client.get(target(0))
            asked.empty_start_seconds = time.perf_counter() - server.begun
            purge(server, "nothing")  # the first use of the admin API loads what it needs
            asked.idle_bytes = settled(server)
        finally:
            server.stop()

    def _fill(self, count: int) -> tuple[int, float]:
        free = shutil.disk_usage(self._directory).free
        fitting = int(free * 0.5 / (BLOCK * 1.6))  # file, rows, log of the rows
        if fitting < count:
            self._result.skipped.append(f"{count:,} objects: the disk has {free >> 30} GiB free")
        argv = [sys.executable, "-m", "benchmarks.bulk", str(self._directory / "cache")]
        seconds = self._options.fill_seconds
        done = subprocess.run(
            [*argv, str(min(count, fitting)), str(seconds)],
            cwd=machine.ROOT,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise OSError(f"filling ended with {done.stderr.decode(errors='replace').strip()[-200:]}")
        said = json.loads(done.stdout)
        if said["count"] < min(count, fitting):
            self._result.skipped.append(
                f"{count:,} objects: {said['count']:,} were written within {seconds:.0f} s (--fill-seconds)"
            )
        return said["count"], said["seconds"]

    def _start(self, asked: Asked, turn: int) -> Server:
        """Start, and ask for one object at once. The first answer has to be a hit."""
        self._origin.reset()
        server = self._peer.start(self._directory, self._origin.url)
        with Client(server.url) as client:
            client.get(target(random.Random(turn).randrange(asked.count)))
        asked.start_seconds.append(time.perf_counter() - server.begun)
        asked.start_cpu_seconds.append(server.cpu_seconds())
        if self._origin.counts().requests:
            self._result.failures.append(f"{asked.count:,} objects: the first answer was no hit")
        return server

    def _hits_beside_sweep(self, server: Server, asked: Asked) -> None:
        time.sleep(FIRST_SECONDS)  # until it begins
        chosen = random.Random(99)
        taken = latencies(server, [target(chosen.randrange(asked.count)) for _ in range(self._options.hits)])
        asked.sweeping_ms, asked.sweeping_slowest_ms = at(taken, 0.5), at(taken, 0.99)

    def _rest(self, server: Server, asked: Asked) -> None:
        """Wait for the end of the start's sweep: until several half seconds in a row cost the node little
        time (one might be little because others had the processor)."""
        begun = ended = time.monotonic()
        quiet = 0
        while quiet < self._options.quiet and time.monotonic() - begun < self._options.rest_seconds:
            before = server.cpu_seconds()
            time.sleep(0.5)
            quiet = quiet + 1 if server.cpu_seconds() - before < QUIET_SECONDS else 0
            if not quiet:
                ended = time.monotonic()
        if not quiet:
            self._result.skipped.append(f"{asked.count:,} objects at rest: the node still swept")
        asked.sweep_seconds = ended - begun

    def _hits(self, server: Server, asked: Asked) -> None:
        self._origin.reset()
        for turn in range(self._options.rounds):
            chosen = random.Random(100 + turn)
            asked.ram_ms.append(at(latencies(server, [target(1)] * self._options.hits), 0.5))
            taken = latencies(
                server, [target(chosen.randrange(asked.count)) for _ in range(self._options.hits)]
            )
            asked.disk_ms.append(at(taken, 0.5))
            asked.slowest_ms.append(at(taken, 0.99))
        if missed := self._origin.counts().requests:
            self._result.failures.append(f"{asked.count:,} objects: {missed} hits were asked for again")

    def _purge(self, server: Server, asked: Asked) -> None:
        """Everything at once, several times: each is a purge of all. Then it has to be gone, also after
        a restart (but for --quick)."""
        purge(server, "nothing")
        asked.purge_ms = [purge(server) for _ in range(PURGES)]
        numbers = random.Random(9).sample(range(asked.count), 4)
        gone = [is_asked_again(server, self._origin, target(number)) for number in numbers[:2]]
        if not self._options.quick:
            server.stop()
            again = self._peer.start(self._directory, self._origin.url)
            try:
                gone += [is_asked_again(again, self._origin, target(number)) for number in numbers[2:]]
            finally:
                again.stop()
        if not all(gone):
            self._result.failures.append(f"{asked.count:,} objects: a purged one was still a hit")


@dataclass
class Connected:
    """What is measured while `count` clients are connected."""

    count: int
    bytes: int
    median_ms: list[float]
    slowest_ms: list[float]


def connections(
    directory: Path, origin: Origin, steps: Sequence[int], options: argparse.Namespace, result: Result
) -> tuple[int, list[Connected]]:
    """Resident bytes without a client, and what each number of them makes of it."""
    found = []
    allowed = files_for(max(steps))
    server = Edgeproxy(memory=RAM_TIER, more=ROOMY).start(directory / "connected", origin.url)
    try:
        latencies(server, [target(0)] * 50)
        idle = settled(server)
        with held_open() as clients:
            for step in steps:
                if step > allowed:
                    result.skipped.append(f"{step:,} connections: {allowed:,} files may be open (ulimit -n)")
                    break
                clients.grow(server.url, target(0), step)
                held = settled(server)
                rounds = [latencies(server, [target(0)] * options.hits) for _ in range(options.rounds)]
                found.append(
                    Connected(step, held, [at(one, 0.5) for one in rounds], [at(one, 0.99) for one in rounds])
                )
            if (still := clients.still_open()) < len(clients):
                result.failures.append(f"{len(clients) - still} of {len(clients)} connections were closed")
    finally:
        server.stop()
    return idle, found


def _tell_objects(result: Result, found: Sequence[Asked]) -> None:
    rows = [
        [
            f"{one.count:,}",
            f"{one.empty_start_seconds:.2f}",
            spread(one.start_seconds, ".2f"),
            f"{median(one.start_cpu_seconds):.2f}",
            f"{one.sweep_seconds:.0f}",
            f"{one.idle_bytes / 1e6:.1f}",
            f"{one.bytes / 1e6:.1f}",
            f"{one.most_bytes / 1e6:.1f}",
            f"{one.bytes_for_each:.0f}",
            f"{one.count / one.fill_seconds:.0f}",
        ]
        for one in found
    ]
    columns = ["stored objects", "start to first answer, empty, s", "start to first hit s"]
    columns += [
        "processor s of it",
        "sweep s",
        "RSS MB empty",
        "RSS MB",
        "most MB",
        "bytes for each",
        "written per second",
    ]
    result.tables.append(Table(columns, rows, "Memory and start by stored objects"))
    rows = [
        [
            f"{one.count:,}",
            spread(one.ram_ms, ".2f"),
            spread(one.disk_ms, ".2f"),
            spread(one.slowest_ms, ".2f"),
            f"{one.sweeping_ms:.2f}",
            f"{one.sweeping_slowest_ms:.2f}",
            spread(one.purge_ms, ".2f"),
        ]
        for one in found
    ]
    columns = [
        "stored objects",
        "RAM hit",
        "disk hit",
        "disk hit p99",
        "disk hit beside the sweep",
        "its p99",
    ]
    result.tables.append(Table([*columns, "purge of all"], rows, "Milliseconds by stored objects"))
    result.limits += _object_limits(found)
    result.plots += _object_plots(found)


def _object_limits(found: Sequence[Asked]) -> list[Limit]:
    largest = found[-1]
    by_purge = min(found, key=lambda one: abs(one.count - PURGED))
    each, start, purged = (
        largest.bytes_for_each,
        median(largest.start_seconds),
        median(by_purge.purge_ms),
    )
    stored = f"{largest.count:,} stored"
    return [
        Limit(
            f"each object beyond the RAM tier, {stored}", "<= 1 KiB", f"{each:.0f} B", each <= OBJECT_LIMIT
        ),
        Limit(f"start to first hit, {stored}", "< 1 s", f"{start:.2f} s", _starts_soon(largest)),
        Limit(
            f"purge by tag of {by_purge.count:,} objects",
            f"< {PURGE_LIMIT_MS:g} ms",
            f"{purged:.2f} ms",
            purged < PURGE_LIMIT_MS,
        ),
    ]


def _starts_soon(asked: Asked) -> bool | None:
    """None where the machine was so busy that the node was not ready in time with nothing stored either."""
    if median(asked.start_seconds) < START_LIMIT:
        return True
    return None if asked.empty_start_seconds >= START_LIMIT else False


def _object_plots(found: Sequence[Asked]) -> list[Plot]:
    def plot(title: str, unit: str, series: list[Series]) -> Plot:
        return Plot(f"{title} by stored objects", "lines", "stored objects", unit, series, is_x_log=True)

    return [
        plot("RSS", "MB", [Series("RSS", [(one.count, one.bytes / 1e6) for one in found])]),
        plot(
            "Start to first hit",
            "s",
            [
                Series("that many stored", [(one.count, median(one.start_seconds)) for one in found]),
                Series("nothing stored", [(one.count, one.empty_start_seconds) for one in found]),
            ],
        ),
        plot(
            "Latency",
            "ms, median",
            [
                Series("hit in RAM", [(one.count, median(one.ram_ms)) for one in found]),
                Series("hit on disk", [(one.count, median(one.disk_ms)) for one in found]),
                Series("hit on disk beside the sweep", [(one.count, one.sweeping_ms) for one in found]),
                Series("purge of all", [(one.count, median(one.purge_ms)) for one in found]),
            ],
        ),
    ]


def _tell_connections(result: Result, idle: int, found: Sequence[Connected]) -> None:
    rows = [
        [
            f"{one.count:,}",
            f"{one.bytes / 1e6:.1f}",
            f"{(one.bytes - idle) / one.count / 1024:.1f}" if one.count >= 100 else "-",
            spread(one.median_ms, ".2f"),
            spread(one.slowest_ms, ".2f"),
        ]
        for one in found
    ]
    columns = ["idle connections", "RSS MB", "KiB for each", "RAM hit ms", "RAM hit p99 ms"]
    result.tables.append(Table(columns, rows, f"By connections; {idle / 1e6:.1f} MB without one"))
    if not found:
        return
    most = found[-1]
    each = (most.bytes - idle) / most.count
    result.limits.append(
        Limit(
            f"each idle connection, {most.count:,} open",
            "<= 10 KiB",
            f"{each / 1024:.1f} KiB",
            each <= CONNECTION_LIMIT,
        )
    )
    points = [(one.count, one.bytes / 1e6) for one in found]
    title = "RSS by idle connections"
    result.plots.append(Plot(title, "lines", "connections", "RSS MB", [Series("RSS", points)], True))
    taken = [
        Series("median", [(one.count, median(one.median_ms)) for one in found]),
        Series("p99", [(one.count, median(one.slowest_ms)) for one in found]),
    ]
    title = "Hit in RAM by idle connections"
    result.plots.append(Plot(title, "lines", "connections", "ms", taken, True))


def _samples(asked: Sequence[Asked], connected: Sequence[Connected]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for one in asked:
        name = f"{one.count} objects:"
        found |= {
            f"{name} start to first hit s": one.start_seconds,
            f"{name} start to first hit processor s": one.start_cpu_seconds,
            f"{name} RSS bytes": [one.bytes],
            f"{name} RAM hit ms": one.ram_ms,
            f"{name} disk hit ms": one.disk_ms,
            f"{name} disk hit p99 ms": one.slowest_ms,
            f"{name} disk hit beside the sweep p99 ms": [one.sweeping_slowest_ms],
            f"{name} purge ms": one.purge_ms,
        }
    for each in connected:
        name = f"{each.count} connections:"
        found |= {
            f"{name} RSS bytes": [each.bytes],
            f"{name} RAM hit ms": each.median_ms,
            f"{name} RAM hit p99 ms": each.slowest_ms,
        }
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", default="1000,10000,100000,1000000", help="comma separated")
    parser.add_argument("--connections", default="1,10,100,1000,10000", help="comma separated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hits", type=int, default=1000, help="requests of each kind in a round")
    parser.add_argument("--fill-seconds", type=float, default=90.0, help="for writing the largest store")
    parser.add_argument("--rest-seconds", type=int, default=60, help="for the sweep of a start to end")
    parser.add_argument("--quiet", type=int, default=3, help="half seconds at rest that tell its end")
    parser.add_argument("--quick", action="store_true", help="small numbers, one round; leaves results alone")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    if options.quick:
        options.objects, options.connections, options.rounds, options.hits = "500", "1,100", 1, 100
        options.fill_seconds, options.quiet = 1.0, 1
    return options


def _result(options: argparse.Namespace) -> Result:
    return Result(
        "growth",
        QUESTION,
        [
            *(
                ["Quick: few objects and connections, one round, no restart after the purge."]
                if options.quick
                else []
            ),
            f"Each number of objects is a store of its own. The node stores one object of {BODY} bytes; the "
            "others are written beside it without HTTP by benchmarks/bulk.py, two processes that use the "
            "storage package's own code for files and rows: a million requests would take a quarter of an "
            "hour. Then the node starts on it.",
            "Start to first hit is from the new process, interpreter included, to the last byte of an object "
            f"drawn at random; {options.rounds} starts, and one of the node before anything was stored. The "
            "page cache holds what was just written. A second after each start a sweep begins: files against "
            "the index.",
            "RSS (VmRSS) is read when the sweep has ended, and again after the hits; most is VmHWM. For each "
            f"object: what is beyond the node with one object and the whole RAM tier ({RAM_TIER}), divided "
            "by their number.",
            f"{options.rounds} rounds of {options.hits} requests, one after the other on one connection, "
            "every byte checked: one object again and again (RAM), and objects drawn at random from all "
            "(disk); one more round of these after the last start, beside the sweep.",
            f"A purge is a POST to the admin API on a new connection, by a tag that all objects bear; median "
            f"of {PURGES}. Before it all were hits, after it and after a restart the origin is asked.",
            "Connections come from several addresses of loopback, ask once and stay; the hits are those of "
            "one more connection.",
        ],
    )


def main() -> None:
    options = _options()
    machine.pin(machine.load_core())
    result = _result(options)
    asked: list[Asked] = []
    connected: list[Connected] = []
    with scratch() as directory, Origin() as origin:
        try:
            steps = sorted(int(text) for text in options.connections.split(","))
            idle, connected = connections(directory, origin, steps, options, result)
            _tell_connections(result, idle, connected)
            objects = Objects(directory, origin, options, result)
            for count in sorted(int(text) for text in options.objects.split(",")):
                asked.append(objects.measure(count))
                print(asked[-1], flush=True)
        except Absent as reason:
            result.skipped.append(f"edgeproxy: {reason}".replace(str(directory), "..."))
        except (OSError, WrongBytes) as error:
            result.failures.append(f"{type(error).__name__}: {error}".replace(str(directory), "..."))
    if asked:
        _tell_objects(result, asked)
    result.data = {"samples": _samples(asked, connected)}
    result.finish(options.dry or options.quick)


if __name__ == "__main__":
    main()
