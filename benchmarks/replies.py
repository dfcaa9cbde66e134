"""Requests and answers of the stand-in servers of benchmarks, as values, over the streams of asyncio."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from benchmarks.origin import asked_slice

_PIECE = 256 << 10
Fields = dict[str, str]
Source = Callable[[int, int], bytes | memoryview]
_REASONS = {200: "OK", 206: "Partial Content", 302: "Found", 304: "Not Modified", 307: "Temporary Redirect"}


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    fields: Fields
    body: bytes

    @property
    def who(self) -> str:
        """Who asks, as far as luck goes: the first word of User-Agent."""
        return self.fields.get("user-agent", "").partition("/")[0].partition(" ")[0]


@dataclass(frozen=True, slots=True)
class Reply:
    """`read` gives bytes [start, end) of a body of `size`; `etag` is with its quotes."""

    status: int
    size: int
    read: Source
    fields: Fields = field(default_factory=dict)
    etag: str = ""


def held(status: int, data: bytes, fields: Fields, etag: str = "") -> Reply:
    """A body that is there as a whole."""
    return Reply(status, len(data), lambda start, end: data[start:end], fields, etag)


def document(value: object, status: int = 200, more: Fields | None = None) -> Reply:
    """JSON, with a weak validator as hubs give."""
    data = json.dumps(value).encode()
    etag = f'W/"{len(data):x}-{hashlib.sha1(data).hexdigest()[:27]}"' if status == 200 else ""
    return held(status, data, {"Content-Type": "application/json; charset=utf-8", **(more or {})}, etag)


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Raises what StreamReader does when there is none."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(fields.get("content-length", "0")))
    method, target, _ = first.split(" ", 2)
    parts = urlsplit(target)
    return Request(method, parts.path, parse_qs(parts.query), fields, body)


async def send(
    writer: asyncio.StreamWriter,
    request: Request,
    reply: Reply,
    *,
    is_cut: bool = False,
    counted: Callable[[int], None] = lambda count: None,
) -> None:
    """The reply, or what of it was asked for: a range of a body that has them, nothing that is known already.
    With `is_cut` only half of the body. `counted` is told of body bytes. Raises ConnectionError."""
    status, start, end = reply.status, 0, reply.size
    fields = dict(reply.fields)
    if reply.etag:
        fields["ETag"] = reply.etag
    if reply.etag and request.fields.get("if-none-match") == reply.etag:
        writer.write(_head(304, fields))
        return
    if status == 200 and fields.get("Accept-Ranges"):
        start, end, is_part = asked_slice(request.fields.get("range", ""), reply.size)
        if is_part:
            status, fields["Content-Range"] = 206, f"bytes {start}-{end - 1}/{reply.size}"
    writer.write(_head(status, fields | {"Content-Length": str(end - start)}))
    if request.method == "HEAD":
        return
    stop = start + (end - start) // 2 if is_cut else end
    while start < stop:
        data = reply.read(start, min(stop, start + _PIECE))
        writer.write(data)
        start += len(data)
        counted(len(data))
        await writer.drain()
        if writer.transport.is_closing():
            raise ConnectionResetError("the reader has gone")


def _head(status: int, fields: Fields) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in fields.items()), "\r\n"]).encode()
