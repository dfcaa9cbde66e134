"""How requests for hosts that no site knows are passed on."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from edgeproxy.message import Headers, Request, Response
from edgeproxy.proxy.access import Rules
from edgeproxy.proxy.elsewhere import Elsewhere
from edgeproxy.proxy.welcome import Welcome
from edgeproxy.sites.site import Plan
from edgeproxy.upstream.upstream import Reach

RULES = Rules(clients=(ip_network("127.0.0.0/8"),))
ELSEWHERE = Elsewhere(RULES, Reach(), Welcome({}, None, is_proxy=True))


def asked(**changes: Any) -> Request:
    whole = {"authority": "a.example", "client": "127.0.0.1", "target_scheme": "http", **changes}
    return Request("GET", "/x?y", Headers(), **whole)


def test_a_url_in_the_request_line_goes_where_it_says() -> None:
    plan = ELSEWHERE.plan(asked())
    assert isinstance(plan, Plan)
    assert (plan.origin.url, plan.target, plan.keep_authorization) == ("http://a.example", "/x?y", True)


def test_who_has_gone_through_connect_goes_on_over_tls() -> None:
    plan = ELSEWHERE.plan(asked(target_scheme="", scheme="https", is_named=True, authority="a.example:8443"))
    assert isinstance(plan, Plan)
    assert plan.origin.url == "https://a.example:8443"


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


def test_rules_hold_here_as_for_connect() -> None:
    refused = ELSEWHERE.plan(asked(client="192.0.2.1"))
    assert isinstance(refused, Response)
    assert refused.status == 403
    assert ELSEWHERE.plan(asked(authority="a.example:8080")).status == 403  # type: ignore[union-attr]
    assert Elsewhere(None, Reach(), ELSEWHERE.welcome).plan(asked()) is None
