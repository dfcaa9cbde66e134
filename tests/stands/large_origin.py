"""A large body behind an origin with ranges, whose bytes at any offset are known without holding them.

Every 64 KiB block begins with the body's seed and the block's number, so that bytes from a wrong place or of
another version never look right."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from stands.origin import Origin, head
from stands.wire import Exchange, Wire

BLOCK_BYTES = 64 << 10
POOL_BYTES = 1 << 20
PIECE_BYTES = 256 << 10
_POOL = random.Random("large").randbytes(POOL_BYTES + BLOCK_BYTES)


def _block(seed: int, number: int) -> bytes:
    start = (number * 40_503 + seed * 7_919) % POOL_BYTES
    return struct.pack(">QQ", seed, number) + _POOL[start : start + BLOCK_BYTES - 16]


def content(seed: int, start: int, end: int) -> bytes:
    """Bytes [start, end) of the endless content of `seed`."""
    first, last = start // BLOCK_BYTES, -(-end // BLOCK_BYTES)
    data = b"".join(_block(seed, number) for number in range(first, last))
    return data[start - first * BLOCK_BYTES : end - first * BLOCK_BYTES]


@dataclass
class Large:
    """One body. All but `size` may be changed while it is being served.

    `cut` bytes after its start an answer ends (by `reset`, if so), `stall` bytes after it nothing more
    comes (both of the first `faults` answers only); `rate` is in bytes a second for each answer. `lie` is
    one of "" | "whole" (200 for a range) | "content-range" (other bytes than were asked for) | "size".
    `repr_digest` is sent when it is not empty, `fields` always."""

    size: int
    seed: int = 1
    validators: bool = True
    ranges: bool = True
    cache_control: str = "max-age=3600"
    cut: int = 0
    stall: int = 0
    reset: bool = False
    faults: int = 1 << 30
    rate: float = 0.0
    lie: str = ""
    repr_digest: str = ""
    weak: bool = False
    fields: Sequence[tuple[str, str]] = ()
    sent: list[list[int]] = field(default_factory=list)  # [start, end] of each answer's content
    ranges_asked: list[str] = field(default_factory=list)

    @property
    def etag(self) -> str:
        return f'{"W/" if self.weak else ""}"large-{self.seed}-{self.size}"'

    def bytes(self, start: int = 0, end: int | None = None) -> bytes:
        return content(self.seed, start, self.size if end is None else end)

    def sha256(self) -> str:
        digest = hashlib.sha256()
        for start in range(0, self.size, 8 << 20):
            digest.update(self.bytes(start, min(self.size, start + (8 << 20))))
        return digest.hexdigest()

    def digest_field(self) -> str:
        return f"sha-256=:{base64.b64encode(bytes.fromhex(self.sha256())).decode()}:"

    @property
    def sent_bytes(self) -> int:
        """Content given to the network so far, what nobody read included."""
        return sum(end - start for start, end in list(self.sent))

    @property
    def sent_twice(self) -> int:
        """Content bytes given to the network more than once."""
        covered = upto = 0
        for start, end in sorted((s, e) for s, e in list(self.sent)):
            covered += max(0, end - max(start, upto))
            upto = max(upto, end)
        return self.sent_bytes - covered

    def forget(self) -> None:
        """Count anew from here on."""
        self.sent.clear()
        self.ranges_asked.clear()

    # -- answering -----------------------------------------------------------------------------

    async def __call__(self, exchange: Exchange, wire: Wire) -> None:
        self.ranges_asked.append(exchange.get("range"))
        if self.validators and self.etag in exchange.get("if-none-match"):
            await wire.send(head(304, self._fields()))
            return
        start, end = self._range(exchange)
        is_part = (start, end) != (0, self.size) or (self.ranges and exchange.get("range") != "")
        if self.lie == "whole" or not self._may_be_part(exchange):
            start, end, is_part = 0, self.size, False
        if start >= self.size:
            await wire.send(head(416, [("Content-Range", f"bytes */{self.size}"), ("Content-Length", "0")]))
            return
        fields = [*self._fields(), ("Content-Length", str(end - start))]
        if is_part:
            fields.append(("Content-Range", self._content_range(start, end)))
        await wire.send(head(206 if is_part else 200, fields))
        if exchange.method != "HEAD":
            await self._send(wire, start, end)

    def _fields(self) -> list[tuple[str, str]]:
        fields = [("Content-Type", "application/octet-stream"), ("Cache-Control", self.cache_control)]
        fields += self.fields
        if self.validators:
            fields.append(("ETag", self.etag))
        if self.ranges:
            fields.append(("Accept-Ranges", "bytes"))
        if self.repr_digest:
            fields.append(("Repr-Digest", self.repr_digest))
        return fields

    def _may_be_part(self, exchange: Exchange) -> bool:
        condition = exchange.get("if-range")
        return self.ranges and (
            not condition or (self.validators and not self.weak and condition == self.etag)
        )

    def _content_range(self, start: int, end: int) -> str:
        if self.lie == "content-range":
            return f"bytes {start + 4096}-{end + 4095}/{self.size + 8192}"
        return f"bytes {start}-{end - 1}/{self.size + (1 if self.lie == 'size' else 0)}"

    def _range(self, exchange: Exchange) -> tuple[int, int]:
        found = re.fullmatch(r"bytes=([0-9]*)-([0-9]*)", exchange.get("range"))
        if found is None:
            return 0, self.size
        first, last = found.groups()
        if not first:
            return max(0, self.size - int(last)), self.size
        return int(first), min(self.size, int(last) + 1 if last else self.size)

    async def _send(self, wire: Wire, start: int, end: int) -> None:
        is_faulty, self.faults = self.faults > 0, self.faults - 1
        stop = min([end, *(start + fault for fault in (self.cut, self.stall) if fault and is_faulty)])
        record, seed = [start, start], self.seed
        self.sent.append(record)
        loop = asyncio.get_running_loop()
        began, piece = loop.time(), PIECE_BYTES if not self.rate else max(4096, int(self.rate / 50))
        for position in range(start, stop, min(piece, PIECE_BYTES)):
            upto = min(stop, position + min(piece, PIECE_BYTES))
            record[1] = upto
            await wire.send(content(seed, position, upto))
            if self.rate:
                await asyncio.sleep(max(0.0, began + (upto - start) / self.rate - loop.time()))
        if stop < end and self.cut:
            await (wire.reset() if self.reset else wire.close())  # a reset takes along what is on its way
        elif stop < end:
            await wire.until_gone()


def put_large(origin: Origin, path: str, size: int, **options: object) -> Large:
    """Serve a body of `size` bytes at `path`; options are those of Large."""
    large = Large(size, **options)  # type: ignore[arg-type]
    origin.paths[path] = large
    return large


def multipart(body: bytes, content_type: str) -> list[tuple[str, bytes]]:
    """(Content-Range, content) of each part of a multipart/byteranges body."""
    found = re.search(r'boundary="?([^";]+)"?', content_type)
    assert found is not None, content_type
    mark = b"--" + found[1].encode()
    parts: list[tuple[str, bytes]] = []
    for piece in (b"\r\n" + body).split(b"\r\n" + mark)[1:-1]:
        fields, _, data = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        said = re.search(rb"(?i)content-range: *([^\r]+)", fields)
        assert said is not None, fields
        parts.append((said[1].decode(), data))
    return parts
