import json
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("arguments", "order", "answer", "said"),
    [
        ([], {"exec": False}, {"changed": [], "needs_restart": []}, "reloaded: nothing has changed\n"),
        (
            [],
            {"exec": False},
            {"changed": ["limits.uri", "site.a"], "needs_restart": ["cache.memory"]},
            "reloaded: limits.uri, site.a\nneeds a restart (edgeproxy reload --exec): cache.memory\n",
        ),
        (["--exec"], {"exec": True}, {"restarted": True, "pid": 7}, "restarted: process 7\n"),
    ],
)
def test_a_reload_says_what_came_of_it(
    run: Any, admin: Any, arguments: list[str], order: Any, answer: Any, said: str
) -> None:
    admin.says(answer)
    ended = run("reload", *arguments, "--admin", admin.address)
    assert (ended.code, ended.out) == (0, said)
    ((method, path, _, body),) = admin.asked
    assert (method, path, json.loads(body)) == ("POST", "/api/v1/reload", order)


def test_a_refusal_ends_with_1_and_its_reason(run: Any, admin: Any) -> None:
    admin.says({"error": "limits.uri: not a size"}, status=409)
    ended = run("reload", "--admin", admin.address)
    assert (ended.code, ended.out) == (1, "")
    assert "409: limits.uri: not a size" in ended.err
