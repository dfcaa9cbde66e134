from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeproxy import config
from edgeproxy.errors import ConfigurationError
from edgeproxy.message import Headers, Request, Response
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites import python_upstreams
from edgeproxy.sites.site import Plan, Site, SiteContext, Unacceptable

JSON = "application/vnd.pypi.simple.v1+json"
WHEEL = "/f/files.example/p/thing-1.0-py3-none-any.whl"


def site(context: SiteContext, **options: Any) -> Site:
    options.setdefault("index", "https://index.example/simple/")
    return python_upstreams.build(
        config.Site(name="pypi", kind="python-index", mount="/pypi", **options), context
    )


def ask(site: Site, path: str, method: str = "GET", **headers: str) -> Plan | Response:
    pairs = Headers((name.replace("_", "-"), value) for name, value in headers.items())
    return site.plan(Request(method, f"/pypi{path}", pairs, authority="edge.example:8080"), path)


def plan(site: Site, path: str, **headers: str) -> Plan:
    planned = ask(site, path, **headers)
    assert isinstance(planned, Plan)
    return planned


def status(site: Site, path: str, method: str = "GET") -> int:
    answer = ask(site, path, method)
    assert isinstance(answer, Response)
    return answer.status


def stored(planned: Plan, content_type: str = JSON, **more: Any) -> StoredResponse:
    times = {"born": 0.0, "request_time": 1.5, "response_time": 0.0, "fresh_until": 600.0}
    fields = (("Content-Type", content_type),)
    return StoredResponse(key=planned.key, site="pypi", status=200, fields=fields, **{**times, **more})


def wheel(metadata: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("thing-1.0.dist-info/METADATA", metadata)
    return buffer.getvalue()


def show(site: Site, project: str = "thing", **file: Any) -> None:
    """Let the site see a page that lists one wheel."""
    planned = plan(site, f"/simple/{project}/")
    entry = {
        "filename": "thing-1.0-py3-none-any.whl",
        "url": "https://files.example/p/thing-1.0-py3-none-any.whl",
        "hashes": {"sha256": "ab" * 32},
        "size": 9,
        **file,
    }
    body = json.dumps({"name": project, "files": [entry]}).encode()
    assert planned.view is not None
    site.learn(planned.view.derive(stored(planned), body, None).learned)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/simple/thing/", 405),
        ("GET", "/", 404),
        ("GET", "/simple/-bad/", 404),
        ("GET", "/simple/a%2fb/", 404),
        ("GET", "/simple/../", 404),
        ("GET", "/simple/thing/x", 404),
        ("GET", "/simple", 307),
        ("GET", "/simple/thing", 307),
        ("GET", "/simple/Thing/", 307),
        ("GET", "/f/files.example", 404),
        ("GET", "/f/files.example/", 404),
        ("GET", "/f/files.example/a/../b.whl", 404),
        ("GET", "/f/http:~~x/p/thing-1.0.zip", 404),
        ("GET", "/pypi/thing/../json", 404),
        ("GET", "/elsewhere", 404),
    ],
)
def test_what_the_index_cannot_have_is_answered_without_asking_it(
    context: SiteContext, method: str, path: str, expected: int
) -> None:
    assert status(site(context), path, method) == expected


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/simple", "simple/"),
        ("/simple/thing", "thing/"),
        ("/simple/Some.Thing", "some-thing/"),
        ("/simple/Some_Thing/", "../some-thing/"),
        (f"/simple/Thing/?x=//evil&format={JSON}", f"../thing/?format={JSON}"),
    ],
)
def test_redirects_are_relative_and_temporary(context: SiteContext, path: str, location: str) -> None:
    answer = ask(site(context), path)
    assert isinstance(answer, Response)
    assert (answer.status, answer.headers.get("Location")) == (307, location)


