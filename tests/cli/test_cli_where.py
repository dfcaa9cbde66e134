import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit


def test_where_asks_the_router_and_shows_each_candidate(run: Any, admin: Any) -> None:
    admin.says(
        {
            "client": {"prefix": "192.0.2.0/24", "country": "DE"},
            "decision": "paris",
            "reason": "the nearest by cost",
            "candidates": [{"node": "paris", "rtt_ms": 15.1, "deviation_ms": 4.5, "source": "distance"}],
            "refused": [{"node": "tokyo", "reason": "down"}],
        }
    )
    ended = run("where", "192.0.2.9", "/hf/a?b", "--admin", admin.address)
    assert ended.code == 0
    for words in ("192.0.2.0/24", "paris", "the nearest by cost", "15.1", "distance", "tokyo", "down"):
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
