"""The bytes of every test body, known without storing them.

Byte `p` of the body of a path is `BLOCK[(crc32(path) + p) % PERIOD]`. The period is a prime, so that a body
shifted, repeated or cut at a power of two is seen, and bodies of two paths differ."""

from __future__ import annotations

import random
import re
import zlib

PERIOD = 1_048_573
TWICE = random.Random(9111).randbytes(PERIOD) * 2
_WRAPPED = memoryview(TWICE)
_PATH = re.compile(r"/b/([0-9]{1,13})/[^?]+")
_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def path(size: int, name: str) -> str:
    """The path of a body of `size` bytes; different names have different bytes."""
    return f"/b/{size}/{name}"


def size_of(target: str) -> int | None:
    """The size that a path (with or without query) asks for, None if it is no path of a body."""
    match = _PATH.match(target)
    return int(match[1]) if match else None


def within(target: str) -> str:
    """The path of the body in a target that a server may have put under a path of its own."""
    at = target.find("/b/")
    return target[max(0, at) :].partition("?")[0]


def piece(target: str, start: int, count: int) -> memoryview:
    """Up to `count` bytes from `start`; at most PERIOD in one call."""
    offset = (place(target) + start) % PERIOD
    return _WRAPPED[offset : offset + min(count, PERIOD)]


def matches(target: str, start: int, data: bytes | bytearray | memoryview) -> bool:
    """Whether `data` (at most PERIOD bytes) is what stands at `start`."""
    return stands_at(place(target), start, data)


def place(target: str) -> int:
    """Where in the block the body of a path begins, for `stands_at`."""
    return zlib.crc32(target.partition("?")[0].encode()) % PERIOD


def stands_at(begin: int, start: int, data: bytes | bytearray | memoryview) -> bool:
    """`matches` for a body whose `place` is known: every byte compared, with nothing copied."""
    return len(data) <= PERIOD and TWICE.startswith(data, (begin + start) % PERIOD)


def parse_size(text: str) -> int:
    """Bytes of "64KiB", "1MiB", "1GiB" or a plain number. Raises ValueError."""
    match = re.fullmatch(r"([0-9]+)(KiB|MiB|GiB|)", text)
    if not match:
        raise ValueError(f"not a size: {text!r}")
    return int(match[1]) * _UNITS[match[2]]


def show_size(size: int) -> str:
    """The largest unit that divides `size`."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]} {unit}"
    return f"{size} B"
