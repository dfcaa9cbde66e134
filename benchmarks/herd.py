"""What does the origin see when many clients want one cold object?"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

from benchmarks import bodies, machine, ranged
from benchmarks.origin import Origin
from benchmarks.peers import Server
from benchmarks.report import Limit, Result, Table
from benchmarks.running import chosen, scratch, started

SECONDS_MAX = 45.0
PEERS = "edgeproxy,nginx,nginx-slice,varnish,trafficserver,trafficserver-slice"


@dataclass(frozen=True, slots=True)
class Herd:
    """One herd. `late_*` are of the client that came when `share_at_join` of the body had left the origin."""

    upstream_requests: int
    origin_bytes_ratio: float
    complete: int
    wrong: int
    seconds: float
    first_byte_ms_median: float
    share_at_join: float
    late_first_byte_ms: float | None
    late_seconds: float | None
    peak_memory_mb: float


class Reader(asyncio.BufferedProtocol):
    """One client: asks when connected, checks every byte, ends `done` with the bytes it got right."""

    def __init__(self, target: str, host: str) -> None:
        self._target, self._host = target, host
        self._size = bodies.size_of(target) or 0
        self._buffer = bytearray(256 << 10)
        self._head = b""
        self._in_body = False
        self.received = 0
        self.is_right = True
        self.first_byte_seconds = 0.0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by isinstance
        self._begun = time.perf_counter()
        self._transport.write(f"GET {self._target} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        view = memoryview(self._buffer)[:count]
        if not self._in_body:
            self._head += bytes(view)
            head, found, rest = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            self._in_body = True
            self.is_right = head.startswith(b"HTTP/1.1 200")
            view = memoryview(rest)
        if not view:
            return
        self.first_byte_seconds = self.first_byte_seconds or time.perf_counter() - self._begun
        path = self._target.partition("?")[0]
        self.is_right = self.is_right and bodies.matches(path, self.received, view)
        self.received += len(view)
        if self.received >= self._size:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(self.received)


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


async def _run(server: Server, origin: Origin, target: str, clients: int, join_after: float) -> Herd:
    size = bodies.size_of(target) or 1
    address = urlsplit(server.url)
    assert address.hostname
    assert address.port
    late = _Late(server.url + target, f"{origin.url}/-/counts")
    loop = asyncio.get_running_loop()
    origin.reset()
    begun = time.perf_counter()
    # It keeps its own time: the loop of the herd is too busy to be a clock.
    joined = asyncio.create_task(asyncio.to_thread(late.join, join_after))
    await asyncio.sleep(0)
    host, port = address.hostname, address.port
    readers = [
        (await loop.create_connection(lambda: Reader(target, address.netloc), host, port))[1]
        for _ in range(clients)
    ]
    everyone = asyncio.gather(*(reader.done for reader in readers))
    try:
        answer, _ = await asyncio.wait_for(asyncio.gather(joined, everyone), SECONDS_MAX)
    except TimeoutError:
        answer = None
    seconds = time.perf_counter() - begun
    counts = origin.counts()
    firsts = sorted(reader.first_byte_seconds for reader in readers)
    return Herd(
        upstream_requests=counts.requests,
        origin_bytes_ratio=counts.body_bytes / size,
        complete=sum(reader.is_right and reader.received == size for reader in readers),
        wrong=sum(not reader.is_right or reader.received > size for reader in readers),
        seconds=seconds,
        first_byte_ms_median=1000 * firsts[len(firsts) // 2],
        share_at_join=answer["origin_bytes"] / size if answer else 0.0,
        late_first_byte_ms=1000 * answer["first_byte_seconds"] if answer else None,
        late_seconds=answer["seconds"] if answer else None,
        peak_memory_mb=server.memory_bytes("VmHWM") / 1e6,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--size", default="128MiB")
    parser.add_argument("--rate", default="64MiB", help="bytes a second the origin gives to one request")
    parser.add_argument("--peers", default=PEERS)
    parser.add_argument(
        "--quick", action="store_true", help="40 clients, 64 MiB, 32 MiB/s; results are not written"
    )
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    if options.quick:
        options.clients, options.size, options.rate, options.dry = 40, "64MiB", "32MiB", True
    machine.pin(machine.load_core())
    size, rate = bodies.parse_size(options.size), bodies.parse_size(options.rate)
    peers = chosen(options.peers)
    join_after = size / rate / 2
    result = Result(
        "herd",
        "What does the origin see when many clients want one cold object?",
        [
            f"{options.clients} clients ask at once for one cold object of {bodies.show_size(size)}, which "
            "the origin "
            f"gives at {bodies.show_size(rate)}/s; every client checks every byte.",
            f"One more client, a process of its own, asks {join_after:.1f} s later, while the fill still "
            "runs; "
            "its first byte is the first of the body.",
            "The server has one core; all clients and the origin share the other, so that both are "
            "saturated.",
            *(peer.method for peer in peers),
        ],
    )
    rows = []
    with (
        scratch() as directory,
        Origin() as origin,
        started(peers, directory, origin, result.skipped) as servers,
    ):
        for name, server in servers.items():
            target = f"{bodies.path(size, 'herd')}?rate={rate}"
            herd = ranged.run(_run(server, origin, target, options.clients, join_after))
            result.data[name] = {field: getattr(herd, field) for field in Herd.__slots__}
            rows.append(_row(name, herd, options.clients))
            if name == "edgeproxy":
                result.limits += _limits(herd, options.clients)
    result.tables.append(
        Table(
            [
                "server",
                "upstream requests",
                "origin bytes / body",
                "right and whole",
                "all done s",
                "first byte ms (median)",
                "late joiner at",
                "its first byte ms",
                "its whole body s",
                "peak memory MB",
            ],
            rows,
        )
    )
    result.finish(options.dry)


def _row(name: str, herd: Herd, clients: int) -> list[str]:
    return [
        name,
        str(herd.upstream_requests),
        f"{herd.origin_bytes_ratio:.4f}",
        f"{herd.complete} of {clients}",
        f"{herd.seconds:.1f}",
        f"{herd.first_byte_ms_median:.0f}",
        f"{herd.share_at_join:.0%} of the fill",
        "no answer" if herd.late_first_byte_ms is None else f"{herd.late_first_byte_ms:.1f}",
        "-" if herd.late_seconds is None else f"{herd.late_seconds:.1f}",
        f"{herd.peak_memory_mb:.0f}",
    ]


def _limits(herd: Herd, clients: int) -> list[Limit]:
    late = herd.late_first_byte_ms
    ratio = herd.origin_bytes_ratio
    return [
        Limit("origin bytes / body bytes", "<= 1.001", f"{ratio:.4f}", 0 < ratio <= 1.001),
        Limit(
            "clients with the right whole body", str(clients), str(herd.complete), herd.complete == clients
        ),
        Limit(
            "late joiner's first byte",
            "<= 20 ms",
            "no answer" if late is None else f"{late:.1f} ms",
            late is not None and late <= 20,
        ),
    ]


if __name__ == "__main__":
    main()
