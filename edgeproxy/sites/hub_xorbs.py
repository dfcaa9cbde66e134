"""Xet served from plain files: "virtual xorbs". Pure.

A Xet client asks how a file is put together (a reconstruction) and gets terms: runs of chunks in
containers called xorbs, each with a URL and a byte range. It checks lengths only. So a plain file of
known size is cut, without looking at it, into chunks of 128 KiB, and these into xorbs of 64 chunks:

    file    | xorb 0: 8 MiB | xorb 1: 8 MiB | ... | the rest |
    xorb    | header, chunk 0 | header, chunk 1 | ... | header, chunk 63 |
    header  version 0, stored length (3 bytes LE), scheme 0 = as it is, length (3 bytes LE): 8 bytes

Nothing but file id and size goes in, so every node cuts a file alike. Integrity is the node's: it
serves these slices of a body only under the rules it serves any slice of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from edgeproxy.message import BytesBody, Headers, Response
from edgeproxy.policy import ranges

CHUNK_BYTES = 128 << 10
RUN_CHUNKS = 64
RUN_BYTES = RUN_CHUNKS * CHUNK_BYTES
TERMS_MAX = 4096  # 32 GiB of file in one answer; clients ask for 8 GiB and less at a time

_HEADER_BYTES = 8
_STRIDE = _HEADER_BYTES + CHUNK_BYTES
# Clients keep chunks by xorb hash: if the way files are cut changes, this must change too.
_LAYOUT = "0001"
_INDEX_MAX = 1 << 40

_ROUTE = re.compile(
    r"/(?:(?:(?P<version>v[12])/)?reconstructions/(?P<file>[0-9a-f]{64})"
    r"|xorbs/(?P<token>[A-Za-z0-9_-]{1,8192})/(?P<index>0|[1-9][0-9]{0,11})"
    r"|(?P<telemetry>v1/telemetry))",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class ReconstructionRoute:
    """How is this file put together? In the words of version 1 or 2."""

    version: int
    file_id: str


@dataclass(frozen=True, slots=True)
class XorbRoute:
    """The bytes of one xorb of the file that the token names."""

    token: str
    index: int


@dataclass(frozen=True, slots=True)
class TelemetryRoute:
    """What the client tells about its own speed; taken and forgotten."""


Route = ReconstructionRoute | XorbRoute | TelemetryRoute


def route(path: str) -> Route | None:
    """What a raw path below the CAS URL asks for; None for anything else (uploads, say)."""
    found = _ROUTE.fullmatch(path)
    if found is None:
        return None
    if found["file"]:
        return ReconstructionRoute(2 if found["version"] == "v2" else 1, found["file"])
    if found["token"]:
        return XorbRoute(found["token"], int(found["index"]))
    return TelemetryRoute()


def xorb_path(token: str, index: int) -> str:
    """The path of a xorb below the CAS URL."""
    return f"/xorbs/{token}/{index}"


def xorb_hash(file_id: str, index: int) -> str:
    """The name of a xorb: different for different files, whatever hash their id is."""
    return f"{file_id[:48]}{index:012x}{_LAYOUT}"


@dataclass(frozen=True, slots=True)
class Xorb:
    """One xorb of a file of `file_size` bytes, as a Layout over that file."""

    file_size: int
    index: int

    @property
    def start(self) -> int:
        """Where it begins in the file."""
        return self.index * RUN_BYTES

    @property
    def length(self) -> int:
        """How much of the file it holds."""
        return min(RUN_BYTES, self.file_size - self.start)

    @property
    def chunks(self) -> int:
        return -(-self.length // CHUNK_BYTES)

    @property
    def size(self) -> int:
        return self.length + self.chunks * _HEADER_BYTES

    def pieces(self, start: int, end: int) -> Iterator[bytes | tuple[int, int]]:
        """Bytes [start, end) of the xorb: literal headers, and (start, end) of the file."""
        end = min(end, self.size)
        while start < end:
            chunk, within = divmod(start, _STRIDE)
            base = self.start + chunk * CHUNK_BYTES
            length = min(CHUNK_BYTES, self.start + self.length - base)
            stop = min(end, chunk * _STRIDE + _HEADER_BYTES + length)
            if within < _HEADER_BYTES:
                upto = min(_HEADER_BYTES, stop - chunk * _STRIDE)
                yield _chunk_header(length)[within:upto]
                start += upto - within
            else:
                yield base + within - _HEADER_BYTES, base + stop - chunk * _STRIDE - _HEADER_BYTES
                start = stop


def xorb(file_size: int, index: int) -> Xorb | None:
    """None past the end of the file."""
    found = Xorb(file_size, index)
    return found if 0 <= index < _INDEX_MAX and found.start < file_size else None


def _chunk_header(length: int) -> bytes:
    counted = length.to_bytes(3, "little")
    return b"\0" + counted + b"\0" + counted


@dataclass(frozen=True, slots=True)
class _Term:
    """The chunks [first, last) of one xorb."""

    xorb: Xorb
    first: int
    last: int

    @property
    def length(self) -> int:
        return min(self.last * CHUNK_BYTES, self.xorb.length) - self.first * CHUNK_BYTES

    @property
    def bytes(self) -> dict[str, int]:
        """Both ends inclusive."""
        return {"start": self.first * _STRIDE, "end": min(self.last * _STRIDE, self.xorb.size) - 1}

    @property
    def chunks(self) -> dict[str, int]:
        """The end is exclusive."""
        return {"start": self.first, "end": self.last}


def _terms(size: int, start: int, end: int) -> Iterator[_Term]:
    """What covers [start, end) of the file, which is not empty and within it."""
    for index in range(start // RUN_BYTES, -(-end // RUN_BYTES)):
        run = Xorb(size, index)
        first = max(0, start - run.start) // CHUNK_BYTES
        last = -(-min(run.length, end - run.start) // CHUNK_BYTES)
        yield _Term(run, first, last)


def reconstruction(
    asked: ReconstructionRoute, size: int, range_field: str, xorb_url: Callable[[int], str]
) -> Response:
    """How the file of `size` bytes is put together, as far as the Range field asks ("" for all of it; it
    may reach past the end). `xorb_url` gives the absolute URL of a xorb by its index, usable without
    credentials. 416 past the end; 400 for more than 32 GiB at once, never a part of what was asked:
    clients take a short answer for the end of the file. An empty file should not be announced as Xet
    at all: hf_xet 1.2 makes no file of a 416, and waits for ever after an answer without terms."""
    found = ranges.parse(range_field, size, 1) if range_field else ranges.Whole()
    if isinstance(found, ranges.Unsatisfiable):
        return _json(416, {"error": "the range is past the end"}, (("Content-Range", f"bytes */{size}"),))
    start, end = found.slices[0] if isinstance(found, ranges.Slices) else (0, size)
    if end - start > (TERMS_MAX - 1) * RUN_BYTES:
        message = f"ask for at most {(TERMS_MAX - 1) * RUN_BYTES} bytes of a file at a time"
        return _json(400, {"error": message}, (("X-Error-Message", message),))
    terms = list(_terms(size, start, end)) if start < end else []
    content: dict[str, Any] = {
        "offset_into_first_range": start % CHUNK_BYTES,
        "terms": [
            {
                "hash": xorb_hash(asked.file_id, term.xorb.index),
                "unpacked_length": term.length,
                "range": term.chunks,
            }
            for term in terms
        ],
    }
    say = _fetch_v2 if asked.version == 2 else _fetch_v1
    content["xorbs" if asked.version == 2 else "fetch_info"] = {
        xorb_hash(asked.file_id, term.xorb.index): [say(term, xorb_url(term.xorb.index))] for term in terms
    }
    return _json(200, content)


def _fetch_v1(term: _Term, url: str) -> dict[str, Any]:
    return {"range": term.chunks, "url": url, "url_range": term.bytes}


def _fetch_v2(term: _Term, url: str) -> dict[str, Any]:
    return {"url": url, "ranges": [{"chunks": term.chunks, "bytes": term.bytes}]}


def token_answer(cas_url: str, access_token: str, expires: int) -> Response:
    """The answer of `xet-read-token`: where to ask and with what, until `expires` (wall-clock seconds).
    Clients read it from the fields or from the content."""
    return _json(
        200,
        {"casUrl": cas_url, "accessToken": access_token, "exp": expires},
        (
            ("X-Xet-Cas-Url", cas_url),
            ("X-Xet-Access-Token", access_token),
            ("X-Xet-Token-Expiration", str(expires)),
        ),
    )


def telemetry_answer() -> Response:
    return _json(200, {})


def _json(status: int, content: Any, fields: tuple[tuple[str, str], ...] = ()) -> Response:
    headers = (("Content-Type", "application/json"), ("Cache-Control", "no-store"), *fields)
    return Response(status, Headers(headers), BytesBody(orjson.dumps(content)))
