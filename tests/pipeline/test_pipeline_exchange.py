"""Exchange: URLs it takes, redirects it follows, what it counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_house import ORIGIN, Scripted, ScriptedUpstream

from edgeproxy.errors import UpstreamError
from edgeproxy.message import Headers
from edgeproxy.metrics import Metrics
from edgeproxy.pipeline.blame import Blame
from edgeproxy.pipeline.exchange import Exchange, parse_url
from edgeproxy.policy.rules import Rules
from edgeproxy.sites.site import Plan
from edgeproxy.upstream.upstream import Origin


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("http://a.test/b?c", (Origin("http", "a.test", 80), "/b?c")),
        ("HTTPS://A.Test:8443", (Origin("https", "a.test", 8443), "/")),
        ("https://a.test?q", (Origin("https", "a.test", 443), "/?q")),
        ("http://[::1]:80/x#y", (Origin("http", "::1", 80), "/x")),
        ("http://a.test:0/", None),
        ("http://a.test:99999/", None),
        ("http://a.test:8 0/", None),
        ("http://user@a.test/", None),
        ("http://a.test\\@evil.test/", None),
        ("ftp://a.test/", None),
        ("//a.test/", None),
        ("http:///x", None),
        ("http://a.test/\u00e9", None),
    ],
)
def test_urls_are_plain_or_refused(url: str, parsed: tuple[Origin, str] | None) -> None:
    assert parse_url(url) == parsed


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    parse_url("http://" + text)
    parse_url(text)


def plan(*hosts: str, target: str = "/a") -> Plan:
    return Plan(ORIGIN, target, Rules(), redirects=frozenset(hosts))


def to(location: str) -> Scripted:
    return Scripted(302, fields=(("Location", location),), pieces=())


async def ask(upstream: ScriptedUpstream, plan: Plan, **fields: str) -> tuple[int, str]:
    answer = await Exchange(upstream, Metrics(), Blame(lambda: 0.0)).ask(
        plan, "one", "GET", Headers(fields.items())
    )
    return answer.response.status, answer.url


async def test_a_redirect_to_an_allowed_host_is_followed_and_its_end_is_told() -> None:
    upstream = ScriptedUpstream()
    upstream.answers("/a", to("/b"))
    upstream.answers("/b", to("https://files.test/c"))
    upstream.answers("/c", Scripted())
    assert await ask(upstream, plan("origin.test", "files.test")) == (200, "https://files.test/c")


async def test_credentials_stay_with_their_origin() -> None:
    upstream = ScriptedUpstream()
    upstream.answers("/a", to("http://files.test/b"))
    upstream.answers("/b", Scripted())
    await ask(upstream, plan("origin.test", "files.test"), Authorization="secret", Cookie="c=1", Accept="x")
    assert upstream.requests[0].headers.get("Authorization") == "secret"
    assert upstream.requests[1].headers == Headers((("Accept", "x"),))


@pytest.mark.parametrize("location", ["http://evil.test/", "http://user@files.test/", "gopher://files.test/"])
async def test_redirects_elsewhere_are_failures(location: str) -> None:
    upstream = ScriptedUpstream()
    upstream.answers("/a", to(location))
    with pytest.raises(UpstreamError, match="not allowed"):
        await ask(upstream, plan("origin.test", "files.test"))


async def test_redirects_without_end_are_a_failure() -> None:
    upstream = ScriptedUpstream()
    upstream.answers("/a", to("/a"))
    with pytest.raises(UpstreamError, match="more than 5"):
        await ask(upstream, plan("origin.test"))
    assert len(upstream.requests) == 6


async def test_without_allowed_hosts_a_redirect_is_the_answer() -> None:
    upstream = ScriptedUpstream()
    upstream.answers("/a", to("/b"))
    assert await ask(upstream, plan()) == (302, "")


async def test_every_head_of_the_plans_own_origin_is_told_and_no_others() -> None:
    told: list[tuple[int, str]] = []
    upstream = ScriptedUpstream()
    upstream.answers("/a", to("http://cdn.test/b"))
    upstream.answers("/b", Scripted(fields=(("RateLimit", "not ours"),)))
    notice = lambda status, headers: told.append((status, headers.get("RateLimit")))  # noqa: E731
    await ask(upstream, replace(plan("cdn.test"), notice=notice))
    assert told == [(302, "")]


async def test_a_redirect_that_is_refused_is_counted_and_its_answer_let_go() -> None:
    upstream, metrics = ScriptedUpstream(), Metrics()
    upstream.answers("/a", to("http://10.0.0.1/x"))
    with pytest.raises(UpstreamError, match="not allowed"):
        await Exchange(upstream, metrics, Blame(lambda: 0.0)).ask(plan("cdn.test"), "one", "GET", Headers())
    assert upstream.given[0].closed
    assert metrics.value("upstream_errors_total", "one", "http_protocol_error") == 1
