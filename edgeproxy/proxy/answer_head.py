"""The answer to a request to switch protocols, read strictly: its head, and what little content it may have
where nothing is switched (RFC 9112)."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from edgeproxy import chunks
from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers

HEAD_BYTES_MAX = 64 << 10
FIELDS_MAX = 128
CONTENT_BYTES_MAX = 64 << 10
_HEAD = re.compile(
    rb"HTTP/1\.1 ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?\r\n"
    rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*)\r\n"
)
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_EMPTY = frozenset({204, 304})
_INTERIM_MAX = 8
_SWITCHED = 101


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """`content` is whole; of a switch, b"": what follows belongs to the other protocol."""

    status: int
    headers: Headers
    content: bytes = b""


async def read_answer(reader: asyncio.StreamReader) -> AnswerHead:
    """The final answer, or the switch. Raises UpstreamError for what is none or too large, OSError."""
    for _ in range(_INTERIM_MAX):
        answer = parse(await _head(reader))
        if answer.status == _SWITCHED:
            if not _agrees(answer.headers):
                raise _wrong("switches to a protocol nobody asked for")
            return answer
        if answer.status >= 200:
            content = b"" if answer.status in _EMPTY else await _content(reader, answer.headers)
            return AnswerHead(answer.status, answer.headers, content)
    raise _wrong("sends interim answers without end")


def parse(head: bytes) -> AnswerHead:
    """A whole head. Raises UpstreamError."""
    found = _HEAD.fullmatch(head)
    if found is None:
        raise _wrong("does not answer in HTTP/1.1")
    lines = found[2].decode("latin-1").split("\r\n")[:-1]
    if len(lines) > FIELDS_MAX:
        raise _wrong("sends too many fields")
    split = (line.partition(":") for line in lines)
    return AnswerHead(int(found[1]), Headers((name, value.strip(" \t")) for name, _, value in split))


def _agrees(headers: Headers) -> bool:
    options = {option.strip(" \t").lower() for option in headers.get("Connection").split(",")}
    return "upgrade" in options and headers.get("Upgrade").lower() == "websocket"


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise _wrong("sends a head too large") from None
    except asyncio.IncompleteReadError:
        raise _wrong("ends before its answer does") from None


async def _content(reader: asyncio.StreamReader, headers: Headers) -> bytes:
    """Raises UpstreamError for what is malformed, cut short or too much."""
    lengths, codings = headers.all("Content-Length"), headers.all("Transfer-Encoding")
    if codings:
        if lengths or [coding.lower() for coding in codings] != ["chunked"]:
            raise _wrong("frames its content in a way nobody can be sure of")
        return await _in_chunks(reader)
    if not lengths:
        data = await reader.read(CONTENT_BYTES_MAX + 1)
        while len(data) <= CONTENT_BYTES_MAX and (more := await reader.read(CONTENT_BYTES_MAX)):
            data += more
        if len(data) > CONTENT_BYTES_MAX:
            raise _wrong("refuses at too great length")
        return data
    if len(lengths) != 1 or _LENGTH.fullmatch(lengths[0]) is None:
        raise _wrong("frames its content in a way nobody can be sure of")
    if int(lengths[0]) > CONTENT_BYTES_MAX:
        raise _wrong("refuses at too great length")
    try:
        return await reader.readexactly(int(lengths[0]))
    except asyncio.IncompleteReadError:
        raise _wrong("ends before its answer does") from None


async def _in_chunks(reader: asyncio.StreamReader) -> bytes:
    decoder = chunks.ChunkDecoder(CONTENT_BYTES_MAX, HEAD_BYTES_MAX, is_request=False)
    pieces: list[bytes] = []
    try:
        while not decoder.done:
            data = await reader.read(CONTENT_BYTES_MAX)
            if not data:
                raise _wrong("ends before its answer does")
            decoder.feed(data, pieces)
    except chunks.BadChunks as error:
        raise _wrong(f"frames its content wrongly: {error}") from None
    return b"".join(pieces)


def _wrong(what: str) -> UpstreamError:
    return UpstreamError(ProxyError.HTTP_PROTOCOL_ERROR, f"the host {what}", sent=True)
