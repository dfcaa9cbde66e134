"""The form of a request head: lines, tokens, bounds (RFC 9112 sections 2, 3 and 5).

A head is taken whole. Until it is whole its complete lines are checked as they arrive, so that
nonsense is refused at once, and in an order that does not depend on how the bytes were cut: the
first fault in the order of the bytes decides, whether they came singly or together."""

from __future__ import annotations

import re

from edgeproxy.config import Limits
from edgeproxy.errors import RequestError

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_VALUE = rb"[\t\x20-\x7e\x80-\xff]"
_METHOD_LENGTH = 32
# What a request line holds beside its target: method, two spaces, "HTTP/1.1", CRLF.
_AROUND_TARGET = _METHOD_LENGTH + 2 + 8 + 2

REQUEST_LINE = re.compile(
    rb"(" + TOKEN + rb"{1,%d}) ([\x21\x22\x24-\x7e]+) HTTP/([0-9])\.([0-9])\r\n" % _METHOD_LENGTH
)
FIELD_LINE = re.compile(TOKEN + rb"+:" + _VALUE + rb"*+\r\n")
WHOLE_HEAD = re.compile(
    rb"(?:\r\n)?+("
    + TOKEN
    + rb"{1,%d}) ([\x21\x22\x24-\x7e]+) HTTP/1\.([0-9])\r\n" % _METHOD_LENGTH
    + rb"((?>"
    + TOKEN
    + rb"++:"
    + _VALUE
    + rb"*+\r\n)*+)\r\n"
)
_FIRST_BYTE = re.compile(TOKEN)


class LineCheck:
    """Checks the lines of one head as they become complete. Raises RequestError 400, 414, 431, 505."""

    __slots__ = ("_fields", "_limits", "_line", "_requested")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._line = 0  # where the first unfinished line starts, from the start of the head
        self._fields = 0
        self._requested = False  # the request line has been seen

    def check(self, data: bytes, start: int) -> None:
        """Check what is new in the head that begins at `start` of `data`."""
        while True:
            begin = start + self._line
            end = data.find(b"\n", begin)
            length = (end + 1 if end >= 0 else len(data)) - begin
            if not self._requested:
                self._check_first(data, begin, length)
            if self._line + length > self._limits.head:
                raise RequestError(431, "request head too large")
            if end < 0:
                return
            self._check_line(data[begin : end + 1])
            self._line += length

    def _check_first(self, data: bytes, begin: int, length: int) -> None:
        if length and data[begin] != 13 and not _FIRST_BYTE.match(data, begin):
            raise RequestError(400, "malformed request line")
        if length > self._limits.uri + _AROUND_TARGET:
            raise RequestError(414, "request target too long")

    def _check_line(self, line: bytes) -> None:
        if self._requested:
            self._fields += 1
            if line == b"\r\n":
                return
            if self._fields > self._limits.fields:
                raise RequestError(431, "too many request fields")
            if not FIELD_LINE.fullmatch(line):
                raise RequestError(400, "malformed field line")
            return
        if line == b"\r\n" and self._line == 0:
            return  # one empty line before a request is borne (RFC 9112 section 2.2)
        found = REQUEST_LINE.fullmatch(line)
        if found is None:
            raise RequestError(400, "malformed request line")
        if found[3] != b"1":
            raise RequestError(505, "HTTP version not supported")
        if len(found[2]) > self._limits.uri:
            raise RequestError(414, "request target too long")
        self._requested = True


class HeadReader:
    """Unread bytes of a connection between messages, and the search for the next head in them."""

    __slots__ = ("_check", "_data", "_limits", "_searched", "_start")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._data = b""
        self._start = 0
        self._searched = 0
        self._check: LineCheck | None = None

    def __len__(self) -> int:
        return len(self._data) - self._start

    def push(self, data: bytes) -> None:
        if self._start == len(self._data):
            self._data, self._start, self._searched = data, 0, 0
        else:
            self._data = self._data[self._start :] + data
            self._searched -= self._start
            self._start = 0

    def pop(self) -> bytes | None:
        """The next whole head with its empty line; None if more is needed. Raises RequestError."""
        data, start = self._data, self._start
        end = data.find(b"\r\n\r\n", max(start, self._searched - 3))
        if end < 0:
            self._searched = len(data)
            if len(data) > start:
                if self._check is None:
                    self._check = LineCheck(self._limits)
                self._check.check(data, start)
            return None
        head = data if not start and end + 4 == len(data) else data[start : end + 4]
        self._check = None
        self._start = self._searched = end + 4
        if self._start == len(data):
            self._data, self._start, self._searched = b"", 0, 0
        return head

    def rest(self) -> bytes:
        """Everything unread, taken away."""
        rest = self._data[self._start :]
        self._data, self._start, self._searched, self._check = b"", 0, 0, None
        return rest


def fault(head: bytes, limits: Limits) -> RequestError:
    """The first fault of a whole head known to have one."""
    try:
        LineCheck(limits).check(head, 0)
    except RequestError as error:
        return error
    return RequestError(400, "malformed request head")


def is_foreign(data: bytes) -> bool:
    """Whether a connection that begins with `data` speaks something else than HTTP/1: three words of
    which the last names no version of HTTP."""
    words = data.partition(b"\r\n")[0].split(b" ")
    return len(words) == 3 and all(words) and not words[2].startswith(b"HTTP/")