def test_every_client_shares_one_page_and_gets_its_own_view(context: SiteContext) -> None:
    index = site(context)
    one = plan(index, "/simple/thing/?x=1", Accept=f"{JSON}, text/html;q=0.1", Accept_Encoding="gzip")
    two = plan(index, "/simple/thing/", Accept="text/html")
    assert one.key == two.key == "https://index.example/simple/thing/"
    assert one.fields == two.fields
    assert one.view is not None
    assert two.view is not None
    assert one.view.id != two.view.id
    assert {"accept", "accept-encoding"} <= one.rules.vary_ignore
    assert one.tags == ("project:thing",)


def test_a_page_fails_softly(context: SiteContext) -> None:
    rules = plan(site(context, page_ttl=300.0), "/simple/thing/").rules
    assert (rules.ttl_max, rules.ttl_default) == (300.0, 300.0)
    assert {429, 500, 520} <= rules.error_statuses
    assert (rules.unavailable_status, rules.negative_ttl, rules.negative_in_memory) == (503, 60.0, True)
    assert rules.retry_after is not None
    assert 1 <= rules.retry_after <= 5
    assert rules.stale_when_disconnected == 7 * 86400
    assert rules.second_look == 30.0


@pytest.mark.parametrize(
    ("now", "stale", "control"), [(100.0, False, "max-age=500"), (700.0, True, "no-cache")]
)
def test_clients_keep_a_page_for_what_is_left_and_never_a_stale_one(
    context: SiteContext, now: float, stale: bool, control: str
) -> None:
    planned = plan(site(context), "/simple/thing/")
    assert planned.present is not None
    fields = planned.present(Headers((("Cache-Control", "max-age=600"),)), stored(planned), now, stale)
    assert fields.get("Cache-Control") == control
    assert fields.get("Vary") == "Accept, Accept-Encoding"
    assert ("Warning" in fields) is stale
    assert fields.get("Date") == "Thu, 01 Jan 1970 00:00:00 GMT"


def test_a_linked_file_is_checked_and_immutable(context: SiteContext) -> None:
    index = site(context)
    show(index)
    planned = plan(index, WHEEL, Authorization="Basic x")
    assert planned.key == "https://files.example/p/thing-1.0-py3-none-any.whl"
    assert (planned.expected.sha256, planned.expected.size) == ("ab" * 32, 9)
    assert planned.rules.immutable
    assert planned.prerequisite is None
    assert planned.finish_without_readers
    assert not planned.keep_authorization
    assert not planned.reach.private_addresses
    assert planned.present is not None
    loose = planned.present(
        Headers((("Content-Type", "x/y"), ("Content-Encoding", "gzip"))), stored(planned), 0.0, False
    )
    assert loose.get("Content-Type") == "application/octet-stream"
    assert "Content-Encoding" not in loose
    assert loose.get("ETag").startswith('"u-')
    proven = planned.present(Headers(), stored(planned, digest="ab" * 32), 0.0, False)
    assert proven.get("ETag") == f'"sha256-{"ab" * 32}"'


def test_a_file_nobody_has_linked_yet_asks_for_its_page_and_nothing_else(context: SiteContext) -> None:
    index = site(context)
    planned = plan(index, WHEEL)
    assert planned.prerequisite is not None
    assert planned.prerequisite.key == "https://index.example/simple/thing/"
    assert planned.rules.offline
    assert planned.rules.unavailable_status == 404
    assert planned.key != "https://files.example/p/thing-1.0-py3-none-any.whl"
    show(index)
    other = plan(index, "/f/files.example/p/other-1.0.zip")
    assert other.rules.unavailable_status == 503
    unlisted = plan(index, "/f/files.example/p/thing-2.0.zip")
    assert unlisted.rules.unavailable_status == 404


def test_an_unlisted_file_of_a_configured_host_is_fetched_unverified(context: SiteContext) -> None:
    index = site(context, link_hosts=["files.example"])
    planned = plan(index, "/f/files.example/p/thing-2.0.zip")
    assert not planned.rules.offline
    assert not planned.rules.immutable
    assert planned.prerequisite is not None


