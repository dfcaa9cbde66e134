"""Loading a model: all its files side by side, each over a fresh connection, into memory that is there
already. The clock stops when the last byte has come; then every byte is checked."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from benchmarks import bodies

_HEAD_MAX = 64 << 10
_CHECKED_AT_ONCE = 512 << 10
LOAD_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """One load. `hits` of the `files` came from a store; `problem` is why it did not come right, or ""."""

    seconds: float
    files: int
    hits: int
    problem: str = ""


async def load_all(
    url: str, models: Sequence[Sequence[str]], asked: Callable[[], int] | None = None
) -> list[Load]:
    """One after the other. Nothing is raised: what fails is a problem. `asked` tells how many requests the
    origin has had, for a server that asks once for each miss and says nothing of its hits."""
    most = max((len(targets) for targets in models), default=0)
    largest = max((bodies.size_of(target) or 0 for targets in models for target in targets), default=0)
    buffers = [bytearray(largest) for _ in range(most)]
    loads = []
    for targets in models:
        before = asked() if asked else 0
        one = await load(url, targets, buffers)
        if asked and not one.problem:
            one = replace(one, hits=max(0, one.files - (asked() - before)))
        loads.append(one)
    return loads


async def load(url: str, targets: Sequence[str], buffers: Sequence[bytearray]) -> Load:
    """All targets at once, each into one of the buffers."""
    begun = time.perf_counter()
    try:
        async with asyncio.timeout(LOAD_SECONDS):
            taking = [_take(url, target, buffer) for target, buffer in zip(targets, buffers, strict=False)]
            said = await asyncio.gather(*taking)
    except TimeoutError:
        return Load(time.perf_counter() - begun, len(targets), 0, f"not there within {LOAD_SECONDS:g} s")
    except (OSError, EOFError, ValueError) as error:
        return Load(time.perf_counter() - begun, len(targets), 0, f"{type(error).__name__}: {error}")
    seconds = time.perf_counter() - begun
    wrong = [target for target, buffer in zip(targets, buffers, strict=False) if not is_right(target, buffer)]
    return Load(seconds, len(targets), sum(said), f"wrong bytes: {wrong[0]}" if wrong else "")


def is_right(target: str, buffer: bytearray) -> bool:
    """Whether a buffer begins with the whole body of `target`."""
    size, view = bodies.size_of(target) or 0, memoryview(buffer)
    starts = range(0, size, _CHECKED_AT_ONCE)
    return all(bodies.matches(target, at, view[at : min(size, at + _CHECKED_AT_ONCE)]) for at in starts)


async def _take(url: str, target: str, buffer: bytearray) -> bool:
    """Whether it was a hit. Raises OSError, EOFError, and ValueError for another status or length."""
    place, loop = urlsplit(url), asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setblocking(False)
        await loop.sock_connect(connection, (place.hostname or "", place.port or 0))
        request = f"GET {target} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode()
        await loop.sock_sendall(connection, request)
        head = b""
        while b"\r\n\r\n" not in head:
            if not (more := await loop.sock_recv(connection, _HEAD_MAX)):
                raise EOFError("the connection ended within a head")
            head += more
        text, _, first = head.partition(b"\r\n\r\n")
        size, view = bodies.size_of(target) or 0, memoryview(buffer)
        if text[9:12] != b"200" or b"\r\ncontent-length: %d\r\n" % size not in text.lower() + b"\r\n":
            raise ValueError(f"status {text[9:12].decode('ascii', 'replace')}, or another length")
        view[: len(first)] = first
        received = len(first)
        while received < size:
            if not (count := await loop.sock_recv_into(connection, view[received:size])):
                raise EOFError(f"{size - received} bytes missing")
            received += count
    said = text.lower().partition(b"\r\ncache-status:")[2].partition(b"\r\n")[0]
    return b"; hit" in said
