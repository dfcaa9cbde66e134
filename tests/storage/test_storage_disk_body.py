"""Bodies beyond 64 MiB are proven piece by piece."""

from __future__ import annotations

import pytest
from storage_stand import body_files, opened, response

from edgeproxy.errors import StorageError
from edgeproxy.storage.record import Damaged

MIB = 1 << 20


async def test_one_flipped_bit_deep_inside_fails_its_run_only_and_drops_the_body(tmp_path):
    async with opened(tmp_path / "c", disk=200 * MIB) as stand:
        writer = stand.store.writer("k", sequence=0, expected_bytes=None, memory_only=False)
        for _ in range(17):
            await writer.write([bytes(4 * MIB)])
        stored = await writer.commit(response("k"), "")
        writer.close()
        (path,) = body_files(tmp_path / "c")
        with path.open("r+b") as file:
            file.seek(50 * MIB)
            file.write(b"\x01")
        body = await stand.store.open(stored)
        await body.check(0, 48 * MIB)
        with pytest.raises(Damaged):
            await body.check(48 * MIB, 52 * MIB)
        assert await stand.store.lookup("k") == ()
        assert body_files(tmp_path / "c") == []
        body.close()
        with pytest.raises(StorageError):
            await body.check(0, 1)
