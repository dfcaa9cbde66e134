"""Names of a request for logs and upstreams: X-Request-Id and traceparent (W3C Trace Context)."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import count

_ID = re.compile(r"[A-Za-z0-9._+=/:@-]{1,128}", re.ASCII)
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII
)


class RequestIds:
    """Ids unlike those of any other process: a random beginning and a count."""

    __slots__ = ("_count", "_prefix")

    def __init__(self) -> None:
        self._prefix = f"{random.getrandbits(48):012x}-"
        self._count: Iterator[int] = count(1)

    def make(self) -> str:
        return f"{self._prefix}{next(self._count):x}"

    def accepted(self, text: str) -> str:
        """`text` if it is a sane id, else a new one."""
        return text if text and _ID.fullmatch(text) else self.make()


def traceparent(text: str) -> str:
    """`text` if it is a valid traceparent, else a new one that is not sampled."""
    if text and _TRACEPARENT.fullmatch(text):
        return text
    return f"00-{random.getrandbits(128) or 1:032x}-{random.getrandbits(64) or 1:016x}-00"


def trace_id(text: str) -> str:
    return text[3:35]
