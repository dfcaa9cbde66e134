"""Loading a model: all its files side by side, each over a fresh connection, every byte checked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from benchmarks import bodies

_READ = 1 << 20
LOAD_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """One load. `hits` of the `shards` came from a store; `problem` is why it did not come right, or ""."""

    seconds: float
    shards: int
    hits: int
    problem: str = ""


async def load_all(url: str, models: Sequence[Sequence[str]]) -> list[Load]:
    """One after the other. Nothing is raised: what fails is a problem."""
    return [await load(url, targets) for targets in models]


async def load(url: str, targets: Sequence[str]) -> Load:
    """All targets at once."""
    begun = time.perf_counter()
    try:
        async with asyncio.timeout(LOAD_SECONDS):
            said = await asyncio.gather(*(_take(url, target) for target in targets))
    except TimeoutError:
        return Load(time.perf_counter() - begun, len(targets), 0, f"not there within {LOAD_SECONDS:g} s")
    except (OSError, EOFError, ValueError) as error:
        return Load(time.perf_counter() - begun, len(targets), 0, f"{type(error).__name__}: {error}")
    return Load(time.perf_counter() - begun, len(targets), sum(said))


async def _take(url: str, target: str) -> bool:
    """Whether it was a hit. Raises OSError, EOFError, and ValueError for what is not the body."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=2 * _READ)
    try:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        if head[9:12] != "200":
            raise ValueError(f"status {head[9:12]}")
        size, received = bodies.size_of(target) or 0, 0
        while received < size:
            data = await reader.read(min(_READ, size - received, bodies.PERIOD))
            if not data:
                raise EOFError(f"{size - received} bytes missing")
            if not bodies.matches(target, received, data):
                raise ValueError(f"wrong bytes from {received}")
            received += len(data)
    finally:
        writer.transport.abort()
    said = head.partition("\r\ncache-status:")[2].partition("\r\n")[0]
    return "; hit" in said
