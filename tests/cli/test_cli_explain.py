import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit


def test_explain_asks_the_node_and_shows_its_answer(run: Any, admin: Any) -> None:
    admin.says(
        {
            "url": "/a",
            "key": "http://127.0.0.1:9000/a",
            "decision": "hit",
            "why": "stored [and] fresh",
            "freshness": {"age_seconds": 10.0, "is_fresh": True, "arithmetic": "60 - 10 = 50"},
            "stored": [{"status": 200, "body_bytes": 2048}],
        }
    )
    ended = run("explain", "/a?b=c d&e", "-H", "Accept: x", "--method", "HEAD", "--admin", admin.address)
    assert ended.code == 0
    for words in ("http://127.0.0.1:9000/a", "stored [and] fresh", "60 - 10 = 50", "2.0 KiB", "10 s"):
        assert words in ended.out
    ((method, target, *_),) = admin.asked
    assert (method, urlsplit(target).path) == ("GET", "/api/v1/explain")
    assert parse_qsl(urlsplit(target).query) == [
        ("url", "/a?b=c d&e"),
        ("method", "HEAD"),
        ("header", "Accept: x"),
    ]


def test_explain_gives_the_answer_as_it_is_on_request(run: Any, admin: Any) -> None:
    admin.says({"decision": "miss"})
    assert json.loads(run("explain", "/a", "--json", "--admin", admin.address).out) == {"decision": "miss"}
