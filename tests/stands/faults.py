"""What a broken or hostile origin does, each by name.

`FAULTS` never give a body that may be completed to a client: what follows must be a visible failure.
`ODDITIES` end properly but try to leave something behind, or may be accepted in one right form only."""

from __future__ import annotations

import asyncio

from stands.origin import bytes_of
from stands.wire import Answer, Exchange, Wire

BODY = bytes_of("fault", 100_000)
_CACHED = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\n"
_LENGTH = b"Content-Length: 100000\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_CHUNK = b"186a0\r\n" + BODY + b"\r\n"


def sending(*parts: bytes, end: str = "close") -> Answer:
    """Send the parts, then "close", "reset", "stall" (say no more) or "keep" the connection."""

    async def answer(_: Exchange, wire: Wire) -> None:
        for part in parts:
            await wire.send(part)
        if end == "reset":
            await asyncio.sleep(0.05)  # what was sent must leave before the RST overtakes it
            await wire.reset()
        elif end == "stall":
            await wire.until_gone()
        elif end == "close":
            await wire.close()

    return answer


def repeating(first: bytes, part: bytes, count: int, delay: float = 0.0) -> Answer:
    """Send `first`, then `part` again and again, `count` times or until the node goes away."""

    async def answer(_: Exchange, wire: Wire) -> None:
        await wire.send(first)
        for _number in range(count):
            await wire.send(part)
            if delay:
                await asyncio.sleep(delay)
        await wire.close()

    return answer


def flapping(good: Answer, bad: Answer) -> Answer:
    """Bad at every other request."""
    turn = iter(range(1_000_000))

    async def answer(exchange: Exchange, wire: Wire) -> None:
        await (good if next(turn) % 2 else bad)(exchange, wire)

    return answer


def _framed(fields: bytes, content: bytes = BODY) -> Answer:
    return sending(_CACHED + fields + b"\r\n", content)


def _head(head: bytes) -> Answer:
    return sending(head + _LENGTH + b"\r\n", BODY)


