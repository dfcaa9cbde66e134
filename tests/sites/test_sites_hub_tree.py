from __future__ import annotations

import json
from typing import Any

import pytest
from hub_stage import SHA1, SHA256, TREE
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.sites.hub_tree import FILE_BYTES_MAX, Listing, Page, following, read_page
from edgeproxy.sites.site import Unacceptable


def page(entries: Any, link: str = "") -> Page:
    return read_page(json.dumps(entries).encode(), link)


def listing(*pages: Page) -> Listing:
    found = Listing()
    for one in pages:
        found.add(one)
    return found


def test_an_entry_says_what_the_hub_said_but_for_its_xet_hash() -> None:
    for told, entry in zip(TREE, page(TREE).entries, strict=True):
        assert entry.as_json() == {name: value for name, value in told.items() if name != "xetHash"}
    assert page(TREE).entries[3].as_json("e" * 64) == TREE[3]


def test_the_etag_is_the_sha256_of_large_files_and_gits_hash_of_small_ones() -> None:
    entries = page(TREE).entries
    assert [entries[0].etag, entries[3].etag] == [SHA1, SHA256]


def test_stars_in_place_of_a_xet_hash_are_none() -> None:
    assert page([{**TREE[3], "xetHash": "*" * 64}]).entries[0].xet == b""


@pytest.mark.parametrize(
    "changes",
    [
        {"path": ""},
        {"path": "/etc/passwd"},
        {"path": "a/../b"},
        {"path": "a\x00b"},
        {"path": 7},
        {"oid": "x"},
        {"oid": None},
        {"size": FILE_BYTES_MAX + 1},
        {"size": -1},
        {"size": 1.5},
        {"size": True},
        {"size": "5"},
        {"type": "link"},
        {"lfs": {"oid": "short", "size": 5}},
        {"lfs": {"oid": SHA256, "size": 6}},
        {"lfs": []},
    ],
    ids=str,
)
def test_claims_that_cannot_be_true_are_unacceptable(changes: dict[str, Any]) -> None:
    with pytest.raises(Unacceptable):
        page([{**TREE[0], **changes}])


@given(
    st.binary(max_size=80)
    | st.recursive(st.none() | st.text(max_size=5), st.lists).map(json.dumps).map(str.encode)
)
@settings(max_examples=150)
def test_content_is_a_page_or_unacceptable_and_nothing_else(data: bytes) -> None:
    try:
        found = read_page(data, "")
    except Unacceptable:
        return
    assert found.entries == ()


@pytest.mark.parametrize(
    ("link", "query"),
    [
        ("", ""),
        ('<https://hub.example/api/x?a=1&cursor=b%3D>; rel="next"', "a=1&cursor=b%3D"),
        ('<https://other.example/p?q>; rel=next, <https://x/>; rel="prev"', "q"),
        ('<https://x/?p>; rel="prev"', ""),
        ('<https://x/?p>; rel="prev", <https://x/?n#f>; rel="next"', "n"),
    ],
)
def test_only_the_query_of_the_next_link_is_taken(link: str, query: str) -> None:
    assert following(link) == query


@pytest.mark.parametrize("link", ['<https://x/>; rel="next"', f'<https://x/?{"a" * 5000}>; rel="next"'])
def test_a_next_link_that_leads_nowhere_is_unacceptable(link: str) -> None:
    with pytest.raises(Unacceptable):
        following(link)


def test_pages_grow_into_one_listing() -> None:
    found = Listing()
    assert not found.is_complete
    found.add(page(TREE[:2], '<https://x/?c>; rel="next"'))
    assert (found.following, found.is_complete) == ("c", False)
    found.add(page(TREE[2:]))
    assert found.is_complete
    assert found.sizes == {"config.json": 5, "onnx/a b.json": 7, "model.safetensors": 1000}


def test_pages_that_overlap_are_unacceptable() -> None:
    with pytest.raises(Unacceptable):
        listing(page(TREE), page(TREE[:1]))


@pytest.mark.parametrize(
    ("folder", "recursive", "paths"),
    [
        ("", True, ["config.json", "onnx", "onnx/a b.json", "model.safetensors"]),
        ("", False, ["config.json", "onnx", "model.safetensors"]),
        ("onnx", False, ["onnx/a b.json"]),
        ("onn", False, None),
        ("config.json", True, None),
    ],
)
def test_a_folder_holds_what_lies_below_it(folder: str, recursive: bool, paths: list[str] | None) -> None:
    found = listing(page(TREE)).under(folder, recursive=recursive)
    assert (None if found is None else [entry.path for entry in found]) == paths
