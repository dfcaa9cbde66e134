from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import bodies, bulk
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage import body_file, record, tables
from edgeproxy.storage.schema import prepare

TARGET = bodies.path(700, "growth-0") + "?tag=all"
PATTERN = StoredResponse(
    key=f"http://origin{TARGET}",
    site="bench",
    status=200,
    fields=(("content-length", "700"),),
    born=1.0,
    request_time=1.0,
    response_time=1.0,
    fresh_until=9e9,
    tags=("all",),
    body="ab" * 16,
    body_bytes=700,
    digest="0" * 64,
)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a pattern, as a node leaves it."""
    (tmp_path / "bodies").mkdir()
    with _connected(tmp_path) as connection:
        prepare(connection)
        tables.put(connection, PATTERN, record.encode(PATTERN), 4096, 1.0)
    connection.close()
    return tmp_path


def _connected(store: Path) -> sqlite3.Connection:
    return sqlite3.connect(store / "index.sqlite3", isolation_level=None)


def _rows(store: Path) -> Iterator[StoredResponse]:
    connection = _connected(store)
    for (data,) in connection.execute("select record from responses order by id"):
        yield record.decode(data)
    connection.close()


def filled(store: Path, count: int, seconds: float) -> int:
    argv = [sys.executable, "-m", "benchmarks.bulk", str(store), str(count), str(seconds)]
    done = subprocess.run(argv, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    number: int = json.loads(done.stdout)["count"]
    return number


def test_each_row_has_the_file_that_a_node_would_read(store: Path) -> None:
    assert filled(store, 300, 60) == 300
    found = list(_rows(store))
    assert len({stored.key for stored in found}) == len({stored.body for stored in found}) == 300
    directory = os.open(store / "bodies", os.O_RDONLY)
    for stored in found[1:]:
        fd = body_file.open_regular(body_file.path_of(stored.body), directory)
        footer = body_file.read_footer(fd, stored.body)
        body_file.prove_piece(fd, footer, 0)
        target = stored.key.removeprefix("http://origin")
        assert bodies.matches(target, 0, body_file.read_exactly(fd, 700, 0))
        assert (footer.stored, footer.stored.tags) == (stored, ("all",))
        os.close(fd)
    os.close(directory)
    connection = _connected(store)
    assert connection.execute("select count(*), min(allocated) from bodies").fetchone() == (300, 4096)
    connection.close()


def test_what_is_not_written_in_time_is_neither_file_nor_row(store: Path) -> None:
    count = filled(store, 100_000, 0)
    files = [name for _, _, names in os.walk(store / "bodies") for name in names]
    assert count == len(list(_rows(store))) == len(files) + 1 < 100_000


def test_without_a_pattern_nothing_is_written(store: Path) -> None:
    connection = _connected(store)
    connection.execute("delete from responses")
    with pytest.raises(ValueError, match="no pattern"):
        bulk.pattern(connection)
    connection.close()
