"""What is done to the tables of responses and bodies, inside the index writer's transactions.

Several responses may need one body; a body's row goes with the last response that needs it. Under
one key no two variants share a body, so that (key, body) names a response."""

from __future__ import annotations

from collections.abc import Iterable
from sqlite3 import Connection

from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage import groups, record


def put(
    connection: Connection, stored: StoredResponse, data: bytes, size: int, now: float
) -> tuple[list[str], int]:
    """Insert a response and its body of `size` allocated bytes; gives the bodies it replaces, which
    nothing needs any more, and their allocated bytes."""
    replaced = _replace(connection, stored, data, now)
    connection.execute(
        "insert or replace into bodies values (?, ?, ?, ?, ?)",
        (stored.body, stored.body_bytes, size, now, stored.digest or None),
    )
    connection.execute("delete from partials where id = ?", (stored.body,))
    return _unneeded(connection, replaced)


def link(
    connection: Connection, stored: StoredResponse, data: bytes, now: float
) -> tuple[list[str], int] | None:
    """Insert a response that needs a body which is there already; like `put`. None if the body is not
    there any more, or another variant of the key has it."""
    if connection.execute("select 1 from bodies where id = ?", (stored.body,)).fetchone() is None:
        return None
    key, variant = record.key_number(stored.key), record.variant_number(stored)
    shared = "select 1 from responses where body = ? and key = ? and variant <> ?"
    if connection.execute(shared, (stored.body, key, variant)).fetchone() is not None:
        return None
    replaced = _replace(connection, stored, data, now)
    connection.execute("update bodies set last_used = ? where id = ?", (now, stored.body))
    return _unneeded(connection, replaced)


def _replace(connection: Connection, stored: StoredResponse, data: bytes, now: float) -> list[str]:
    key, variant = record.key_number(stored.key), record.variant_number(stored)
    replaced = _forget(connection, "key = ? and variant = ?", (key, variant))
    group = groups.note_use(connection, stored.group, now)
    connection.execute(
        "insert into responses (key, variant, body, sequence, last_used, record, address, grouped)"
        " values (?, ?, ?, ?, ?, ?, ?, ?)",
        (key, variant, stored.body, stored.sequence, now, data, address(stored), group),
    )
    return [body for body in replaced if body != stored.body]


def _forget(connection: Connection, which: str, values: tuple[object, ...]) -> list[str]:
    """Delete responses; gives the bodies they needed."""
    gone = connection.execute(f"select body, grouped from responses where {which}", values).fetchall()
    connection.execute(f"delete from responses where {which}", values)
    groups.forget_unused(connection, {group for _, group in gone})
    return [body for body, _ in gone]


def _unneeded(connection: Connection, bodies: Iterable[str]) -> tuple[list[str], int]:
    unused = [body for body in bodies if not is_used(connection, body)]
    freed = sum(allocated(connection, body) for body in unused)
    drop_bodies(connection, unused)
    return unused, freed


def address(stored: StoredResponse) -> str:
    """The cache key as SQLite can hold it."""
    return stored.key.encode("utf-8", "replace").decode("utf-8")


def allocated(connection: Connection, body: str) -> int:
    """Bytes a body takes on disk, 0 if it is unknown."""
    row = connection.execute("select allocated from bodies where id = ?", (body,)).fetchone()
    return row[0] if row is not None and isinstance(row[0], int) else 0


def is_used(connection: Connection, body: str) -> bool:
    return connection.execute("select 1 from responses where body = ?", (body,)).fetchone() is not None


def freshen(connection: Connection, stored: StoredResponse, data: bytes) -> None:
    connection.execute(
        "update responses set sequence = ?, record = ?, variant = ?, grouped = ? where key = ? and body = ?",
        (
            stored.sequence,
            data,
            record.variant_number(stored),
            groups.note_use(connection, stored.group, 0.0),
            record.key_number(stored.key),
            stored.body,
        ),
    )


def release(connection: Connection, responses: Iterable[tuple[int, str]]) -> tuple[list[str], int]:
    """Forget responses by key number and body; gives the bodies that nothing needs any more, which are
    then forgotten too, and their allocated bytes."""
    bodies: dict[str, None] = {}
    for key, body in responses:
        _forget(connection, "key = ? and body = ?", (key, body))
        bodies[body] = None
    return _unneeded(connection, bodies)


def drop_bodies(connection: Connection, bodies: Iterable[str]) -> None:
    """Forget bodies and every response that needs them."""
    for body in bodies:
        _forget(connection, "body = ?", (body,))
        connection.execute("delete from bodies where id = ?", (body,))


def touch(connection: Connection, used: Iterable[tuple[str, str]], now: float) -> None:
    """Note a use of responses, given by cache key and body, and so of their bodies and groups."""
    for key, body in used:
        which = (record.key_number(key), body)
        connection.execute("update bodies set last_used = ? where id = ?", (now, body))
        connection.execute("update responses set last_used = ? where key = ? and body = ?", (now, *which))
        connection.execute(
            "update groups set last_used = ? where id in"
            " (select grouped from responses where key = ? and body = ?)",
            (now, *which),
        )


def note_purge(connection: Connection, scope: str, value: str, soft: bool, number: int) -> None:
    row = (scope, value, int(soft), number)
    connection.execute("insert or replace into purges values (?, ?, ?, ?)", row)


def complete(connection: Connection) -> None:
    connection.execute("insert or replace into facts values ('partial', 0)")
