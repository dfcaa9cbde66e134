"""The ways in which files leave the site, through whole conversations."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hub_stage import ALICE, BOB, COMMIT, SHA256, Stage, body, public, stage

from edgeproxy.message import Response
from edgeproxy.sites.site import Plan, SiteContext

PINNED = f"/acme/tiny/resolve/{COMMIT}"
TOKEN = f"/api/models/acme/tiny/xet-read-token/{COMMIT}"
HASH = "e" * 64


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


@pytest.fixture
def private(context: SiteContext, now: list[float]) -> Stage:
    answers = {(*key, ALICE): answer for key, answer in public(private=True).items()}
    return stage(context, now, answers, xet="serve")


def batch(*objects: tuple[str, int]) -> bytes:
    listed = [{"oid": oid, "size": size} for oid, size in objects]
    return json.dumps({"operation": "download", "transfers": ["basic"], "objects": listed}).encode()


@pytest.mark.parametrize(
    ("options", "shown"),
    [({}, False), ({"xet": "serve"}, True), ({"xet_above": 999}, True), ({"xet": "pass"}, True)],
)
def test_xet_is_shown_in_both_places_or_in_none(
    context: SiteContext, now: list[float], options: dict[str, Any], shown: bool
) -> None:
    hub = stage(context, now, public(), **options)
    fields = hub.head(f"{PINNED}/model.safetensors")[1]
    listed = json.loads(body(hub.response(f"/api/models/acme/tiny/tree/{COMMIT}")))
    assert [entry.get("xetHash") for entry in listed if "lfs" in entry] == [HASH if shown else None]
    assert (fields.get("X-Xet-Hash") == HASH) is shown
    assert ("http://edge.example:8080/hf" + TOKEN in fields.get("Link")) is shown
    assert "X-Xet-Hash" not in hub.head(f"{PINNED}/config.json")[1]


def test_a_file_is_put_together_for_whom_the_token_was_made(private: Stage) -> None:
    given = private.response(TOKEN, ALICE)
    told = json.loads(body(given))
    assert told["casUrl"] == "http://edge.example:8080/hf/_cas"
    xet = f"Bearer {told['accessToken']}"
    answer = private.response(f"/_cas/v1/reconstructions/{HASH}", xet)
    ((fetch,),) = json.loads(body(answer))["fetch_info"].values()
    path = fetch["url"].removeprefix("http://edge.example:8080/hf")
    plan = private.plan(path)
    assert plan.layout is not None
    assert plan.layout.size == 1008
    assert plan.expected.sha256 == SHA256
    assert plan.fields["Authorization"] == ALICE
    assert plan.key == f"https://hub.example{PINNED}/model.safetensors private"


def test_tokens_end_and_cannot_be_made_up(private: Stage, now: list[float]) -> None:
    told = json.loads(body(private.response(TOKEN, ALICE)))
    assert private.response(f"/_cas/v1/reconstructions/{HASH}", ALICE).status == 401
    assert (
        private.response(f"/_cas/v1/reconstructions/{'f' * 64}", f"Bearer {told['accessToken']}").status
        == 404
    )
    assert private.response("/_cas/xorbs/abc/0").status == 403
    assert private.response("/_cas/elsewhere").status == 404
    assert private.head(TOKEN, BOB)[0] == 404
    now[0] += 3601
    assert private.response(f"/_cas/v1/reconstructions/{HASH}", f"Bearer {told['accessToken']}").status == 401


def test_a_grant_ends_with_the_permission_it_came_from(private: Stage, now: list[float]) -> None:
    told = json.loads(body(private.response(TOKEN, ALICE)))
    private.answers.clear()
    now[0] += 400
    refused = private.response(f"/_cas/v1/reconstructions/{HASH}", f"Bearer {told['accessToken']}")
    assert refused.status == 404


def test_passed_xet_is_left_to_the_hub(context: SiteContext, now: list[float]) -> None:
    plan = stage(context, now, public(), xet="pass").plan(TOKEN, ALICE)
    assert (plan.target, plan.keep_authorization) == (TOKEN, True)


def test_objects_of_lfs_that_are_listed_come_from_here(private: Stage) -> None:
    path = "/acme/tiny.git/info/lfs/objects/batch"
    answer = private.response(path, ALICE, "POST", content=batch((SHA256, 1000)))
    (told,) = json.loads(body(answer))["objects"]
    href = told["actions"]["download"]["href"].removeprefix("http://edge.example:8080/hf")
    plan = private.plan(href)
    assert (plan.expected.sha256, plan.fields["Authorization"]) == (SHA256, ALICE)
    assert plan.key_suffix == " private"


def test_objects_of_lfs_that_are_not_listed_are_asked_for(private: Stage) -> None:
    path = "/acme/tiny.git/info/lfs/objects/batch"
    plan = private.plan(path, ALICE, method="POST", content=batch(("0" * 64, 5)))
    assert plan.target == path
    assert plan.transform is not None
    bad = private.response(path, ALICE, "POST", content=b"{}")
    assert bad.status == 422


def test_uploads_of_lfs_are_uploads(context: SiteContext, now: list[float]) -> None:
    path = "/acme/tiny.git/info/lfs/objects/batch"
    content = batch((SHA256, 1000)).replace(b"download", b"upload")
    assert stage(context, now, {}).plan(path, ALICE, method="POST", content=content).keep_authorization
    strict = stage(context, now, {}, uploads="refuse")
    assert strict.response(path, ALICE, "POST", content=content).status == 403


def test_a_digest_is_no_permission(private: Stage) -> None:
    path = f"/v2/acme/tiny/blobs/sha256:{SHA256}"
    plan = private.plan(path, ALICE)
    assert (plan.expected.sha256, plan.target) == (SHA256, path)
    assert private.head(path, BOB)[0] == 404


def test_a_download_by_browser_is_saved(context: SiteContext, now: list[float]) -> None:
    plan = stage(context, now, public()).plan(f"{PINNED}/config.json?download=true")
    assert plan.present is not None
    assert "download" not in plan.key


def test_shards_are_expected_after_the_index(context: SiteContext, now: list[float]) -> None:
    planned = stage(context, now, public()).ask(
        "/api/models/acme/tiny/revision/main", fields={"User-Agent": "unknown/None; hf_hub/2.4.0"}
    )
    assert isinstance(planned, Plan | Response)
    assert isinstance(planned, Plan)
    assert planned.upcoming is not None
    assert planned.upcoming.group == f"models/acme/tiny@{COMMIT}"
