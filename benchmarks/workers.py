"""What do several processes bring on several cores, and what do a reload and a restart cost clients?"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import bodies, load, machine
from benchmarks.busy import load_seconds
from benchmarks.client import Client
from benchmarks.herd import Herd, measure_herd
from benchmarks.origin import Origin
from benchmarks.peers import Edgeproxy, Server
from benchmarks.report import Limit, Result, Table, ratio, spread
from benchmarks.running import prove_hit, scratch

CONNECTIONS = 64  # for each core
CLIENTS = 200
LARGE = 64 << 20  # read at 8 MiB/s while the node restarts
READERS = 4
RATE = 8 << 20
PIECE = 128 << 10
_SCRIPT = Path(__file__).with_name("wrk.lua")
_CORES = [core for core in (machine.server_core(), machine.load_core()) if core is not None]


# -- hits ------------------------------------------------------------------------------------------


def _spread_out(server: Server) -> None:
    """Each server process to a core of its own; a node of one process to the first."""
    for pid in server._pids():
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        number = name.removeprefix("edge server ")
        cores = {_CORES[int(number) % len(_CORES)]} if number.isdecimal() else set(_CORES)
        for task in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(task), cores if name.startswith("edge ") else {_CORES[0]})


def _wrk(url: str, cores: list[int], seconds: int, script: Path) -> load.Run:
    threads = len(cores)
    done = subprocess.run(
        ["wrk", f"-t{threads}", f"-c{CONNECTIONS * threads}", f"-d{seconds}s", "-s", str(script), url],
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, set(cores)),
    )
    return load.parse_wrk(done.stdout + done.stderr)


def _measure(server: Server, target: str, seconds: int, script: Path) -> dict[str, float]:
    used, loaded = server.cpu_seconds(), load_seconds()
    run = _wrk(server.url + target, _CORES, seconds, script)
    busy = server.cpu_seconds() - used
    return {
        "busy_cores": busy / run.seconds,
        "load_cores": (load_seconds() - loaded) / run.seconds,
        "requests_per_second": run.requests_per_second,
        "microseconds_per_request": 1e6 * busy / max(1, run.requests),
        "p50_us": run.p50_us,
        "p99_us": run.p99_us,
        "failures": run.failures,
    }


def _hits(result: Result, directory: Path, origin: Origin, options: argparse.Namespace) -> None:
    """One process on one core, two servers on two, under the same load on both cores."""
    target = bodies.path(1 << 10, "hit")
    varied = directory / "varied.lua"
    varied.write_text(
        _SCRIPT.read_text()
        + "\nlocal n = math.random(1e9)\nrequest = function() n = n + 1\n"
        + '  return wrk.format("GET", nil, {["X-Varied"] = tostring(n)}) end\n'
    )
    figures: dict[str, list[dict[str, float]]] = {}
    one = Edgeproxy().start(directory / "one", origin.url)
    two = Edgeproxy(workers=2).start(directory / "two", origin.url)
    try:
        for server in (one, two):
            _spread_out(server)
            if why := prove_hit(server, origin, target):
                result.skipped.append(why)
                return
        for turn in range(options.rounds + 1):  # the first warms
            for name, server in (("one process", one), ("two servers", two)):
                for kind, script in (("remembered", _SCRIPT), ("asked for", varied)):
                    run = _measure(server, target, options.seconds if turn else 1, script)
                    if turn:
                        figures.setdefault(f"{name}, {kind}", []).append(run)
                        print(f"{name:12} {kind:11} {run['requests_per_second']:8.0f} requests/s", flush=True)
    finally:
        one.stop()
        two.stop()
    result.data["hits"] = figures
    rows = []
    for name, runs in figures.items():
        rows.append(
            [
                name,
                spread([run["requests_per_second"] for run in runs]),
                spread([run["microseconds_per_request"] for run in runs], ".1f"),
                spread([run["busy_cores"] for run in runs], ".2f"),
                spread([run["load_cores"] for run in runs], ".2f"),
                spread([run["p50_us"] / 1000 for run in runs], ".2f"),
                spread([run["p99_us"] / 1000 for run in runs], ".2f"),
                f"{sum(run['failures'] for run in runs):.0f}",
            ]
        )
    columns = ["1 KiB hits", "requests/s", "processor us a request", "cores the node had"]
    columns += ["cores the load had", "p50 ms", "p99 ms", "failed"]
    result.tables.append(Table(columns, rows, "hits"))
    one_runs, two_runs = figures["one process, remembered"], figures["two servers, remembered"]
    key = "microseconds_per_request"
    got = 2 * ratio([run[key] for run in one_runs], [run[key] for run in two_runs])
    what = "1 KiB hits of two servers on two cores against one, by processor time"
    result.limits.append(Limit(what, ">= 1.7x", f"{got:.2f}x", got >= 1.7))


# -- one fill --------------------------------------------------------------------------------------


def _herd(result: Result, directory: Path, origin: Origin) -> None:
    server = Edgeproxy(workers=2).start(directory / "herd", origin.url)
    try:
        target = f"{bodies.path(64 << 20, 'workers')}?rate={32 << 20}"
        herd = measure_herd(server, origin, target, CLIENTS, 1.0)
    finally:
        server.stop()
    result.data["herd"] = {name: getattr(herd, name) for name in Herd.__slots__}
    right = f"{herd.complete} of {CLIENTS} right and whole"
    result.limits.append(
        Limit(
            f"upstream requests for a herd of {CLIENTS} over two servers",
            "1",
            f"{herd.upstream_requests} ({right})",
            herd.upstream_requests == 1 and herd.complete == CLIENTS,
        )
    )


# -- reload and restart ----------------------------------------------------------------------------


@dataclass
class Asked:
    """What clients saw. Seconds."""

    answers: int = 0
    failures: list[str] = field(default_factory=list)
    longest: float = 0.0


async def _ask(url: str, target: str, is_fresh: bool, over: asyncio.Event, seen: Asked) -> None:
    """One client: asks again as soon as it has its answer, on one connection or on a new one each time."""
    parts = urlsplit(url)
    size = bodies.size_of(target) or 0
    head = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    while not over.is_set():
        try:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                while not over.is_set():
                    began = time.perf_counter()
                    writer.write(head)
                    fields = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
                    body = await asyncio.wait_for(reader.readexactly(size), 30)
                    if not fields.startswith(b"HTTP/1.1 200") or not bodies.matches(target, 0, body):
                        seen.failures.append(fields[:60].decode("latin-1"))
                        break
                    seen.answers += 1
                    seen.longest = max(seen.longest, time.perf_counter() - began)
                    if is_fresh or b"\r\nConnection: close\r\n" in fields:
                        break
            finally:
                writer.close()
        except (OSError, EOFError, TimeoutError) as error:
            seen.failures.append(f"{type(error).__name__}: {error}")


async def _download(url: str, target: str, seen: Asked) -> None:
    """A large body, read slowly enough to outlast a restart; every byte is checked."""
    parts = urlsplit(url)
    size = bodies.size_of(target) or 0
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 20)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
    try:
        await reader.readuntil(b"\r\n\r\n")
        for start in range(0, size, PIECE):
            piece = await asyncio.wait_for(reader.readexactly(min(PIECE, size - start)), 30)
            if not bodies.matches(target, start, piece):
                seen.failures.append(f"a download: wrong bytes at {start}")
                return
            await asyncio.sleep(PIECE / RATE)
    except (OSError, EOFError, TimeoutError) as error:
        seen.failures.append(f"a download: {type(error).__name__}: {error}")
    finally:
        writer.close()


def _post(server: Server, restart: bool) -> int:
    """Reload or restart by the control plane; the new process's id, 0 for a reload."""
    request = urllib.request.Request(
        f"{server.admin_url}/api/v1/reload", json.dumps({"exec": restart}).encode(), method="POST"
    )
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return int(json.loads(answer.read()).get("pid", 0))


