"""A purge is in the log before it has been answered."""

from __future__ import annotations

import pytest
from storage_stand import opened

from edgeproxy.errors import StorageError
from edgeproxy.storage.generations import read_log
from edgeproxy.storage.store import Purge, PurgeScope


async def test_a_purge_is_in_the_log_when_it_has_been_answered(tmp_path):
    async with opened(tmp_path / "c") as stand:
        purge = Purge(PurgeScope.TAG, "t")
        await stand.store.purge(purge)
        purges, is_damaged = read_log((tmp_path / "c" / "purges.log").read_bytes())
        assert (stand.store.sequence, purge) in purges
        assert not is_damaged


async def test_a_fill_older_than_a_purge_that_was_forgotten_is_not_kept(tmp_path):
    async with opened(tmp_path / "c") as stand:
        began = stand.store.sequence
        await stand.put("other", b"stays")
        await stand.store.purge(Purge(PurgeScope.URL, "slow"))
        purging = stand.store._purging
        await purging.reclaim()
        await purging._compact(stand.store.sequence)
        assert await stand.put("slow", b"from before the purge", sequence=began) is None
        assert await stand.get("slow") is None
        assert await stand.get("other") == b"stays", "what was stored before is not in doubt"
        assert await stand.put("slow", b"from after it") is not None
        assert await stand.get("slow") == b"from after it"


async def test_what_is_in_ram_stays_purged_when_the_purge_is_forgotten(tmp_path):
    async with opened(tmp_path / "c") as stand:
        await stand.put("a", b"small", tags=("t",))
        await stand.put("b", b"small", tags=("u",))
        await stand.on_disk()
        await stand.store.purge(Purge(PurgeScope.TAG, "t"))
        await stand.store._purging.reclaim()
        await stand.store._purging._compact(stand.store.sequence)
        assert await stand.get("a") is None
        assert await stand.get("b") == b"small"


async def test_a_value_too_long_to_be_written_down_is_refused(tmp_path):
    async with opened(tmp_path / "c") as stand:
        before = stand.store.sequence
        with pytest.raises(StorageError):
            await stand.store.purge(Purge(PurgeScope.TAG, "t" * 65_537))
        assert stand.store.sequence == before
