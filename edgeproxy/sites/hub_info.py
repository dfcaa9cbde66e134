"""What the listing of a commit tells about a repository: enough for clients while the hub cannot be asked.

Counts, tags and cards are the hub's to tell; what these answers leave out, clients can do without."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_plus

import orjson

from edgeproxy.sites import hub_listings
from edgeproxy.sites.hub_names import Repo
from edgeproxy.sites.hub_tree import Entry, Listing

NAMES_MAX = 64
# By kind of repository: the name of the id beside "id".
_OTHER_ID = {"models": "modelId"}


def info(repo: Repo, commit: str, listing: Listing, query: str, *, private: bool, gated: bool) -> bytes:
    """The repository at a commit, as the hub's API tells it; with `expand` only what it names."""
    given = hub_listings.parameters(query)
    with_blobs = hub_listings.is_true(given.get("blobs", "false"))
    files = sorted(listing.files(), key=lambda entry: entry.path)
    told: dict[str, Any] = {
        "id": repo.id,
        "author": repo.id.partition("/")[0] if "/" in repo.id else None,
        "sha": commit,
        "private": private,
        "gated": "manual" if gated else False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": [_sibling(entry, with_blobs=with_blobs) for entry in files],
    }
    names = _expanded(query)
    if names:
        told = {name: value for name, value in told.items() if name == "id" or name in names}
    elif repo.kind in _OTHER_ID:
        told[_OTHER_ID[repo.kind]] = repo.id
    return orjson.dumps(told)


def _sibling(entry: Entry, *, with_blobs: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"rfilename": entry.path}
    if with_blobs:
        told |= {"blobId": entry.oid.hex(), "size": entry.size}
        if entry.sha256:
            sha256, pointer = entry.sha256.hex(), entry.pointer_size
            told["lfs"] = {"sha256": sha256, "size": entry.size, "pointerSize": pointer}
    return told


def _expanded(query: str) -> frozenset[str]:
    pairs = (part.partition("=") for part in query.split("&")[:NAMES_MAX])
    return frozenset(
        unquote_plus(value) for name, _, value in pairs if unquote_plus(name) in ("expand", "expand[]")
    )


def refs(commit: str) -> bytes:
    """The branches of a repository of which only the main one is known."""
    main = {"name": "main", "ref": "refs/heads/main", "targetCommit": commit}
    return orjson.dumps({"branches": [main], "converts": [], "tags": []})