async def _under_load(server: Server, restart: bool) -> tuple[Asked, float, int]:
    target, large = bodies.path(4 << 10, "asked"), bodies.path(LARGE, "large")
    seen, over = Asked(), asyncio.Event()
    clients = [
        asyncio.create_task(_ask(server.url, target, number % 2 == 1, over, seen))
        for number in range(CLIENTS)
    ]
    downloads = [asyncio.create_task(_download(server.url, large, seen)) for _ in range(READERS)]
    await asyncio.sleep(2)
    began = time.perf_counter()
    pid = await asyncio.to_thread(_post, server, restart)
    took = time.perf_counter() - began
    await asyncio.gather(*downloads)
    await asyncio.sleep(1)
    over.set()
    await asyncio.gather(*clients)
    return seen, took, pid


@contextmanager
def _running(workers: int, directory: Path, origin: Origin) -> Iterator[Server]:
    server = Edgeproxy(workers=workers).start(directory, origin.url)
    try:
        for size, name in ((4 << 10, "asked"), (LARGE, "large")):
            with Client(server.url, timeout_seconds=60) as client:
                client.get(bodies.path(size, name))
        yield server
    finally:
        server.stop()


def _changes(result: Result, directory: Path, origin: Origin) -> None:
    rows, failed = [], 0
    for workers in (1, 2):
        for restart in (False, True):
            name = f"{'restart' if restart else 'reload'}, {workers} worker{'s' * (workers > 1)}"
            place = directory / f"{workers}{restart}"
            with _running(workers, place, origin) as server:
                seen, took, pid = asyncio.run(_under_load(server, restart))
                if pid:
                    assert server.process
                    server.process.wait(60)  # the old one, when its downloads have ended
                    os.kill(pid, signal.SIGTERM)
            failed += len(seen.failures)
            result.data[name] = {
                "answers": seen.answers,
                "failures": seen.failures[:20],
                "longest": seen.longest,
                "seconds": took,
            }
            rows.append(
                [
                    name,
                    f"{took:.2f}",
                    str(seen.answers),
                    f"{1000 * seen.longest:.0f}",
                    str(len(seen.failures)),
                ]
            )
            print(rows[-1], flush=True)
    columns = ["what", "done after s", "answers meanwhile", "longest answer ms", "failed"]
    result.tables.append(Table(columns, rows, f"{CLIENTS} clients and {READERS} downloads at work"))
    result.limits.append(
        Limit(f"failed requests of {CLIENTS} clients, reloads and restarts", "0", str(failed), failed == 0)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds of hits (default 3)")
    parser.add_argument("--seconds", type=int, default=3, help="of each measured run (default 3)")
    parser.add_argument("--only", default="hits,herd,changes", help="parts, comma separated")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    result = Result(
        "workers",
        "What do several processes bring on several cores, and what do a reload and a restart cost clients?",
        [
            "Hits of 1 KiB: a node of one process on one core, and one of two servers with a core for each, "
            f"under the same load on both cores, `wrk -t2 -c{2 * CONNECTIONS}`, which takes about as much of "
            "them as the node. So the rate tells what load and node reach together, and the limit is judged "
            "by what is the node's alone: twice the processor time of a request of one process, divided by "
            "that of two servers, filler and supervisor included. Remembered: every request has the same "
            "head; asked for: every head differs, so that servers ask the filler each time. "
            f"{options.rounds} interleaved rounds of {options.seconds} s after 1 s of warming.",
            f"Herd: {CLIENTS} clients ask at once for one cold body of 64 MiB, given at 32 MiB/s.",
            f"Reload and restart: {CLIENTS} clients ask without a rest, every other one on a new connection "
            f"each time, and {READERS} read {bodies.show_size(LARGE)} at 8 MiB/s each; every byte is "
            "checked. The longest answer contains whatever time requests had to wait.",
        ],
    )
    parts = options.only.split(",")
    with scratch() as directory, Origin() as origin:
        if "hits" in parts:
            _hits(result, directory, origin, options)
        if "herd" in parts:
            _herd(result, directory, origin)
        if "changes" in parts:
            _changes(result, directory, origin)

    result.finish(options.dry)


if __name__ == "__main__":
    main()
