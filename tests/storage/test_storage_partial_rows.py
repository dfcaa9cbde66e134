"""Rows about partial bodies are found by key or digest, and damage in them is told."""

from __future__ import annotations

import pytest
from storage_stand import response

from edgeproxy.storage import index, partial_rows, record
from edgeproxy.storage.extents import Extents
from edgeproxy.storage.record import Damaged


@pytest.fixture
def known(tmp_path):
    known = index.Index(tmp_path / "index.sqlite3", broken=lambda text: None)
    known.start()
    yield known
    known.close()


def put(known, body, key="k", **changes):
    stored = response(key, body=body, body_bytes=100, **changes)
    extents = Extents(100)
    extents.add(3, 9, 1)
    row = partial_rows.PartialRow(stored, 4096, extents.encode())
    known.submit(lambda c: partial_rows.put(c, row, record.encode(stored), 1.0)).result(5)
    return stored


def test_one_is_found_by_key_or_by_a_digest_that_is_known(known):
    first, second = put(known, "a"), put(known, "b", "other", digest="dd")
    assert partial_rows.find(known, "k", "") == ([first], [])
    assert partial_rows.find(known, "k", "dd")[0] in ([first, second], [second, first])
    assert partial_rows.find(known, "none", "") == ([], [])


def test_what_is_read_back_is_what_was_written_down(known):
    stored = put(known, "a")
    found, allocated, extents = partial_rows.read(known, "a")
    assert (found, allocated, list(extents.spans)) == (stored, 4096, [(3, 9)])
    assert partial_rows.read(known, "b") is None
    assert known.submit(lambda c: partial_rows.drop(c, ["a", "b"])).result(5) == 4096
    assert partial_rows.read(known, "a") is None


@pytest.mark.parametrize("column", ["record", "extents"])
def test_a_damaged_row_is_not_believed(known, column):
    put(known, "a")
    known.submit(lambda c: c.execute(f"update partials set {column} = x'00'") and None).result(5)
    with pytest.raises(Damaged):
        partial_rows.read(known, "a")
    if column == "record":
        assert partial_rows.find(known, "k", "") == ([], ["a"])
