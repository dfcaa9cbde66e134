"""An origin that gives cacheable bodies of any size and counts what it was asked for.

`/b/SIZE/NAME` answers SIZE bytes (see bodies.py) with `Cache-Control: max-age=86400`, an ETag, and one byte
range if asked. In the query, `rate=BYTES` paces the body in bytes a second and `tag=NAME` adds a
Surrogate-Key. `/simple/SIZE-NAME/` is a page of a Python index that links one such body with its SHA-256.
`/-/counts` tells the requests, the body bytes and the spans sent since the last `/-/reset`;
`/-/fault?path=PATH&kind=KIND&at=BYTE&times=N` arranges a fault (see faults.py)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import hashlib
import json
import os
import re
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlencode, urlsplit

from benchmarks import bodies, machine
from benchmarks.faults import Fault, Kind, flipped
from benchmarks.standing import Standing

_PIECE = 256 << 10
_STALL_SECONDS = 3600.0
_PAGE = re.compile(r"/simple/([0-9]{1,13})-([a-z]+)/")


@dataclass
class Counts:
    requests: int = 0
    body_bytes: int = 0
    ranges: list[str] = field(default_factory=list)
    spans: list[list[int]] = field(default_factory=list)
    """Start and end of what each answer with a body has sent so far."""


class Answering:
    """Serves one origin; `counts` is what it did."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._faults: dict[str, Fault] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                fields = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in head[1:])
                }
                method, target, _ = head[0].split(" ", 2)
                await self._answer(writer, method, target, fields)
                if fields.get("connection", "").lower() == "close":
                    break
        writer.close()

    async def _answer(
        self, writer: asyncio.StreamWriter, method: str, target: str, fields: dict[str, str]
    ) -> None:
        parts = urlsplit(target)
        query = parse_qs(parts.query)
        if parts.path.startswith("/-/"):
            text = json.dumps(vars(self.counts)).encode()
            if parts.path == "/-/reset":
                self.counts = Counts()
            if parts.path == "/-/fault":
                self._faults[query["path"][0]] = Fault.read(query)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
            return
        self.counts.requests += 1
        if page := _PAGE.fullmatch(parts.path):
            writer.write(_index_page(int(page[1]), page[2]))
            return
        size = bodies.size_of(parts.path)
        if size is None:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        # With Date, as a server with a clock must (RFC 9110, 6.6.1); Squid takes what has none for stale.
        common = (
            f"Date: {formatdate(usegmt=True)}\r\n"
            "Cache-Control: max-age=86400\r\n"
            f'ETag: "{size}"\r\n'
            "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
            "Content-Type: application/octet-stream\r\n"
            "Accept-Ranges: bytes\r\n"
        )
        if "tag" in query:
            common += f"Surrogate-Key: {query['tag'][0]}\r\n"
        if fields.get("if-none-match") == f'"{size}"':
            writer.write(f"HTTP/1.1 304 Not Modified\r\n{common}\r\n".encode())
            return
        start, end, partial = asked_slice(fields.get("range", ""), size)
        status = "200 OK"
        if partial:
            self.counts.ranges.append(f"{start}-{end - 1}")
            status = "206 Partial Content"
            common += f"Content-Range: bytes {start}-{end - 1}/{size}\r\n"
        writer.write(f"HTTP/1.1 {status}\r\n{common}Content-Length: {end - start}\r\n\r\n".encode())
        if method != "HEAD":
            await self._body(writer, parts.path, start, end, int(query.get("rate", ["0"])[0]))

    async def _body(self, writer: asyncio.StreamWriter, path: str, start: int, end: int, rate: int) -> None:
        clock = asyncio.get_running_loop().time
        begun, position = clock(), start
        counts, span = self.counts, [start, start]
        counts.spans.append(span)
        fault = self._faults.get(path)
        if fault and not fault.strikes(start, end):
            fault = None
        stop = fault.at if fault and fault.kind != "flip" else end
        while position < stop:
            data: bytes | memoryview = bodies.piece(path, position, min(_PIECE, stop - position))
            if fault and fault.kind == "flip":
                data = flipped(memoryview(data), position, fault.at)
            if writer.transport.is_closing():
                raise ConnectionResetError("the reader has gone")
            writer.write(data)
            counts.body_bytes += len(data)
            position += len(data)
            span[1] = position
            await writer.drain()
            if rate and (early := begun + (position - start) / rate - clock()) > 0:
                await asyncio.sleep(early)
        if fault and fault.kind == "stall":
            await asyncio.sleep(_STALL_SECONDS)
        if stop < end:
            raise ConnectionResetError("this answer was to be cut")


