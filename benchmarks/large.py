"""How fast is a filled large body, and what do slow readers of a running fill cost?"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks import bodies, load, machine, ranged
from benchmarks.busy import FULLY_BUSY, judged, watched
from benchmarks.origin import Origin
from benchmarks.peers import Edgeproxy, Server
from benchmarks.ranged import Connection, Part
from benchmarks.report import Limit, Result, Table, median, spread
from benchmarks.running import chosen, fitting, prove_hit, scratch, started
from benchmarks.side_by_side import case, tell

PEERS = "edgeproxy,nginx"
MEMORY_LIMIT = 300e6
READERS = 200


@dataclass(frozen=True, slots=True)
class Scale:
    body: int
    connections: tuple[int, ...]
    rounds: int
    seconds: float
    fill_body: int
    fill_seconds: float
    reader_rate: int


FULL = Scale(1 << 30, (1, 8, 64), 3, 3.0, 10 << 30, 60.0, 1 << 20)
QUICK = Scale(256 << 20, (1, 8, 64), 1, 1.5, 1 << 30, 8.0, 1 << 20)


@dataclass(frozen=True, slots=True)
class Hanging:
    """What slow readers of a running fill cost. `readers_right` had only right bytes and were not cut off."""

    idle_bytes: int
    peak_bytes: int
    seconds: float
    origin_bytes: int
    readers_right: int
    problems: list[str]
    least_received: int
    median_received: float
    slowest_first_byte_seconds: float


def _measure(server: Server, target: str, connections: int, seconds: float) -> dict[str, float]:
    def run() -> load.Run:
        if connections > 1:
            return load.several(server.url + target, connections=connections, seconds=seconds)
        times = max(1, round(seconds * 2e9 / (bodies.size_of(target) or 1)))
        return load.stream(server.url + target, times=times)

    return watched(server, run)


def _filled_section(names: str, directory: Path, origin: Origin, scale: Scale, result: Result) -> None:
    target = bodies.path(scale.body, "large")
    figures: dict[int, dict[str, list[dict[str, float]]]] = {}
    with started(chosen(names), directory, origin, result.skipped) as servers:
        for name, server in list(servers.items()):
            if why := prove_hit(server, origin, target, 40.0):
                result.skipped.append(f"{name}: {why}")
                servers.pop(name).stop()
        before = origin.counts().requests
        for connections in scale.connections:
            runs = figures.setdefault(connections, {name: [] for name in servers})
            for turn in range(scale.rounds):
                # The second to be measured finds the caches of the processor warm: take turns.
                for name, server in list(servers.items())[:: -1 if turn % 2 else 1]:
                    try:
                        runs[name].append(_measure(server, target, connections, scale.seconds))
                    except OSError as error:
                        result.skipped.append(f"{name}, {connections} clients: {error}")
        if asked := origin.counts().requests - before:
            result.skipped.append(f"not all were hits, the origin saw {asked} requests while measuring")
    rows, cases = [], []
    for connections, found in figures.items():
        filled = case(_clients(connections), "MB/s", found, "bytes_per_second")
        cases.append(replace(filled, is_by_core=_was_load_the_limit(found.values())))
        for name, runs_of_one in found.items():
            if runs_of_one:
                rows.append(_filled_row(connections, name, runs_of_one))
        result.limits.append(_filled_limit(connections, found))
        result.data[f"{connections} clients"] = found
    columns = ["clients", "server", "MB/s", "MB/s for each busy core", "server busy %", "load busy %"]
    result.tables.append(Table(columns, rows, f"Filled body of {bodies.show_size(scale.body)}"))
    tell(result, "filled body,", cases)


def _was_load_the_limit(found: Iterable[list[dict[str, float]]]) -> bool:
    """Whether the load had all of its core with every server."""
    loads = [median([run["load_busy"] for run in runs]) for runs in found if runs]
    return bool(loads) and min(loads) >= FULLY_BUSY


def _clients(connections: int) -> str:
    return f"{connections} client{'s' if connections > 1 else ''}"


def _filled_row(connections: int, name: str, runs: list[dict[str, float]]) -> list[str]:
    rates = [run["bytes_per_second"] / 1e6 for run in runs]
    return [
        str(connections),
        name,
        spread(rates),
        spread([rate / run["busy"] for rate, run in zip(rates, runs, strict=True)]),
        spread([100 * run["busy"] for run in runs]),
        spread([100 * run["load_busy"] for run in runs]),
    ]


def _filled_limit(connections: int, found: dict[str, list[dict[str, float]]]) -> Limit:
    what = f"filled body, {_clients(connections)}, against nginx"
    ours, theirs = found.get("edgeproxy", []), found.get("nginx", [])
    if not ours or len(ours) != len(theirs):
        return Limit(what, ">= 1x", "-", None)
    got, how = judged(ours, theirs, "bytes_per_second", by_core=_was_load_the_limit((ours, theirs)))
    return Limit(what, ">= 1x", f"{got:.2f}x{how}", got >= 1)


async def _hang(server: Server, origin: Origin, target: str, size: int, scale: Scale) -> Hanging:
    """Readers that take little while the fill runs; none is meant to come to the end."""
    idle = peak = server.memory_bytes()
    begun = time.perf_counter()
    readers: list[Connection] = []
    try:
        while len(readers) < READERS:
            readers.append(await ranged.connect(server.url, target, scale.reader_rate))
        asked = [reader.ask(Part(0, size, whole=True)) for reader in readers]
        while (passed := time.perf_counter() - begun) < scale.fill_seconds:
            await asyncio.sleep(min(0.5, scale.fill_seconds - passed))
            peak = max(peak, server.memory_bytes())
        sent = (await asyncio.to_thread(origin.counts)).body_bytes
        received = sorted(reader.received for reader in readers)
        # Short of a wrong byte or a cut, no answer has ended.
        problems = [one.result().problem or "whole too early" for one in asked if one.done()]
        problems += ["wrong bytes" for reader in readers if reader.is_wrong and reader.is_open]
        return Hanging(
            idle,
            max(peak, server.memory_bytes("VmHWM")),
            time.perf_counter() - begun,
            sent,
            READERS - len(problems),
            sorted(set(problems))[:5],
            received[0],
            median(received),
            max(reader.first_byte_seconds for reader in readers),
        )
    finally:
        for reader in readers:
            reader.close()


def _memory_section(names: str, directory: Path, origin: Origin, scale: Scale, result: Result) -> None:
    del names  # a node's memory is its own limit, whatever others take
    size = fitting(scale.fill_body, 1, directory, result.skipped)
    target = f"{bodies.path(size, 'hanging')}?rate={int(size / scale.fill_seconds)}"
    rows = []
    peer = Edgeproxy(disk=f"{2 * size}")
    with started([peer], directory / "hanging", origin, result.skipped) as servers:
        for server in servers.values():
            origin.reset()
            try:
                hanging = ranged.run(_hang(server, origin, target, size, scale))
            except OSError as error:
                result.skipped.append(f"readers of a running fill: {type(error).__name__}: {error}")
                continue
            result.data["hanging"] = asdict(hanging)
            rows.append(
                [
                    f"{hanging.idle_bytes / 1e6:.0f}",
                    f"{hanging.peak_bytes / 1e6:.0f}",
                    f"{hanging.origin_bytes / size:.0%} of {bodies.show_size(size)}",
                    f"{hanging.readers_right} of {READERS}",
                    f"{hanging.median_received / 1e6:.0f} ({hanging.least_received / 1e6:.0f} the least)",
                    f"{hanging.slowest_first_byte_seconds:.2f}",
                    f"{hanging.seconds:.0f}",
                ]
            )
            fine = hanging.readers_right == READERS
            result.limits += [
                Limit(
                    f"memory while {READERS} slow readers hang on a running fill of {bodies.show_size(size)}",
                    "< 300 MB",
                    f"{hanging.peak_bytes / 1e6:.0f} MB",
                    hanging.peak_bytes < MEMORY_LIMIT and hanging.origin_bytes > size / 4 and fine,
                ),
                Limit("slow readers that are not cut off", str(READERS), str(hanging.readers_right), fine),
            ]
    columns = [
        "idle MB",
        "peak MB",
        "sent by the origin",
        "readers right so far",
        "MB each took (median)",
        "slowest first byte s",
        "seconds",
    ]
    result.tables.append(Table(columns, rows, f"{READERS} slow readers of a running fill, the node's memory"))


def _method(scale: Scale, names: str) -> list[str]:
    return [
        "Filled body: every server gave every byte right and was asked twice without the origin being asked; "
        f"then {scale.rounds} interleaved round(s) of {scale.seconds:g} s for each number of clients, which "
        "take up to 1 MiB a call. Load on one core, the server on the other. Rates are judged by the "
        f"server's processor time where the load had {FULLY_BUSY:.0%} of its core with both servers, and so "
        "was the limit.",
        f"Slow readers: {READERS} connections ask at once for one cold body and each take "
        f"{bodies.show_size(scale.reader_rate)}/s, every byte checked, while the origin gives the body in "
        f"{scale.fill_seconds:g} s; peak is the larger of VmHWM and of what was seen twice a second, all "
        "processes together. Nobody comes to the end: the run is stopped then.",
        *(peer.method for peer in chosen(names)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and short; results are not written")
    parser.add_argument("--peers", default=PEERS)
    parser.add_argument("--parts", default="filled,memory", help="which questions (default all)")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    machine.pin(machine.load_core())
    scale = QUICK if options.quick else FULL
    result = Result(
        "large",
        "How fast is a filled large body, and what do slow readers of a running fill cost?",
        _method(scale, options.peers),
    )
    sections = {"filled": _filled_section, "memory": _memory_section}
    for part in options.parts.split(","):
        with scratch() as directory, Origin() as origin:
            sections[part](options.peers, directory, origin, scale, result)
    result.finish(options.dry or options.quick)


if __name__ == "__main__":
    main()
