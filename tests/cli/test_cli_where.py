import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

sys.path.insert(0, str(Path(__file__).parents[1] / "router"))

from router_world import NOW, client_at, node

from edgeproxy.router.explanation import explanation
from edgeproxy.router.nodes import NodeState
from edgeproxy.router.snapshot import Snapshot

NODES = (node("tokyo"), node("paris", state=NodeState.DOWN), node("denver"))
DOCUMENT = explanation(client_at("tokyo"), None, Snapshot(NODES), NOW)


def test_where_asks_the_router_and_shows_each_candidate(run: Any, admin: Any) -> None:
    admin.says(DOCUMENT)
    ended = run("where", "192.0.2.9", "/hf/a?b", "--admin", admin.address)
    assert ended.code == 0
    for words in (
        DOCUMENT["client"]["prefix"],
        "tokyo",
        "the nearest by cost",
        "distance",
        "paris",
        "refused: down",
        "otherwise",
    ):
        assert words in ended.out
    ((method, target, *_),) = admin.asked
    assert (method, urlsplit(target).path) == ("GET", "/route/explain")
    assert parse_qsl(urlsplit(target).query, keep_blank_values=True) == [
        ("ip", "192.0.2.9"),
        ("url", "/hf/a?b"),
    ]


def test_where_gives_the_answer_as_it_is_on_request(run: Any, admin: Any) -> None:
    admin.says({"decision": "none"})
    ended = run("where", "192.0.2.9", "--json", "--admin", admin.address)
    assert json.loads(ended.out) == {"decision": "none"}


def test_what_the_router_says_is_passed_on(run: Any, admin: Any) -> None:
    admin.says({"error": "'x' is no IP address"}, 400)
    ended = run("where", "x", "--admin", admin.address)
    assert (ended.code, "is no IP address" in ended.err) == (1, True)
