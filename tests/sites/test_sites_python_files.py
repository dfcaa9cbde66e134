"""Files and pages of an index, asked for under the names of the hosts that have them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import pytest

from edgeproxy import config
from edgeproxy.errors import RequestError
from edgeproxy.message import Headers, Request, Response
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites import python_upstreams
from edgeproxy.sites.python_facts import FileFacts, PageFacts, Removed, file_key
from edgeproxy.sites.python_index import PythonIndex
from edgeproxy.sites.site import Plan, Realm, SiteContext
from edgeproxy.upstream.upstream import Origin

INDEX = Origin("https", "index.example", 443)
FILES = Origin("https", "files.example", 443)
OTHER = Origin("https", "other.example", 443)
WHEEL = "/p/thing-1.0-py3-none-any.whl"
JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"


def site(context: SiteContext, **options: Any) -> PythonIndex:
    options.setdefault("index", "https://index.example/simple/")
    settings = config.Site(name="pypi", kind="python-index", mount="/pypi", **options)
    built = python_upstreams.build(settings, context)
    assert isinstance(built, PythonIndex)
    return built


def named(
    site: PythonIndex, origin: Origin, target: str, fields: Mapping[str, str] | None = None, **more: Any
) -> Plan | Response | None:
    request = Request("GET", target, Headers((fields or {}).items()), authority=origin.authority, **more)
    return site.plan_named(request, origin, target)


def plan(site: PythonIndex, origin: Origin, target: str, **fields: str) -> Plan:
    planned = named(site, origin, target, {k.replace("_", "-"): v for k, v in fields.items()})
    assert isinstance(planned, Plan), planned
    return planned


def mounted(site: PythonIndex, path: str) -> Plan:
    planned = site.plan(Request("GET", f"/pypi{path}"), path)
    assert isinstance(planned, Plan)
    return planned


def show(site: PythonIndex, origin: Origin = FILES, **facts: Any) -> None:
    """Let the site learn of one wheel."""
    found = FileFacts(**{"sha256": b"\xab" * 32, "size": 9, "sidecar": b"\xcd" * 32, **facts})
    site.learn(PageFacts("thing", {file_key(origin, WHEEL): found}, hosts=frozenset({origin})))


@pytest.mark.parametrize(
    ("origin", "target", "what"),
    [
        (INDEX, "/simple/thing/", "https://index.example/simple/thing/"),
        (INDEX, "/simple/thing/?x=1", "https://index.example/simple/thing/"),
        (INDEX, "/simple/", "https://index.example/simple/"),
        (INDEX, "/simple/Thing/", 307),
        (INDEX, "/simple/thing", 307),
        (INDEX, "/pypi/thing/json", "https://index.example/pypi/thing/json"),
        (INDEX, "/pypi/thing/1.0/json", "https://index.example/pypi/thing/1.0/json"),
        (INDEX, "/integrity/thing/1.0/thing-1.0.zip/provenance", "https://index.example/integrity/"),
        (INDEX, "/packages/thing-1.0.zip", "https://index.example/packages/thing-1.0.zip"),
        (INDEX, "/project/thing/", None),
        (INDEX, "/", None),
        (INDEX, "/simple", None),
        (INDEX, "/pypi/f/files.example/p/thing-1.0.zip", "https://index.example/pypi/f/files.example/p/"),
        (FILES, "/p/thing-1.0.zip", None),  # nobody has linked to it
        (Origin("http", "index.example", 80), "/simple/thing/", None),
        (INDEX, "/simple/../thing-1.0.zip", None),
        (INDEX, "/simple/a%2fb/", 404),
    ],
)
def test_what_is_answered_under_which_name(
    context: SiteContext, origin: Origin, target: str, what: str | int | None
) -> None:
    planned = named(site(context, link_hosts=["elsewhere.example"]), origin, target)
    match what:
        case None:
            assert planned is None
        case int():
            assert isinstance(planned, Response)
            assert planned.status == what
        case str():
            assert isinstance(planned, Plan)
            assert planned.key.startswith(what)


def test_one_stored_page_has_two_views(context: SiteContext) -> None:
    of = site(context)
    own = plan(of, INDEX, "/simple/thing/", Accept=f"{JSON}, {HTML};q=0.1")
    ours = mounted(of, "/simple/thing/")
    assert (own.key, own.fields, own.rules, own.tags) == (ours.key, ours.fields, ours.rules, ours.tags)
    assert own.view is not None
    assert ours.view is not None
    assert own.view.id != ours.view.id
    assert "own/json+html" in own.view.id


def test_a_file_is_planned_as_at_the_mount_but_for_its_fields(context: SiteContext) -> None:
    of = site(context)
    show(of)
    for suffix in ("", ".metadata"):
        own, ours = plan(of, FILES, WHEEL + suffix), mounted(of, f"/f/files.example{WHEEL}{suffix}")
        assert own.present is None
        same = dataclasses.replace(ours, present=None, otherwise=None)
        assert dataclasses.replace(own, otherwise=None) == same
        assert own.expected.sha256 in ("ab" * 32, "cd" * 32)


def test_fields_of_a_page_are_the_indexs_but_for_what_selects_a_form_here(context: SiteContext) -> None:
    own = plan(site(context), INDEX, "/simple/thing/")
    assert own.present is not None
    stored = StoredResponse(
        key="k", site="s", status=200, fields=(), born=0, request_time=0, response_time=0, fresh_until=0
    )
    shown = own.present(Headers((("Cache-Control", "max-age=9"), ("Vary", "Accept"))), stored, 0.0, False)
    assert shown == Headers((("Cache-Control", "max-age=9"), ("Vary", "Accept, Accept-Encoding")))


@pytest.mark.parametrize(
    ("origin", "target", "is_node", "is_realm"),
    [
        (FILES, WHEEL, False, True),
        (FILES, "/anything", False, True),
        (OTHER, "/p/unseen-1.0.zip", False, False),
        (OTHER, "/p/unseen-1.0.zip", True, True),  # its page will tell
        (OTHER, "/p/unseen-1.0.zip.metadata?x", True, True),
        (OTHER, WHEEL, True, False),  # the page has told, and named another host
        (OTHER, "/p/readme", True, False),
        (INDEX, WHEEL, True, False),  # of the configuration: not learned
        (Origin("http", "other.example", 80), "/p/unseen-1.0.zip", True, False),
    ],
)
def test_hosts_are_believed_when_a_page_links_to_them_or_may(
    context: SiteContext, origin: Origin, target: str, is_node: bool, is_realm: bool
) -> None:
    of = site(context)
    show(of)
    assert of.realm_of(origin, target, is_node=is_node) == (Realm(origin) if is_realm else None)
    assert site(context, link_hosts=["x.example"]).realm_of(OTHER, target, is_node=True) is None


def test_a_file_of_an_unseen_page_waits_for_it_and_is_never_fetched_from_a_host_it_does_not_name(
    context: SiteContext,
) -> None:
    of = site(context)
    waiting = plan(of, OTHER, WHEEL)
    assert waiting.prerequisite is not None
    assert waiting.prerequisite.key == "https://index.example/simple/thing/"
    assert (waiting.rules.offline, waiting.rules.unavailable_status) == (True, 421)
    show(of)
    answer = named(of, OTHER, WHEEL)
    assert isinstance(answer, Response)
    assert answer.status == 421
    assert plan(of, FILES, WHEEL).prerequisite is None


def test_the_operators_rules_hold_under_any_name(context: SiteContext) -> None:
    def status(of: PythonIndex, origin: Origin, target: str) -> int:
        show(of, sha256=b"", uploaded=999_999.0)
        answer = named(of, origin, target)
        assert isinstance(answer, Response)
        return answer.status

    assert status(site(context, blocked=["thing"]), INDEX, "/simple/thing/") == 403
    assert status(site(context, blocked=["thing"]), FILES, WHEEL) == 403
    assert status(site(context, min_release_age=3600.0), FILES, WHEEL) == 403
    assert status(site(context, require_hash=True), FILES, WHEEL) == 403
    assert status(site(context, root_list=False), INDEX, "/simple/") == 404
    removed = site(context)
    show(removed)
    removed.learn(Removed("thing"))
    assert plan(removed, FILES, WHEEL).rules.unavailable_status == 404


def test_only_reading_is_answered(context: SiteContext) -> None:
    answer = site(context).plan_named(Request("POST", "/simple/thing/"), INDEX, "/simple/thing/")
    assert isinstance(answer, Response)
    assert answer.status == 405
    assert site(context).plan_named(Request("POST", "/legacy/"), INDEX, "/legacy/") is None
    with pytest.raises(RequestError):
        named(site(context), INDEX, "/simple/\xe9/")


def test_a_node_that_has_proven_to_be_one_counts_its_own_clients(context: SiteContext) -> None:
    of = site(context, names_per_client=1)

    def statuses(**more: Any) -> set[int]:
        answers = (named(of, INDEX, f"/simple/name{n}/", **more) for n in range(20))
        return {answer.status if isinstance(answer, Response) else 0 for answer in answers}

    assert statuses(client="192.0.2.1") == {0, 503}
    assert statuses(client="192.0.2.2", node="edge-1") == {0}


def test_the_old_json_stays_as_it_is(context: SiteContext) -> None:
    own = plan(site(context), INDEX, "/pypi/thing/json")
    assert own.view is not None
    body = json.dumps({"info": {}, "urls": [{"url": f"https://files.example{WHEEL}"}]}, indent=2).encode()
    stored = StoredResponse(
        key=own.key, site="s", status=200, fields=(), born=0, request_time=0, response_time=0, fresh_until=0
    )
    assert own.view.derive(stored, body, None).data == body
