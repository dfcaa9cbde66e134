"""An origin under the control of a test: resources by path, faults by path, scripts by path."""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from stands.wire import Answer, Exchange, Journal, Wire, WireServer, not_found

PIECE_BYTES = 256 << 10


def bytes_of(name: str, size: int) -> bytes:
    """The same pseudo-random bytes for the same name and size, in every process."""
    return random.Random(f"{name}/{size}").randbytes(size)


def head(status: int, fields: Sequence[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclass
class Resource:
    """A well-behaved resource. Delays in seconds; `piece_delay` between pieces of `piece` bytes. What follows
    the first half waits until `held` is set, if there is one."""

    body: bytes
    cache_control: str | None = "max-age=3600"
    etag: str | None = None
    last_modified: str | None = None
    fields: Sequence[tuple[str, str]] = ()
    status: int = 200
    delay: float = 0.0
    piece: int = PIECE_BYTES
    piece_delay: float = 0.0
    chunked: bool = False
    ranges: bool = True
    held: threading.Event | None = None

    def __post_init__(self) -> None:
        if self.etag is None:
            self.etag = f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'

    async def __call__(self, exchange: Exchange, wire: Wire) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.etag and self.etag in exchange.get("if-none-match"):
            await wire.send(head(304, self._fields()))
            return
        wanted = self._range(exchange)
        if wanted is None:
            await self._send(exchange, wire, self.status, self.body, ())
            return
        start, end = wanted
        if start >= len(self.body):
            fields = (("Content-Range", f"bytes */{len(self.body)}"), ("Content-Length", "0"))
            await wire.send(head(416, fields))
            return
        content_range = f"bytes {start}-{end - 1}/{len(self.body)}"
        await self._send(exchange, wire, 206, self.body[start:end], (("Content-Range", content_range),))

    def _fields(self) -> list[tuple[str, str]]:
        fields = list(self.fields)
        if self.cache_control is not None:
            fields.append(("Cache-Control", self.cache_control))
        if self.etag:
            fields.append(("ETag", self.etag))
        if self.last_modified:
            fields.append(("Last-Modified", self.last_modified))
        if self.ranges:
            fields.append(("Accept-Ranges", "bytes"))
        return fields

    def _range(self, exchange: Exchange) -> tuple[int, int] | None:
        found = re.fullmatch(r"bytes=([0-9]*)-([0-9]*)", exchange.get("range"))
        if not self.ranges or self.status != 200 or found is None:
            return None
        if exchange.get("if-range") not in ("", self.etag):
            return None
        first, last = found.groups()
        size = len(self.body)
        if not first:
            return max(0, size - int(last)), size
        return int(first), min(size, int(last) + 1 if last else size)

    async def _send(
        self, exchange: Exchange, wire: Wire, status: int, content: bytes, extra: Sequence[tuple[str, str]]
    ) -> None:
        framing = ("Transfer-Encoding", "chunked") if self.chunked else ("Content-Length", str(len(content)))
        await wire.send(head(status, [*self._fields(), *extra, framing]))
        if exchange.method == "HEAD":
            return
        for start in range(0, len(content), self.piece):
            piece = content[start : start + self.piece]
            await wire.send(b"%x\r\n%s\r\n" % (len(piece), piece) if self.chunked else piece)
            if self.held is not None and start >= len(content) // 2:
                await asyncio.to_thread(self.held.wait, 60)
            if self.piece_delay:
                await asyncio.sleep(self.piece_delay)
        if self.chunked:
            await wire.send(b"0\r\n\r\n")


class Script:
    """Answers in turn; the last one for all that follow."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)

    async def __call__(self, exchange: Exchange, wire: Wire) -> None:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        await answer(exchange, wire)


def counted(fields: Sequence[tuple[str, str]], status: int = 200, delay: float = 0.0) -> Answer:
    """An answer whose body is different for every request, so that sharing can be seen."""
    counter = iter(range(1, 1_000_000))

    async def answer(exchange: Exchange, wire: Wire) -> None:
        body = f"answer {next(counter)} for {exchange.get('cookie')}{exchange.get('authorization')}".encode()
        if delay:
            await asyncio.sleep(delay)
        await wire.send(head(status, [*fields, ("Content-Length", str(len(body)))]))
        if exchange.method != "HEAD":
            await wire.send(body)

    return answer


async def echo(exchange: Exchange, wire: Wire) -> None:
    """Repeat the request head in a cacheable answer: whatever is not in the key must not be in it."""
    fields = [("Cache-Control", "max-age=3600"), ("Content-Length", str(len(exchange.head)))]
    await wire.send(head(200, fields))
    if exchange.method != "HEAD":
        await wire.send(exchange.head)


class Origin:
    """`paths` maps a path to its answer, `prefixes` the beginning of one; others get 404."""

    def __init__(self) -> None:
        self.paths: dict[str, Answer] = {}
        self.prefixes: dict[str, Answer] = {}
        self.server = WireServer(self._answer)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def journal(self) -> Journal:
        return self.server.journal

    def put(self, path: str, size: int, **options: object) -> bytes:
        """Serve `size` known bytes at `path`; options are those of Resource. Returns the bytes."""
        body = bytes_of(path, size)
        self.paths[path] = Resource(body, **options)  # type: ignore[arg-type]
        return body

    def stop(self) -> None:
        self.server.stop()

    async def _answer(self, exchange: Exchange, wire: Wire) -> None:
        answer = self.paths.get(exchange.path)
        if answer is None:
            fitting = (a for prefix, a in self.prefixes.items() if exchange.path.startswith(prefix))
            answer = next(fitting, not_found)
        await answer(exchange, wire)
