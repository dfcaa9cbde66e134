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
