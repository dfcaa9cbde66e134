"""What is said of a repository out of the listing of a commit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgeproxy.sites import hub_info
from edgeproxy.sites.hub_names import Repo
from edgeproxy.sites.hub_tree import Entry, Listing, Page

COMMIT = "a" * 40
MODEL, DATASET = Repo("models", "acme/tiny"), Repo("datasets", "squad")


@pytest.fixture
def listing() -> Listing:
    listing = Listing()
    large = Entry("w.bin", False, b"\1" * 20, 1000, b"\2" * 32, 134)
    listing.add(Page((Entry("sub", True, b"", 0), large, Entry("a.json", False, b"\3" * 20, 5))))
    return listing


def told(repo: Repo, listing: Listing, query: str = "", **more: bool) -> dict[str, Any]:
    flags = {"private": False, "gated": False, **more}
    found: dict[str, Any] = json.loads(hub_info.info(repo, COMMIT, listing, query, **flags))
    return found


def test_what_clients_need_is_there(listing: Listing) -> None:
    found = told(MODEL, listing)
    assert (found["id"], found["modelId"], found["author"], found["sha"]) == (
        "acme/tiny",
        "acme/tiny",
        "acme",
        COMMIT,
    )
    assert found["siblings"] == [{"rfilename": "a.json"}, {"rfilename": "w.bin"}]
    assert (told(DATASET, listing)["id"], told(DATASET, listing)["author"]) == ("squad", None)


@pytest.mark.parametrize("query", ["blobs=True", "blobs=true&securityStatus=True"])
def test_blobs_are_told_to_who_asks(listing: Listing, query: str) -> None:
    small, large = told(MODEL, listing, query)["siblings"]
    assert small == {"rfilename": "a.json", "blobId": "03" * 20, "size": 5}
    assert large["lfs"] == {"sha256": "02" * 32, "size": 1000, "pointerSize": 134}


@pytest.mark.parametrize("query", ["expand=sha&expand=nothing", "expand%5B%5D=sha", "expand[]=sha"])
def test_only_what_is_named_comes_of_an_expanded_question(listing: Listing, query: str) -> None:
    assert told(MODEL, listing, query) == {"id": "acme/tiny", "sha": COMMIT}


def test_who_may_read_is_told_as_it_is_known(listing: Listing) -> None:
    assert (told(MODEL, listing)["private"], told(MODEL, listing)["gated"]) == (False, False)
    found = told(MODEL, listing, private=True, gated=True)
    assert (found["private"], found["gated"]) == (True, "manual")


def test_one_branch_is_what_is_known_of_them() -> None:
    found = json.loads(hub_info.refs(COMMIT))
    assert found["branches"] == [{"name": "main", "ref": "refs/heads/main", "targetCommit": COMMIT}]
