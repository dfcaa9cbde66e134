"""LFS batches: every URL in an answer leads to the node, each object for itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.message import BytesBody, Headers, Response
from edgeproxy.sites import hub_lfs
from edgeproxy.sites.hub_lfs import Batch, Hrefs, LfsObject, Operation, RewrittenBatch
from edgeproxy.sites.site import Unacceptable

KEY = bytes(range(32))
A, B, C = ("a" * 64, "b" * 64, "c" * 64)
CDN = "https://cdn.hub.example/xet-bridge/repo/hash?Expires=1&Signature=x-y~z&Key-Pair-Id=K"
PLACE = "http://edge:8080/hf/_lfs/"
HREFS = Hrefs("http://edge:8080/hf", KEY, "models/org/name", "c0ffee", 5_000)
DOWNLOAD = Batch(Operation.DOWNLOAD, (LfsObject(A, 10), LfsObject(B, 20)))


def asked(**changes: Any) -> bytes:
    content = {
        "operation": "download",
        "transfers": ["lfs-standalone-file", "basic", "ssh"],
        "ref": {"name": "refs/heads/main"},
        "objects": [{"oid": A, "size": 10}, {"oid": B, "size": 20}],
        "hash_algo": "sha256",
    }
    return json.dumps(content | changes).encode()


def content(answer: Response) -> Any:
    assert isinstance(answer.body, BytesBody)
    return json.loads(answer.body.data)


def grant(href: str, now: float = 0) -> Any:
    assert href.startswith(PLACE)
    return hub_lfs.granted(KEY, href.removeprefix(PLACE), now)


def test_a_batch_of_git_lfs_is_read() -> None:
    assert hub_lfs.parse_batch(asked()) == DOWNLOAD


def test_an_upload_is_told_apart() -> None:
    found = hub_lfs.parse_batch(asked(operation="upload", transfers=["multipart"]))
    assert isinstance(found, Batch)
    assert found.operation is Operation.UPLOAD


@pytest.mark.parametrize(
    ("content_", "status"),
    [
        (b"", 422),
        (b"[]", 422),
        (b"\xff", 422),
        (b"[" * 100_000, 422),
        (asked(operation="delete"), 422),
        (asked(objects=None), 422),
        (asked(objects=[{"oid": A}]), 422),
        (asked(objects=[{"oid": A.upper(), "size": 1}]), 422),
        (asked(objects=[{"oid": A + "\n", "size": 1}]), 422),
        (asked(objects=[{"oid": "../" + A[3:], "size": 1}]), 422),
        (asked(objects=[{"oid": A, "size": -1}]), 422),
        (asked(objects=[{"oid": A, "size": 1 << 60}]), 422),
        (asked(objects=[{"oid": A, "size": "1"}]), 422),
        (asked(objects=[{"oid": A, "size": 1}] * 1001), 422),
        (asked(transfers=["multipart"]), 422),
        (asked(hash_algo="sha512"), 409),
        (b" " * (1 << 20) + asked(), 413),
    ],
)
def test_what_is_no_batch_is_refused_with_a_message(content_: bytes, status: int) -> None:
    answer = hub_lfs.parse_batch(content_)
    assert isinstance(answer, Response)
    assert answer.status == status
    assert answer.headers.get("Content-Type") == "application/vnd.git-lfs+json"
    assert content(answer)["message"]


@settings(max_examples=150)
@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_a_batch_or_refused(data: bytes) -> None:
    assert isinstance(hub_lfs.parse_batch(data), (Batch, Response))


def test_known_objects_are_answered_with_signed_urls_of_the_node() -> None:
    said = content(hub_lfs.answer(DOWNLOAD, {A: 10, B: 20}, HREFS, 600))
    assert [each["oid"] for each in said["objects"]] == [A, B]
    first = said["objects"][0]
    assert (said["transfer"], first["size"], first["authenticated"]) == ("basic", 10, True)
    action = first["actions"]["download"]
    assert (action["header"], action["expires_in"]) == ({}, 600)
    permitted = grant(action["href"])
    assert (permitted.digest, permitted.size, permitted.subject) == (A, 10, "")
    assert (permitted.repository, permitted.caller) == ("models/org/name", "c0ffee")


def test_each_object_fails_by_itself() -> None:
    said = content(hub_lfs.answer(DOWNLOAD, {B: 21}, HREFS, 600))
    assert [each["error"]["code"] for each in said["objects"]] == [404, 422]
    assert all("actions" not in each for each in said["objects"])


def test_the_error_of_what_is_not_known_can_be_another_one() -> None:
    said = content(hub_lfs.answer(DOWNLOAD, {}, HREFS, 600, (503, "offline")))
    assert {(e["error"]["code"], e["error"]["message"]) for e in said["objects"]} == {(503, "offline")}


def test_what_has_to_be_asked_upstream_is_told() -> None:
    assert DOWNLOAD.unknown({A: 10}) == (LfsObject(B, 20),)


def test_a_url_is_worth_nothing_after_its_time_or_changed() -> None:
    href = HREFS.of(LfsObject(A, 10))
    assert grant(href, 4_999) is not None
    assert grant(href, 5_000) is None
    assert grant(href + "A") is None
    assert hub_lfs.granted(bytes(32), href.removeprefix(PLACE), 0) is None
    assert hub_lfs.granted(KEY, "", 0) is None


def test_the_key_is_not_shown() -> None:
    assert "key" not in repr(HREFS)


def upstream(*objects: Any, **more: Any) -> bytes:
    return json.dumps({"transfer": "basic", "objects": objects, **more}).encode()


def available(oid: str, size: int, **action: Any) -> Any:
    return {
        "oid": oid,
        "size": size,
        "authenticated": True,
        "actions": {"download": {"href": CDN, "header": {}, "expires_in": 3600} | action},
    }


def rewritten(data: bytes, known: dict[str, int] | None = None) -> Any:
    transform = RewrittenBatch(DOWNLOAD, known or {}, HREFS, 900)
    headers, changed = transform(200, Headers((("Content-Type", "application/json"),)), data)
    assert headers.get("Content-Type") == "application/vnd.git-lfs+json"
    return json.loads(changed)


def test_the_upstreams_urls_travel_inside_our_own() -> None:
    said = rewritten(upstream(available(A, 10), available(B, 20, expires_in=60)), {A: 10})
    first, second = (each["actions"]["download"] for each in said["objects"])
    assert (grant(first["href"]).subject, first["expires_in"]) == ("", 900)
    assert (grant(second["href"]).subject, second["expires_in"]) == (CDN, 60)
    assert grant(second["href"]).digest == B
    assert "cdn.hub.example" not in json.dumps(said)


def test_upstreams_errors_are_kept_for_their_objects() -> None:
    said = rewritten(upstream({"oid": A, "error": {"code": 404, "message": "x" * 5000}}, available(B, 20)))
    assert said["objects"][0]["error"]["code"] == 404
    assert len(said["objects"][0]["error"]["message"]) < 300
    assert "actions" in said["objects"][1]


@pytest.mark.parametrize(
    ("told", "code"),
    [({"oid": A, "size": 10}, 404), ({"oid": A, "size": 10, "actions": {}}, 404), (available(A, 11), 422)],
)
def test_an_object_without_a_download_of_its_size_fails(told: Any, code: int) -> None:
    assert rewritten(upstream(told))["objects"][0]["error"]["code"] == code


def test_a_url_with_credentials_of_its_own_is_left_to_the_client() -> None:
    said = rewritten(upstream(available(A, 10, header={"Authorization": "secret"})))
    action = said["objects"][0]["actions"]["download"]
    assert (action["href"], action["header"]) == (CDN, {"Authorization": "secret"})


@pytest.mark.parametrize(
    "data",
    [
        b"<html>",
        b"{}",
        b"\xff",
        upstream(available(C, 1)),
        upstream(available(A, 10), transfer="multipart"),
        upstream(available(A, 10, href="/relative")),
        upstream(available(A, 10, href="file:///etc/passwd")),
        upstream(available(A, 10, href="https://cdn.hub.example/" + "x" * 9000)),
        upstream(available(A, 10, href=7)),
    ],
)
def test_what_is_no_answer_to_the_batch_is_unacceptable(data: bytes) -> None:
    with pytest.raises(Unacceptable):
        rewritten(data)


def test_a_refusal_of_the_upstream_is_passed_on_as_it_is() -> None:
    headers = Headers((("Content-Type", "application/vnd.git-lfs+json"),))
    transform = RewrittenBatch(DOWNLOAD, {}, HREFS, 900)
    assert transform(401, headers, b'{"message":"no"}') == (headers, b'{"message":"no"}')
