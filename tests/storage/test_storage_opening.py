"""Opening after a kill at any time, by one process at a time."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from storage_stand import opened, response

from edgeproxy import config
from edgeproxy.errors import StartError
from edgeproxy.storage import partial_rows, record, tables
from edgeproxy.storage.generations import Generations
from edgeproxy.storage.opening import open_disk
from edgeproxy.storage.schema import prepare

HERE = Path(__file__).parent


async def test_a_writer_killed_at_any_time_leaves_right_bodies_and_holds_the_lock_till_then(tmp_path):
    chance, found = random.Random(9), 0
    path = os.pathsep.join([str(HERE), str(HERE.parent.parent)])
    for turn in range(20):
        with subprocess.Popen(  # noqa: ASYNC220 - nothing else runs here
            [sys.executable, str(HERE / "kill_child.py"), str(tmp_path / "c")],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
        ) as child:
            for _ in range(chance.randrange(1, 120)):
                assert child.stdout.readline()
            if turn == 0:
                with pytest.raises(StartError, match="another process"):
                    async with opened(tmp_path / "c"):
                        pass
            child.kill()
        async with opened(tmp_path / "c", disk=2_000_000) as stand:
            for key in range(30):
                data = await stand.get(f"k{key}")
                if data is not None:
                    number = int(data[:6])
                    assert number % 30 == key
                    assert data == b"%06d" % number * (20 if number % 2 else 8000)
                    found += 1
    assert found > 100


def fill(path: Path, rows: int) -> None:
    """An index with so many whole bodies and as many in part."""
    connection = sqlite3.connect(path, isolation_level=None)
    prepare(connection)
    connection.execute("begin")
    for number in range(rows):
        stored = response(f"k{number}", body=f"{number:032x}", body_bytes=100, digest=f"{number:064x}")
        tables.put(connection, stored, record.encode(stored), 4096, float(number))
        part = response(f"p{number}", body=f"{number + rows:032x}", body_bytes=100, sequence=number)
        row = partial_rows.PartialRow(part, 4096, b"")
        partial_rows.put(connection, row, record.encode(part), float(number))
    connection.execute("commit")
    connection.close()


def steps_to_open(path: Path, rows: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many steps SQLite takes, of its own count, while a store with `rows` of each kind is opened."""
    path.mkdir()
    fill(path / "index.sqlite3", rows)
    steps: list[None] = []
    connect = sqlite3.connect

    def counting(*values, **options):
        connection = connect(*values, **options)
        connection.set_progress_handler(lambda: steps.append(None), 10)
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", counting)
        opened = open_disk(config.Cache(directory=str(path)), Generations(), print, print)
    assert opened.disk.used == 2 * rows * 4096
    opened.disk.index.close()
    opened.disk.directory.close()
    return len(steps)


def test_opening_takes_as_many_steps_however_much_is_stored(tmp_path, monkeypatch):
    few = steps_to_open(tmp_path / "few", 10, monkeypatch)
    many = steps_to_open(tmp_path / "many", 3000, monkeypatch)
    assert few > 10, "nothing was counted"
    assert many <= few + 10
