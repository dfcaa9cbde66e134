"""Many small objects by several clients, each with one kept connection and one request at a time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from benchmarks import bodies


@dataclass
class Fetched:
    """`latencies` of each object in seconds, in the order in which they came. `problems` is why others did
    not come right."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


async def fetch_small(url: str, targets: Sequence[str], clients: int, seconds_max: float = 300.0) -> Fetched:
    """Every byte is checked. Nothing is raised: what fails is a problem."""
    left, fetched = deque(targets), Fetched()
    begun = time.perf_counter()
    running = [asyncio.ensure_future(_client(url, left, fetched)) for _ in range(clients)]
    _, late = await asyncio.wait(running, timeout=seconds_max)
    for client in late:
        client.cancel()
        fetched.problems.append(f"no end within {seconds_max:g} s")
    await asyncio.gather(*running, return_exceptions=True)
    fetched.seconds = time.perf_counter() - begun
    return fetched


async def _client(url: str, left: deque[str], fetched: Fetched) -> None:
    place = urlsplit(url)
    while left:
        try:
            reader, writer = await asyncio.open_connection(place.hostname, place.port)
        except OSError as error:
            fetched.problems.append(f"{left.popleft()}: {error!r}")
            continue
        with contextlib.closing(writer):
            while left:
                target, begun = left.popleft(), time.perf_counter()
                try:
                    await _ask(reader, writer, place.netloc, target)
                except (OSError, EOFError, ValueError) as error:
                    fetched.problems.append(f"{target}: {error}")
                    break
                fetched.latencies.append(time.perf_counter() - begun)


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, target: str) -> None:
    """Raises ValueError for an answer that is not the object."""
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
    data = await reader.readexactly(int(length))
    if head[9:12] != b"200":
        raise ValueError(f"status {head[9:12].decode('ascii', 'replace')}")
    if len(data) != bodies.size_of(target) or not bodies.matches(target, 0, data):
        raise ValueError("wrong bytes")
