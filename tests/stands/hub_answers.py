"""Answers of a hub as values, the errors in its own words, and the sending of them."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import re
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from stands.hub_content import PIECE_BYTES, Content, Held, pieces
from stands.hub_faults import Cut, Flip
from stands.origin import head
from stands.wire import Exchange, Wire

Fields = list[tuple[str, str]]
JSON_FIELDS = [("Content-Type", "application/json; charset=utf-8")]
TEXT_FIELDS = [("Content-Type", "text/plain; charset=utf-8")]


@dataclass
class Trouble:
    """What goes wrong with one body. `bandwidth` in bytes a second, 0 has no limit."""

    flip: Flip | None = None
    cut: Cut | None = None
    bandwidth: float = 0.0


@dataclass
class Reply:
    """An answer before ranges and conditions are applied. `etag` is with its quotes."""

    status: int
    fields: Fields = field(default_factory=list)
    content: Content = field(default_factory=lambda: Held(b""))
    etag: str = ""
    ranges: bool = False
    zips: bool = False  # a GET that accepts gzip gets gzip, in chunks
    range_shift: int = 0  # lies in Content-Range
    size_lie: int = 0
    trouble: Trouble = field(default_factory=Trouble)


class Refused(Exception):
    """The request ends with this reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def json_reply(document: Any, status: int = 200, fields: Fields | None = None) -> Reply:
    data = json.dumps(document).encode()
    etag = f'W/"{len(data):x}-{hashlib.sha1(data).hexdigest()[:27]}"' if status == 200 else ""
    return Reply(status, [*JSON_FIELDS, *(fields or [])], Held(data), etag)


def error(
    status: int, message: str, code: str = "", is_api: bool = True, fields: Fields | None = None
) -> Refused:
    """An error as the hub words it: JSON where an API was asked, text where a file was."""
    extra: Fields = [("X-Error-Message", message), *(fields or [])]
    if code:
        extra.insert(0, ("X-Error-Code", code))
    if is_api:
        return Refused(json_reply({"error": message}, status, extra))
    return Refused(Reply(status, [*TEXT_FIELDS, *extra], Held(message.encode())))


def anonymous(is_api: bool) -> Refused:
    """An unknown or private repository asked for without a token: the hub does not say which."""
    challenge = ("WWW-Authenticate", 'Bearer realm="Authentication required", charset="UTF-8"')
    return error(401, "Invalid username or password.", "", is_api, [challenge])


def see(location: str, status: int = 307, fields: Fields | None = None) -> Reply:
    text = f"{'Temporary Redirect' if status == 307 else 'Found'}. Redirecting to {location}"
    return Reply(status, [*TEXT_FIELDS, ("Location", location), *(fields or [])], Held(text.encode()))


def _same(etag: str, listed: str) -> bool:
    names = {name.strip().removeprefix("W/") for name in listed.split(",")}
    return bool(etag) and (etag.removeprefix("W/") in names or listed.strip() == "*")


def _wanted(reply: Reply, exchange: Exchange) -> tuple[int, int] | None:
    """First byte and the one after the last of the single range asked for."""
    found = re.fullmatch(r"bytes=([0-9]*)-([0-9]*)", exchange.get("range"))
    if not reply.ranges or found is None or found.groups() == ("", ""):
        return None
    if exchange.get("if-range") not in ("", reply.etag):
        return None
    first, last = found.groups()
    size = reply.content.size
    if not first:
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1 if last else size)


async def send(reply: Reply, exchange: Exchange, wire: Wire, statuses: dict[int, int]) -> None:
    """Send a reply, by the conditions, range and codings of the request; its status is kept under the
    identity of the exchange."""
    statuses[id(exchange)] = reply.status
    fields: Fields = [("Date", formatdate(usegmt=True)), *reply.fields]
    if reply.etag:
        fields.append(("ETag", reply.etag))
    if reply.ranges:
        fields.append(("Accept-Ranges", "bytes"))
    if reply.status == 200 and _same(reply.etag, exchange.get("if-none-match")):
        statuses[id(exchange)] = 304
        await wire.send(head(304, fields))
        return
    size = reply.content.size
    start, end, status = 0, size, reply.status
    wanted = _wanted(reply, exchange) if reply.status == 200 else None
    if wanted is not None:
        start, end = wanted
        if start >= size:
            fields = [("Content-Range", f"bytes */{size}"), ("Content-Length", "0")]
            statuses[id(exchange)] = 416
            await wire.send(head(416, fields))
            return
        status = statuses[id(exchange)] = 206
        shift = reply.range_shift
        whole = size + reply.size_lie
        fields.append(("Content-Range", f"bytes {start + shift}-{end - 1 + shift}/{whole}"))
    elif reply.zips and exchange.method == "GET" and "gzip" in exchange.get("accept-encoding"):
        await _send_zipped(reply, fields, wire)
        return
    await wire.send(head(status, [*fields, ("Content-Length", str(end - start))]))
    if exchange.method != "HEAD":
        await _send_body(reply, start, end, wire)


async def _send_zipped(reply: Reply, fields: Fields, wire: Wire) -> None:
    data = gzip.compress(reply.content.read(0, reply.content.size))
    more = [("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"), ("Transfer-Encoding", "chunked")]
    await wire.send(head(200, [*fields, *more]) + b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))


async def _send_body(reply: Reply, start: int, end: int, wire: Wire) -> None:
    trouble = reply.trouble
    stop = end if trouble.cut is None else min(end, start + trouble.cut.after)
    place = start
    for piece in pieces(reply.content, start, stop):
        if trouble.flip is not None and place <= trouble.flip.at < place + len(piece):
            wrong = bytearray(piece)
            wrong[trouble.flip.at - place] ^= 1
            piece = bytes(wrong)
        place += len(piece)
        await _send_slowly(piece, trouble.bandwidth, wire)
    if trouble.cut is None or stop == end:
        return
    if trouble.cut.how == "stall":
        await wire.until_gone()
    if trouble.cut.how == "reset":
        await asyncio.sleep(0.05)  # what was sent must leave before the RST overtakes it
        await wire.reset()
    await wire.close()


async def _send_slowly(piece: bytes, bandwidth: float, wire: Wire) -> None:
    if not bandwidth:
        await wire.send(piece)
        return
    step = max(1024, min(PIECE_BYTES, int(bandwidth / 20)))
    for place in range(0, len(piece), step):
        part = piece[place : place + step]
        await wire.send(part)
        await asyncio.sleep(len(part) / bandwidth)
