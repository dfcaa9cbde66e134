"""The RAM tier is bounded, whatever it holds, and what leaves is retired."""

from __future__ import annotations

import pytest
from storage_stand import response

from edgeproxy.storage import eviction, memory
from edgeproxy.storage.memory import RamTier


def tier(bytes_max: int) -> RamTier:
    return RamTier(bytes_max, eviction.Lru(), lambda: None)


@pytest.mark.parametrize("variants", [0, 1])
def test_entries_are_bounded_also_where_nothing_is_stored(variants):
    ram = tier(50_000)
    for number in range(1000):
        key = f"k{number}"
        ram.hold(key, (response(key, body=key),) * variants, 0)
        assert ram.bytes <= 50_000
    assert 0 < len(ram) <= 50_000 // memory.ENTRY_BYTES
    assert len(ram.key_of) == len(ram) * variants


def test_a_pinned_entry_stays_until_it_is_unpinned():
    ram = tier(100_000)
    entry = ram.pin("k", ram.hold("k", (response("k", body="b"),), 0))
    ram.drop("k")
    assert ram.find("k") is entry
    ram.unpin("k", entry)
    assert ram.find("k") is None
    assert (ram.bytes, ram.key_of) == (0, {})


def test_the_names_of_used_bodies_are_bounded(monkeypatch):
    monkeypatch.setattr(memory, "TOUCHED_MAX", 10)
    ram = tier(1000)
    for number in range(30):
        ram.used("k", str(number))
    assert len(ram.touched) == 10
