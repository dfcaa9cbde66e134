from __future__ import annotations

import json
from typing import Any

import pytest
from hub_stage import COMMIT, OTHER, SHA1, SHA256

from edgeproxy import config
from edgeproxy.message import Headers
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.hub_facts import (
    NOBODY,
    Caller,
    Failed,
    Kind,
    Level,
    Limited,
    SawAccess,
    SawFile,
    SawName,
    SawRevision,
    WithoutAuthCheck,
    WithoutListings,
)
from edgeproxy.sites.hub_names import File, Repo
from edgeproxy.sites.hub_questions import LimitNotice, Questions
from edgeproxy.sites.hub_rules import hub_rules
from edgeproxy.sites.hub_settings import hub
from edgeproxy.sites.site import Inquiry, Seen, SiteContext, Unacceptable

REPO = Repo("models", "acme/tiny")
FILE = File(REPO, "resolve", COMMIT, "a b")
ALICE = Caller("Bearer hf_alice", "0123")


@pytest.fixture
def questions(context: SiteContext) -> Questions:
    settings = config.Site(name="hf", kind="huggingface", endpoint="https://hub.example/up/")
    return Questions(hub(settings, context), hub_rules(settings, context), lambda _: None)


def learned(inquiry: Inquiry, status: int, data: Any = b"", **fields: str) -> tuple[Any, ...]:
    content = data if isinstance(data, bytes) else json.dumps(data).encode()
    headers = Headers((name.replace("_", "-"), value) for name, value in fields.items())
    found = inquiry.read(Seen(status, headers, content, at=100.0))
    assert isinstance(found, tuple)
    return found


def test_tokens_go_upstream_and_nowhere_else(questions: Questions) -> None:
    for asked in (
        questions.info(REPO, "main", ALICE, quiet=False),
        questions.auth_check(REPO, ALICE, quiet=False),
        questions.page(REPO, COMMIT, "", ALICE, quiet=False),
        questions.head(FILE, "", ALICE, quiet=False),
        questions.may_read(FILE, ALICE, quiet=False),
    ):
        assert asked.plan.fields["Authorization"] == "Bearer hf_alice"
        assert "hf_alice" not in f"{asked.id} {asked.plan.key}"
        assert asked.plan.key_suffix
        assert asked.plan.target.startswith("/up/")


def test_asking_the_store_alone_is_another_question(questions: Questions) -> None:
    loud, quiet = (questions.info(REPO, "main", NOBODY, quiet=quiet) for quiet in (False, True))
    assert (loud.plan.rules.offline, quiet.plan.rules.offline) == (False, True)
    assert loud.plan.key == quiet.plan.key
    assert loud.id != quiet.id


@pytest.mark.parametrize(
    ("changes", "level", "final"),
    [
        ({"gated": False}, Level.FILES, True),
        ({"gated": "auto"}, Level.LISTING, False),
        ({"gated": False, "disabled": True}, Level.LISTING, False),
        ({}, Level.LISTING, False),
    ],
)
def test_only_who_says_that_it_is_not_gated_is_believed(
    questions: Questions, changes: dict[str, Any], level: Level, final: bool
) -> None:
    asked = questions.info(REPO, "main", ALICE, quiet=False)
    found = learned(asked, 200, {"id": "acme/tiny", "sha": COMMIT, **changes})
    assert found == (
        SawName(REPO, REPO),
        SawAccess(REPO, "0123", level, final, 100.0),
        SawRevision(REPO, "main", COMMIT, 100.0),
    )


def test_the_stores_answers_are_as_old_as_they_say(questions: Questions) -> None:
    asked = questions.info(REPO, "main", NOBODY, quiet=False)
    found = learned(asked, 200, {"id": "acme/tiny", "sha": COMMIT, "gated": False}, Age="40")
    assert [one.at for one in found[1:]] == [60.0, 60.0]


def test_an_old_name_teaches_the_new_one_as_well(questions: Questions) -> None:
    asked = questions.info(Repo("models", "gpt2"), "main", NOBODY, quiet=False)
    found = learned(asked, 200, {"id": "acme/tiny", "sha": COMMIT, "gated": False})
    assert SawName(Repo("models", "gpt2"), REPO) in found
    assert SawRevision(REPO, "main", COMMIT, 100.0) in found


@pytest.mark.parametrize("data", [b"<html>", b"[]", {"id": "acme/tiny"}, {"id": "acme/tiny", "sha": "main"}])
def test_what_is_no_answer_is_a_failure_of_the_hub(questions: Questions, data: Any) -> None:
    asked = questions.info(REPO, "main", NOBODY, quiet=False)
    (failed,) = learned(asked, 200, data)
    assert isinstance(failed, Failed)
    assert (failed.inquiry, failed.status) == (asked.id, 502)


@pytest.mark.parametrize("status", [0, 408, 500, 503])
def test_trouble_is_never_a_no(questions: Questions, status: int) -> None:
    for asked in (
        questions.info(REPO, "main", NOBODY, quiet=False),
        questions.page(REPO, COMMIT, "", NOBODY, quiet=False),
        questions.head(FILE, "", NOBODY, quiet=False),
        questions.auth_check(REPO, ALICE, quiet=False),
    ):
        assert [type(one) for one in learned(asked, status)] == [Failed]


def test_refusals_are_told_apart_by_what_they_are_about(questions: Questions) -> None:
    asked = questions.info(REPO, "v9", NOBODY, quiet=False)
    (revision,) = learned(asked, 404, X_Error_Code="RevisionNotFound")
    (access,) = learned(asked, 401, X_Error_Message="Invalid username or password.")
    assert (revision.revision, revision.commit, revision.refusal.status) == ("v9", "", 404)
    assert (access.level, access.is_final, access.refusal.status) == (Level.NOTHING, True, 401)


