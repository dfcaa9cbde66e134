"""How requests for hosts that no site knows are passed on."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from edgeproxy.message import Headers, Request, Response
from edgeproxy.metrics import Metrics
from edgeproxy.proxy.access import Rules
from edgeproxy.proxy.elsewhere import Elsewhere
from edgeproxy.proxy.welcome import Welcome
from edgeproxy.sites.site import Plan
from edgeproxy.upstream.upstream import Origin, Reach

RULES = Rules(clients=(ip_network("127.0.0.0/8"),))
METRICS = Metrics()
SITE = Origin("https", "site.example", 443)
ELSEWHERE = Elsewhere(
    RULES,
    Reach(),
    lambda scheme, host, port: Origin(scheme, host, port) == SITE,
    lambda origin: Reach(ca_file="/site.pem") if origin == SITE else None,
    Welcome({}, None, is_proxy=True),
    METRICS,
)


def asked(**changes: Any) -> Request:
    whole = {"authority": "a.example", "client": "127.0.0.1", "target_scheme": "http", **changes}
    return Request("GET", "/x?y", Headers(), **whole)


def test_a_url_in_the_request_line_goes_where_it_says() -> None:
    plan = ELSEWHERE.plan(asked())
    assert isinstance(plan, Plan)
    assert (plan.origin.url, plan.target, plan.keep_authorization) == ("http://a.example", "/x?y", True)


def test_who_has_gone_through_connect_goes_on_over_tls() -> None:
    plan = ELSEWHERE.plan(asked(target_scheme="", scheme="https", is_named=True, authority="a.example:443"))
    assert isinstance(plan, Plan)
    assert plan.origin.url == "https://a.example"
    assert plan.reach.ca_file is None


def test_what_a_site_does_not_plan_of_its_host_is_reached_as_the_site_reaches_it() -> None:
    named = {"target_scheme": "", "scheme": "https", "is_named": True}
    plan = ELSEWHERE.plan(asked(**named, authority="site.example"))
    assert isinstance(plan, Plan)
    assert plan.reach.ca_file == "/site.pem"


@pytest.mark.parametrize(
    "changes",
    [
        {"target_scheme": ""},  # it means the node
        {"target_scheme": "https"},  # TLS is for CONNECT
        {"authority": ""},
    ],
)
def test_what_means_nobody_else_is_not_passed_on(changes: dict[str, Any]) -> None:
    assert ELSEWHERE.plan(asked(**changes)) is None


def test_who_names_another_host_than_it_has_asked_for_is_judged_anew() -> None:
    named = {"target_scheme": "", "scheme": "https", "is_named": True}
    shown = replace(RULES, users=("ada:lovelace",), refused_hosts=("b.example",))
    elsewhere = replace(ELSEWHERE, rules=shown)
    assert isinstance(elsewhere.plan(asked(**named, authority="a.example")), Plan)
    for authority in ("b.example", "a.example:25"):
        refused = elsewhere.plan(asked(**named, authority=authority))
        assert isinstance(refused, Response)
        assert refused.status == 403
    only_sites = replace(ELSEWHERE, rules=None)
    assert only_sites.plan(asked(**named, authority="a.example")) is None
    assert isinstance(only_sites.plan(asked(**named, authority="site.example")), Plan)


def test_rules_hold_here_as_for_connect() -> None:
    refused = ELSEWHERE.plan(asked(client="192.0.2.1"))
    assert isinstance(refused, Response)
    assert refused.status == 403
    assert not refused.close
    assert METRICS.value("proxy_refusals_total", "clients") == 1
    assert refused.outcome.detail == "clients: this proxy does not serve your address"
    assert ELSEWHERE.plan(asked(authority="a.example:8080")).status == 403  # type: ignore[union-attr]
    assert replace(ELSEWHERE, rules=None).plan(asked()) is None