def test_a_sidecar_comes_from_upstream_or_out_of_the_wheel(context: SiteContext) -> None:
    metadata = b"Metadata-Version: 2.1\n"
    digest = hashlib.sha256(metadata).hexdigest()
    index = site(context)
    show(index, **{"core-metadata": {"sha256": digest}})
    planned = plan(index, f"{WHEEL}.metadata")
    assert planned.key.endswith(".whl.metadata")
    assert planned.expected.sha256 == digest
    assert planned.otherwise is not None
    assert planned.otherwise.view is not None
    view = planned.otherwise.view
    assert view.derive(stored(planned), wheel(metadata), None).data == metadata
    page = plan(index, "/simple/thing/").view
    for broken in (wheel(b"other"), b"no archive"):
        with pytest.raises(Unacceptable) as raised:
            view.derive(stored(planned), broken, None)
        index.learn(raised.value.learned)
    after = plan(index, "/simple/thing/").view
    assert page is not None
    assert after is not None
    assert page.id != after.id
    assert plan(index, f"{WHEEL}.metadata").otherwise is None


def test_blocked_projects_are_refused_as_page_and_as_file(context: SiteContext) -> None:
    index = site(context, blocked=["Thing*"])
    assert status(index, "/simple/thing/") == 403
    assert status(index, WHEEL) == 403
    assert status(index, "/pypi/thing/json") == 403


def test_young_files_are_refused_and_unknown_ones_never_fetched(context: SiteContext) -> None:
    index = site(context, min_release_age=3600.0, link_hosts=["files.example"])
    assert plan(index, WHEEL).rules.offline
    show(index, **{"upload-time": "1970-01-12T13:46:39Z"})
    assert status(index, WHEEL) == 403
    show(index, **{"upload-time": "1970-01-01T00:00:00Z"})
    assert plan(index, WHEEL).expected.sha256


def test_a_private_index_may_link_to_private_hosts(context: SiteContext) -> None:
    index = site(context, index="http://127.0.0.1:9100/simple")
    planned = plan(index, "/simple/thing/")
    assert planned.key == "http://127.0.0.1:9100/simple/thing/"
    assert planned.reach.private_addresses
    show(index, url="http://127.0.0.1:9101/p/thing-1.0-py3-none-any.whl")
    file = plan(index, "/f/http~127.0.0.1~9101/p/thing-1.0-py3-none-any.whl")
    assert file.reach.private_addresses
    assert file.key == "http://127.0.0.1:9101/p/thing-1.0-py3-none-any.whl"


def test_userinfo_of_the_index_becomes_a_credential_for_it_alone(context: SiteContext) -> None:
    index = site(context, index="https://me:p%40ss@index.example/simple/")
    page = plan(index, "/simple/thing/")
    assert page.fields["Authorization"] == "Basic bWU6cEBzcw=="
    assert "me" not in page.key.partition("index")[0]
    show(index)
    assert "Authorization" not in plan(index, WHEEL).fields


