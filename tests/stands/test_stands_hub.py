"""The stand-in hub by itself, by raw requests."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stands.hub import Hub
from stands.hub_clients import ask, document
from stands.hub_content import PIECE_BYTES, Pattern, git_object, pieces
from stands.hub_faults import Cut, Flip

SHARD = "model-00001-of-00002.safetensors"
RESOLVE = f"/acme/tiny/resolve/main/{SHARD}"


def signed(hub: Hub, path: str = RESOLVE, token: str = "") -> str:
    return ask(hub.url + path, token=token).get("location")


# Contents.


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 3 * PIECE_BYTES), st.integers(0, 3 * PIECE_BYTES), st.sampled_from([b"", b"front" * 9]))
def test_any_part_of_a_pattern_is_the_same_as_of_the_whole(one: int, other: int, front: bytes) -> None:
    start, end = sorted((one, other))
    pattern = Pattern("part", 3 * PIECE_BYTES, front)
    whole = pattern.read(0, pattern.size)
    assert pattern.read(start, end) == whole[start:end] == b"".join(pieces(pattern, start, end))


def test_a_pattern_knows_its_digest_and_repeats_itself_nowhere() -> None:
    pattern = Pattern("whole", 1_000_001)
    whole = b"".join(pieces(pattern, 0, pattern.size))
    assert (len(whole), hashlib.sha256(whole).hexdigest()) == (pattern.size, pattern.sha256)
    blocks = [whole[n : n + 65536] for n in range(0, len(whole), 65536)]
    assert len(set(blocks)) == len(blocks)


def test_a_file_may_be_larger_than_any_disk(hub: Hub) -> None:
    huge = Pattern("huge", 60_000_000_000, claimed="ab" * 32)
    hub.add("acme/huge", {"huge.gguf": huge})
    answer = ask(hub.url + "/acme/huge/resolve/main/huge.gguf", "HEAD")
    assert (answer.get("x-linked-size"), answer.get("x-linked-etag")) == ("60000000000", f'"{"ab" * 32}"')
    last = ask(answer.get("location"), fields=[("Range", "bytes=-9")])
    assert last.body == huge.read(huge.size - 9, huge.size)
    assert ask(answer.get("location")).status == 400


# The wire.


def test_a_small_file_is_one_relative_redirect_away(hub: Hub) -> None:
    first = ask(f"{hub.url}/acme/tiny/resolve/main/config.json", "HEAD")
    head = hub.repositories["model", "acme/tiny"].head
    oid = git_object("blob", head.files["config.json"].git_data)[0]
    assert (first.status, first.get("x-repo-commit")) == (307, head.sha)
    assert first.get("location").startswith(f"/api/resolve-cache/models/acme/tiny/{head.sha}/config.json?")
    second = ask(hub.url + first.get("location"), "HEAD")
    assert (second.status, second.get("etag"), second.get("x-repo-commit")) == (200, f'"{oid}"', head.sha)
    again = ask(hub.url + first.get("location"), fields=[("If-None-Match", f'"{oid}"')])
    assert again.status == 304
    zipped = ask(hub.url + first.get("location"), fields=[("Accept-Encoding", "gzip")])
    assert (zipped.get("content-encoding"), zipped.get("transfer-encoding")) == ("gzip", "chunked")


def test_a_large_file_is_behind_a_signed_url_of_another_host(hub: Hub) -> None:
    first = ask(hub.url + RESOLVE, "HEAD")
    file = hub.repositories["model", "acme/tiny"].head.files[SHARD]
    assert first.status == 302
    assert first.get("x-linked-etag") == f'"{file.content.sha256}"'
    assert (first.get("x-linked-size"), first.get("x-xet-hash")) == (str(file.size), file.xet)
    assert 'rel="xet-auth"' in first.get("link")
    whole = ask(first.get("location"))
    assert whole.get("etag") == f'"{file.xet}"'
    assert hashlib.sha256(whole.body).hexdigest() == file.content.sha256
    part = ask(first.get("location"), fields=[("Range", "bytes=10-19")])
    assert (part.status, part.body) == (206, whole.body[10:20])
    assert part.get("content-range") == f"bytes 10-19/{file.size}"
    past = ask(first.get("location"), fields=[("Range", f"bytes={file.size}-")])
    assert (past.status, past.get("content-range")) == (416, f"bytes */{file.size}")


def test_a_signed_url_ends_and_cannot_be_changed(hub: Hub) -> None:
    url = signed(hub)
    assert ask(url.replace("Signature=", "Signature=0")).status == 403
    assert ask(url.replace("Expires=1", "Expires=2")).status == 403
    hub.pass_time(hub.faults.signed_seconds - 60)
    assert ask(url, "HEAD").status == 200
    hub.pass_time(61)
    assert ask(url, "HEAD").status == 403
    assert ask(signed(hub), "HEAD").status == 200


def test_raw_gives_the_pointer_of_a_large_file(hub: Hub) -> None:
    file = hub.repositories["model", "acme/tiny"].head.files[SHARD]
    answer = ask(hub.url + RESOLVE.replace("resolve", "raw"))
    assert answer.body.startswith(b"version https://git-lfs")
    assert file.content.sha256.encode() in answer.body


@pytest.mark.parametrize("form", ["escaped", "plain"])
def test_revisions_of_every_form_are_found(hub: Hub, form: str) -> None:
    repository = hub.repositories["model", "acme/tiny"]
    made = repository.commit({"x.txt": "of a request"}, branch="refs/pr/1")
    repository.branch("dev", made)
    repository.tag("v1", made)
    revisions = ["dev", "v1", made.sha, made.sha[:7], "refs/pr/1"]
    for revision in revisions:
        shown = quote(revision, safe="" if form == "escaped" else "/")
        answer = ask(f"{hub.url}/acme/tiny/resolve/{shown}/x.txt", "HEAD")
        assert (answer.status, answer.get("x-repo-commit")) == (307, made.sha), revision
    assert ask(f"{hub.url}/acme/tiny/resolve/main/x.txt", "HEAD").get("x-error-code") == "EntryNotFound"


REFUSALS = [
    # what is asked, token, status, code, message
    ("/acme/none/resolve/main/a", "", 401, "", "Invalid username or password."),
    ("/acme/none/resolve/main/a", "hf_bob", 404, "RepoNotFound", "Repository not found"),
    ("/acme/secret/resolve/main/config.json", "", 401, "", "Invalid username or password."),
    ("/acme/secret/resolve/main/config.json", "hf_bob", 404, "RepoNotFound", "Repository not found"),
    ("/acme/tiny/resolve/main/config.json", "hf_x", 401, "", "Invalid credentials in Authorization header"),
    ("/acme/tiny/resolve/nowhere/config.json", "", 404, "RevisionNotFound", "Invalid rev id: nowhere"),
    ("/acme/tiny/resolve/main/none.json", "", 404, "EntryNotFound", "Entry not found"),
    ("/acme/gated/resolve/main/config.json", "", 401, "GatedRepo", "restricted"),
    ("/acme/gated/resolve/main/config.json", "hf_bob", 403, "GatedRepo", "restricted"),
    ("/acme/closed/resolve/main/config.json", "", 403, "", "Access to this resource is disabled."),
    ("/api/models/acme/none", "", 401, "", "Invalid username or password."),
    ("/api/models/acme/secret/tree/main", "hf_bob", 404, "RepoNotFound", "Repository not found"),
    ("/api/models/acme/gated/auth-check", "", 401, "GatedRepo", "restricted"),
    ("/api/models/acme/gated/auth-check", "hf_bob", 403, "GatedRepo", "restricted"),
    ("/api/models/acme/gated/commits/main", "hf_bob", 403, "GatedRepo", "restricted"),
    ("/api/models/acme/gated/xet-read-token/main", "hf_bob", 403, "GatedRepo", "restricted"),
    ("/api/models/acme/tiny/revision/nowhere", "", 404, "RevisionNotFound", "Invalid rev id: nowhere"),
    ("/api/models/acme/tiny/tree/main/none", "", 404, "EntryNotFound", "none does not exist"),
    ("/api/models/acme/tiny?expand=nothing", "", 400, "", "must be one of"),
    ("/api/whoami-v2", "", 401, "", "Invalid username or password."),
]


@pytest.mark.parametrize(("target", "token", "status", "code", "message"), REFUSALS)
def test_refusals_are_worded_as_the_hub_does(
    closed_hub: Hub, target: str, token: str, status: int, code: str, message: str
) -> None:
    answer = ask(closed_hub.url + target, token=token)
    assert (answer.status, answer.get("x-error-code")) == (status, code)
    assert message in answer.get("x-error-message")
    assert bool(answer.get("x-repo-commit")) is (code == "EntryNotFound")
    assert answer.get("ratelimit")


@pytest.mark.parametrize("name", ["gated", "secret"])
def test_those_on_the_list_may_read(closed_hub: Hub, name: str) -> None:
    url = closed_hub.url
    assert ask(f"{url}/acme/{name}/resolve/main/config.json", "HEAD", "hf_alice").status == 307
    assert ask(f"{url}/acme/{name}/resolve/main/{SHARD}", "HEAD", "hf_alice").status == 302
    assert ask(f"{url}/api/models/acme/{name}/auth-check", token="hf_alice").status == 200


def test_a_gated_model_is_described_to_all_but_its_xet_hashes_are_masked(closed_hub: Hub) -> None:
    tree = f"{closed_hub.url}/api/models/acme/gated/tree/main"
    assert document(ask(f"{closed_hub.url}/api/models/acme/gated"))["gated"] == "manual"
    for token, is_masked in (("", True), ("hf_bob", True), ("hf_alice", False)):
        hashes = {entry["xetHash"] for entry in document(ask(tree, token=token)) if "lfs" in entry}
        assert (hashes == {"*" * 64}) is is_masked


@pytest.mark.parametrize("old", ["acme/old", "ACME/Tiny", "tiny"])
def test_old_and_wrongly_written_names_redirect_with_their_query(hub: Hub, old: str) -> None:
    hub.renames["model", "acme/old"] = hub.renames["model", "tiny"] = "acme/tiny"
    answer = ask(f"{hub.url}/api/models/{old}/tree/main?recursive=true")
    assert (answer.status, answer.get("location")) == (307, "/api/models/acme/tiny/tree/main?recursive=true")
    assert ask(f"{hub.url}/{old}/resolve/main/x", "HEAD").get("location") == "/acme/tiny/resolve/main/x"


def test_a_tree_comes_in_pages_with_absolute_links(hub: Hub) -> None:
    url = f"{hub.url}/api/models/acme/tiny/tree/main?recursive=true"
    whole = document(ask(url))
    hub.page_size = 4
    listed: list[Any] = []
    links = 0
    answer = ask(url)
    while True:
        listed += document(answer)
        if not (link := answer.get("link")):
            break
        links += 1
        assert link.startswith(f"<{hub.url}/api/models/acme/tiny/tree/main?")
        answer = ask(link.partition(">")[0].removeprefix("<"))
    assert listed == whole
    assert links == (len(whole) - 1) // 4
    inner = base64.b64encode(json.dumps({"file_name": whole[-1]["path"]}).encode()).decode()
    cursor = base64.b64encode(f"{inner}:50".encode()).decode()
    assert document(ask(f"{url}&limit=50&cursor={quote(cursor)}")) == []


def test_trees_hold_what_git_holds(hub: Hub) -> None:
    head = hub.repositories["model", "acme/tiny"].head
    entries = document(ask(f"{hub.url}/api/models/acme/tiny/tree/main?recursive=true&expand=true"))
    by_path = {entry["path"]: entry for entry in entries}
    assert by_path["sub dir"]["oid"] == head.folders["sub dir"].oid
    assert by_path["config.json"]["oid"] == git_object("blob", head.files["config.json"].git_data)[0]
    assert by_path[SHARD]["lfs"]["oid"] == head.files[SHARD].content.sha256
    assert by_path["sub dir/deep/er/empty.txt"]["lastCommit"]["id"] == head.sha
    assert by_path[SHARD]["lastCommit"]["id"] != head.sha
    inside = document(ask(f"{hub.url}/api/models/acme/tiny/tree/main/sub%20dir%2Fdeep"))
    assert [entry["path"] for entry in inside] == ["sub dir/deep/er"]


@pytest.mark.parametrize("as_json", [True, False])
def test_paths_info_leaves_out_what_is_missing(hub: Hub, as_json: bool) -> None:
    body = b"paths=config.json&paths=none&paths=sub+dir&expand=False"
    kind = "application/x-www-form-urlencoded"
    if as_json:
        body, kind = json.dumps({"paths": ["config.json", "none", "sub dir"]}).encode(), "application/json"
    url = f"{hub.url}/api/models/acme/tiny/paths-info/main"
    found = document(ask(url, "POST", body=body, fields=[("Content-Type", kind)]))
    assert [entry["path"] for entry in found] == ["config.json", "sub dir"]


def test_json_is_revalidated_by_its_weak_etag(hub: Hub) -> None:
    answer = ask(f"{hub.url}/api/models/acme/tiny")
    assert answer.get("etag").startswith('W/"')
    again = ask(f"{hub.url}/api/models/acme/tiny", fields=[("If-None-Match", answer.get("etag"))])
    assert again.status == 304


# Faults.

LIES = {
    "none": (200, "", ""),
    "whole": (200, "", "bytes"),
    "shifted": (206, "bytes 11-20/1048712", "bytes"),
    "resized": (206, "bytes 10-19/1048713", "bytes"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_cdn_can_lie_about_ranges(hub: Hub, name: Any) -> None:
    hub.faults.cdn_ranges = name
    answer = ask(signed(hub), fields=[("Range", "bytes=10-19")])
    assert (answer.status, answer.get("content-range"), answer.get("accept-ranges")) == LIES[name]


def test_a_cdn_can_change_its_etags_and_refuse_whole_files(hub: Hub) -> None:
    hub.faults.cdn_ranges = "renamed"
    assert ask(signed(hub)).get("etag") != ask(signed(hub)).get("etag")
    hub.faults.cdn_whole_max = 1_000_000
    assert ask(signed(hub)).status == 400
    assert ask(signed(hub), fields=[("Range", "bytes=0-")]).status == 206


def test_bodies_are_damaged_as_often_as_ordered(hub: Hub) -> None:
    hub.faults.cut[SHARD] = Cut(after=1000, times=1)
    cut = ask(signed(hub))
    assert (cut.complete, len(cut.body)) == (False, 1000)
    good = ask(signed(hub)).body
    hub.faults.flipped["*"] = Flip(at=500_000, times=1)
    bad = ask(signed(hub)).body
    assert [n for n in range(len(good)) if good[n] != bad[n]] == [500_000]
    assert ask(signed(hub)).body == good
    hub.faults.cut[SHARD] = Cut(after=1000, how="stall")
    stalled = ask(signed(hub), timeout=0.3)
    assert (stalled.ended, len(stalled.body)) == ("timeout", 1000)


def test_statuses_pages_and_redirects_come_as_ordered(hub: Hub) -> None:
    url = signed(hub)
    hub.faults.status[SHARD] = 502
    assert ask(url).status == 502
    hub.faults.status.clear()
    hub.faults.html.add(SHARD)
    assert (ask(url).status, ask(url).get("content-type")) == (200, "text/html; charset=utf-8")
    hub.faults.redirected[SHARD] = "http://10.0.0.1/private"
    assert signed(hub) == "http://10.0.0.1/private"
    hub.faults.hub_error_every = 2
    assert sorted(ask(hub.url + RESOLVE, "HEAD").status for _ in range(4)) == [302, 302, 503, 503]


def test_a_limited_hub_says_how_long_to_wait(hub: Hub) -> None:
    hub.faults.limited["api"] = 1
    answer = ask(f"{hub.url}/api/models/acme/tiny")
    assert (answer.status, answer.get("ratelimit")) == (429, '"api";r=0;t=2')
    assert ask(f"{hub.url}/api/models/acme/tiny").status == 200


def test_a_hub_comes_back_where_it_was(hub: Hub) -> None:
    url = signed(hub)
    hub.down()
    with pytest.raises(ConnectionRefusedError):
        ask(hub.url + RESOLVE)
    hub.up()
    assert ask(url, "HEAD").status == 200
    hub.down("cdn")
    assert signed(hub)
    with pytest.raises(ConnectionRefusedError):
        ask(url)


def test_a_tree_can_lie(hub: Hub) -> None:
    hub.faults.tree_lies[SHARD] = {"size": 1 << 62}
    entries = document(ask(f"{hub.url}/api/models/acme/tiny/tree/main"))
    assert [entry["size"] for entry in entries if entry["path"] == SHARD] == [1 << 62]
