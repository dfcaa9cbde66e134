"""A routing table from a file: MRT, or lines of prefix and AS number; plain or packed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeproxy.router.bgp_table import BgpTable, UnusableRoutes, read_lines, table_of
from edgeproxy.router.mrt import Dump

BYTES_MAX = 4 << 30  # unpacked: a table of one collector has 1.5 GB
_PACKED: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file)),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\x00", lzma.LZMAFile),
)
_HEAD_BYTES = 6


class _Bounded(io.RawIOBase):
    """What is read from `file`, up to a bound; a longer file is refused."""

    def __init__(self, file: Any, most: int) -> None:
        self._file = file
        self._left = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data: bytes = self._file.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise UnusableRoutes("it is too large when unpacked")
        buffer[: len(data)] = data
        return len(data)


def read_routes(path: Path, bytes_max: int = BYTES_MAX) -> BgpTable:
    """Takes seconds for a whole table: for a thread. Raises UnusableRoutes."""
    try:
        with path.open("rb") as packed:
            head = packed.read(_HEAD_BYTES)
            packed.seek(0)
            opening = next((make for magic, make in _PACKED if head.startswith(magic)), None)
            return _read(_Bounded(packed if opening is None else opening(packed), bytes_max))
    except UnusableRoutes as error:
        raise UnusableRoutes(f"{path} cannot be used: {error}") from None
    except (OSError, EOFError, lzma.LZMAError, zlib.error, UnicodeDecodeError) as error:
        raise UnusableRoutes(f"{path} cannot be read: {str(error)[:200]}") from None


def _read(file: _Bounded) -> BgpTable:
    buffered: io.BufferedReader[Any] = io.BufferedReader(file, 1 << 16)
    if _is_text(buffered.peek(64)[:64]):
        return table_of(read_lines(io.TextIOWrapper(buffered, "ascii")))
    dump = Dump(buffered)
    table = table_of(dump)
    return replace(table, is_cut=dump.is_cut)


def _is_text(data: bytes) -> bool:
    """MRT begins with a time and then zeros."""
    return b"\0" not in data
