"""An API: what its answers say, and nothing that they do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgeproxy import config
from edgeproxy.errors import ConfigurationError
from edgeproxy.message import Headers, Request
from edgeproxy.policy.cache_control import governing
from edgeproxy.policy.freshness import lifetime
from edgeproxy.policy.rules import Rules
from edgeproxy.sites import api, generic
from edgeproxy.sites.site import Plan, SiteContext

NOW = 1_800_000_000.0
LONG_AGO = "Mon, 01 Jan 2024 00:00:00 GMT"


def plan(context: SiteContext, kind: str = "api", **options: object) -> Plan:
    given: dict[str, Any] = {"name": "a", "mount": "/", "origin": "https://api.example/v1", **options}
    build = api.build if kind == "api" else generic.build
    planned = build(config.Site(kind=kind, **given), context).plan(Request("GET", "/x?b&a"), "/x?b&a")
    assert isinstance(planned, Plan)
    return planned


def seconds(rules: Rules, *fields: tuple[str, str]) -> float:
    headers = Headers(fields)
    return lifetime(200, headers, governing(headers, rules.targeted), rules, NOW).seconds


def test_it_asks_as_a_generic_site_does(context: SiteContext) -> None:
    ours, theirs = plan(context), plan(context, "generic")
    assert replace(ours, rules=theirs.rules) == theirs
    assert ours.rules.retries == 1


@pytest.mark.parametrize(
    ("fields", "guessed", "fresh"),
    [
        ([("Last-Modified", LONG_AGO)], True, 0.0),
        ([("Last-Modified", LONG_AGO), ("Cache-Control", "max-age=60")], False, 60.0),
        ([("Cache-Control", "s-maxage=5, max-age=60")], False, 5.0),
        ([("CDN-Cache-Control", "max-age=7")], False, 7.0),
        ([], False, 0.0),
    ],
)
def test_freshness_is_what_an_answer_says(
    context: SiteContext, fields: list[tuple[str, str]], guessed: bool, fresh: float
) -> None:
    assert seconds(plan(context).rules, *fields) == fresh
    assert (seconds(plan(context, "generic").rules, *fields) > fresh) is guessed


def test_options_of_a_site_hold(context: SiteContext) -> None:
    assert seconds(plan(context, ttl_default=30.0).rules) == 30.0


def test_it_needs_to_know_where_the_api_is(context: SiteContext) -> None:
    with pytest.raises(ConfigurationError, match="kind api needs the URL"):
        api.build(config.Site(name="a", kind="api", mount="/"), context)
