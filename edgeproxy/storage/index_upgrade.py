"""What an index of version 1 lacks, filled in from its records: keys for lists, digests by which bodies
are shared. A digest taken from a record is a hint; whoever shares a body proves it by the body's footer."""

from __future__ import annotations

from collections.abc import Callable
from sqlite3 import Connection

from edgeproxy.storage import record, tables
from edgeproxy.storage.index import Index
from edgeproxy.storage.record import Damaged

ROWS_BATCH = 500


def fill_columns(known: Index, is_stopped: Callable[[], bool]) -> None:
    """Blocks; goes on where an earlier run was stopped. Raises StorageError."""
    after: object = 0
    while rows := known.read(
        "select id, body, record from responses where id > ? and address = '' order by id limit ?",
        (after, ROWS_BATCH),
    ):
        if is_stopped():
            return
        after = rows[-1][0]
        known.submit(_filling(rows)).result()
    known.submit(_filled).result()
    known.is_unfilled = False


def _filling(rows: list[tuple[object, ...]]) -> Callable[[Connection], None]:
    found: list[tuple[object, object, str, str]] = []
    for row, body, data in rows:
        try:
            stored = record.decode(data if isinstance(data, bytes) else b"")
        except Damaged:
            continue
        found.append((row, body, tables.address(stored), stored.digest))

    def work(connection: Connection) -> None:
        for row, body, address, digest in found:
            connection.execute("update responses set address = ? where id = ?", (address, row))
            if digest:
                sql = "update bodies set digest = ? where id = ? and digest is null"
                connection.execute(sql, (digest, body))

    return work


def _filled(connection: Connection) -> None:
    connection.execute("insert or replace into facts values ('unfilled', 0)")
