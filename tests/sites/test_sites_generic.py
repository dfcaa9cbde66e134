from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy import config
from edgeproxy.errors import ConfigurationError, RequestError
from edgeproxy.message import Request
from edgeproxy.policy.rules import Rules
from edgeproxy.sites import generic
from edgeproxy.sites.site import Plan, SiteContext
from edgeproxy.upstream.upstream import Origin, Reach

CONTEXT = SiteContext("edge", False, Reach(), lambda: 0.0, lambda keys: frozenset())


def plan(
    path: str, origin: str = "http://files.example:9000", authority: str = "", **options: object
) -> Plan:
    site = generic.build(
        config.Site(name="files", mount="/", origin=origin, **options),  # type: ignore[arg-type]
        CONTEXT,
    )
    planned = site.plan(Request("GET", path, authority=authority), path)
    assert isinstance(planned, Plan)
    return planned


def test_a_site_with_nothing_set_is_a_plain_shared_cache() -> None:
    planned = plan("/a")
    assert planned.rules == Rules()
    assert planned.view is None
    assert planned.present is None
    assert planned.keep_authorization


@pytest.mark.parametrize(
    ("origin", "path", "key"),
    [
        ("http://files.example:9000", "/a/b?c=d", "http://files.example:9000/a/b?c=d"),
        ("http://files.example/", "/", "http://files.example/"),
        ("https://files.example/base/", "/a//b/../c", "https://files.example/base/a//b/../c"),
        ("http://files.example", "/a%2Fb?x=%41", "http://files.example/a%2Fb?x=%41"),
        ("http://files.example", "/a?", "http://files.example/a?"),
        ("http://[::1]:9000", "/a", "http://[::1]:9000/a"),
    ],
)
def test_the_key_is_what_is_sent_and_nothing_is_normalised(origin: str, path: str, key: str) -> None:
    assert plan(path, origin).key == key


@pytest.mark.parametrize(
    ("path", "target"),
    [("/old/x", "/new/x"), ("/older", "/newer"), ("/old/special/x", "/s/x"), ("/x/old/", "/x/old/")],
)
def test_the_first_rewrite_that_fits_is_used(path: str, target: str) -> None:
    pairs = [["/old/special/", "/s/"], ["/old", "/new"], ["/new", "/never"]]
    assert plan(path, rewrite=pairs).target == target


@pytest.mark.parametrize(
    ("options", "query", "target"),
    [
        ({}, "b=2&a=1&b=1", "/p?b=2&a=1&b=1"),
        ({"query": "sort"}, "b=2&a=1&b=1", "/p?a=1&b=2&b=1"),
        ({"query": "sort"}, "b=%32&a=+", "/p?a=+&b=%32"),
        ({"query": "drop"}, "b=2", "/p"),
        ({"query_ignore": ["utm"]}, "utm=1&x=2&utm=3", "/p?x=2"),
        ({"query_ignore": ["utm"]}, "ut%6D=1", "/p"),
        ({"query_ignore": ["utm"]}, "utmost=1", "/p?utmost=1"),
    ],
)
def test_the_query_is_changed_before_key_and_request(
    options: dict[str, object], query: str, target: str
) -> None:
    assert plan(f"/p?{query}", **options).target == target


def test_a_host_sent_upstream_that_differs_is_part_of_the_key() -> None:
    one = plan("/a", host_header="client", authority="one.example")
    two = plan("/a", host_header="client", authority="two.example")
    assert one.fields["Host"] == "one.example"
    assert one.key != two.key
    assert plan("/a", host_header="files.example:9000").fields == {}


@pytest.mark.parametrize(("private", "allowed"), [(None, True), (True, True), (False, False)])
def test_a_configured_origin_may_be_private_unless_that_is_forbidden(
    private: bool | None, allowed: bool
) -> None:
    assert plan("/", private_addresses=private).reach.private_addresses is allowed


