"""One short exchange with another machine, over a connection of its own: what probes and announcements need.

Not for clients' requests: no redirects are followed, nothing is kept, and what is read is bounded."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

from edgeproxy.router.tls_trust import TlsTrust

HEAD_BYTES_MAX = 16 << 10
CONTENT_BYTES_MAX = 64 << 10
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: [^\r\n]*)?\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)


class ExchangeFailed(Exception):
    """No answer; one line says why."""


@dataclass(frozen=True, slots=True)
class Answered:
    """`content` is empty where its length was not told, or is too large."""

    status: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a URL leads."""

    host: str
    port: int
    is_secure: bool
    authority: str
    target: str


def place_of(url: str) -> Place:
    """Raises ExchangeFailed for what is no http or https URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ExchangeFailed(f"{url!r} is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
        raise ExchangeFailed(f"{url!r} is no http or https URL")
    is_secure = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(
        parts.hostname, port or (443 if is_secure else 80), is_secure, parts.netloc.rpartition("@")[2], target
    )


async def exchange(
    url: str,
    *,
    seconds: float,
    method: str = "GET",
    fields: tuple[tuple[str, str], ...] = (),
    content: bytes = b"",
    tls: TlsTrust | None = None,
) -> Answered:
    """One request and its answer, all within `seconds`. Raises ExchangeFailed."""
    place = place_of(url)
    trust = (tls or _trusting_the_system()) if place.is_secure else None
    try:
        secured = None if trust is None else trust.context()
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(
                place.host, place.port, ssl=secured, limit=HEAD_BYTES_MAX
            )
            try:
                if trust is not None:
                    trust.check(writer.get_extra_info("ssl_object"))
                writer.write(_request(place, method, fields, content))
                await writer.drain()
                status, answer = await _answer(reader)
            finally:
                writer.transport.abort()
    except TimeoutError:
        raise ExchangeFailed(f"no answer within {seconds:g} s") from None
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise ExchangeFailed(str(error).partition("\n")[0] or type(error).__name__) from None
    return Answered(status, answer)


async def connect_ms(url: str, *, seconds: float) -> float:
    """How long a connection takes to be there, in milliseconds: one round trip. Nothing is asked, and looking
    up the name is left out. Raises ExchangeFailed."""
    place, loop = place_of(url), asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            family, kind, _, _, address = (
                await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
            )[0]
            with socket.socket(family, kind) as connection:
                connection.setblocking(False)
                began = time.monotonic()
                await loop.sock_connect(connection, address)
                return (time.monotonic() - began) * 1000
    except (TimeoutError, OSError, ValueError, IndexError) as error:
        raise ExchangeFailed(str(error) or "no connection") from None


@cache
def _trusting_the_system() -> TlsTrust:
    return TlsTrust()


def _request(place: Place, method: str, fields: tuple[tuple[str, str], ...], content: bytes) -> bytes:
    lines = [f"{method} {place.target} HTTP/1.1", f"Host: {place.authority}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in fields]
    if content or method == "POST":
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and content; the content only where its length is told and bounded."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        matched = _STATUS.match(head)
        if matched is None:
            raise ValueError("the answer is no HTTP")
        status = int(matched[1])
        if status >= 200:
            break
    length = _LENGTH.search(head)
    if length is None or not 0 < int(length[1]) <= CONTENT_BYTES_MAX:
        return status, b""
    return status, await reader.readexactly(int(length[1]))
