"""Small bodies are written behind; a refusing disk stops nothing."""

from __future__ import annotations

import errno
import os

from storage_stand import body_files, opened


async def test_an_error_at_the_close_of_one_does_not_stop_the_next(tmp_path, monkeypatch):
    async with opened(tmp_path / "c") as stand:
        await stand.on_disk()
        real = os.close

        def close(fd):
            real(fd)
            raise OSError(errno.EIO, "late write error")

        with monkeypatch.context() as patch:
            patch.setattr("edgeproxy.storage.write_behind.os.close", close)
            await stand.put("a", b"a")
            await stand.on_disk()
        await stand.put("b", b"b")
        await stand.on_disk()
        assert len(body_files(tmp_path / "c")) == 2
        assert await stand.get("b") == b"b"