@pytest.mark.parametrize(
    ("status", "fields", "found"),
    [
        (429, {"RateLimit": '"api";r=0;t=167'}, [(Kind.API, 167)]),
        (429, {"RateLimit": '"resolvers";r=5;t=3, "api";r=0;t=9'}, [(Kind.API, 9)]),
        (429, {"Retry-After": "12"}, [(Kind.FILES, 12)]),
        (429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, [(Kind.FILES, 30)]),
        (429, {}, [(Kind.FILES, 30)]),
        (200, {"RateLimit": '"resolvers";r=0;t=5'}, [(Kind.FILES, 5)]),
        (200, {"RateLimit": '"resolvers";r=1;t=5'}, []),
        (200, {"RateLimit": '"resolvers";r=0;t=0'}, []),
        (200, {"RateLimit": '"other";r=0;t=5'}, []),
        (200, {}, []),
    ],
)
def test_heads_say_how_long_to_wait_and_with_what(
    status: int, fields: dict[str, str], found: list[tuple[Kind, float]]
) -> None:
    told: list[Limited] = []
    LimitNotice(Kind.FILES, "0123", told.extend)(status, Headers(fields.items()))
    assert [(limited.kind, limited.seconds) for limited in told] == found
    assert {limited.caller for limited in told} <= {"0123"}


def test_a_limit_is_no_answer(questions: Questions) -> None:
    asked = questions.info(REPO, "", NOBODY, quiet=False)
    assert [type(one) for one in learned(asked, 429)] == [Failed]
    assert asked.plan.notice is not None


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (200, "", SawAccess(REPO, "0123", Level.FILES, True, 100.0)),
        (404, "", WithoutAuthCheck()),
        (405, "", WithoutAuthCheck()),
    ],
)
def test_the_question_of_access_has_three_answers(
    questions: Questions, status: int, code: str, expected: object
) -> None:
    asked = questions.auth_check(REPO, ALICE, quiet=False)
    assert learned(asked, status, X_Error_Code=code) == (expected,)
    for refused, level in ((403, Level.LISTING), (401, Level.LISTING)):
        (saw,) = learned(asked, refused, X_Error_Code="GatedRepo")
        assert (saw.level, saw.is_final) == (level, True)
    (gone,) = learned(asked, 404, X_Error_Code="RepoNotFound")
    assert gone.level is Level.NOTHING


def test_a_file_that_is_not_there_permits_nothing(questions: Questions) -> None:
    asked = questions.may_read(FILE, ALICE, quiet=False)
    assert [type(one) for one in learned(asked, 404, X_Error_Code="EntryNotFound")] == [Failed]
    (saw,) = learned(asked, 302, Location="https://cdn.example/")
    assert saw.level is Level.FILES


def test_pages_without_a_listing_are_told_from_missing_commits(questions: Questions) -> None:
    asked = questions.page(REPO, COMMIT, "", NOBODY, quiet=False)
    assert learned(asked, 404) == (WithoutListings(REPO, COMMIT),)
    (saw,) = learned(asked, 404, X_Error_Code="RevisionNotFound")
    assert (saw.revision, saw.commit) == (COMMIT, "")


def test_unacceptable_pages_are_kept_out_of_the_store(questions: Questions) -> None:
    asked = questions.page(REPO, COMMIT, "", NOBODY, quiet=False)
    assert asked.plan.view is not None
    assert asked.plan.view.volatile
    with pytest.raises(Unacceptable):
        asked.plan.view.derive(_stored(), b"<html>", None)


def _stored() -> Any:
    times = {"born": 0.0, "request_time": 0.0, "response_time": 0.0, "fresh_until": 1.0}
    return StoredResponse(key="k", site="hf", status=200, fields=(), **times)


@pytest.mark.parametrize(
    ("status", "fields", "size", "location"),
    [
        (302, {"X_Linked_Etag": f'"{SHA256}"', "X_Linked_Size": "7", "Location": "https://cdn/x"}, 7, ""),
        (307, {"X_Linked_Etag": f'"{SHA1}"', "Location": "/api/resolve-cache/x"}, -1, "/api/resolve-cache/x"),
        (307, {"X_Linked_Etag": f'"{SHA1}"', "Location": "https://cdn.example/x"}, -1, ""),
        (200, {"ETag": f'W/"{SHA1}"', "Content_Length": "3"}, 3, ""),
    ],
)
def test_the_head_of_a_file_says_what_it_is(
    questions: Questions, status: int, fields: dict[str, str], size: int, location: str
) -> None:
    (saw,) = learned(questions.head(FILE, "", NOBODY, quiet=False), status, X_Repo_Commit=COMMIT, **fields)
    assert isinstance(saw, SawFile)
    assert saw.held.entry is not None
    assert (saw.held.entry.size, saw.held.location) == (size, location)


@pytest.mark.parametrize(
    "fields",
    [
        {"ETag": '"xet"'},
        {"ETag": f'"{SHA1}"', "X_Repo_Commit": OTHER},
        {"ETag": f'"{SHA1}"', "X_Linked_Size": "9" * 17},
    ],
)
def test_a_head_that_does_not_fit_is_a_failure(questions: Questions, fields: dict[str, str]) -> None:
    found = learned(questions.head(FILE, "", NOBODY, quiet=False), 200, **fields)
    assert [type(one) for one in found] == [Failed]
