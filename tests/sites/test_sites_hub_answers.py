from __future__ import annotations

import json

import pytest
from hub_stage import COMMIT, SHA256, body

from edgeproxy.message import Headers
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites import hub_answers
from edgeproxy.sites.hub_answers import FilePresentation, Rewriting
from edgeproxy.sites.hub_facts import Refusal
from edgeproxy.sites.hub_tree import Entry

ENTRY = Entry('dir/ünï "x".bin', False, b"", 9, bytes.fromhex(SHA256))
HERE = Rewriting("https://hub.example", "http://edge:8080/hf", "/hf", strips_xet=True)
CAS = "https://cas.example/v1/reconstructions/x"


def fields(**pairs: str) -> Headers:
    return Headers((name.replace("_", "-"), value) for name, value in pairs.items())


def stored(status: int = 200) -> StoredResponse:
    times = {"born": 0.0, "request_time": 0.0, "response_time": 0.0, "fresh_until": 1.0}
    return StoredResponse(key="k", site="hf", status=status, fields=(), **times)


@pytest.mark.parametrize(
    ("upstream", "location"),
    [
        ("/acme/new/resolve/main/x", "/hf/acme/new/resolve/main/x"),
        ("https://hub.example/acme/new", "/hf/acme/new"),
        ("https://hub.example.evil/x", "https://hub.example.evil/x"),
        ("https://cdn.example/x", "https://cdn.example/x"),
        ("//evil.example/x", "//evil.example/x"),
    ],
)
def test_locations_of_the_hub_lead_here_without_a_host(upstream: str, location: str) -> None:
    assert HERE.location(upstream) == location


def test_a_location_below_the_endpoints_own_path_loses_that_path() -> None:
    here = Rewriting("https://hub.example/mirror", "http://edge/hf", "/hf", strips_xet=True)
    assert here.location("/mirror/acme/x") == "/hf/acme/x"
    assert here.url("https://hub.example/mirror/api?x") == "http://edge/hf/api?x"


@pytest.mark.parametrize(
    ("strips", "link"),
    [
        (True, '<http://edge:8080/hf/api/x?cursor=1>; rel="next"'),
        (False, f'<http://edge:8080/hf/api/x?cursor=1>; rel="next", <{CAS}>; rel="xet-reconstruction-info"'),
    ],
)
def test_links_lead_here_and_those_of_xet_are_taken_out(strips: bool, link: str) -> None:
    here = Rewriting("https://hub.example", "http://edge:8080/hf", "/hf", strips_xet=strips)
    told = f'<https://hub.example/api/x?cursor=1>; rel="next", <{CAS}>; rel="xet-reconstruction-info"'
    assert here.fields(fields(Link=told)).get("Link") == link
    assert ("X-Xet-Hash" in here.fields(fields(X_Xet_Hash="x"))) is not strips


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (Refusal(401, "", "Invalid username or password."), "RepoNotFound"),
        (Refusal(401, "", "Invalid credentials in Authorization header"), ""),
        (Refusal(401, "GatedRepo", "Restricted"), "GatedRepo"),
        (Refusal(403, "", "Access to this resource is disabled."), ""),
    ],
)
def test_a_bare_401_gets_the_code_it_means(said: Refusal, code: str) -> None:
    answer = hub_answers.refused(said, is_api=True, head=False)
    assert (answer.status, answer.headers.get("X-Error-Code")) == (said.status, code)
    assert answer.headers.get("X-Error-Message") == said.message
    assert json.loads(body(answer)) == {"error": said.message}


def test_a_challenge_survives_and_fields_hold_no_odd_bytes() -> None:
    said = Refusal(401, "", "no\r\nSet-Cookie: x\u00fc", (("WWW-Authenticate", "Bearer"),))
    answer = hub_answers.refused(said, is_api=False, head=False)
    assert answer.headers.get("WWW-Authenticate") == "Bearer"
    assert answer.headers.get("X-Error-Message") == "no??Set-Cookie: x?"


@pytest.mark.parametrize(
    ("known", "status"), [(f'"{SHA256}"', 304), (f'W/"x", "{SHA256}"', 304), ("*", 304), ('"x"', 200)]
)
def test_a_head_for_what_the_client_has_is_304(known: str, status: int) -> None:
    told = hub_answers.file_fields(ENTRY, COMMIT)
    answer = hub_answers.file_head(fields(If_None_Match=known), told, 9)
    assert (answer.status, answer.headers.get("ETag")) == (status, f'"{SHA256}"')


def test_names_of_files_stand_in_fields_as_ascii() -> None:
    said = hub_answers.disposition(ENTRY.path)
    assert said == "inline; filename*=UTF-8''%C3%BCn%C3%AF%20%22x%22.bin; filename=\"_n_ _x_.bin\";"


def test_a_file_has_the_same_fields_wherever_its_bytes_came_from() -> None:
    known = hub_answers.file_fields(ENTRY, COMMIT)
    came = fields(ETag='"cdn"', RateLimit="x", Link="<x>", Age="9", Vary="*", X_Xet_Hash="x", Date="today")
    shown = FilePresentation(known, ENTRY.path)(came, stored(), 0.0, False)
    assert shown.get("ETag") == f'"{SHA256}"'
    assert {name for name, _ in shown} == {"Date", *(name for name, _ in known)}
    saved = FilePresentation(known, ENTRY.path, is_download=True)(came, stored(), 0.0, False)
    assert saved.get("Content-Disposition").startswith("attachment; ")
    assert "X-Repo-Commit" not in FilePresentation(known, ENTRY.path)(came, stored(404), 0.0, False)


def test_failures_on_their_way_say_what_happened() -> None:
    final = hub_answers.relay(HERE, on_repo=True)
    assert final(502, fields(X_Edge_Error="hub: cut"), "").get("X-Error-Message") == "hub: cut"
    assert final(403, fields(), "").get("X-Error-Message") == "the hub answered 403"
    assert "X-Error-Message" not in final(200, fields(), "")
    assert "X-Error-Code" not in hub_answers.relay(HERE, on_repo=False)(401, fields(), "")


def test_what_is_stored_is_shown_without_limits_of_others() -> None:
    shown = hub_answers.presentation(HERE)(fields(RateLimit="x", Vary="Origin", ETag="e"), stored(), 0, False)
    assert {name for name, _ in shown} == {"ETag", "Cache-Control"}