def test_static_credentials_come_from_a_file(context: SiteContext, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("me:secret\n")
    index = site(context, credentials="static", credentials_file=str(secret))
    assert plan(index, "/simple/thing/").fields["Authorization"] == "Basic bWU6c2VjcmV0"
    with pytest.raises(ConfigurationError):
        site(context, credentials="static", credentials_file=str(tmp_path / "none"))


def test_passed_credentials_keep_clients_apart(context: SiteContext) -> None:
    index = site(context, credentials="pass")
    one = plan(index, "/simple/thing/", Authorization="Basic a")
    two = plan(index, "/simple/thing/", Authorization="Basic b")
    assert one.keep_authorization
    assert one.key != two.key
    assert "Basic" not in one.key


def test_legacy_json_gets_absolute_links_of_ours(context: SiteContext) -> None:
    planned = plan(site(context), "/pypi/Thing/json")
    assert planned.key == "https://index.example/pypi/thing/json"
    assert planned.view is not None
    assert planned.view.volatile
    one = {"url": "https://files.example/p/t-1.zip", "digests": {"sha256": "ab"}}
    body = json.dumps(
        {"info": {"home_page": "https://files.example/"}, "urls": [one], "releases": {"1": [one]}}
    )
    made = json.loads(planned.view.derive(stored(planned, "application/json"), body.encode(), None).data)
    assert made["urls"][0]["url"] == "http://edge.example:8080/pypi/f/files.example/p/t-1.zip"
    assert made["releases"]["1"] == made["urls"]
    assert made["info"] == {"home_page": "https://files.example/"}


def test_the_list_of_all_projects_may_be_switched_off(context: SiteContext) -> None:
    assert plan(site(context), "/simple/").target == "/simple/"
    assert status(site(context, root_list=False), "/simple/") == 404


def test_offline_pages_are_made_for_each_answer(
    offline_with: Callable[[frozenset[str]], SiteContext],
) -> None:
    view = plan(site(offline_with(frozenset())), "/simple/thing/").view
    assert view is not None
    assert view.volatile
    kept = plan(site(offline_with(frozenset()), offline_filter=False), "/simple/thing/").view
    assert kept is not None
    assert not kept.volatile


def test_a_removed_project_takes_its_files_along_until_its_page_is_back(context: SiteContext) -> None:
    index = site(context)
    show(index)
    usual = plan(index, WHEEL)
    index.learn(plan(index, "/simple/thing/").missing)
    for path in (WHEEL, f"{WHEEL}.metadata", "/f/files.example/p/thing-2.0.zip"):
        gone = plan(index, path)
        assert gone.key not in (usual.key, f"{usual.key}.metadata")
        assert gone.rules.offline
        assert gone.rules.unavailable_status == 404
        assert gone.prerequisite is not None
    show(index)
    assert plan(index, WHEEL).key == usual.key


@pytest.mark.parametrize("options", [{"keep_deleted": True}, {"credentials": "pass"}])
def test_a_missing_page_removes_nothing_where_it_cannot_be_believed(
    context: SiteContext, options: dict[str, Any]
) -> None:
    assert plan(site(context, **options), "/simple/thing/").missing is None


def test_a_wheel_too_large_to_open_loses_its_mark_when_its_sidecar_is_missing(context: SiteContext) -> None:
    index = site(context)
    show(index, **{"core-metadata": {"sha256": "cd" * 32}, "size": (64 << 20) + 1})
    planned = plan(index, f"{WHEEL}.metadata")
    assert planned.otherwise is None
    assert {404, 410} <= planned.rules.error_statuses
    before = plan(index, "/simple/thing/").view
    index.learn(planned.missing)
    after = plan(index, "/simple/thing/").view
    assert before is not None
    assert after is not None
    assert before.id != after.id


def test_a_file_without_hash_is_refused_when_one_is_required(context: SiteContext) -> None:
    index = site(context, require_hash=True, link_hosts=["files.example"])
    assert plan(index, WHEEL).rules.offline
    show(index, hashes={})
    assert status(index, WHEEL) == 403
    show(index)
    assert plan(index, WHEEL).expected.sha256


@pytest.mark.parametrize("path", ["/simple/n{}/", "/pypi/n{}/json", "/f/files.example/p/n{}-1.0.zip"])
def test_a_client_that_guesses_names_is_told_to_wait(context: SiteContext, path: str) -> None:
    index = site(context, names_per_client=5)
    show(index)
    answers = [ask(index, path.format(number)) for number in range(30)]
    refused = answers[-1]
    assert isinstance(refused, Response)
    assert refused.status == 503
    assert refused.headers.get("Retry-After") == "1"
    assert isinstance(ask(index, "/simple/thing/"), Plan)
