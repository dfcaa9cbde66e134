"""Whole conversations of clients with a hub's site, over a pipeline that only asks what the site wants."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hub_stage import (
    ALICE,
    BARE,
    BOB,
    COMMIT,
    GATED,
    OTHER,
    SHA1,
    SHA256,
    TREE,
    Stage,
    body,
    info,
    public,
    stage,
    tree,
)

from edgeproxy import config
from edgeproxy.errors import ConfigurationError, RequestError
from edgeproxy.message import Headers, HeadOnly, Request
from edgeproxy.sites import huggingface
from edgeproxy.sites.site import Plan, Realm, SiteContext
from edgeproxy.upstream.upstream import Origin

PINNED = f"/acme/tiny/resolve/{COMMIT}"


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


@pytest.fixture
def hub(context: SiteContext, now: list[float]) -> Stage:
    return stage(context, now, public())


def gated() -> dict[tuple[str, ...], Any]:
    api = "/api/models/acme/tiny"
    return {
        **public(gated="manual"),
        ("GET", f"{api}/auth-check"): (401, {"X-Error-Code": "GatedRepo"}, b""),
        ("GET", f"{api}/auth-check", ALICE): (200, {}, b"{}"),
        ("GET", f"{api}/auth-check", BOB): GATED,
    }


def private() -> dict[tuple[str, ...], Any]:
    return {(*key, ALICE): answer for key, answer in public(private=True).items()}


# -- a public repository -----------------------------------------------------------------------


def test_a_branch_leads_to_its_commit_by_307_without_a_host_and_with_the_mount(hub: Stage) -> None:
    status, fields, _ = hub.head("/acme/tiny/resolve/main/onnx/a%20b.json?download=true")
    assert status == 307
    assert fields.get("Location") == f"/hf/acme/tiny/resolve/{COMMIT}/onnx/a%20b.json?download=true"
    assert fields.get("X-Repo-Commit") == COMMIT
    assert [target for _, target, _ in hub.asked] == [
        "/api/models/acme/tiny/revision/main",
        f"/api/models/acme/tiny/tree/{COMMIT}?recursive=true",
    ]


def test_heads_and_absences_of_a_commit_ask_nobody_once_its_listing_is_here(hub: Stage) -> None:
    hub.head("/acme/tiny/resolve/main/config.json")
    hub.asked.clear()
    status, fields, length = hub.head(f"{PINNED}/model.safetensors")
    assert (status, length) == (200, 1000)
    assert fields.get("ETag") == fields.get("X-Linked-Etag") == f'"{SHA256}"'
    assert fields.get("X-Linked-Size") == "1000"
    assert fields.get("X-Repo-Commit") == COMMIT
    assert "X-Xet-Hash" not in fields
    assert "Link" not in fields
    assert hub.head(f"{PINNED}/config.json")[1].get("ETag") == f'"{SHA1}"'
    for absent in ("adapter_config.json", "onnx"):
        status, fields, _ = hub.head(f"{PINNED}/{absent}")
        assert (status, fields.get("X-Error-Code")) == (404, "EntryNotFound")
        assert fields.get("X-Repo-Commit") == COMMIT
    assert hub.asked == []


def test_bytes_are_planned_with_their_digest_and_as_nobody(hub: Stage) -> None:
    plan = hub.plan(f"{PINNED}/model.safetensors", ALICE)
    assert plan.target == f"{PINNED}/model.safetensors"
    assert (plan.expected.sha256, plan.expected.size) == (SHA256, 1000)
    assert plan.fields["Authorization"] is None
    assert plan.fields["Accept-Encoding"] == "identity"
    assert plan.key_suffix == ""
    assert plan.known is not None
    assert plan.known.get("X-Repo-Commit") == COMMIT
    small = hub.plan(f"{PINNED}/config.json")
    assert (small.expected.sha256, small.expected.git_sha1, small.expected.size) == ("", SHA1, 5)


@pytest.mark.parametrize(
    "path",
    [
        f"/acme/tiny/resolve/{COMMIT}/onnx/a%20b.json",
        f"/acme/tiny/resolve/{COMMIT}/onnx/%61%20b.json",
        f"/api/resolve-cache/models/acme/tiny/{COMMIT}/onnx/a%20b.json?etag=1",
    ],
)
def test_one_file_has_one_key_however_it_is_written(hub: Stage, path: str) -> None:
    assert hub.plan(path).key == f"https://hub.example{PINNED}/onnx/a%20b.json"


def test_what_git_keeps_in_the_place_of_a_large_file_has_its_own_hash(hub: Stage) -> None:
    plan = hub.plan(f"/acme/tiny/raw/{COMMIT}/model.safetensors")
    assert (plan.expected.sha256, plan.expected.git_sha1, plan.expected.size) == ("", SHA1, 134)


def test_a_branch_is_asked_for_again_after_its_time_and_kept_while_the_hub_is_down(
    hub: Stage, now: list[float]
) -> None:
    hub.head("/acme/tiny/resolve/main/config.json")
    hub.asked.clear()
    hub.answers["GET", "/api/models/acme/tiny/revision/main"] = info(sha=OTHER)
    hub.answers["GET", f"/api/models/acme/tiny/tree/{OTHER}?recursive=true"] = tree()
    now[0] += 59
    assert COMMIT in hub.head("/acme/tiny/resolve/main/config.json")[1].get("Location")
    assert hub.asked == []
    now[0] += 2
    assert OTHER in hub.head("/acme/tiny/resolve/main/config.json")[1].get("Location")
    hub.is_down = True
    now[0] += 4000
    assert OTHER in hub.head("/acme/tiny/resolve/main/config.json")[1].get("Location")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/acme/tiny/resolve/main/../x", "EntryNotFound"),
        ("/acme/tiny/resolve/main/%2e%2e/x", "EntryNotFound"),
        ("/acme/tiny/resolve/main/a%2fb", "EntryNotFound"),
        ("/acme/tiny/resolve/main/a%00b", "EntryNotFound"),
        ("/acme/tiny/resolve/main//x", "EntryNotFound"),
        ("/acme/tiny/resolve/..%2Fmain/x", "RevisionNotFound"),
        ("/acme/ti..ny/resolve/main/x", "RepoNotFound"),
        ("/acme%2Ftiny/resolve/main/x", "RepoNotFound"),
        ("/api/models/a--b/c", "RepoNotFound"),
        ("/acme/tiny", "RepoNotFound"),
    ],
)
def test_what_no_hub_can_have_is_answered_without_asking(hub: Stage, path: str, code: str) -> None:
    status, fields, _ = hub.head(path)
    assert (status, fields.get("X-Error-Code")) == (404, code)
    assert hub.asked == []


def test_an_unknown_revision_is_refused_in_the_hubs_words_and_remembered(hub: Stage) -> None:
    said = {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id: v9"}
    hub.answers["GET", "/api/models/acme/tiny/revision/v9"] = (404, said, b"")
    for _ in range(2):
        status, fields, _ = hub.head("/acme/tiny/resolve/v9/config.json")
        assert (status, fields.get("X-Error-Code")) == (404, "RevisionNotFound")
    asked = [target for _, target, _ in hub.asked]
    assert asked == ["/api/models/acme/tiny/revision/v9", "/api/models/acme/tiny"]


# -- who may read ------------------------------------------------------------------------------


def test_a_missing_repository_gets_the_code_that_clients_over_http_need(hub: Stage) -> None:
    status, fields, _ = hub.head("/acme/none/resolve/main/x")
    assert (status, fields.get("X-Error-Code")) == (401, "RepoNotFound")
    assert hub.head("/acme/none/resolve/main/x", BOB)[0] == 404


def test_a_bad_token_is_said_to_be_one_and_is_no_missing_repository(context: SiteContext) -> None:
    bad = (401, {"X-Error-Message": "Invalid credentials in Authorization header"}, b"")
    hub = stage(context, [0.0], {("GET", "/api/models/acme/x/revision/main", BOB): bad})
    status, fields, _ = hub.head("/acme/x/resolve/main/f", BOB)
    assert (status, "X-Error-Code" in fields) == (401, False)


def test_the_listing_of_a_gated_repository_is_public_and_its_files_are_not(
    context: SiteContext, now: list[float]
) -> None:
    hub = stage(context, now, gated())
    assert hub.response("/api/models/acme/tiny/tree/main").status == 200
    assert hub.head(f"{PINNED}/config.json")[0] == 401
    status, fields, _ = hub.head(f"{PINNED}/config.json", BOB)
    assert (status, fields.get("X-Error-Code")) == (403, "GatedRepo")
    plan = hub.plan(f"{PINNED}/config.json", ALICE)
    assert plan.fields["Authorization"] == ALICE
    assert plan.key_suffix == " private"
    assert hub.head(f"{PINNED}/config.json")[0] == 401


def test_two_tokens_never_see_each_others_private_files(context: SiteContext, now: list[float]) -> None:
    hub = stage(context, now, private())
    assert hub.head(f"{PINNED}/config.json", ALICE)[0] == 200
    assert hub.head("/api/models/acme/tiny/tree/main", ALICE)[0] == 200
    for token, status in ((BOB, 404), ("", 401)):
        for path in (
            f"{PINNED}/config.json",
            "/acme/tiny/resolve/main/config.json",
            "/api/models/acme/tiny/tree/main",
            "/api/models/acme/tiny/revision/main",
            "/api/models/acme/tiny/refs",
            "/api/models/acme/tiny/auth-check",
            f"/api/models/acme/tiny/xet-read-token/{COMMIT}",
            f"/v2/acme/tiny/blobs/sha256:{SHA256}",
        ):
            assert hub.head(path, token)[0] == status, path


def test_a_repository_that_becomes_private_is_closed_when_the_verdict_ends(
    hub: Stage, now: list[float]
) -> None:
    assert hub.head(f"{PINNED}/config.json")[0] == 200
    hub.answers.clear()
    now[0] += 301
    assert hub.head(f"{PINNED}/config.json")[0] == 401
    hub.is_down = True  # the store still has what was said before, and it does not open it again
    now[0] += 301
    assert hub.head(f"{PINNED}/config.json")[0] == 401


@pytest.mark.parametrize(("later", "status"), [(400, 200), (86_000, 200), (90_000, 504)])
def test_a_token_is_trusted_for_the_grace_while_the_hub_is_down(
    context: SiteContext, now: list[float], later: float, status: int
) -> None:
    hub = stage(context, now, gated())
    assert hub.head(f"{PINNED}/config.json", ALICE)[0] == 200
    hub.is_down = True
    now[0] += later
    assert hub.head(f"{PINNED}/config.json", ALICE)[0] == status


def test_a_hub_without_auth_check_is_asked_for_the_file_itself(
    context: SiteContext, now: list[float]
) -> None:
    answers = {
        **public(gated=None),
        ("GET", "/api/models/acme/tiny/auth-check"): (404, {}, b""),
        ("HEAD", f"{PINNED}/config.json"): (302, {"Location": "https://cdn.example/x"}, b""),
    }
    hub = stage(context, now, answers)
    assert hub.head(f"{PINNED}/config.json")[0] == 200


def test_the_nodes_own_token_serves_who_brings_none(context: SiteContext, now: list[float]) -> None:
    hub = stage(context, now, private(), token="hf_alice")
    plan = hub.plan(f"{PINNED}/config.json")
    assert plan.fields["Authorization"] == ALICE
    assert hub.head(f"{PINNED}/config.json", BOB)[0] == 404
    assert "Authorization" not in hub.plan("/api/whoami-v2").fields


# -- renamed -----------------------------------------------------------------------------------


def test_an_old_name_leads_to_the_new_one_on_every_route(context: SiteContext, now: list[float]) -> None:
    answers = public("acme/new")
    answers["GET", "/api/models/gpt2/revision/main"] = info("acme/new")
    answers["GET", "/api/models/gpt2"] = info("acme/new")
    hub = stage(context, now, answers)
    for path, location in (
        ("/gpt2/resolve/main/config.json", f"/hf/acme/new/resolve/{COMMIT}/config.json"),
        ("/api/models/gpt2/tree/main?recursive=true", "/hf/api/models/acme/new/tree/main?recursive=true"),
        ("/api/models/gpt2?blobs=True", "/hf/api/models/acme/new?blobs=True"),
        ("/api/models/gpt2/refs", "/hf/api/models/acme/new/refs"),
    ):
        status, fields, _ = hub.head(path)
        assert (status, fields.get("Location")) == (307, location)
    moved = hub.response("/api/models/gpt2/paths-info/main", method="POST", content=b"paths=x")
    assert (moved.status, moved.headers.get("Location")) == (307, "/hf/api/models/acme/new/paths-info/main")


# -- without the hub ---------------------------------------------------------------------------


def test_what_is_stored_of_a_public_repository_works_offline_after_a_restart(
    hub: Stage, context: SiteContext
) -> None:
    hub.head("/acme/tiny/resolve/main/config.json")
    again = hub.restarted(context, offline=True)
    assert again.head("/acme/tiny/resolve/main/config.json")[0] == 307
    assert again.head(f"{PINNED}/model.safetensors")[0] == 200
    pinned_first = hub.restarted(context, offline=True)
    assert pinned_first.head(f"{PINNED}/model.safetensors")[0] == 200
    assert pinned_first.head(f"{PINNED}/absent")[1].get("X-Error-Code") == "EntryNotFound"
    assert pinned_first.plan(f"{PINNED}/model.safetensors").rules.unavailable_status == 424


@pytest.mark.parametrize(("options", "status"), [({"offline": True}, 424), ({}, 504)])
def test_what_is_not_known_without_the_hub_is_never_a_no(
    context: SiteContext, now: list[float], options: dict[str, Any], status: int
) -> None:
    hub = stage(context, now, {}, **options)
    hub.is_down = True
    for path in ("/acme/x/resolve/main/f", f"/acme/x/resolve/{COMMIT}/f", "/api/models/acme/x"):
        answered, fields, _ = hub.head(path, ALICE)
        assert answered == status
        assert "X-Error-Code" not in fields
        assert fields.get("X-Error-Message")


def test_a_limited_hub_is_not_asked_and_clients_are_told_how_long_to_wait(
    hub: Stage, now: list[float]
) -> None:
    hub.head("/acme/tiny/resolve/main/config.json")
    now[0] += 61
    limited = (429, {"RateLimit": '"api";r=0;t=100', "RateLimit-Policy": "p"}, b"")
    hub.answers["GET", "/api/models/acme/tiny/revision/main"] = limited
    assert hub.head("/acme/tiny/resolve/main/config.json")[0] == 307  # stale from the store
    hub.asked.clear()
    status, fields, _ = hub.head("/acme/other/resolve/main/x")
    assert (status, fields.get("RateLimit")) == (429, '"api";r=0;t=101')
    assert fields.get("Retry-After") == "101"
    assert hub.response("/api/whoami-v2").status == 429
    assert not hub.plan(f"{PINNED}/config.json").rules.offline, "files are counted apart"
    assert hub.asked == []
    now[0] += 102
    assert hub.head("/acme/other/resolve/main/x")[0] == 401


@pytest.mark.parametrize(
    "entries",
    [
        [{**TREE[0], "size": 1 << 60}],
        [{**TREE[0], "size": -1}],
        [{**TREE[0], "path": "../../etc/passwd"}],
        [TREE[0], TREE[0]],
        {"error": "no list"},
    ],
    ids=["huge", "negative", "climbing", "twice", "no list"],
)
def test_a_listing_that_cannot_be_true_is_refused_with_a_reason(
    context: SiteContext, now: list[float], entries: Any
) -> None:
    hub = stage(context, now, public())
    hub.answers["GET", f"/api/models/acme/tiny/tree/{COMMIT}?recursive=true"] = tree(entries)
    status, fields, _ = hub.head(f"{PINNED}/config.json")
    assert status == 502
    assert fields.get("X-Error-Message").startswith("The hub cannot be asked: ")


# -- listings ----------------------------------------------------------------------------------


def test_every_page_of_a_listing_is_asked_for_and_clients_get_one(hub: Stage) -> None:
    first = f"/api/models/acme/tiny/tree/{COMMIT}?recursive=true"
    link = f'<https://hub.example/api/models/acme/tiny/tree/{COMMIT}?cursor=abc&recursive=true>; rel="next"'
    hub.answers["GET", first] = tree(TREE[:2], link)
    hub.answers["GET", f"/api/models/acme/tiny/tree/{COMMIT}?cursor=abc&recursive=true"] = tree(TREE[2:])
    answer = hub.response("/api/models/acme/tiny/tree/main?recursive=true&expand=false")
    listed = json.loads(body(answer))
    assert [entry["path"] for entry in listed] == [entry["path"] for entry in TREE]
    assert "xetHash" not in listed[3]
    assert "Link" not in answer.headers


def test_pages_that_are_asked_for_lead_on_at_this_node(hub: Stage) -> None:
    answer = hub.response("/api/models/acme/tiny/tree/main?recursive=true&limit=3")
    link = answer.headers.get("Link")
    assert link.startswith("<http://edge.example:8080/hf/api/models/acme/tiny/tree/main?")
    following = link.partition("/hf")[2].partition(">")[0]
    rest = hub.response(following)
    assert [entry["path"] for entry in json.loads(body(rest))] == ["model.safetensors"]
    assert "Link" not in rest.headers


def test_paths_are_looked_up_and_missing_ones_left_out(hub: Stage) -> None:
    answer = hub.response(
        "/api/models/acme/tiny/paths-info/main", method="POST", content=b"paths=config.json&paths=no"
    )
    assert [entry["path"] for entry in json.loads(body(answer))] == ["config.json"]


def test_a_folder_that_is_none_is_an_absent_entry(hub: Stage) -> None:
    for folder in ("additional_chat_templates", "config.json"):
        answer = hub.response(f"/api/models/acme/tiny/tree/main/{folder}")
        assert (answer.status, answer.headers.get("X-Error-Code")) == (404, "EntryNotFound")
    inside = hub.response("/api/models/acme/tiny/tree/main/onnx")
    assert [entry["path"] for entry in json.loads(body(inside))] == ["onnx/a b.json"]


def test_a_file_behind_too_many_pages_is_asked_for_by_itself(hub: Stage) -> None:
    api = f"/api/models/acme/tiny/tree/{COMMIT}"
    query = "recursive=true"
    for number in range(9):
        entries = [{**TREE[0], "path": f"data/{number}"}]
        following = f"cursor={number}"
        hub.answers["GET", f"{api}?{query}"] = tree(entries, f'<{api}?{following}>; rel="next"')
        query = following
    said = {"X-Linked-Etag": f'"{SHA256}"', "X-Linked-Size": "9", "X-Repo-Commit": COMMIT}
    hub.answers["HEAD", f"{PINNED}/far.bin"] = (302, said, b"")
    hub.answers["HEAD", f"{PINNED}/none"] = (404, {"X-Error-Code": "EntryNotFound"}, b"")
    assert hub.head(f"{PINNED}/far.bin")[2] == 9
    assert hub.head(f"{PINNED}/none")[0] == 404
    assert len([target for method, target, _ in hub.asked if method == "GET" and "/tree/" in target]) == 8


# -- what is said while the hub is silent ---------------------------------------------------------


def instead(plan: Plan) -> tuple[int, Headers, Any]:
    """Status, fields and JSON of what the site says when a plan has no answer."""
    assert plan.instead is not None
    said = plan.instead()
    assert said is not None
    data = b"null" if isinstance(said.body, HeadOnly) else body(said)
    return said.status, said.headers, json.loads(data)


def test_a_commit_whose_listing_is_known_is_described_from_it(hub: Stage) -> None:
    hub.response("/api/models/acme/tiny/tree/main?recursive=true")
    for revision in (f"/revision/{COMMIT}", "/revision/main", ""):
        status, _, told = instead(hub.plan(f"/api/models/acme/tiny{revision}?blobs=True"))
        assert (status, told["id"], told["sha"], told["gated"]) == (200, "acme/tiny", COMMIT, False)
        assert [one["rfilename"] for one in told["siblings"]] == [
            "config.json",
            "model.safetensors",
            "onnx/a b.json",
        ]
        assert told["siblings"][1]["lfs"] == {"sha256": SHA256, "size": 1000, "pointerSize": 134}


def test_what_a_restarted_node_has_stored_describes_a_commit_as_well(
    context: SiteContext, now: list[float], hub: Stage
) -> None:
    hub.response("/api/models/acme/tiny/tree/main?recursive=true")
    again = hub.restarted(context)
    again.is_down = True
    _, _, told = instead(again.plan(f"/api/models/acme/tiny/revision/{COMMIT}"))
    assert len(told["siblings"]) == 3


def test_what_only_the_hub_knows_is_left_out_while_it_is_silent(hub: Stage) -> None:
    hub.response("/api/models/acme/tiny/tree/main?recursive=true")
    _, _, entries = instead(hub.plan("/api/models/acme/tiny/tree/main?recursive=true&expand=True"))
    assert [entry["path"] for entry in entries] == [entry["path"] for entry in TREE]
    plan = hub.plan(
        "/api/models/acme/tiny/paths-info/main", method="POST", content=b"paths=config.json&expand=True"
    )
    assert [entry["path"] for entry in instead(plan)[2]] == ["config.json"]
    branches = instead(hub.plan("/api/models/acme/tiny/refs"))[2]["branches"]
    assert [branch["targetCommit"] for branch in branches] == [COMMIT]


def test_a_limit_that_a_file_runs_into_is_shared(hub: Stage, now: list[float]) -> None:
    plan = hub.plan(f"{PINNED}/model.safetensors")
    assert plan.notice is not None
    assert plan.instead is not None
    assert plan.instead() is None
    plan.notice(429, Headers((("RateLimit", '"resolvers";r=0;t=20'),)))
    assert instead_status(plan) == 429
    again = hub.plan(f"{PINNED}/model.safetensors")
    assert (again.rules.offline, again.rules.unavailable_status) == (True, 429)
    assert not hub.plan("/api/models?search=x").rules.offline
    now[0] += 22
    assert not hub.plan(f"{PINNED}/model.safetensors").rules.offline


def instead_status(plan: Plan) -> int:
    assert plan.instead is not None
    said = plan.instead()
    return said.status if said is not None else 0


def test_a_limit_of_one_token_is_not_one_of_others(hub: Stage) -> None:
    plan = hub.plan("/api/whoami-v2", ALICE)
    assert plan.notice is not None
    plan.notice(429, Headers((("Retry-After", "9"),)))
    assert hub.response("/api/whoami-v2", ALICE).status == 429
    assert hub.plan("/api/whoami-v2", BOB)
    assert hub.plan("/api/whoami-v2")


def test_what_was_said_before_does_not_undo_what_was_said_since(
    context: SiteContext, now: list[float]
) -> None:
    hub = stage(context, now, public(), access_ttl=0.0, revision_ttl=0.0)
    assert hub.head(f"{PINNED}/config.json")[0] == 200
    hub.answers = {}
    now[0] += 2
    assert hub.head(f"{PINNED}/config.json")[0] == 401
    # The store may still hold the older answer to another question.
    hub.answers["GET", "/api/models/acme/tiny/revision/main"] = (200, {"Age": "1", **info()[1]}, info()[2])
    now[0] += 0.5
    assert hub.head("/acme/tiny/resolve/main/config.json")[0] == 401


# -- the rest ----------------------------------------------------------------------------------


def test_what_the_hub_need_not_know_is_answered_here(hub: Stage) -> None:
    assert json.loads(body(hub.response("/api/agent-harnesses"))) == {"standardEnvVars": [], "harnesses": {}}
    assert hub.head("/api/telemetry/transformers/x")[0] == 200
    assert hub.response("/api/telemetry/x", method="POST").status == 200
    assert hub.asked == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/models/acme/tiny/preupload/main"),
        ("POST", "/api/models/acme/tiny/commit/main"),
        ("POST", "/api/repos/create"),
        ("DELETE", "/api/models/acme/tiny"),
        ("POST", "/acme/tiny.git/git-receive-pack"),
        ("GET", "/acme/tiny.git/info/refs?service=git-receive-pack"),
    ],
)
def test_uploads_are_passed_with_the_callers_token_or_refused(
    hub: Stage, context: SiteContext, method: str, path: str
) -> None:
    plan = hub.plan(path, ALICE, method=method)
    assert plan.keep_authorization
    assert plan.target == path
    strict = stage(context, [0.0], {}, uploads="refuse", token="hf_alice")
    assert strict.response(path, ALICE, method).status == 403
    anonymous = stage(context, [0.0], {}, token="hf_alice").plan(path, method=method)
    assert "Authorization" not in anonymous.fields


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", f"{PINNED}/config.json"), ("PUT", "/api/models/acme/tiny/tree/main"), ("TRACE", "/api/x")],
)
def test_methods_that_mean_nothing_are_405(hub: Stage, method: str, path: str) -> None:
    assert hub.response(path, method=method).status == 405


def test_git_over_http_is_passed(hub: Stage) -> None:
    plan = hub.plan("/datasets/acme/d/info/refs?service=git-upload-pack", "Basic dTpoZl9hbGljZQ==")
    assert plan.target == "/datasets/acme/d/info/refs?service=git-upload-pack"
    assert plan.keep_authorization


def test_an_endpoint_with_a_path_is_asked_below_it(context: SiteContext, now: list[float]) -> None:
    settings = config.Site(name="m", kind="huggingface", mount="/", endpoint="https://hub.example/mirror/")
    site = huggingface.build(settings, context)
    hub = Stage(site, {("GET", f"/mirror{key[1]}"): answer for key, answer in public().items()}, now)
    planned = hub.ask(f"{PINNED}/config.json")
    assert isinstance(planned, Plan)
    assert planned.target == f"/mirror{PINNED}/config.json"


def test_a_hub_that_cannot_be_is_refused(context: SiteContext) -> None:
    for options in ({"endpoint": "hub"}, {"endpoint": "https://u:p@hub.example"}, {"token": "a b"}):
        with pytest.raises(ConfigurationError):
            huggingface.build(config.Site(name="x", kind="huggingface", **options), context)


def test_a_bare_401_of_a_passed_repository_route_gets_its_code(hub: Stage) -> None:
    plan = hub.plan("/api/models/acme/tiny/discussions", ALICE)
    assert plan.relay is not None
    fields = plan.relay(401, Headers(BARE[1].items()), "https://hub.example/x")
    assert fields.get("X-Error-Code") == "RepoNotFound"


# -- under the hub's own name -----------------------------------------------------------------------


def by_name(
    scene: Stage, target: str, token: str = "", method: str = "GET", host: str = "hub.example"
) -> Any:
    """What the site says in the end to a request for the hub itself."""

    class Named:
        def plan(self, request: Request, path: str) -> Any:
            request = dataclasses.replace(request, target=target, authority=host)
            return hub.plan_named(request, Origin("https", host, 443), target)

        learn = staticmethod(scene.site.learn)

    hub: Any = scene.site
    stand_in = dataclasses.replace(scene, site=Named())  # type: ignore[arg-type]
    return stand_in.ask(target, token, method)


def test_under_its_own_name_everything_is_at_the_root_of_the_hub(context: SiteContext) -> None:
    scene = stage(context, [0.0], public())
    moved = by_name(scene, "/acme/tiny/resolve/main/config.json")
    assert moved.status == 307
    assert moved.headers.get("Location") == f"/acme/tiny/resolve/{COMMIT}/config.json"
    planned = by_name(scene, f"/acme/tiny/resolve/{COMMIT}/model.safetensors")
    ours = scene.plan(f"/acme/tiny/resolve/{COMMIT}/model.safetensors")
    assert (planned.key, planned.expected, planned.tags) == (ours.key, ours.expected, ours.tags)
    head = by_name(scene, f"/acme/tiny/resolve/{COMMIT}/model.safetensors", method="HEAD")
    assert (head.status, head.headers.get("X-Repo-Commit"), head.body.length) == (200, COMMIT, 1000)


def test_links_lead_to_the_hub_and_fields_are_the_hubs(context: SiteContext) -> None:
    scene = stage(context, [0.0], public())
    planned = by_name(scene, "/api/models/acme/tiny/revision/main")
    said = Headers((("Link", '<https://hub.example/api/x?a>; rel="next"'), ("Cache-Control", "max-age=9")))
    assert dict(planned.present(said, None, 0.0, False)) == dict(said)
    paged = by_name(scene, f"/api/models/acme/tiny/tree/{COMMIT}?limit=1")
    assert paged.headers.get("Link").startswith(f"<https://hub.example/api/models/acme/tiny/tree/{COMMIT}?")


def test_permission_belongs_to_the_caller_whoever_passes_it_on(context: SiteContext) -> None:
    answers = {
        ("GET", "/api/models/acme/secret/revision/main", ALICE): info("acme/secret", private=True),
        ("GET", f"/api/models/acme/secret/tree/{COMMIT}?recursive=true", ALICE): tree(),
    }
    scene = stage(context, [0.0], answers)
    target = "/acme/secret/resolve/main/config.json"
    assert by_name(scene, target, ALICE).status == 307
    assert by_name(scene, target, BOB).status == 404
    assert by_name(scene, target).status == 401


@pytest.mark.parametrize(
    "target", ["/", "/docs", "/login?next=%2F", "/acme/tiny", "/acme/tiny/blob/main/config.json", "/a--b/x"]
)
def test_pages_for_people_are_the_hubs_to_answer_where_we_are_taken_for_it(
    context: SiteContext, target: str
) -> None:
    hub: Any = stage(context, [0.0], public()).site
    asked = Request("GET", target, authority="hub.example")
    for is_named, answered in ((True, False), (False, True)):
        planned = hub.plan_named(dataclasses.replace(asked, is_named=is_named), hub.origins[0], target)
        assert (planned is not None) is answered
        assert planned is None or planned.status == 404


def test_what_is_not_the_hubs_is_not_answered(context: SiteContext) -> None:
    scene = stage(context, [0.0], public())
    hub: Any = scene.site
    assert by_name(scene, "/acme/tiny/resolve/main/config.json", host="cdn.hub.example") is None
    assert hub.realm_of(Origin("https", "cdn.hf.co", 443), "/x", is_node=True) is None
    settings = config.Site(name="hf", kind="huggingface", mount="/hf", endpoint="https://hub.example/h")
    below: Any = huggingface.build(settings, context)
    assert below.realms == (Realm(Origin("https", "hub.example", 443), "/h"),)
    asked = Request("GET", "/api/models/a/b", authority="hub.example")
    assert below.plan_named(asked, below.origins[0], "/api/models/a/b") is None
    with pytest.raises(RequestError):
        below.plan_named(asked, below.origins[0], "/h/\xe9")
