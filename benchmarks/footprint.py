"""How much memory does a node take, idle and for each stored object, and how fast is a purge by tag?"""

from __future__ import annotations

import argparse
import json
import time
import urllib.request
from pathlib import Path

from benchmarks import bodies, load, machine
from benchmarks.client import Client
from benchmarks.origin import Origin
from benchmarks.peers import Absent, Edgeproxy, Server
from benchmarks.report import Limit, Result, Table
from benchmarks.running import scratch

RAM_TIER = "8MiB"
RAM_TIER_BYTES = 8 << 20
BODY = 512
TAG = "everything"
IDLE_LIMIT, OBJECT_LIMIT, PURGE_LIMIT_MS = 100e6, 1024, 5.0


def settled(server: Server) -> int:
    """Resident bytes once they no longer grow (write-behind has ended), at most five seconds later."""
    seen = server.memory_bytes()
    for _ in range(10):
        time.sleep(0.5)
        now = server.memory_bytes()
        if abs(now - seen) < 1 << 20:
            return now
        seen = now
    return seen


def purge(server: Server, tag: str = TAG) -> float:
    """Milliseconds of one hard purge by tag through the admin API."""
    order = json.dumps({"scope": "tag", "value": tag}).encode()
    request = urllib.request.Request(
        f"{server.admin_url}/api/v1/purge", order, {"Content-Type": "application/json"}, method="POST"
    )
    begun = time.perf_counter()
    with urllib.request.urlopen(request, timeout=30) as answer:
        answer.read()
    return (time.perf_counter() - begun) * 1000


def is_asked_again(server: Server, origin: Origin, target: str) -> bool:
    before = origin.counts().requests
    with Client(server.url) as client:
        client.get(target)
    return origin.counts().requests > before


def _measure(
    directory: Path, origin: Origin, steps: list[int], result: Result
) -> tuple[list[list[str]], list[list[str]]]:
    peer = Edgeproxy(memory=RAM_TIER)
    targets = [f"{bodies.path(BODY, f'footprint-{i}')}?tag={TAG}" for i in range(max(steps))]
    server = peer.start(directory, origin.url)
    try:
        purge(server)  # the first use of the admin API loads what it needs
        idle = settled(server)
        memory, filled = [["0", f"{idle / 1e6:.1f}", "-", "-"]], 0
        held: list[tuple[int, int]] = []
        for step in steps:
            seconds = load.fill(server.url, targets[filled:step])
            rate, filled = (step - filled) / seconds, step
            held.append((step, settled(server)))
            each = max(0, held[-1][1] - idle - RAM_TIER_BYTES) / step
            memory.append([f"{step:,}", f"{held[-1][1] / 1e6:.1f}", f"{each:.0f}", f"{rate:.0f}"])
            print(memory[-1], flush=True)
        again = is_asked_again(server, origin, targets[0])
        milliseconds = purge(server)
        purged = all(is_asked_again(server, origin, target) for target in (targets[1], targets[-1]))
    finally:
        server.stop()
    server = peer.start(directory, origin.url)
    try:
        kept = all(is_asked_again(server, origin, target) for target in (targets[2], targets[-2]))
    finally:
        server.stop()
    each = max(0, held[-1][1] - idle - RAM_TIER_BYTES) / held[-1][0]
    # The growth from the first step on leaves out what is paid once, whatever the number.
    slope = (held[-1][1] - held[0][1]) / max(1, held[-1][0] - held[0][0]) if len(held) > 1 else each
    result.limits += [
        Limit("idle node", "<= 100 MB", f"{idle / 1e6:.1f} MB", idle <= IDLE_LIMIT),
        Limit("each stored object beyond the RAM tier", "<= 1 KiB", f"{each:.0f} B", each <= OBJECT_LIMIT),
        Limit(
            f"purge by tag of {filled:,} objects",
            f"< {PURGE_LIMIT_MS:g} ms",
            f"{milliseconds:.2f} ms",
            milliseconds < PURGE_LIMIT_MS and purged and not again,
        ),
        Limit("the purge survives a restart", "yes", "yes" if kept else "no", kept),
    ]
    result.data = {"idle_bytes": idle, "held_bytes": held, "slope_bytes": slope, "purge_ms": milliseconds}
    said = "yes" if purged and not again else "no"
    return memory, [[f"{filled:,}", f"{milliseconds:.2f}", said, "yes" if kept else "no"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", default="1000,10000,50000", help="growing numbers, comma separated")
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    machine.pin(machine.load_core())
    steps = sorted(int(text) for text in options.objects.split(","))
    result = Result(
        "footprint",
        "How much memory does a node take, idle and for each stored object, and how fast is a purge by tag?",
        [
            f"Resident memory (VmRSS) of the node's process when it has settled; RAM tier {RAM_TIER}; "
            f"bodies of {BODY} "
            "bytes, each asked for once over 32 connections, every byte checked. For each object: what is "
            "beyond the "
            "idle node and the whole RAM tier, divided by the number stored.",
            "Every object has one tag. The purge is one POST /api/v1/purge on a new connection, to the end "
            "of the "
            "answer; before it an object was a hit, after it and again after a restart the origin is asked.",
        ],
    )
    with scratch() as directory, Origin() as origin:
        try:
            memory, purge = _measure(directory / "node", origin, steps, result)
        except (Absent, OSError) as reason:
            result.skipped.append(
                f"edgeproxy: {type(reason).__name__}: {reason}".replace(str(directory), "...")
            )
        else:
            result.tables += [
                Table(["stored objects", "RSS MB", "bytes for each", "filled per second"], memory),
                Table(["objects purged", "ms", "hit before, miss after", "miss after a restart"], purge),
            ]
    result.finish(options.dry)


if __name__ == "__main__":
    main()