def _index_page(size: int, name: str) -> bytes:
    text = _index_text(size, name)
    return (
        b"HTTP/1.1 200 OK\r\nDate: %b\r\nContent-Type: text/html; charset=utf-8\r\n"
        b"Cache-Control: max-age=600\r\nContent-Length: %d\r\n\r\n%b"
        % (formatdate(usegmt=True).encode(), len(text), text)
    )


@functools.lru_cache(maxsize=64)
def _index_text(size: int, name: str) -> bytes:
    path = f"/b/{size}/{size}_{name}-1.0-py3-none-any.whl"
    digest = hashlib.sha256()
    for position in range(0, size, _PIECE):
        digest.update(bodies.piece(path, position, min(_PIECE, size - position)))
    return (
        '<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.0"><title>Links</title>'
        f'</head><body><a href="{path}#sha256={digest.hexdigest()}">{path.rpartition("/")[2]}</a>'
        "</body></html>"
    ).encode()


def asked_slice(range_field: str, size: int) -> tuple[int, int, bool]:
    """The slice [start, end) asked for; a range that is not one plain satisfiable range is ignored."""
    first, dash, last = range_field.removeprefix("bytes=").partition("-")
    if not range_field.startswith("bytes=") or not dash or not (first + last).isdecimal():
        return 0, size, False
    if not first:
        return max(0, size - int(last)), size, True
    end = min(size, int(last) + 1) if last else size
    return (int(first), end, True) if int(first) < end else (0, size, False)


class Origin:
    """The origin as a process of its own on the load core, while the `with` block lasts."""

    def __enter__(self) -> Self:
        self._start(0)
        return self

    def _start(self, port: int) -> None:
        self._standing = Standing("origin", "--port", str(port))
        (self.address,) = self._standing.addresses
        self.url = self._standing.url

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._standing.stop()

    def restart(self, seconds_away: float) -> Counts:
        """Kill it, be away, start it again at the same address. What it had counted until shortly before."""
        counts = self.counts()
        self._standing.stop()
        time.sleep(seconds_away)
        self._start(int(self.address.rpartition(":")[2]))
        return counts

    def arrange(self, path: str, kind: Kind, at: int, times: int = 1) -> None:
        """Have the next `times` answers for `path` that send byte `at` go wrong there."""
        self._standing.ask("fault?" + urlencode({"path": path, "kind": kind, "at": at, "times": times}))

    def settle(self, quiet_seconds: float = 0.5, seconds_max: float = 3.0) -> Counts:
        """The counts once nothing has been sent for a while, or after `seconds_max`."""
        end, counts = time.monotonic() + seconds_max, self.counts()
        while time.monotonic() < end:
            time.sleep(quiet_seconds)
            before, counts = counts, self.counts()
            if (counts.body_bytes, counts.requests) == (before.body_bytes, before.requests):
                break
        return counts

    def cpu_seconds(self) -> float:
        """User and system time of its process so far."""
        fields = Path(f"/proc/{self._standing.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def counts(self) -> Counts:
        return Counts(**self._standing.ask("counts"))

    def reset(self) -> None:
        self._standing.ask("reset")


async def _main(address: str, port: int) -> None:
    server = await asyncio.start_server(Answering().serve, address, port, backlog=1024)
    host, port = server.sockets[0].getsockname()[:2]
    print(f"origin: ready {host}:{port}", flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parsed = parser.parse_args()
    machine.pin(machine.load_core())
    if os.environ.get("EDGEPROXY_BENCH_LOOP") != "asyncio":
        with contextlib.suppress(ImportError):
            import uvloop

            asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_main(parsed.address, parsed.port))


if __name__ == "__main__":
    main()
