"""Purges by number: what they kill, that they are bounded, and that they can be read back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_stand import response

from edgeproxy.storage import generations as g
from edgeproxy.storage.store import Purge, PurgeScope

PURGES = st.builds(
    Purge, st.sampled_from(PurgeScope), st.sampled_from(["", "a", "ab", "files", "t"]), st.booleans()
)


def names(purge, stored):
    match purge.scope:
        case PurgeScope.ALL:
            return True
        case PurgeScope.SITE:
            return stored.site == purge.value
        case PurgeScope.URL:
            return stored.key == purge.value
        case PurgeScope.PREFIX:
            return stored.key.startswith(purge.value)
        case PurgeScope.TAG:
            return purge.value in stored.tags


@settings(max_examples=200)
@given(purges=st.lists(PURGES, max_size=12), since=st.integers(0, 12), key=st.sampled_from(["a", "ab", "b"]))
def test_a_response_is_judged_as_by_going_through_all_purges_since(purges, since, key):
    stored, table = response(key, tags=("t",), sequence=since), g.Generations()
    for purge in purges:
        table.purge(purge)
    later = [p for p in purges[since:] if names(p, stored)]
    expected = g.Verdict.GOOD
    if any(not p.soft for p in later):
        expected = g.Verdict.DEAD
    elif later:
        expected = g.Verdict.SOFT
    assert table.verdict(stored) is expected


@settings(max_examples=100)
@given(purges=st.lists(PURGES, max_size=12))
def test_the_log_gives_the_purges_back(purges):
    numbered = list(enumerate(purges, 1))
    assert g.read_log(b"".join(g.log_line(n, p) for n, p in numbered)) == (numbered, False)


def test_a_torn_last_line_is_no_damage_but_a_changed_line_is():
    line = g.log_line(1, Purge(PurgeScope.TAG, "t"))
    assert g.read_log(line + line[:-1]) == ([(1, Purge(PurgeScope.TAG, "t"))], False)
    assert g.read_log(line.replace(b"tag", b"url"))[1]


def test_a_full_table_forgets_more_than_was_asked_and_never_less(monkeypatch):
    monkeypatch.setattr(g, "SCOPES_MAX", 8)
    table = g.Generations()
    old = [response(f"k{n}", sequence=n) for n in range(20)]
    for number in range(20):
        table.purge(Purge(PurgeScope.URL, f"k{number}"))
        assert len(table) <= 9
    assert all(table.verdict(stored) is g.Verdict.DEAD for stored in old)
    assert table.verdict(response("k5", sequence=20)) is g.Verdict.GOOD


@pytest.mark.parametrize("soft", [False, True])
def test_forgetting_drops_hard_purges_up_to_a_number_and_keeps_the_sequence(soft):
    table = g.Generations()
    table.purge(Purge(PurgeScope.TAG, "t", soft=soft))
    table.forget(1)
    assert (len(table), table.sequence) == (int(soft), 1)
