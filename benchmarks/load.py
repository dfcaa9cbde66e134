"""Load on the second core: wrk for many connections, one plain reader for one large body, and a filler."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import selectors
import socket
import ssl
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import bodies, machine

_SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run. `bytes` counts heads too when wrk counted them."""

    seconds: float
    requests: int
    bytes: int
    errors: int = 0
    bad_status: int = 0
    timeouts: int = 0
    p50_us: float = 0.0
    p99_us: float = 0.0
    p999_us: float = 0.0
    max_us: float = 0.0
    mean_us: float = 0.0

    @property
    def requests_per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def bytes_per_second(self) -> float:
        return self.bytes / self.seconds

    @property
    def failures(self) -> int:
        return self.errors + self.bad_status + self.timeouts


def parse_wrk(output: str) -> Run:
    """The run that wrk.lua printed. Raises ValueError if there is none."""
    for line in output.splitlines():
        if line.startswith("wrk-json "):
            return Run(**json.loads(line.removeprefix("wrk-json ")))
    raise ValueError(f"no summary from wrk: {output[-300:]!r}")


def wrk(url: str, *, connections: int, seconds: int) -> Run:
    """One wrk thread with keep-alive connections, pinned to the load core."""
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", str(_SCRIPT), url],
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
        preexec_fn=lambda: machine.pin(machine.load_core()),
    )
    return parse_wrk(done.stdout + done.stderr)


_H2LOAD = re.compile(
    r"finished in ([0-9.]+)(us|ms|s),.*?requests: [0-9]+ total, [0-9]+ started, [0-9]+ done, "
    r"([0-9]+) succeeded, ([0-9]+) failed, ([0-9]+) errored, ([0-9]+) timeout"
    r".*?traffic: \S+ \(([0-9]+)\) total.*?time for request: +\S+ +([0-9.]+)(us|ms|s) +([0-9.]+)(us|ms|s)",
    re.DOTALL,
)
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


def parse_h2load(output: str) -> Run:
    """The run that h2load printed; `p50_us` is the mean. Raises ValueError if there is none."""
    found = _H2LOAD.search(output)
    if found is None:
        raise ValueError(f"no summary from h2load: {output[-300:]!r}")
    return Run(
        seconds=float(found[1]) * _SECONDS[found[2]],
        requests=int(found[3]),
        bytes=int(found[7]),
        errors=int(found[5]),
        bad_status=int(found[4]) - int(found[5]),
        timeouts=int(found[6]),
        p50_us=float(found[10]) * _SECONDS[found[11]] * 1e6,
        mean_us=float(found[10]) * _SECONDS[found[11]] * 1e6,
        max_us=float(found[8]) * _SECONDS[found[9]] * 1e6,
    )


def h2load(url: str, *, connections: int, streams: int, requests: int, http1: bool = False) -> Run:
    """One thread of h2load on the load core, over HTTP/2: by prior knowledge, or as TLS negotiates."""
    version = ["--h1"] if http1 else []
    done = subprocess.run(
        ["h2load", "-t1", f"-n{requests}", f"-c{connections}", f"-m{streams}", *version, url],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: machine.pin(machine.load_core()),
    )
    return parse_h2load(done.stdout + done.stderr)


