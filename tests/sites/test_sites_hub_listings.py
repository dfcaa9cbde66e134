from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.message import Headers
from edgeproxy.sites import hub_listings
from edgeproxy.sites.hub_listings import Wanted
from edgeproxy.sites.hub_tree import Entry, Listing, Page

ENTRIES = tuple(Entry(f"f{number:03}", False, b"\x01" * 20, number) for number in range(25))


def listing() -> Listing:
    found = Listing()
    found.add(Page(ENTRIES))
    return found


def no_xet(entry: Entry) -> str:
    return ""


def paths(data: bytes) -> list[str]:
    return [entry["path"] for entry in json.loads(data)]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", Wanted()),
        ("recursive=True&expand=False", Wanted(recursive=True)),
        ("recursive=1&expand=true&limit=50", Wanted(True, True, 50)),
        ("limit=0", Wanted(limit=1)),
        ("limit=99999", Wanted(limit=1000)),
        ("limit=-1&cursor=a%3D", Wanted(cursor="a=")),
        ("limit=\u0665", Wanted()),
    ],
)
def test_the_query_says_what_is_wanted(query: str, wanted: Wanted) -> None:
    assert hub_listings.wanted(query) == wanted


@given(st.text(max_size=80))
@settings(max_examples=100)
def test_no_query_is_too_odd(query: str) -> None:
    asked = hub_listings.wanted(query)
    assert 0 <= asked.limit <= hub_listings.LIMIT_MAX
    assert hub_listings.answer(listing(), "", asked, no_xet) is not None


@given(st.integers(min_value=1, max_value=30))
@settings(max_examples=30)
def test_pages_of_any_size_make_the_whole_listing_once(limit: int) -> None:
    asked, seen = Wanted(recursive=True, limit=limit), []
    for _ in range(len(ENTRIES) + 1):
        answered = hub_listings.answer(listing(), "", asked, no_xet)
        assert answered is not None
        seen += paths(answered.data)
        if not answered.following:
            break
        asked = hub_listings.wanted(answered.following)
    assert seen == [entry.path for entry in ENTRIES]


def test_a_client_that_builds_its_own_cursor_comes_to_an_end() -> None:
    last = hub_listings.cursor(ENTRIES[-1], 1000)
    answered = hub_listings.answer(listing(), "", Wanted(cursor=last), no_xet)
    assert answered is not None
    assert answered.data == b"[]"


@pytest.mark.parametrize("cursor", ["x", "", "AAAA", "////", "\u00e9"])
def test_a_cursor_that_is_none_leads_to_nothing(cursor: str) -> None:
    assert hub_listings.after_cursor(list(ENTRIES), cursor) == []


def test_a_cursor_at_a_path_that_is_not_listed_goes_on_behind_it() -> None:
    gone = hub_listings.cursor(Entry("f0225", False, b"", 0), 5)
    assert [entry.path for entry in hub_listings.after_cursor(list(ENTRIES), gone)] == ["f023", "f024"]


@pytest.mark.parametrize(
    ("kind", "content", "wanted"),
    [
        ("", b"paths=a&paths=b%2Fc&expand=False", (["a", "b/c"], False)),
        ("application/x-www-form-urlencoded", b"paths=a+b&expand=True", (["a b"], True)),
        ("application/json", b'{"paths": ["a/"], "expand": true}', (["a"], True)),
        ("application/json", b'{"paths": "a"}', (["a"], False)),
        ("application/json", b'{"paths": [1]}', None),
        ("application/json", b"[", None),
        ("", b"paths=%zz", None),
        ("", b"paths=\xff", None),
        ("", b"", ([], False)),
        ("", b"&".join([b"paths=a"] * 10_001), None),
    ],
)
def test_paths_come_as_form_or_json(kind: str, content: bytes, wanted: object) -> None:
    assert hub_listings.wanted_paths(Headers((("Content-Type", kind),)), content) == wanted


def test_paths_that_are_missing_are_left_out() -> None:
    assert paths(hub_listings.of_paths(listing(), ["f001", "no", "f001"], no_xet)) == ["f001"]
