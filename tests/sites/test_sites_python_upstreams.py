"""Which of several indexes a request is planned for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from edgeproxy import config
from edgeproxy.errors import ConfigurationError
from edgeproxy.message import Headers, Request, Response
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.python_upstreams import build
from edgeproxy.sites.site import Inquiry, NamedSite, Plan, Planned, Seen, Site, SiteContext
from edgeproxy.upstream.upstream import Origin

JSON = "application/vnd.pypi.simple.v1+json"
PRIVATE, PUBLIC = "https://private.example/simple/", "https://public.example/simple/"
FILE = "/f/files.example/p/thing-1.0-py3-none-any.whl"


def site(context: SiteContext, **options: Any) -> Site:
    settings = {"index": PRIVATE, "upstreams": [PUBLIC], **options}
    return build(config.Site(name="pypi", kind="python-index", mount="/pypi", **settings), context)


def ask(indexes: Site, path: str, method: str = "GET", **headers: str) -> Planned:
    pairs = Headers((name.replace("_", "-"), value) for name, value in headers.items())
    return indexes.plan(Request(method, f"/pypi{path}", pairs, authority="edge.example:8080"), path)


def inquiry(indexes: Site, path: str, **headers: str) -> Inquiry:
    planned = ask(indexes, path, **headers)
    assert isinstance(planned, Inquiry)
    return planned


def plan(indexes: Site, path: str, **headers: str) -> Plan:
    planned = ask(indexes, path, **headers)
    assert isinstance(planned, Plan)
    return planned


def answer(indexes: Site, context: SiteContext, path: str, *statuses: int, **headers: str) -> Planned:
    """What is planned once the indexes have answered like this."""
    for status in statuses:
        asked = inquiry(indexes, path, **headers)
        indexes.learn(asked.read(Seen(status, at=context.clock())))
    return ask(indexes, path, **headers)


def show(indexes: Site, planned: Plan, **file: Any) -> None:
    """Let the site see the page that was planned, which lists one wheel."""
    name = "thing-1.0-py3-none-any.whl"
    url = f"https://files.example/p/{name}"
    entry = {"filename": name, "url": url, "hashes": {"sha256": "ab" * 32}, **file}
    body = json.dumps({"name": "thing", "files": [entry]}).encode()
    times = {"born": 0.0, "request_time": 1.5, "response_time": 0.0, "fresh_until": 600.0}
    stored = StoredResponse(
        key=planned.key, site="pypi", status=200, fields=(("Content-Type", JSON),), **times
    )
    assert planned.view is not None
    indexes.learn(planned.view.derive(stored, body, None).learned)


def test_the_private_index_is_asked_first_and_its_yes_is_the_answer(context: SiteContext) -> None:
    indexes = site(context)
    asked = inquiry(indexes, "/simple/thing/")
    assert asked.plan.key == f"{PRIVATE}thing/"
    planned = answer(indexes, context, "/simple/thing/", 200)
    assert isinstance(planned, Plan)
    assert (planned.key, planned.source) == (f"{PRIVATE}thing/", PRIVATE)


def test_its_no_leads_to_the_next_without_a_question(context: SiteContext) -> None:
    planned = answer(site(context), context, "/simple/thing/", 404)
    assert isinstance(planned, Plan)
    assert (planned.key, planned.source) == (f"{PUBLIC}thing/", PUBLIC)


def test_its_failure_leaves_what_is_stored_of_the_next_and_asks_nobody_else(context: SiteContext) -> None:
    planned = answer(site(context), context, "/simple/thing/", 503)
    assert isinstance(planned, Plan)
    assert planned.key == f"{PUBLIC}thing/"
    assert planned.rules.offline
    assert planned.otherwise is not None
    assert planned.otherwise.key == f"{PRIVATE}thing/"
    assert not planned.otherwise.rules.offline


@pytest.mark.parametrize("status", [401, 403])
def test_its_refusal_is_the_answer(context: SiteContext, status: int) -> None:
    planned = answer(site(context), context, "/simple/thing/", status)
    assert isinstance(planned, Plan)
    assert planned.key == f"{PRIVATE}thing/"


@pytest.mark.parametrize(
    "path",
    ["/simple/acme-tool/", "/pypi/acme-tool/json", "/f/files.example/p/acme_tool-1.0-py3-none-any.whl"],
)
def test_of_private_names_nobody_else_is_asked(context: SiteContext, path: str) -> None:
    planned = plan(site(context, private=["acme-*"]), path)
    assert planned.source == PRIVATE
    if planned.prerequisite is not None:
        assert planned.prerequisite.origin.host == "private.example"


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/pypi/thing/json", "https://public.example/pypi/thing/json"),
        ("/pypi/Thing/1.0/json", "https://public.example/pypi/thing/1.0/json"),
        (
            "/integrity/thing/1.0/thing-1.0.tar.gz/provenance",
            "https://public.example/integrity/thing/1.0/thing-1.0.tar.gz/provenance",
        ),
    ],
)
def test_all_that_has_a_project_goes_to_its_owner(context: SiteContext, path: str, key: str) -> None:
    planned = answer(site(context), context, path, 404)
    assert isinstance(planned, Plan)
    assert planned.key == key


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/simple/Thing/", 307),
        ("GET", "/simple/thing", 307),
        ("POST", "/simple/thing/", 405),
        ("GET", "/elsewhere", 404),
        ("GET", "/f/files.example/p/", 404),
        ("GET", "/f/no~host~at~all/p/thing-1.0.zip", 404),
        ("GET", "/f/files.example/p/README", 404),
    ],
)
def test_what_no_index_can_have_asks_nobody(
    context: SiteContext, method: str, path: str, status: int
) -> None:
    planned = ask(site(context), path, method)
    assert isinstance(planned, Response)
    assert planned.status == status


def test_the_list_of_projects_is_that_of_the_first(context: SiteContext) -> None:
    assert plan(site(context), "/simple/").key.startswith(PRIVATE)


def test_a_file_is_checked_against_the_page_of_the_owner_only(context: SiteContext) -> None:
    indexes = site(context)
    public = answer(indexes, context, "/simple/thing/", 404)
    assert isinstance(public, Plan)
    show(indexes, public)
    found = answer(indexes, context, FILE)
    assert isinstance(found, Plan)
    assert (found.expected.sha256, found.source) == ("ab" * 32, PUBLIC)
    # From now on the private index has the project, and its page does not list this file.
    indexes.learn(inquiry_of(indexes, 0, 200, context))
    private = plan(indexes, "/simple/thing/")
    show(indexes, private, url="https://private.example/p/thing-1.0-py3-none-any.whl")
    refused = plan(indexes, FILE)
    assert refused.source == PRIVATE
    assert refused.rules.offline
    assert refused.rules.unavailable_status == 404


def inquiry_of(indexes: Site, number: int, status: int, context: SiteContext) -> Any:
    """What is learned when the index of this number answers, whatever it said a moment ago."""
    from edgeproxy.sites.python_owners import Answered

    return Answered("thing", number, "", status, context.clock())


def test_a_file_no_page_lists_is_not_fetched_even_from_a_host_of_the_configuration(
    context: SiteContext,
) -> None:
    indexes = site(context, link_hosts=["files.example"])
    planned = answer(indexes, context, FILE, 404)
    assert isinstance(planned, Plan)
    assert planned.rules.offline
    assert planned.prerequisite is not None
    assert planned.prerequisite.key == f"{PUBLIC}thing/"


def test_credentials_stay_with_the_first(context: SiteContext, tmp_path: Any) -> None:
    secret = tmp_path / "secret"
    secret.write_text("user:word")
    indexes = site(context, credentials="static", credentials_file=str(secret))
    assert "Authorization" in inquiry(indexes, "/simple/thing/").plan.fields
    planned = answer(indexes, context, "/simple/thing/", 404)
    assert isinstance(planned, Plan)
    assert "Authorization" not in planned.fields


def test_a_clients_credentials_go_to_the_first_and_answer_for_this_client(context: SiteContext) -> None:
    indexes = site(context, credentials="pass")
    asked = inquiry(indexes, "/simple/thing/", Authorization="Basic YTpi")
    assert asked.plan.fields["Authorization"] == "Basic YTpi"
    indexes.learn(asked.read(Seen(404, at=context.clock())))
    planned = plan(indexes, "/simple/thing/", Authorization="Basic YTpi")
    assert planned.key == f"{PUBLIC}thing/"
    assert not planned.keep_authorization
    assert inquiry(indexes, "/simple/thing/").id != asked.id


def test_guessed_names_are_counted_once_for_each_request(context: SiteContext) -> None:
    indexes = site(context, names_per_client=1)
    for number in range(4):
        assert isinstance(answer(indexes, context, f"/simple/p{number}/", 404), Plan)
    refused = ask(indexes, "/simple/p4/")
    assert isinstance(refused, Response)
    assert refused.status == 503


@pytest.mark.parametrize(
    ("upstreams", "complaint"),
    [([PRIVATE], "twice"), (["ftp://x/"], "plain URL"), ([""], "plain URL"), ([PUBLIC, PUBLIC], "twice")],
)
def test_upstreams_that_make_no_sense_are_told_of(
    context: SiteContext, upstreams: list[str], complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        site(context, upstreams=upstreams)
    assert caught.value.path == "site.pypi.upstreams"


def test_blocked_names_are_refused_before_anybody_is_asked(context: SiteContext) -> None:
    planned = ask(site(context, blocked=["thing"]), "/simple/thing/")
    assert isinstance(planned, Response)
    assert planned.status == 403


def test_offline_serves_whoever_has_it_stored(context: SiteContext) -> None:
    indexes = site(replace(context, offline=True))
    # Nothing stored of the first: what an inquiry sees offline is no answer.
    planned = answer(indexes, context, "/simple/thing/", 0)
    assert isinstance(planned, Plan)
    assert planned.key == f"{PUBLIC}thing/"


# -- under the names of the indexes -----------------------------------------------------------------

WHEEL = "/p/thing-1.0-py3-none-any.whl"
HOSTS = {
    name: Origin("https", f"{name}.example", 443) for name in ("private", "public", "files", "elsewhere")
}


def by_name(indexes: Site, host: str, target: str, **more: Any) -> Planned | None:
    assert isinstance(indexes, NamedSite)
    request = Request("GET", target, authority=f"{host}.example", client="192.0.2.1", **more)
    return indexes.plan_named(request, HOSTS[host], target)


def test_who_names_an_index_gets_what_that_index_has(context: SiteContext) -> None:
    indexes = site(context)
    for host, url in (("private", PRIVATE), ("public", PUBLIC)):
        planned = by_name(indexes, host, "/simple/thing/")
        assert isinstance(planned, Plan)
        assert (planned.key, planned.source) == (f"{url}thing/", url)
        legacy = by_name(indexes, host, "/pypi/thing/json")
        assert isinstance(legacy, Plan)
        assert legacy.origin == HOSTS[host]
    assert by_name(indexes, "elsewhere", "/simple/thing/") is None
    assert by_name(indexes, "public", "/about") is None
    assert isinstance(indexes, NamedSite)
    assert [realm.origin for realm in indexes.realms] == [HOSTS["private"], HOSTS["public"]]


def test_a_private_name_is_asked_of_nobody_else_under_any_name(context: SiteContext) -> None:
    indexes = site(context, private=["acme-*"])
    answer = by_name(indexes, "public", "/simple/acme-tool/")
    assert isinstance(answer, Response)
    assert answer.status == 404
    for host in ("public", "private", "files"):
        planned = by_name(indexes, host, "/p/acme_tool-1.0-py3-none-any.whl")
        if isinstance(planned, Plan):
            assert planned.source == PRIVATE
            assert planned.prerequisite is None or planned.prerequisite.origin == HOSTS["private"]


def test_a_file_is_that_of_the_index_whose_page_lists_it(context: SiteContext) -> None:
    indexes = site(context)
    page = by_name(indexes, "public", "/simple/thing/")
    assert isinstance(page, Plan)
    show(indexes, page)
    planned = by_name(indexes, "files", WHEEL)
    assert isinstance(planned, Plan)
    assert (planned.source, planned.expected.sha256) == (PUBLIC, "ab" * 32)
    assert isinstance(indexes, NamedSite)
    assert indexes.realm_of(HOSTS["files"], WHEEL, is_node=False) is not None
    assert HOSTS["files"] in indexes.origins


def test_whose_a_file_is_that_no_page_has_listed_is_found_out_first(context: SiteContext) -> None:
    indexes = site(context)
    asked = by_name(indexes, "files", WHEEL)
    assert isinstance(asked, Inquiry)
    assert asked.plan.key == f"{PRIVATE}thing/"
    indexes.learn(asked.read(Seen(404, at=context.clock())))
    planned = by_name(indexes, "files", WHEEL)
    assert isinstance(planned, Plan)
    assert planned.prerequisite is not None
    assert planned.prerequisite.key == f"{PUBLIC}thing/"


def test_unknown_names_are_counted_but_for_nodes(context: SiteContext) -> None:
    indexes = site(context, names_per_client=1)
    answers = [by_name(indexes, "public", f"/simple/name{n}/") for n in range(20)]
    assert {one.status for one in answers if isinstance(one, Response)} == {503}
    of_nodes = [by_name(indexes, "public", f"/simple/name{n}/", node="edge-1") for n in range(20)]
    assert all(isinstance(one, Plan) for one in of_nodes)
