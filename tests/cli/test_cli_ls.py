import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from edgeproxy.cli.admin_client import Unanswered
from edgeproxy.cli.ls import PAGE_ROWS, stored

COMMIT = "aa" * 20
HUB = "https://huggingface.co"
ROWS = [
    {
        "key": f"{HUB}/org/name/resolve/{COMMIT}/{path}",
        "name": path,
        "tags": ["repo:models/org/name", f"commit:{COMMIT}"],
        "size_bytes": 3 << 20,
        "held_bytes": held,
        "complete": held == 3 << 20,
        "last_used": 1000.5,
    }
    for path, held in (("config.json", 3 << 20), ("model.safetensors", 1 << 20))
]


def asked(admin: Any) -> dict[str, list[str]]:
    ((method, target, _, _),) = admin.asked
    assert (method, urlsplit(target).path) == ("GET", "/api/v1/ls")
    return parse_qs(urlsplit(target).query)


def test_without_anything_it_tells_how_much_is_from_where(run: Any, admin: Any) -> None:
    admin.says({"rows": ROWS, "after": ""})
    ended = run("ls", "--admin", admin.address)
    assert ended.code == 0
    for words in (HUB, "4.0 MiB", "6.0 MiB", "66.7 %"):
        assert words in ended.out
    assert asked(admin) == {"limit": [str(PAGE_ROWS)]}


def test_a_hub_is_shown_by_repository_and_revision(run: Any, admin: Any) -> None:
    admin.says({"rows": ROWS, "after": ""})
    ended = run("ls", "hf", "--admin", admin.address)
    assert ended.code == 0
    for words in ("org/name", COMMIT[:12], "66.7 %"):
        assert words in ended.out
    assert asked(admin)["prefix"] == [f"{HUB}/"]


def test_the_hub_is_where_the_configuration_says(run: Any, admin: Any, tmp_path: Path) -> None:
    admin.says({"rows": [], "after": ""})
    config = tmp_path / "edge.toml"
    config.write_text(
        '[[site]]\nname = "my"\nkind = "huggingface"\nmount = "/m"\nendpoint = "http://hub.example:9"\n'
    )
    ended = run("ls", "my", "--admin", admin.address, "--config", str(config))
    assert (ended.code, ended.out) == (0, "nothing is stored\n")
    assert asked(admin)["prefix"] == ["http://hub.example:9/"]


def test_a_repository_is_shown_by_its_files(run: Any, admin: Any) -> None:
    admin.says({"rows": ROWS, "after": ""})
    ended = run("ls", f"hf:org/name@{COMMIT[:7]}", "--admin", admin.address)
    assert ended.code == 0
    for words in ("config.json", "model.safetensors", "33.3 %", "yes", "no"):
        assert words in ended.out


@pytest.mark.parametrize("what", ["hf:org/other", "hf:org/name@bb"])
def test_what_is_not_stored_ends_with_1(run: Any, admin: Any, what: str) -> None:
    admin.says({"rows": ROWS, "after": ""})
    ended = run("ls", what, "--admin", admin.address)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == f"edgeproxy: nothing of {what} is stored\n"


def test_a_url_is_shown_by_what_begins_with_it(run: Any, admin: Any) -> None:
    admin.says({"rows": ROWS[:1], "after": ""})
    ended = run("ls", f"{HUB}/org/", "--admin", admin.address)
    assert ROWS[0]["key"] in ended.out
    assert asked(admin)["prefix"] == [f"{HUB}/org/"]


def test_json_is_a_row_a_line(run: Any, admin: Any) -> None:
    admin.says({"rows": ROWS, "after": ""})
    ended = run("ls", "hf:org/name", "--json", "--admin", admin.address)
    assert [json.loads(line) for line in ended.out.split("\n")[:-1]] == ROWS


@pytest.mark.parametrize("what", ["hf:a/b/c", "hf:org/name@main", "absent", "/path:x"])
def test_wrong_usage_ends_with_2_and_asks_nothing(run: Any, admin: Any, what: str) -> None:
    assert run("ls", what, "--admin", admin.address).code == 2
    assert admin.asked == []


def test_missing_files_are_shown_with_the_stored_ones(
    run: Any, admin: Any, hub_node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_env")
    commit = hub_node.sha
    admin.says({"rows": json.loads(json.dumps(ROWS).replace(COMMIT, commit)), "after": ""})
    hub_node.files = {"config.json": b"{}", "tokenizer.json": b"12345"}
    ended = run(
        "ls", "hf:org/name@main", "--missing", "--json", "--admin", admin.address, "--url", hub_node.url
    )
    assert ended.code == 0
    told = [json.loads(line) for line in ended.out.split("\n")[:-1]]
    assert [(row["name"], row["complete"], row["held_bytes"], row["size_bytes"]) for row in told] == [
        ("config.json", True, 3 << 20, 3 << 20),
        ("tokenizer.json", False, 0, 5),
    ]
    assert {fields["Authorization"] for _, fields in hub_node.asked} == {"Bearer hf_env"}


def test_missing_needs_a_repository(run: Any, admin: Any) -> None:
    assert run("ls", "hf", "--missing", "--admin", admin.address).code == 2
    assert admin.asked == []


class Pages:
    """The admin API with pages of one row."""

    def __init__(self, keys: list[str]) -> None:
        self._keys = keys
        self.calls = 0

    def get(self, path: str, query: Any) -> Any:
        self.calls += 1
        after = dict(query)["after"]
        left = [key for key in self._keys if key > after]
        return {"rows": [{"key": left[0]}], "after": left[0] if len(left) > 1 else ""}


def test_pages_are_followed_to_the_end() -> None:
    pages: Any = Pages(["a", "b", "c"])
    assert [row.key for row in stored(pages, "")] == ["a", "b", "c"]
    assert pages.calls == 3


def test_a_list_that_does_not_move_on_is_an_error() -> None:
    class Stuck:
        def get(self, path: str, query: Any) -> Any:
            return {"rows": [{"key": "a"}], "after": "a"}

    stuck: Any = Stuck()
    with pytest.raises(Unanswered, match="no end"):
        stored(stuck, "")


@pytest.mark.parametrize("answer", [[], {}, {"rows": [{"name": "no key"}]}, {"rows": 1}])
def test_another_answer_is_not_understood(run: Any, admin: Any, answer: Any) -> None:
    admin.says(answer)
    ended = run("ls", "--admin", admin.address)
    assert ended.code == 1
    assert "is not understood" in ended.err
