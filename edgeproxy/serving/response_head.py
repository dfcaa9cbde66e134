"""Response to bytes: the status line, the fields and the framing of HTTP/1.1 (RFC 9112)."""

from __future__ import annotations

from enum import Enum
from http import HTTPStatus
from typing import NamedTuple
from wsgiref.handlers import format_date_time

from edgeproxy.errors import RequestError
from edgeproxy.message import BytesBody, CacheOutcome, Headers, HeadOnly, Outcome, Response

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
# Added here from the body and the connection; whoever else sets them would contradict us.
FRAMING_FIELDS = frozenset(
    {
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "upgrade",
        "trailer",
        "proxy-connection",
    }
)
_BODILESS = frozenset({204, 304})
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


class Framing(Enum):
    """How the end of the content is told."""

    NONE = "none"  # no content is sent
    LENGTH = "length"
    CHUNKED = "chunked"  # in HTTP/2: as frames
    CLOSE = "close"  # the end of the connection; only for HTTP/1.0


def framing_of(response: Response, method: str, version: str) -> Framing:
    if method == "HEAD" or response.status in _BODILESS or isinstance(response.body, HeadOnly):
        return Framing.NONE
    if response.body.length is not None:
        return Framing.LENGTH
    return Framing.CLOSE if version == "1.0" else Framing.CHUNKED


def announces_length(status: int) -> bool:
    """Whether Content-Length may be sent with `status` (RFC 9110 section 8.6)."""
    return status >= 200 and status not in _BODILESS


class DateField:
    """The Date of now, made once for each second."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def at(self, now: float) -> str:
        second = int(now)
        if second != self._second:
            self._second, self._text = second, format_date_time(second)
        return self._text


def encode_head(
    status: int, headers: Headers, *, length: int | None, framing: Framing, connection: str, date: str
) -> bytes:
    """The head as it is sent. `connection` is "" where the default of the version is meant.
    ValueError if a field could be read as more than one line (response splitting)."""
    lines = headers.lines
    if type(lines) is not _Lines:
        lines = headers.lines = _field_lines(headers)
    line = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n"
    added = "" if lines.dated else f"Date: {date}\r\n"
    if framing is Framing.CHUNKED:
        added += "Transfer-Encoding: chunked\r\n"
    elif length is not None and announces_length(status):
        added += f"Content-Length: {length}\r\n"
    if connection:
        added += f"Connection: {connection}\r\n"
    return f"{line}{lines.text}{added}\r\n".encode("latin-1")


class _Lines(NamedTuple):
    """Fields as they are sent, but for those of framing; whether Date is among them."""

    text: str
    dated: bool


def _field_lines(headers: Headers) -> _Lines:
    """ValueError as of encode_head."""
    lines: list[str] = []
    dated = False
    for name, value in headers:
        lower = name.lower()
        if lower in FRAMING_FIELDS:
            continue
        if lower == "date":
            dated = True
        lines.append(f"{name}: {value}\r\n")
    return _Lines(_joined(lines), dated)


def encode_interim(status: int, headers: Headers) -> bytes:
    """An interim response (RFC 9110 section 15.2). ValueError as for encode_head."""
    lines = [_STATUS_LINES.get(status, f"HTTP/1.1 {status} \r\n")]
    lines += [f"{name}: {value}\r\n" for name, value in headers if name.lower() not in FRAMING_FIELDS]
    return (_joined(lines) + "\r\n").encode("latin-1")


def _joined(lines: list[str]) -> str:
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text:
        raise ValueError("a response field holds a line break or NUL")
    return text


def refusal(error: RequestError) -> Response:
    """The answer to an unacceptable request: its status and one line of text."""
    pairs = [("Content-Type", "text/plain; charset=utf-8")]
    if error.status == 405:
        pairs.append(("Allow", _METHODS))  # RFC 9110 section 15.5.6
    text = " ".join(str(error).split()) + "\n"
    return Response(
        status=error.status,
        headers=Headers(pairs),
        body=BytesBody(text.encode("utf-8", "replace")),
        outcome=Outcome(CacheOutcome.REFUSED, detail=str(error)),
        close=error.close,
    )


def breakdown() -> Response:
    """The answer when the handler itself failed."""
    return Response(
        status=500,
        headers=Headers([("Content-Type", "text/plain; charset=utf-8")]),
        body=BytesBody(b"internal error\n"),
        outcome=Outcome(CacheOutcome.ERROR, detail="internal error"),
    )
