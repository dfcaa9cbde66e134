"""From a temporary file to a body that can be found, under errors on the way."""

from __future__ import annotations

import errno
import os

import pytest
from storage_stand import body_files, opened, response, until

LARGE = b"x" * 90_000


@pytest.mark.parametrize("in_parts", [False, True])
@pytest.mark.parametrize("name", ["rename", "ftruncate"])
async def test_a_failed_commit_publishes_nothing_and_accounts_for_what_is_left(
    tmp_path, monkeypatch, name, in_parts
):
    async with opened(tmp_path / "c", errors=100) as stand:

        def fail(*arguments, **names):
            raise OSError(errno.EIO, "bad")

        if in_parts:
            body = await stand.store.create_partial(response("k", body_bytes=len(LARGE)), sequence=0)
            await body.write(0, [LARGE])
            with monkeypatch.context() as patch:
                patch.setattr(os, name, fail)
                assert await body.commit(body.stored, "") is None
            assert await body.commit(body.stored, ""), "the parts are still there"
            body.close()
            assert await stand.get("k") == LARGE
        else:
            with monkeypatch.context() as patch:
                patch.setattr(os, name, fail)
                assert await stand.put("k", LARGE) is None
            assert await stand.get("k") is None
            assert body_files(tmp_path / "c") == []
        real = sum(path.stat().st_blocks * 512 for path in body_files(tmp_path / "c"))
        await until(lambda: stand.store.disk.used == real)


async def test_a_file_that_is_gone_is_not_shared(tmp_path):
    async with opened(tmp_path / "c") as stand:
        writer = stand.store.writer("a", sequence=0, expected_bytes=None, memory_only=False)
        await writer.write([LARGE])
        await writer.commit(response("a"), "dd" * 32)
        writer.close()
        body_files(tmp_path / "c")[0].unlink()
        assert await stand.store.link(response("b", digest="dd" * 32)) is None
