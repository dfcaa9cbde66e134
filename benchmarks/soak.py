"""Does a node that is asked by clients who leave, of origins that break, keep its memory and descriptors?"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import re
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers import Edgeproxy, Server
from benchmarks.report import Limit, Result, Table
from benchmarks.running import scratch
from benchmarks.soak_origin import FAULTS, SoakOrigin, content

SIZES = (200, 4 << 10, 100 << 10, 300 << 10, 3 << 20)
WEIGHTS = (30, 40, 15, 10, 5)
NAMES = 3000
FAULTY_SHARE = 0.3
SAMPLE_SECONDS = 5.0
FIRST_MINUTES = 0.5
QUIET_SECONDS = 90.0  # at most, for everything that was begun to end
ANSWER_SECONDS = 30.0
THREADS_OPEN = 12  # six threads open index and log of the store when they are first used, and keep them
SLOPE_LIMIT = 1.0  # MB in ten minutes
WARM_SHARE = 0.4  # of the time, before the slope is looked at
_HEAD = re.compile(rb"HTTP/1\.1 ([0-9]{3})")
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: chunked\r\n", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sample:
    """What a node holds at a time; `at` in seconds since the beginning."""

    at: float
    resident_bytes: int
    descriptors: int
    tasks: int


@dataclass
class Soak:
    """The clients: what they saw, by kind."""

    host: str
    port: int
    random: random.Random
    seen: Counter[str] = field(default_factory=Counter)
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def one(self) -> None:
        """One request of a random kind, on a kept connection or a new one."""
        size = self.random.choices(SIZES, WEIGHTS)[0]
        fault = self.random.choice(FAULTS) if self.random.random() < FAULTY_SHARE else "none"
        name = min(int(self.random.paretovariate(0.6)), NAMES)
        path = f"/{size}/{fault}/{name}"
        kind = self.random.choices(
            ("get", "leave", "head", "range", "post", "half", "fresh"), (60, 12, 5, 10, 3, 5, 5)
        )[0]
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                self.seen[await self._ask(kind, path, size)] += 1
        except TimeoutError:
            self.seen["no end in time"] += 1
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            self.seen["cut off"] += 1

    async def _ask(self, kind: str, path: str, size: int) -> str:
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection(self.host, self.port)
        is_over = False
        try:
            writer.write(_request(kind, path, size))
            if kind == "half":
                return "left within the request"
            if kind == "leave":
                await reader.read(1000)
                return "left within the answer"
            outcome = await _judge(reader, kind, path, size)
            is_over = outcome != "closed"
            return "refused" if outcome == "closed" else outcome
        finally:
            if is_over and len(self.idle) < 16 and not reader.at_eof():
                self.idle.append((reader, writer))
            else:
                writer.transport.abort()

    def leave(self) -> None:
        for _, writer in self.idle:
            writer.transport.abort()


def _request(kind: str, path: str, size: int) -> bytes:
    more = {
        "range": f"Range: bytes={size // 3}-{size // 2}\r\n",
        "post": "Content-Length: 5\r\n",
        "fresh": "Cache-Control: no-cache\r\n",
    }.get(kind, "")
    method = {"head": "HEAD", "post": "POST"}.get(kind, "GET")
    text = f"{method} {path} HTTP/1.1\r\nHost: soak\r\n{more}\r\n{'hello' if kind == 'post' else ''}"
    return text[: len(text) // 2].encode() if kind == "half" else text.encode()


async def _judge(reader: asyncio.StreamReader, kind: str, path: str, size: int) -> str:
    """What came: "right", "wrong", the class of another status; "closed" if nothing more can come."""
    head = await reader.readuntil(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 1"):
        head = await reader.readuntil(b"\r\n\r\n")
    found, length = _HEAD.match(head), _LENGTH.search(head)
    status = found[1].decode() if found else "000"
    if kind == "head":
        return f"HEAD {status}"
    if length:
        data = await reader.readexactly(int(length[1]))
    elif _CHUNKED.search(head):
        data = await _chunked(reader)
    else:
        await reader.read()
        return "closed"
    if kind == "post" or status not in ("200", "206"):
        return status
    expected = content(path, size)
    if status == "206":
        expected = expected[size // 3 : size // 2 + 1]
    if data != expected:
        print("wrong:", kind, path, head, len(data), len(expected), data[:40], expected[:40], flush=True)
    return "right" if data == expected else "WRONG"


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    """Raises IncompleteReadError when the last chunk does not come."""
    data = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        data += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return data


def _gauge(server: Server, name: str) -> int:
    with urllib.request.urlopen(f"{server.admin_url}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    return sum(int(float(value)) for value in re.findall(rf"^edgeproxy_{name}(?:{{.*}})? (\S+)$", text, re.M))


def _sample(server: Server, origin: int, began: float) -> Sample:
    """`origin` is its port: idle connections to it are not counted."""
    assert server.process is not None
    descriptors = len(os.listdir(f"/proc/{server.process.pid}/fd"))
    kept = sum(
        line.split()[2].endswith(f":{origin:04X}") and line.split()[3] == "01"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
    )
    return Sample(
        time.monotonic() - began, server.memory_bytes(), descriptors - kept, _gauge(server, "tasks")
    )


def slope(samples: list[Sample]) -> float:
    """Growth of resident memory in MB in ten minutes, by least squares."""
    count = len(samples)
    if count < 2:
        return 0.0
    middle_at = sum(one.at for one in samples) / count
    middle = sum(one.resident_bytes for one in samples) / count
    spread = sum((one.at - middle_at) ** 2 for one in samples)
    along = sum((one.at - middle_at) * (one.resident_bytes - middle) for one in samples)
    return along / spread * 600 / 1e6 if spread else 0.0


async def _load(
    server: Server, origin: int, minutes: float, rate: float, seed: int
) -> tuple[Soak, list[Sample], float]:
    address = server.url.partition("://")[2].partition(":")
    soak = Soak(address[0], int(address[2]), random.Random(seed))
    began = time.monotonic()
    samples: list[Sample] = []
    running: set[asyncio.Task[None]] = set()
    due = began
    while time.monotonic() < began + minutes * 60:
        if len(running) < 256:
            task = asyncio.create_task(soak.one())
            running.add(task)
            task.add_done_callback(running.discard)
        if not samples or time.monotonic() - began >= samples[-1].at + SAMPLE_SECONDS:
            samples.append(await asyncio.to_thread(_sample, server, origin, began))
        due = max(due + 1 / rate, time.monotonic() - 1)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    if running:
        await asyncio.wait(running)
    soak.leave()
    return soak, samples, began


async def _quiet(server: Server, origin: int, began: float, descriptors: int, tasks: int) -> Sample:
    """The last sample when nothing runs any more, or it takes too long."""
    end = time.monotonic() + QUIET_SECONDS
    while True:
        sample = await asyncio.to_thread(_sample, server, origin, began)
        if (sample.descriptors <= descriptors and sample.tasks <= tasks) or time.monotonic() > end:
            return sample
        await asyncio.sleep(1)


async def _run(peer: Edgeproxy, directory: Path, options: argparse.Namespace, result: Result) -> None:
    origin = SoakOrigin()
    await origin.start()
    server = await asyncio.to_thread(peer.start, directory, f"http://127.0.0.1:{origin.port}")
    try:
        port, minutes, rate = origin.port, options.minutes, options.rate
        idle = await asyncio.to_thread(_sample, server, port, time.monotonic())
        _, _, began = await _load(server, port, min(FIRST_MINUTES, minutes), rate, options.seed + 1)
        before = await _quiet(server, port, began, idle.descriptors, idle.tasks)
        soak, samples, began = await _load(server, port, minutes, rate, options.seed)
        after = await _quiet(server, port, began, before.descriptors, before.tasks)
        errors = await asyncio.to_thread(_gauge, server, "task_errors_total")
        status = await asyncio.to_thread(server.stop)
    finally:
        server.stop()
        origin.close()
    log = (directory / "log").read_text(errors="replace")
    unseen = log.count("Traceback") + log.count("never retrieved")
    kept = [one for one in samples if one.at >= WARM_SHARE * options.minutes * 60]
    _tell(result, soak, samples, kept, before, after)
    grown = slope(kept)
    wrong = soak.seen["WRONG"]
    result.limits += [
        Limit("growth of resident memory", "< 1 MB in 10 min", f"{grown:.2f} MB", grown < SLOPE_LIMIT),
        Limit("bodies with a wrong byte", "0", str(wrong), not wrong),
        Limit(
            "descriptors afterwards",
            f"<= {before.descriptors + THREADS_OPEN}",
            str(after.descriptors),
            after.descriptors <= before.descriptors + THREADS_OPEN,
        ),
        Limit("tasks afterwards", f"{before.tasks}", str(after.tasks), after.tasks <= before.tasks),
        Limit("failed tasks, tracebacks", "0", f"{errors}, {unseen}", not errors and not unseen),
        Limit("end by SIGTERM", "0", str(status), status == 0),
    ]
    result.data = {
        "seen": dict(soak.seen),
        "origin_requests": origin.requests,
        "samples": [[round(one.at), one.resident_bytes, one.descriptors, one.tasks] for one in samples],
    }


def _tell(
    result: Result, soak: Soak, samples: list[Sample], kept: list[Sample], before: Sample, after: Sample
) -> None:
    shown = [before, *samples[:: max(1, len(samples) // 10)], after]
    rows = [
        [f"{one.at:.0f}", f"{one.resident_bytes / 1e6:.1f}", str(one.descriptors), str(one.tasks)]
        for one in shown
    ]
    result.tables.append(Table(["second", "RSS MB", "descriptors", "tasks"], rows))
    result.tables.append(
        Table(["what clients saw", "times"], [[what, str(times)] for what, times in soak.seen.most_common()])
    )
    if len(kept) < 2:
        result.skipped.append("the slope: the run was too short")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=100.0, help="requests begun in a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    result = Result(
        "soak",
        "Does a node keep its memory and descriptors while clients leave and origins break?",
        [
            f"{options.minutes:g} minutes at {options.rate:g} requests begun in a second, whatever becomes "
            f"of them. Of {NAMES} names in each of {len(SIZES)} sizes from 200 B to 3 MiB some are asked "
            f"for far more often. A third misbehaves every second time: {', '.join(FAULTS)}. One client in "
            "five leaves within its request or its answer; others send HEAD, POST, ranges and no-cache.",
            f"RAM tier 8MiB, disk 64MiB; the slope of VmRSS (least squares) leaves out the first "
            f"{WARM_SHARE:.0%} of the time.",
        ],
    )
    peer = Edgeproxy(memory="8MiB", disk="64MiB", patience_seconds=2)
    with scratch() as directory, contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(peer, directory / "node", options, result))
    result.finish(options.dry)


if __name__ == "__main__":
    main()
