"""Bodies on disk stay open for the next who asks, and no longer than the file is what was proven."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from storage_stand import body_files, opened, until

from edgeproxy.storage.store import Purge, PurgeScope

LARGE = b"x" * 100_000  # beyond small_body of the stand: from the file


def descriptors(directory: Path) -> int:
    """How many body files below `directory` this process has open."""
    names = (os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_open(fd))
    return sum("/bodies/" in name and name.startswith(str(directory)) for name in names)


def _is_open(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


async def test_the_second_who_asks_finds_the_body_open(tmp_path):
    async with opened(tmp_path / "c") as stand:
        stored = await stand.put("k", LARGE)
        assert stand.store.open_memory(stored) is None
        assert await stand.get("k") == LARGE
        body = stand.store.open_memory(stored)
        assert body is not None
        assert body.data is None
        assert body.size == len(LARGE)
        assert descriptors(tmp_path) == 1
        held = stand.store.reusable(stored)
        assert held is not None
        assert held.file is not None
        assert os.pread(held.file.fileno(), 10, 0) == LARGE[:10]


async def test_a_file_that_has_changed_is_not_believed(tmp_path):
    async with opened(tmp_path / "c") as stand:
        stored = await stand.put("k", LARGE)
        assert await stand.get("k") == LARGE
        held = stand.store.reusable(stored)
        assert held is not None
        assert held.file is not None
        (path,) = body_files(tmp_path / "c")
        with path.open("r+b") as file:
            file.seek(5000)
            file.write(b"y")
        assert not held.file.is_unchanged()
        assert stand.store.open_memory(stored) is None
        assert held.fresh_until == 0
        assert await stand.get("k") is None  # proven anew, and found damaged


async def test_what_leaves_the_store_is_closed_when_the_last_who_sends_it_is_done(tmp_path):
    async with opened(tmp_path / "c") as stand:
        stored = await stand.put("k", LARGE)
        assert await stand.get("k") == LARGE
        body = stand.store.open_memory(stored)
        assert body is not None
        part = body.slice(0, len(LARGE))
        body.close()
        await stand.store.purge(Purge(PurgeScope.URL, "k"))
        assert await stand.store.lookup("k") == ()
        await until(lambda: not body_files(tmp_path / "c"))
        assert os.pread(part.file.fileno(), len(LARGE), 0) == LARGE
        assert descriptors(tmp_path) == 1
        del part
        await until(lambda: descriptors(tmp_path) == 0)


async def test_only_so_many_are_kept_open_and_the_longest_unused_is_closed_first(tmp_path):
    async with opened(tmp_path / "c", open_bodies=2) as stand:
        stored = {key: await stand.put(key, LARGE) for key in "abc"}
        for key in "abac":  # b is the longest unused when c comes
            assert await stand.get(key) == LARGE
        await until(lambda: descriptors(tmp_path) == 2)
        opens = {key: stand.store.open_memory(one) is not None for key, one in stored.items()}
        assert opens == {"a": True, "b": False, "c": True}


async def test_none_is_kept_open_where_none_may_be(tmp_path):
    async with opened(tmp_path / "c", open_bodies=0) as stand:
        stored = await stand.put("k", LARGE)
        assert await stand.get("k") == LARGE
        assert stand.store.open_memory(stored) is None
        await until(lambda: descriptors(tmp_path) == 0)


async def test_a_process_with_few_descriptors_keeps_few_open(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    try:
        async with opened(tmp_path / "c") as stand:
            for number in range(30):
                await stand.put(str(number), LARGE)
                assert await stand.get(str(number)) == LARGE
            await until(lambda: descriptors(tmp_path) == 16)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_an_unused_one_is_closed_after_a_while(tmp_path):
    async with opened(tmp_path / "c") as stand:
        used = await stand.put("used", LARGE)
        for key in ("used", "unused"):
            await stand.put(key, LARGE) if key == "unused" else None
            assert await stand.get(key) == LARGE
        ram = stand.store._ram
        for _ in range(12):
            ram.close_idle()
            assert stand.store.open_memory(used) is not None
        await until(lambda: descriptors(tmp_path) == 1)


async def test_new_fields_leave_the_file_open_and_retire_what_others_remember(tmp_path):
    async with opened(tmp_path / "c") as stand:
        stored = await stand.put("k", LARGE)
        assert await stand.get("k") == LARGE
        before = stand.store.reusable(stored)
        assert before is not None
        fresh = await stand.store.freshen(stored, stored)
        after = stand.store.reusable(fresh)
        assert after is not None
        assert before.fresh_until == 0
        assert after.fresh_until == stored.fresh_until
        assert after.file is not None


async def test_a_closed_store_has_nothing_open(tmp_path):
    async with opened(tmp_path / "c") as stand:
        await stand.put("k", LARGE)
        assert await stand.get("k") == LARGE
    assert descriptors(tmp_path) == 0


BOTH = b"x" * 20_000  # beyond small_body, within memory_body: in RAM and open


async def test_what_is_in_ram_too_stays_there_when_its_file_is_closed(tmp_path):
    async with opened(tmp_path / "c", open_bodies=1) as stand:
        for key in "ab":
            await stand.put(key, BOTH)
            await stand.forget_memory()
        for key in "ab":
            assert await stand.get(key) == BOTH
        stored = {key: (await stand.store.lookup(key))[0] for key in "ab"}
        held = {key: stand.store.reusable(one) for key, one in stored.items()}
        assert {key: one.file is not None for key, one in held.items()} == {"a": False, "b": True}
        assert all(one.data == BOTH and one.fresh_until for one in held.values())
        assert all(stand.store.open_memory(one).data == BOTH for one in stored.values())
        await until(lambda: descriptors(tmp_path) == 1)


async def test_what_is_in_ram_too_outlives_its_file(tmp_path):
    async with opened(tmp_path / "c") as stand:
        stored = await stand.put("k", BOTH)
        await stand.forget_memory()
        assert await stand.get("k") == BOTH
        before = stand.store.reusable(stored)
        stand.store._held.forget_bodies([stored.body])  # evicted from the disk
        after = stand.store.reusable(stored)
        assert (before.fresh_until, before.file) == (0, None)
        assert (after.data, after.file) == (BOTH, None)
        await until(lambda: descriptors(tmp_path) == 0)
        assert stand.store.open_memory(stored).data == BOTH
