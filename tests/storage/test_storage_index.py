"""The index: transactions, and a writer thread that outlives whatever it is handed."""

from __future__ import annotations

import threading

import pytest
from storage_stand import response

from edgeproxy.errors import StorageError
from edgeproxy.storage import index, record, tables


@pytest.fixture
def known(tmp_path):
    known = index.Index(tmp_path / "index.sqlite3", broken=lambda text: None)
    known.start()
    yield known
    known.close()


def put(known, body, size=4096, now=1.0, **changes):
    stored = response("k", body=body, **changes)
    return known.submit(lambda c: tables.put(c, stored, record.encode(stored), size, now)).result(5)


def test_a_variant_replaces_its_like_and_tells_what_that_took(known):
    assert put(known, "a", 4096) == ([], 0)
    assert put(known, "b", 8192, selecting=(("x", "1"),)) == ([], 0)
    assert put(known, "c", 4096) == (["a"], 4096)
    assert sorted(body for _, body, _ in known.records("k")) == ["b", "c"]


def test_a_used_body_is_the_last_to_leave(known):
    put(known, "a", now=1.0)
    put(known, "b", now=2.0, selecting=(("x", "1"),))
    known.submit(lambda c: tables.touch(c, [("k", "a")], 3.0)).result(5)
    assert [row[0] for row in known.read("select id from bodies order by last_used")] == ["b", "a"]


@pytest.mark.parametrize("error", [RuntimeError, ValueError, OSError])
def test_work_that_fails_leaves_no_trace_and_the_writer_goes_on(known, error):
    def broken(connection):
        tables.drop_bodies(connection, ["a"])
        raise error("broken")

    put(known, "a")
    with pytest.raises(StorageError):
        known.submit(broken).result(5)
    assert [body for _, body, _ in known.records("k")] == ["a"]
    put(known, "b")


def test_a_closed_index_refuses_at_once(known):
    known.close()
    with pytest.raises(StorageError):
        known.submit(lambda c: None)
    with pytest.raises(StorageError):
        known.read("select 1")


def test_work_that_fails_takes_no_other_work_down_with_it(known):
    gate = threading.Event()
    known.submit(lambda c: gate.wait(10) and None)  # so that the rest is one batch

    def broken(connection):
        connection.execute("delete from facts")
        raise ValueError("broken")

    futures = [known.submit(work) for work in (lambda c: 1, broken, lambda c: 2)]
    gate.set()
    assert (futures[0].result(5), futures[2].result(5)) == (1, 2)
    with pytest.raises(StorageError, match="broken"):
        futures[1].result(5)
    assert known.read("select count(*) from facts") != [(0,)]
