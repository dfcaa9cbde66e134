"""Starting the servers that a question compares, and proving that what is measured is a hit."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import bodies
from benchmarks.client import Client, WrongBytes
from benchmarks.origin import Origin
from benchmarks.peers import PEERS, Absent, Peer, Server, adjusted

ROUNDS_SECONDS_MAX = 215.0


def chosen(names: str) -> list[Peer]:
    """The peers of a comma separated list, in its order. Raises SystemExit for an unknown one."""
    unknown = [name for name in names.split(",") if name not in PEERS]
    if unknown:
        raise SystemExit(f"unknown peer {unknown[0]!r}; there are {', '.join(PEERS)}")
    return [PEERS[name] for name in names.split(",")]


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory of our own that is gone afterwards; servers that give up root may pass through it. SIGTERM
    ends the run like an error from here on, so that servers are stopped."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    directory = Path(tempfile.mkdtemp(prefix="edgeproxy-bench-"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def started(
    peers: Sequence[Peer], directory: Path, origin: Origin, skipped: list[str]
) -> Iterator[dict[str, Server]]:
    """All peers that come up, by name; the others are named in `skipped`."""
    servers: dict[str, Server] = {}
    try:
        for peer in peers:
            try:
                servers[peer.name] = peer.start(directory / peer.name, origin.url)
            except Absent as reason:
                skipped.append(f"{peer.name}: {reason}".replace(str(directory), "..."))
        yield servers
    finally:
        for server in servers.values():
            server.stop()


def each(peers: Sequence[Peer], directory: Path, origin: Origin, skipped: list[str]) -> Iterator[Server]:
    """One peer running after the other, for what would not fit on the disk together."""
    for peer in peers:
        place = directory / peer.name
        with started([peer], directory, origin, skipped) as servers:
            yield from servers.values()
        shutil.rmtree(place, ignore_errors=True)


def rounds(count: int, skipped: list[str], seconds_max: float = ROUNDS_SECONDS_MAX) -> Iterator[int]:
    """Numbers of rounds from 0, as many as there is time for by the longest so far; at least one."""
    begun, longest = time.monotonic(), 0.0
    for turn in range(count):
        now = time.monotonic()
        if turn and now - begun + longest > seconds_max:
            skipped.append(f"{count - turn} of {count} rounds: there was no time for them")
            return
        yield turn
        longest = max(longest, time.monotonic() - now)


def roomy(peers: Sequence[Peer], stored_bytes: int) -> list[Peer]:
    """The same peers, those with a fixed store given one for this many bytes of bodies."""
    storage = stored_bytes + stored_bytes // 8 + (512 << 20)
    return [adjusted(peer, storage_bytes=storage) for peer in peers]


def fitting(size: int, bodies_held: int, directory: Path, skipped: list[str]) -> int:
    """`size`, halved until that many bodies leave a third of the free disk alone; told in `skipped`."""
    free = shutil.disk_usage(directory).free
    fits = size
    while fits * bodies_held * 1.125 > free * 2 / 3 and fits > 1 << 20:
        fits //= 2
    if fits < size:
        skipped.append(
            f"the body was {bodies.show_size(fits)} instead of {bodies.show_size(size)}: the disk has "
            f"{free >> 30} GiB free"
        )
    return fits


def prove_hit(server: Server, origin: Origin, target: str, seconds: float = 20.0) -> str:
    """Fill, then see twice in a row the right bytes without a request at the origin. Why not, or ""."""
    with Client(server.url) as client:
        try:
            client.get(target)
            hits, end = 0, time.monotonic() + seconds
            while hits < 2:
                before = origin.counts().requests
                client.get(target)
                hits = hits + 1 if origin.counts().requests == before else 0
                if time.monotonic() > end:
                    return (
                        f"no hit within {seconds:.0f} s for {bodies.show_size(bodies.size_of(target) or 0)}"
                    )
                if not hits:
                    time.sleep(0.1)
        except (WrongBytes, OSError) as error:
            return f"{type(error).__name__}: {error}"
    return ""