def stream(url: str, times: int = 1, seconds: float = 0.0) -> Run:
    """One connection, one body after the other, read into a buffer of 1 MiB and counted: so many `times`, or
    for so many `seconds` (bodies are then counted that came whole, bytes as they came).

    wrk reads 8 KiB at a time, which would make the reader the limit for a body of a gigabyte."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    expected = bodies.size_of(parts.path) or 0
    buffer = memoryview(bytearray(1 << 20))
    head = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection((parts.hostname, parts.port), timeout=60))
        if parts.scheme == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = stack.enter_context(context.wrap_socket(connection))
        begun, received, whole = time.perf_counter(), 0, 0
        end = begun + seconds if seconds else float("inf")
        while time.perf_counter() < end and (seconds or whole < times):
            connection.sendall(head)
            first = b""
            while b"\r\n\r\n" not in first:
                if not (data := connection.recv(64 << 10)):
                    raise ConnectionError("the connection ended within a head")
                first += data
            if not first.startswith(b"HTTP/1.1 200"):
                raise ConnectionError(f"answered {first[:20]!r}")
            left = expected - (len(first) - first.index(b"\r\n\r\n") - 4)
            received += expected - left
            while left and time.perf_counter() < end:
                if not (count := connection.recv_into(buffer, min(left, len(buffer)))):
                    raise ConnectionError(f"{left} bytes missing")
                left, received = left - count, received + count
            whole += not left
        return Run(time.perf_counter() - begun, whole, received)


class _Reading:
    """One keep-alive connection of `several`: where it is in its answer."""

    def __init__(self, address: tuple[str, int], head: bytes, size: int) -> None:
        self.socket = socket.create_connection(address, timeout=20)
        self.socket.setblocking(False)
        self._head, self._size = head, size
        self._first = b""
        self._left = 0
        self._asked = 0.0

    def ask(self) -> None:
        self._first, self._left, self._asked = b"", 0, time.perf_counter()
        self.socket.send(self._head)

    def read(self, buffer: memoryview) -> tuple[int, float | None]:
        """Bytes read, and the seconds of the answer if this was its end (the next is asked for then).
        Raises ConnectionError."""
        if not self._left:
            self._first += (data := self.socket.recv(64 << 10))
            head, found, body = self._first.partition(b"\r\n\r\n")
            if not data or (found and not head.startswith(b"HTTP/1.1 200")):
                raise ConnectionError("no 200")
            if not found:
                return len(data), None
            self._left, count = self._size - len(body), len(data)
        else:
            if not (count := self.socket.recv_into(buffer, min(self._left, len(buffer)))):
                raise ConnectionError(f"{self._left} bytes missing")
            self._left -= count
        if self._left:
            return count, None
        seconds = time.perf_counter() - self._asked
        self.ask()
        return count, seconds


def several(url: str, *, connections: int, seconds: float) -> Run:
    """Many connections, each asking again as soon as it has its answer, read up to 1 MiB at a time.

    For bodies that keep wrk busier with its 8 KiB reads than the server under test."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    size = bodies.size_of(parts.path) or 0
    head = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    buffer = memoryview(bytearray(1 << 20))
    taken: list[float] = []
    received = 0
    with selectors.DefaultSelector() as selector:
        readings = [_Reading((parts.hostname, parts.port), head, size) for _ in range(connections)]
        for reading in readings:
            selector.register(reading.socket, selectors.EVENT_READ, reading)
            reading.ask()
        begun = time.perf_counter()
        while (passed := time.perf_counter() - begun) < seconds:
            if not (ready := selector.select(20)):
                raise ConnectionError("nothing came for 20 s")
            for key, _ in ready:
                count, ended = key.data.read(buffer)
                received += count
                if ended is not None:
                    taken.append(ended)
        for reading in readings:
            reading.socket.close()
    taken.sort()
    if not taken:
        return Run(passed, 0, received)
    p50, p99, most = (taken[min(len(taken) - 1, int(len(taken) * q))] * 1e6 for q in (0.5, 0.99, 1.0))
    return Run(passed, len(taken), received, p50_us=p50, p99_us=p99, max_us=most)


async def _fill(url: str, targets: Sequence[str], connections: int) -> int:
    parts = urlsplit(url)
    queue = iter(targets)
    wrong = 0

    async def one() -> None:
        nonlocal wrong
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for target in queue:
            writer.write(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            size = bodies.size_of(target) or 0
            lowered = head.lower()
            if b"\r\ncontent-length: %d\r\n" % size not in lowered:
                raise ConnectionError(f"not the body asked for: {head[:200]!r}")
            body = await reader.readexactly(size)
            wrong += not bodies.matches(target, 0, body)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    await asyncio.wait_for(asyncio.gather(*(one() for _ in range(connections))), 170)
    return wrong


def fill(url: str, targets: Sequence[str], connections: int = 32) -> float:
    """Ask for each target once; seconds it took. Bodies of at most 1 MiB; every byte is checked."""
    begun = time.perf_counter()
    if wrong := asyncio.run(_fill(url, targets, connections)):
        raise ConnectionError(f"{wrong} bodies had wrong bytes")
    return time.perf_counter() - begun