FAULTS: dict[str, Answer] = {
    # The body does not come to its end.
    "length cut by FIN": sending(_CACHED + _LENGTH + b"\r\n", BODY[:50_000]),
    "length cut by RST": sending(_CACHED + _LENGTH + b"\r\n", BODY[:50_000], end="reset"),
    "length cut by one byte": sending(_CACHED + _LENGTH + b"\r\n", BODY[:-1]),
    "length without a byte": sending(_CACHED + _LENGTH + b"\r\n"),
    "last chunk missing": sending(_CACHED + _CHUNKED + b"\r\n", _CHUNK),
    "last chunk cut": sending(_CACHED + _CHUNKED + b"\r\n", _CHUNK, b"0\r\n"),
    "chunk cut inside": sending(_CACHED + _CHUNKED + b"\r\n", _CHUNK[:50_000]),
    "chunk size cut": sending(_CACHED + _CHUNKED + b"\r\n", b"186"),
    "chunked cut by RST": sending(_CACHED + _CHUNKED + b"\r\n", _CHUNK, end="reset"),
    "close-delimited cut by RST": sending(_CACHED + b"\r\n", BODY[:50_000], end="reset"),
    "stall inside the body": sending(_CACHED + _LENGTH + b"\r\n", BODY[:50_000], end="stall"),
    "stall before the last chunk": sending(_CACHED + _CHUNKED + b"\r\n", _CHUNK, end="stall"),
    # No head, or half of one.
    "closed at once": sending(),
    "reset at once": sending(end="reset"),
    "never answers": sending(end="stall"),
    "half head": sending(_CACHED[:30]),
    "half head, RST": sending(_CACHED + b"Content-", end="reset"),
    "half head, stall": sending(_CACHED, end="stall"),
    # Framing that readers may understand differently.
    "two lengths": _framed(b"Content-Length: 100000\r\nContent-Length: 5\r\n"),
    "length list": _framed(b"Content-Length: 100000, 5\r\n"),
    "length negative": _framed(b"Content-Length: -1\r\n"),
    "length plus": _framed(b"Content-Length: +100000\r\n"),
    "length hex": _framed(b"Content-Length: 0x186a0\r\n"),
    "length underscore": _framed(b"Content-Length: 100_000\r\n"),
    "length junk": _framed(b"Content-Length: banana\r\n"),
    "length with junk after": _framed(b"Content-Length: 100000 bytes\r\n"),
    "length overflow": _framed(b"Content-Length: 99999999999999999999999\r\n"),
    "length empty": _framed(b"Content-Length: \r\n"),
    "coding gzip": _framed(b"Transfer-Encoding: gzip\r\n"),
    "coding identity": _framed(b"Transfer-Encoding: identity\r\n" + _LENGTH),
    "coding xchunked": _framed(b"Transfer-Encoding: xchunked\r\n" + _LENGTH),
    "coding chunked twice": _framed(b"Transfer-Encoding: chunked, chunked\r\n", _CHUNK + b"0\r\n\r\n"),
    "coding not last": _framed(b"Transfer-Encoding: chunked, gzip\r\n", _CHUNK + b"0\r\n\r\n"),
    "length and chunked": _framed(_LENGTH + _CHUNKED, _CHUNK + b"0\r\n\r\n"),
    "chunked and length": _framed(_CHUNKED + b"Content-Length: 5\r\n", _CHUNK + b"0\r\n\r\n"),
    "chunk size junk": _framed(_CHUNKED, b"zz\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "chunk size negative": _framed(_CHUNKED, b"-5\r\nhello\r\n0\r\n\r\n"),
    "chunk size overflow": _framed(_CHUNKED, b"fffffffffffffffffff\r\n" + BODY),
    "chunk longer than said": _framed(_CHUNKED, b"5\r\nhelloworld\r\n0\r\n\r\n"),
    "chunk size and junk": _framed(_CHUNKED, b"5x\r\nhello\r\n0\r\n\r\n"),
    "chunk extension without end": _framed(_CHUNKED, b"5;" + b"a" * 200_000 + b"\r\nhello\r\n0\r\n\r\n"),
    "chunk extension with CR": _framed(_CHUNKED, b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    "bare LF after chunk size": _framed(_CHUNKED, b"5\nhello\r\n0\r\n\r\n"),
    "bare LF after chunk": _framed(_CHUNKED, b"5\r\nhello\n0\r\n\r\n"),
    "bare LF after last chunk": _framed(_CHUNKED, b"5\r\nhello\r\n0\n\n"),
    "bare LF in trailer": _framed(_CHUNKED, b"5\r\nhello\r\n0\r\nX: y\n\r\n"),
    "bare LF in head": _framed(b"X: a\n" + _LENGTH),
    # Heads that are no heads.
    "status line junk": _head(b"ICY\r\n"),
    "status letters": _head(b"HTTP/1.1 abc OK\r\n"),
    "status two digits": _head(b"HTTP/1.1 99 OK\r\n"),
    "status four digits": _head(b"HTTP/1.1 2000 OK\r\n"),
    "NUL in value": _framed(b"X-A: a\x00b\r\n" + _LENGTH),
    "no colon": _framed(b"X-A\r\n" + _LENGTH),
    "space before colon": _framed(b"Content-Length : 100000\r\n"),
    "endless 1xx": repeating(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 2000),
    "header of 1 MiB": _framed(b"X-A: " + b"a" * (1 << 20) + b"\r\n" + _LENGTH),
    "5000 headers": _framed(b"".join(b"X-%d: a\r\n" % n for n in range(5000)) + _LENGTH),
    "endless headers": repeating(_CACHED, b"X-A: " + b"a" * 1000 + b"\r\n", 100_000),
    # Answers to something that was not asked.
    "101 unasked": sending(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", BODY),
    "304 unasked": sending(b"HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=3600\r\n\r\n", end="keep"),
    "206 unasked": sending(
        b"HTTP/1.1 206 Partial\r\nCache-Control: max-age=3600\r\nContent-Range: bytes 0-9/100000\r\n"
        b"Content-Length: 10\r\n\r\n",
        BODY[:10],
        end="keep",
    ),
}

_SECOND = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: 8\r\n\r\npoisoned"

ODDITIES: dict[str, Answer] = {
    "bytes after the length": sending(_CACHED + _LENGTH + b"\r\n", BODY + b"trailing junk", end="keep"),
    "a second answer": sending(_CACHED + _LENGTH + b"\r\n", BODY + _SECOND, end="keep"),
    "a second answer after chunks": sending(
        _CACHED + _CHUNKED + b"\r\n", _CHUNK + b"0\r\n\r\n" + _SECOND, end="keep"
    ),
    "content after 204": sending(b"HTTP/1.1 204 No\r\n\r\n" + _SECOND, end="keep"),
    "content after 304": sending(b"HTTP/1.1 304 No\r\n\r\n" + _SECOND, end="keep"),
    "five 1xx": sending(b"HTTP/1.1 103 Hints\r\n\r\n" * 5 + _CACHED + _LENGTH + b"\r\n", BODY),
}
