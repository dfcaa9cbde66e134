"""After a start, disk and index agree."""

from __future__ import annotations

import errno

from storage_stand import body_files, lose_index, opened, until

from edgeproxy.storage import body_file


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
