"""Rows of responses and bodies: shared bodies go with their last response."""

from __future__ import annotations

import sqlite3

import pytest
from storage_stand import response

from edgeproxy.storage import record, tables
from edgeproxy.storage.schema import prepare


@pytest.fixture
def connection():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    prepare(connection)
    stored = response("a", body="b1", digest="dd")
    tables.put(connection, stored, record.encode(stored), 4096, 1.0)
    return connection


def link(connection, key, body="b1", **changes):
    stored = response(key, body=body, **changes)
    return tables.link(connection, stored, record.encode(stored), 2.0)


def number(key):
    return record.key_number(key)


def test_a_shared_body_is_freed_with_its_last_response(connection):
    assert link(connection, "b") == ([], 0)
    assert tables.release(connection, [(number("a"), "b1")]) == ([], 0)
    assert tables.release(connection, [(number("b"), "b1")]) == (["b1"], 4096)
    assert connection.execute("select count(*) from bodies").fetchone() == (0,)


def test_a_body_that_is_gone_or_belongs_to_another_variant_of_the_key_is_not_shared(connection):
    assert link(connection, "b", "gone") is None
    assert link(connection, "a", selecting=(("x", "1"),)) is None


def test_a_link_replaces_the_variant_and_frees_what_only_that_needed(connection):
    stored = response("b", body="b2")
    tables.put(connection, stored, record.encode(stored), 8192, 1.0)
    assert link(connection, "b") == (["b2"], 8192)


def test_all_responses_of_a_dropped_body_go(connection):
    link(connection, "b")
    tables.drop_bodies(connection, ["b1"])
    assert connection.execute("select count(*) from responses").fetchone() == (0,)
