"""After a start, partial files and their rows agree."""

from __future__ import annotations

from storage_stand import opened, response, until


async def leave(directory, *keys):
    async with opened(directory) as stand:
        for key in keys:
            body = await stand.store.create_partial(response(key, body_bytes=50_000), sequence=0)
            await body.write(0, [b"x" * 20_000])
            body.close()
        await until(lambda: not stand.store.disk.index.is_partial)


async def test_a_file_without_a_row_and_a_row_without_a_file_go(tmp_path):
    folder = tmp_path / "c" / "partial"
    await leave(tmp_path / "c", "kept", "lost")
    async with opened(tmp_path / "c") as stand:
        (lost,) = await stand.store.lookup_partial("lost")
    (folder / lost.body).unlink()
    (folder / ("ab" * 16)).write_bytes(b"left by a crash")
    (folder / "note.txt").write_bytes(b"not ours")
    async with opened(tmp_path / "c") as stand:
        disk = stand.store.disk
        await until(lambda: not disk.index.read("select 1 from partials where id = ?", (lost.body,)))
        assert {len(path.name) for path in folder.iterdir()} == {32, len("note.txt")}
        assert len(list(folder.iterdir())) == 2
        (kept,) = await stand.store.lookup_partial("kept")
        await until(lambda: disk.used == (folder / kept.body).stat().st_blocks * 512)
