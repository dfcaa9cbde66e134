"""Who is not noted has no partial body; who is noted may have one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from storage_stand import opened, response

from edgeproxy.storage.index import Index
from edgeproxy.storage.partial_keys import PartialKeys

NAMES = st.text(alphabet="abc/", max_size=4)


@given(noted=st.lists(st.tuples(NAMES, NAMES), max_size=20), asked=st.tuples(NAMES, NAMES))
def test_whatever_was_noted_is_found_by_key_and_by_digest(noted, asked):
    keys = PartialKeys()
    for key, digest in noted:
        keys.note(response(key, digest=digest))
    key, digest = asked
    expected = any(key == k or (digest and digest == d) for k, d in noted)
    assert keys.may_have(key, digest) is expected


def test_beyond_its_bound_there_may_be_one_under_any_key():
    keys = PartialKeys(keys_max=3)
    for number in range(3):
        keys.note(response(str(number)))
    assert not keys.may_have("x", "")
    keys.note(response("3"))
    assert keys.may_have("x", "")
    keys.note(response("4"))
    assert keys.may_have("y", "")


def test_while_those_of_a_former_life_are_not_loaded_there_may_be_one_under_any_key(tmp_path):
    known = Index(tmp_path / "index.sqlite3", broken=print)
    known.start()
    keys = PartialKeys()
    keys.expect()
    assert keys.may_have("x", "")
    keys.note(response("noted meanwhile"))
    keys.load(known)
    assert not keys.may_have("x", "")
    assert keys.may_have("noted meanwhile", "")
    known.close()


@pytest.mark.parametrize("is_another_name", [False, True])
async def test_parts_of_a_former_life_are_found(tmp_path, is_another_name):
    digest = "d" * 64
    async with opened(tmp_path / "c") as stand:
        stored = response("k", body_bytes=1000, digest=digest)
        partial = await stand.store.create_partial(stored, sequence=stand.store.sequence)
        await partial.write(0, [b"x" * 100])
        partial.close()
        assert len(await stand.store.lookup_partial("k")) == 1
    async with opened(tmp_path / "c") as stand:
        asked = ("other", digest) if is_another_name else ("k", "")
        (found,) = await stand.store.lookup_partial(*asked)
        assert found.key == "k"
        assert await stand.store.lookup_partial("other") == ()
