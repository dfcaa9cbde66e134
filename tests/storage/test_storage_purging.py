"""A purge is in the log before it has been answered."""

from __future__ import annotations

from storage_stand import opened

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
