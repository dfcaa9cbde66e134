"""The table of partial bodies: what is done to it inside the index writer's transactions, and how its
rows are read back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from sqlite3 import Connection

from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage import groups, record
from edgeproxy.storage.extents import Extents
from edgeproxy.storage.index import Index
from edgeproxy.storage.record import Damaged
from edgeproxy.storage.tables import address

FOUND_MAX = 64  # partial bodies looked at for one key or digest


@dataclass(frozen=True, slots=True)
class PartialRow:
    """One partial body as written down. `allocated` bytes are accounted for."""

    stored: StoredResponse
    allocated: int
    extents: bytes


def put(connection: Connection, row: PartialRow, data: bytes, now: float) -> None:
    stored = row.stored
    connection.execute(
        "insert or replace into partials values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            stored.body,
            record.key_number(stored.key),
            stored.digest or None,
            stored.body_bytes,
            row.allocated,
            now,
            stored.sequence,
            row.extents,
            data,
            address(stored),
            groups.note_use(connection, stored.group, now),
        ),
    )


def drop(connection: Connection, bodies: Iterable[str]) -> int:
    """Forget partial bodies; gives the bytes accounted for them."""
    freed = 0
    for body in bodies:
        found = connection.execute("select allocated, grouped from partials where id = ?", (body,)).fetchone()
        if found is None:
            continue
        freed += found[0] if isinstance(found[0], int) else 0
        connection.execute("delete from partials where id = ?", (body,))
        groups.forget_unused(connection, found[1:])
    return freed


def find(known: Index, key: str, digest: str) -> tuple[list[StoredResponse], list[str]]:
    """Responses under `key`, or with `digest` unless it is "", most recently used first; and the ids of
    rows that are damaged. Raises StorageError."""
    rows = known.read(
        "select id, record from partials where key = ? or digest = ? order by last_used desc limit ?",
        (record.key_number(key), digest or None, FOUND_MAX),
    )
    found: list[StoredResponse] = []
    damaged: list[str] = []
    for body, data in rows:
        try:
            stored = record.decode(data if isinstance(data, bytes) else b"")
        except Damaged:
            damaged.append(str(body))
            continue
        if stored.body != body:
            damaged.append(str(body))
        elif stored.key == key or (digest and stored.digest == digest):
            found.append(stored)
    return found, damaged


def read(known: Index, body: str) -> tuple[StoredResponse, int, Extents] | None:
    """A partial body, its accounted bytes and what of it is there; None if it is unknown. Raises
    Damaged, StorageError."""
    rows = known.read("select record, allocated, extents from partials where id = ?", (body,))
    if not rows:
        return None
    data, allocated, extents = rows[0]
    if not (isinstance(data, bytes) and isinstance(allocated, int) and isinstance(extents, bytes)):
        raise Damaged("a row about a partial body is damaged")
    stored = record.decode(data)
    if stored.body != body:
        raise Damaged("a row is about another partial body")
    return stored, allocated, Extents.decode(extents, stored.body_bytes)