@pytest.mark.parametrize(
    ("said", "negotiates", "at_once"),
    [("auto", True, False), ("prior-knowledge", True, True), ("off", False, False)],
)
def test_an_origin_speaks_http_2_as_configured(said: str, negotiates: bool, at_once: bool) -> None:
    reach = plan("/", http2=said).reach
    assert (reach.http2, reach.prior_knowledge) == (negotiates, at_once)


def test_options_become_rules() -> None:
    rules = plan(
        "/", ttl_default=5.0, negative_ttl=3.0, force_cache=True, cookies="strip", vary_ignore=["User-Agent"]
    ).rules
    assert (rules.ttl_default, rules.negative_ttl, rules.force_store) == (5.0, 3.0, True)
    assert rules.strip_cookie
    assert rules.strip_set_cookie
    assert rules.vary_ignore == {"user-agent"}


@pytest.mark.parametrize(
    "origin",
    ["", "files.example", "ftp://files.example", "http://a:b@files.example/", "http://x/?q", "http://x:0/"],
)
def test_an_origin_that_is_no_plain_url_is_refused_at_start(origin: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        plan("/", origin)
    assert raised.value.path == "site.files.origin"


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX: y", "/\x00", "/é", "*"])
def test_only_bytes_that_cannot_be_sent_are_refused(path: str) -> None:
    with pytest.raises(RequestError):
        plan(path)


@given(st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=30))
@settings(max_examples=100)
def test_any_sendable_target_arrives_byte_for_byte(rest: str) -> None:
    planned = plan(f"/{rest}")
    assert planned.target == f"/{rest}"
    assert planned.origin == Origin("http", "files.example", 9000)


ORIGIN = Origin("http", "files.example", 9000)


def named(target: str, origin: Origin = ORIGIN, **options: object) -> Plan | None:
    settings_ = config.Site(
        name="files", mount="/m", **{"origin": "http://files.example:9000/pub", **options}
    )  # type: ignore[arg-type]
    site = generic.build(settings_, CONTEXT)
    assert isinstance(site, generic.Generic)
    planned = site.plan_named(Request("GET", target, authority="files.example:9000"), origin, target)
    assert planned is None or isinstance(planned, Plan)
    return planned


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("/pub/a?b=2&a=1", "/pub/a?b=2&a=1"),
        ("/pub/", "/pub/"),
        ("/pub//a/%2e", "/pub//a/%2e"),
        ("/pub", None),
        ("/pub?x", None),
        ("/public/a", None),
        ("/a", None),
        ("*", None),
    ],
)
def test_under_its_own_name_an_origin_answers_below_its_prefix_byte_for_byte(
    target: str, sent: str | None
) -> None:
    planned = named(target)
    assert (None if planned is None else planned.key) == (sent and f"http://files.example:9000{sent}")
    assert named(target, Origin("https", "files.example", 9000)) is None


@pytest.mark.parametrize("target", ["/pub/../a", "/pub/%2e%2e/a", "/pub/..%2fa", "/pub/a/..;x/../../b"])
def test_the_prefix_is_a_fence_under_any_name(target: str) -> None:
    with pytest.raises(RequestError) as refused:
        named(target)
    assert refused.value.status == 400


def test_rules_hold_under_its_own_name_and_rewriting_does_not() -> None:
    options = {"query": "sort", "query_ignore": ["utm"], "ttl": 7.0, "rewrite": [["/a", "/b"]]}
    planned = named("/pub/a?b=1&utm=2&a=3", **options)
    assert planned is not None
    assert planned.target == "/pub/a?a=3&b=1"
    assert planned.rules.ttl == 7.0
    again = named(planned.target, **options)
    assert again == planned  # what one node has sorted the next one leaves alone


def test_a_fixed_host_goes_upstream_under_any_name_and_a_clients_does_not() -> None:
    fixed = named("/pub/a", host_header="inner.example")
    assert fixed is not None
    assert (fixed.fields["Host"], fixed.key_suffix) == ("inner.example", " host=inner.example")
    client = named("/pub/a", host_header="client")
    assert client is not None
    assert (client.fields, client.key_suffix) == ({}, "")
