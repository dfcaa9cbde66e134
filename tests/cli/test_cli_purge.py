import json
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("arguments", "order", "said"),
    [
        (["--all"], {"scope": "all", "value": "", "soft": False}, "purged: all\n"),
        (
            ["--site", "pypi", "--soft"],
            {"scope": "site", "value": "pypi", "soft": True},
            "made stale: site pypi\n",
        ),
        (
            ["--url", "http://h/a"],
            {"scope": "url", "value": "http://h/a", "soft": False},
            "purged: url http://h/a\n",
        ),
        (
            ["--prefix", "http://h/"],
            {"scope": "prefix", "value": "http://h/", "soft": False},
            "purged: prefix",
        ),
        (["--tag", "t"], {"scope": "tag", "value": "t", "soft": False}, "purged: tag t\n"),
    ],
)
def test_a_purge_is_ordered_as_said(
    run: Any, admin: Any, arguments: list[str], order: Any, said: str
) -> None:
    ended = run("purge", *arguments, "--admin", admin.address)
    assert ended.code == 0
    assert said in ended.out
    ((method, path, _, body),) = admin.asked
    assert (method, path, json.loads(body)) == ("POST", "/api/v1/purge", order)


@pytest.mark.parametrize(
    "arguments", [[], ["--soft"], ["--all", "--tag", "t"], ["--site", "a", "--url", "b"]]
)
def test_a_purge_needs_exactly_one_scope(run: Any, admin: Any, arguments: list[str]) -> None:
    assert run("purge", *arguments, "--admin", admin.address).code == 2
    assert admin.asked == []


def test_what_the_node_refuses_ends_with_1(run: Any, admin: Any) -> None:
    admin.says({"error": "no site has this name"}, status=404)
    ended = run("purge", "--site", "x", "--admin", admin.address)
    assert (ended.code, ended.out) == (1, "")
    assert "404: no site has this name" in ended.err
