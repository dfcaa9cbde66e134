"""The tables are made once, and only a known version is touched."""

from __future__ import annotations

import sqlite3

import pytest

from edgeproxy.storage.schema import SCHEMA_VERSION, prepare


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
