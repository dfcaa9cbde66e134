"""Routing tables as route collectors export them: MRT, TABLE_DUMP_V2 (RFC 6396 section 4.3).

    record   u32 seconds, u16 type, u16 subtype, u32 length
    RIB      u32 number, u8 bits of the prefix, the prefix in as many bytes as it needs, u16 entries
    entry    u16 peer, u32 seconds, u16 length, BGP path attributes with AS numbers of four bytes

Other records are passed over. Of a prefix most peers' origin counts, and the shortest path."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from typing import IO

from edgeproxy.router.bgp_table import Announced, UnusableRoutes

RECORD_BYTES_MAX = 4 << 20
_HEAD = struct.Struct(">IHHI")
_ENTRY = struct.Struct(">HIH")
_TABLE_DUMP_V2 = 13
_UNICAST = {2: 4, 4: 6}
_AS_PATH, _AS_SET, _AS_SEQUENCE = 2, 1, 2
_EXTENDED = 0x10


class Dump:
    """The prefixes of an unpacked file. `is_cut` tells, when all were read, that it ended within a record."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.is_cut = False

    def __iter__(self) -> Iterator[tuple[int, Announced]]:
        """Raises UnusableRoutes for bytes that are no such file."""
        is_first = True
        while head := self._read(_HEAD.size):
            _, kind, subtype, length = _HEAD.unpack(head)
            if length > RECORD_BYTES_MAX or (is_first and kind != _TABLE_DUMP_V2):
                raise UnusableRoutes("it is no MRT file of a routing table")
            is_first = False
            record = self._read(length)
            if not record:
                return
            family = _UNICAST.get(subtype) if kind == _TABLE_DUMP_V2 else None
            if family is not None:
                found = _rib(record, family)
                if found is not None:
                    yield family, found

    def _read(self, size: int) -> bytes:
        """So many bytes; none at the end, or where the file is cut."""
        data = b""
        try:
            while len(data) < size and (piece := self._file.read(size - len(data))):
                data += piece
        except EOFError:  # the packed file is cut
            self.is_cut = True
            return b""
        if len(data) < size:
            self.is_cut = self.is_cut or bool(data)
            return b""
        return data


def _rib(record: bytes, family: int) -> Announced | None:
    """None where the origin is no single AS, or the prefix is longer than we look. Raises UnusableRoutes."""
    bits = 32 if family == 4 else 128
    try:
        length = record[4]
        at = 5 + (length + 7) // 8
        if length > bits:
            raise UnusableRoutes(f"it has a prefix of {length} bits")
        start = int.from_bytes(record[5:at].ljust(bits // 8, b"\0"), "big")
        start = start >> (bits - length) << (bits - length)
        origins: Counter[int] = Counter()
        hops = 0
        (entries,) = struct.unpack_from(">H", record, at)
        at += 2
        for _ in range(entries):
            _, _, size = _ENTRY.unpack_from(record, at)
            at += _ENTRY.size
            path = _path(record, at, at + size)
            at += size
            if path:
                origins[path[-1]] += 1
                distinct = len(dict.fromkeys(path))
                hops = min(hops, distinct) if hops else distinct
    except (struct.error, IndexError):
        raise UnusableRoutes("it has a record that is shorter than it says") from None
    if not origins or length > (32 if family == 4 else 64):
        return None
    origin = max(origins, key=lambda asn: (origins[asn], -asn))
    return Announced(start if family == 4 else start >> 64, length, origin, hops)


def _path(record: bytes, at: int, end: int) -> list[int]:
    """The AS path among path attributes (RFC 4271 section 4.3); empty without one, or if it ends in a set."""
    end = min(end, len(record))
    while at + 3 <= end:
        flags, kind = record[at], record[at + 1]
        wide = bool(flags & _EXTENDED)
        size = int.from_bytes(record[at + 2 : at + (4 if wide else 3)], "big")
        at += 4 if wide else 3
        if kind == _AS_PATH:
            return _segments(record, at, min(at + size, end))
        at += size
    return []


def _segments(record: bytes, at: int, end: int) -> list[int]:
    path: list[int] = []
    kind = 0
    while at + 2 <= end:
        kind, count = record[at], record[at + 1]
        at += 2
        if kind == _AS_SEQUENCE and at + 4 * count <= end:
            path += struct.unpack_from(f">{count}I", record, at)
        at += 4 * count
    return path if kind == _AS_SEQUENCE else []
