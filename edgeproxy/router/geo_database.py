"""A geographic database of an operator's own: an .mmdb file, read with maxminddb (extra edgeproxy[geoip]).

The file is untrusted: it came over the network, and may be half written. It is read into memory whole, since
a mapped file that somebody truncates would end the process, and by the reader in Python, whose mistakes are
exceptions. Before it is used its metadata and a sample of what it holds are looked at; what fails later, at a
single look-up, is an address of which nothing is known."""

from __future__ import annotations

import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from itertools import islice
from pathlib import Path
from typing import Any

from edgeproxy.router.client import Address
from edgeproxy.router.geo_record import NOTHING, GeoRecord, read_record

FILE_BYTES_MAX = 2 << 30
RECORDS_TRIED = 1000
TRY_SECONDS = 5.0
ANSWERS_KEPT = 16_384
_PROBES = (
    *("1.1.1.1", "8.8.8.8", "81.2.69.142", "89.160.20.112", "133.11.0.1", "177.0.0.1", "196.25.1.1"),
    *("2001:218::1", "2a00:1450::1", "2600::1"),
)

# What a hostile file makes the reader raise, beside its own errors, which are RuntimeErrors, as is a recursion
# without end.
_HOSTILE = (
    *(RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError),
    *(EOFError, OSError, AssertionError),
)


class UnusableDatabase(ValueError):
    """A file that is not used; one line says why."""


class GeoDatabase:
    """One file, as it was when it was opened. `kind` and `built` (seconds since 1970) are what it says of
    itself; `failures` counts look-ups that its bytes made fail."""

    def __init__(self, reader: Any, path: Path) -> None:
        metadata = reader.metadata()
        self._reader = reader
        self._path = path
        self._is_v4_only = metadata.ip_version == 4
        self.kind = str(metadata.database_type)[:64]
        self.built = float(metadata.build_epoch)
        self.failures = 0
        self._answers: dict[Address, GeoRecord] = {}

    def __repr__(self) -> str:
        return f"<GeoDatabase {self._path} {self.kind}>"

    def record(self, address: Address) -> GeoRecord:
        """Some 50 us the first time. Never raises."""
        found = self._answers.get(address)
        if found is None:
            if len(self._answers) >= ANSWERS_KEPT:
                self._answers.clear()
            found = self._answers[address] = self._looked_up(address)
        return found

    def _looked_up(self, address: Address) -> GeoRecord:
        if self._is_v4_only and address.version == 6:
            return NOTHING
        try:
            return read_record(self._reader.get(address))
        except _HOSTILE:
            self.failures += 1
            return NOTHING

    def samples(self) -> Iterator[GeoRecord]:
        """Of what it holds. What its bytes make fail is raised."""
        for text in _PROBES:
            address = IPv6Address(text) if ":" in text else IPv4Address(text)
            if address.version == 4 or not self._is_v4_only:
                yield read_record(self._reader.get(address))
        for _, record in islice(self._reader, RECORDS_TRIED):
            yield read_record(record)


def open_database(path: Path) -> GeoDatabase:
    """Reads and tries a file: takes seconds, for a thread. Raises UnusableDatabase."""
    try:
        import maxminddb
    except ImportError:
        raise UnusableDatabase(f"{path} cannot be read without maxminddb: install edgeproxy[geoip]") from None
    try:
        size = path.stat().st_size
        if not 0 < size <= FILE_BYTES_MAX:
            raise UnusableDatabase(f"{path} has {size} bytes")
        found = GeoDatabase(maxminddb.open_database(str(path), maxminddb.MODE_MEMORY), path)
        _try(found)
    except UnusableDatabase:
        raise
    except _HOSTILE as error:
        raise UnusableDatabase(f"{path} cannot be used: {_line(error)}") from None
    return found


def _try(database: GeoDatabase) -> None:
    end = time.monotonic() + TRY_SECONDS
    said = False
    for record in database.samples():
        said = said or record.says_something
        if time.monotonic() > end:
            raise UnusableDatabase(f"{database} takes too long to be read")
    if not said:
        raise UnusableDatabase(f"{database} says nothing of countries, places or networks")


def _line(error: BaseException) -> str:
    text = str(error).partition("\n")[0][:200]
    return text or type(error).__name__
