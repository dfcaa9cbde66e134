"""After a start, disk and index agree."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import threading
import time

from storage_stand import body_files, lose_index, opened, until

from edgeproxy.storage import body_file
from edgeproxy.storage.directory import Directory
from edgeproxy.storage.disk import DiskTier
from edgeproxy.storage.sweep import Sweep


async def test_one_unreadable_file_does_not_keep_the_others_out(tmp_path, monkeypatch):
    async with opened(tmp_path / "c") as stand:
        for number in range(5):
            await stand.put(f"k{number}", b"x" * 20_000)
        bad = (await stand.store.lookup("k0"))[0].body
    lose_index(tmp_path / "c")
    real = body_file.read_footer

    def read(fd, body):
        if body == bad:
            raise OSError(errno.EIO, "bad sector")
        return real(fd, body)

    monkeypatch.setattr(body_file, "read_footer", read)
    async with opened(tmp_path / "c") as stand:
        await until(lambda: not stand.store.disk.index.is_partial)
        for number in range(1, 5):
            assert await stand.get(f"k{number}") == b"x" * 20_000


async def test_a_body_the_index_does_not_know_goes(tmp_path):
    async with opened(tmp_path / "c") as stand:
        await stand.put("k", b"x" * 20_000)
        # An index is only believed once it has been completed.
        await until(lambda: not stand.store.disk.index.is_partial)
    orphan = tmp_path / "c" / "bodies" / "ab" / "ab" / ("ab" * 16)
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"left by a crash")
    async with opened(tmp_path / "c") as stand:
        await until(lambda: len(body_files(tmp_path / "c")) == 1)
        assert await stand.get("k") == b"x" * 20_000


async def test_every_folder_is_swept_and_what_is_stored_meanwhile_stays(tmp_path, monkeypatch):
    async with opened(tmp_path / "c") as stand:
        for number in range(40):
            await stand.put(f"k{number}", b"%d" % number * 3000)
        await until(lambda: not stand.store.disk.index.is_partial)
    orphans = []
    for first in ("00", "7f", "ff"):
        orphan = tmp_path / "c" / "bodies" / first / "ab" / (first + "ab" * 15)
        orphan.parent.mkdir(parents=True, exist_ok=True)
        orphan.write_bytes(b"left by a crash")
        orphans.append(orphan)
    started = []
    real, real_run = Directory.body_ids, Sweep.run
    sweeping = threading.Event()

    def slowly(self):
        """The first name is given only when another body has been stored."""
        end = time.monotonic() + 10
        for body in real(self):
            if sweeping.is_set():
                started.append(body)
            while len(started) == 1 and not published and time.monotonic() < end:
                time.sleep(0.01)
            yield body

    published: list[str] = []

    def run(self, temporary):
        sweeping.set()
        real_run(self, temporary)

    monkeypatch.setattr(Directory, "body_ids", slowly)
    monkeypatch.setattr(Sweep, "run", run)
    async with opened(tmp_path / "c") as stand:
        await until(lambda: started)
        published.append((await stand.put("meanwhile", b"y" * 20_000)).body)
        await until(lambda: not any(orphan.exists() for orphan in orphans))
        await until(lambda: len(body_files(tmp_path / "c")) == 41)
        for number in range(40):
            assert await stand.get(f"k{number}") == b"%d" % number * 3000
        assert await stand.get("meanwhile") == b"y" * 20_000
        assert len(started) >= 43, "the sweep had begun when it was stored"


async def test_what_an_eviction_is_about_to_forget_is_left_to_it(tmp_path, monkeypatch):
    """Else the eviction would find nothing freed, and take more."""
    async with opened(tmp_path / "c") as stand:
        for number in range(6):
            await stand.put(f"k{number}", b"%d" % number * 20_000)
        await until(lambda: len(body_files(tmp_path / "c")) == 6)
    unlinked, swept = threading.Event(), threading.Event()
    real_drop, real_judge = DiskTier.drop, Sweep._drop_rows

    def drop(self, bodies, *, must_go=True):
        """An eviction that stops for a moment between the files and the rows."""
        bodies = list(bodies)
        if not must_go:
            for body in bodies:
                self.unlink(body)
            unlinked.set()
            swept.wait(1.0)
        return real_drop(self, bodies, must_go=must_go)

    def judge(self, bodies):
        real_judge(self, bodies)
        swept.set()

    monkeypatch.setattr(DiskTier, "drop", drop)
    monkeypatch.setattr(Sweep, "_drop_rows", judge)
    real_files = Sweep._judge_files
    monkeypatch.setattr(Sweep, "_judge_files", lambda self: unlinked.wait(10) and real_files(self))
    async with opened(tmp_path / "c") as stand:
        await asyncio.to_thread(stand.store.disk.evict, 40_000)
        await until(swept.is_set)
        assert len(body_files(tmp_path / "c")) == 4
        assert stand.store.disk.used == sum(f.stat().st_blocks * 512 for f in body_files(tmp_path / "c"))


async def test_what_is_held_in_all_is_added_up_again(tmp_path):
    async with opened(tmp_path / "c") as stand:
        await stand.put("k", b"x" * 20_000)
        await until(lambda: not stand.store.disk.index.is_partial)
        held = stand.store.disk.used
        assert held >= 20_000
    connection = sqlite3.connect(tmp_path / "c" / "index.sqlite3")
    connection.execute("update facts set value = value + 1000000 where name = 'held'")
    connection.commit()
    connection.close()
    async with opened(tmp_path / "c") as stand:
        await until(lambda: stand.store.disk.used == held)
    async with opened(tmp_path / "c") as stand:
        assert stand.store.disk.used == held
