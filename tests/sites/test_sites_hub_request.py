from __future__ import annotations

import pytest

from edgeproxy.message import HeadOnly, Request
from edgeproxy.sites.hub_answers import Rewriting
from edgeproxy.sites.hub_asking import Ask
from edgeproxy.sites.hub_facts import NOBODY
from edgeproxy.sites.hub_request import HubRequest

HERE = Rewriting("https://hub.example", "http://edge/hf", "/hf", strips_xet=True)


@pytest.mark.parametrize(
    ("method", "is_api", "kind"),
    [("GET", True, "application/json"), ("GET", False, "text/plain"), ("HEAD", False, "text/plain")],
)
def test_errors_come_as_the_place_demands(method: str, is_api: bool, kind: str) -> None:
    asked = HubRequest(Ask(Request(method, "/hf/a?b"), NOBODY, 0.0, is_api), NOBODY, "/a", "b", HERE)
    answer = asked.error(404, "EntryNotFound", "Entry not found")
    assert asked.target == "/a?b"
    assert answer.headers.get("Content-Type").startswith(kind)
    assert isinstance(answer.body, HeadOnly) is (method == "HEAD")
