"""The tables are made once, and only a known version is touched."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.storage.schema import ADDED_UP, SCHEMA_VERSION, prepare

BODY = "insert or replace into bodies values (?1, 1, ?2, 0.0, null)"
PARTIAL = "insert or replace into partials values (?1, 1, null, 1, ?2, 0.0, 1, x'', x'', '', null)"
CHANGES = [
    *(BODY, PARTIAL),
    *("delete from bodies where id = ?1", "delete from partials where id = ?1"),
    *("update bodies set allocated = ?2 where id = ?1", "update partials set allocated = ?2 where id = ?1"),
    "update bodies set last_used = ?2 where id >= ?1",
    "delete from bodies",
]
HELD = "select value from facts where name = 'held'"


def index(version: int = 0) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(f"pragma user_version = {version}")
    return connection


@given(st.lists(st.tuples(st.sampled_from(CHANGES), st.sampled_from("abc"), st.integers(0, 1 << 40))))
def test_what_is_held_in_all_follows_every_change_of_a_row(changes):
    connection = index()
    prepare(connection)
    for sql, body, allocated in changes:
        connection.execute(sql, (body, allocated) if "?2" in sql else (body,) if "?1" in sql else ())
    assert connection.execute(HELD).fetchone() == connection.execute(ADDED_UP).fetchone()


def test_an_index_that_was_added_up_at_every_start_is_added_up_once_more():
    connection = index()
    prepare(connection)
    connection.execute(BODY, ("a", 5))
    connection.execute(PARTIAL, ("b", 7))
    connection.execute("delete from facts where name = 'held'")
    connection.execute(BODY, ("c", 9))
    prepare(connection)
    assert connection.execute(HELD).fetchone() == (21,)


def test_a_new_index_waits_for_the_bodies_and_an_old_one_keeps_what_it_knows():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    assert prepare(connection) == (True, False)
    connection.execute("update facts set value = 0 where name = 'partial'")
    assert prepare(connection) == (False, False)


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 99])
def test_an_index_from_the_future_is_refused(version):
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(f"pragma user_version = {version}")
    with pytest.raises(sqlite3.DatabaseError):
        prepare(connection)
