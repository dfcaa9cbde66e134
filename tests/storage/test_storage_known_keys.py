"""Who is stored is always thought to be; who is not seldom is, once everything has been taken in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from storage_stand import opened, response, until

from edgeproxy.errors import StorageError
from edgeproxy.storage import known_keys
from edgeproxy.storage.known_keys import KnownKeys
from edgeproxy.storage.record import key_number

DIGEST = "d" * 64


class Rows:
    """An index with these responses and bodies."""

    is_unfilled = False

    def __init__(self, keys: list[str], digests: list[str]) -> None:
        self.responses = [(number, key_number(key)) for number, key in enumerate(keys, 1)]
        self.bodies = sorted((f"{number:032x}", digest) for number, digest in enumerate(digests))

    def read(self, sql, values):
        after, most = values
        rows = self.responses if "responses" in sql else self.bodies
        return [row for row in rows if row[0] > after][:most]


NAMES = st.text(max_size=5)


@given(stored=st.lists(NAMES, max_size=30), noted=st.lists(NAMES, max_size=10), digests=st.lists(NAMES))
def test_whatever_was_stored_or_noted_may_be_there(stored, noted, digests):
    keys = KnownKeys()
    for key in noted[:5]:
        keys.note(key, "")
    keys.load(Rows(stored, digests))
    for key in noted[5:]:
        keys.note(key, f"digest of {key}")
    assert all(map(keys.may_have, (*stored, *noted, *filter(None, digests))))
    assert all(keys.may_have(f"digest of {key}") for key in noted[5:])


def test_more_than_is_read_at_once_is_taken_in_and_hardly_anything_else_is_thought_to_be_there(monkeypatch):
    monkeypatch.setattr(known_keys, "REST_SECONDS", 0)
    stored = [f"k{number}" for number in range(5000)]
    digests = [f"d{number}" for number in range(3000)]
    keys = KnownKeys()
    keys.load(Rows(stored, digests))
    assert all(map(keys.may_have, stored + digests))
    assert sum(keys.may_have(f"x{number}") for number in range(1000)) < 5


@pytest.mark.parametrize("why", ["nothing has been read", "stopped", "an old index is being filled in"])
def test_until_all_has_been_taken_in_anything_may_be_there(why):
    keys, rows = KnownKeys(), Rows(["k"], [])
    rows.is_unfilled = why == "an old index is being filled in"
    if why == "stopped":
        keys.stop()
    if why != "nothing has been read":
        keys.load(rows)
    assert keys.may_have("never stored")


def test_what_an_index_that_breaks_has_not_told_may_be_there():
    class Broken(Rows):
        def read(self, sql, values):
            if values[0]:
                raise StorageError("index: broken")
            return super().read(sql, values)

    keys = KnownKeys()
    with pytest.raises(StorageError):
        keys.load(Broken(["k"], []))
    assert keys.may_have("never stored")


async def test_a_miss_of_what_was_never_here_does_not_ask_the_index(tmp_path):
    async with opened(tmp_path / "c") as stand:
        await until(lambda: not stand.store.disk.known_keys.may_have("never stored"))
        assert stand.store.lookup_memory("never stored") == ()
        await stand.put("k", b"bytes", digest=DIGEST)
        await stand.forget_memory()
        assert stand.store.lookup_memory("k") is None
        assert await stand.get("k") == b"bytes"
    async with opened(tmp_path / "c") as stand:
        await until(lambda: not stand.store.disk.known_keys.may_have("never stored"))
        assert stand.store.lookup_memory("k") is None
        assert await stand.get("k") == b"bytes"
        linked = await stand.store.link(response("another name", digest=DIGEST))
        assert linked is not None
        await stand.forget_memory()
        assert await stand.get("another name") == b"bytes"
