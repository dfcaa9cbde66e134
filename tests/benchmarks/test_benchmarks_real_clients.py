from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from benchmarks.hub_models import Models
from benchmarks.real_clients import WAYS, Round, _limits, groups
from benchmarks.tools import Ran, Tool, clean, hub_client, installers, wrong_files
from benchmarks.wheels import projects


def _tool(name: str, *, is_index: bool = True, code: str = "pass", problem: str = "") -> Tool:
    return Tool(
        name, "", is_index, lambda url, target: ([sys.executable, "-c", code], {}), lambda place: problem
    )


def test_a_tool_starts_without_settings_and_caches_of_its_user(tmp_path: Path) -> None:
    variables = {
        "PATH": "/bin",
        "PIP_INDEX_URL": "x",
        "UV_CACHE_DIR": "x",
        "HF_TOKEN": "x",
        "EDGEPROXY_SITE": "x",
        "HTTPS_PROXY": "x",
        "PYTHONPATH": "x",
        "HOME": "/home/me",
    }
    found = clean(variables, tmp_path)
    assert sorted(found) == ["HOME", "PATH", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"]
    assert found["HOME"] == str(tmp_path)


def test_files_are_compared_by_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"right")
    right = hashlib.sha256(b"right").hexdigest()
    assert wrong_files(tmp_path, {"a": right}) == ""
    assert wrong_files(tmp_path, {"a": "0" * 64}) == "a has wrong bytes"
    assert wrong_files(tmp_path, {"a": right, "b": right}) == "b is missing"


@pytest.mark.parametrize(
    ("tool", "problem"),
    [
        (_tool("good"), ""),
        (_tool("wrong", problem="a has wrong bytes"), "a has wrong bytes"),
        (_tool("fails", code="import sys; sys.exit('no such project')"), "status 1: no such project"),
    ],
)
def test_a_run_is_right_when_the_command_and_its_files_are(tool: Tool, problem: str, tmp_path: Path) -> None:
    ran = tool.run("http://127.0.0.1:1", tmp_path / "place")
    assert ran.problem == problem
    assert ran.seconds > 0
    assert not (tmp_path / "place").exists()


def test_tools_that_ask_the_same_server_do_not_share_a_node() -> None:
    pip, uv, hub = _tool("pip"), _tool("uv"), _tool("hub", is_index=False)
    assert [[tool.name for tool in group] for group in groups([pip, uv, hub])] == [["pip", "hub"], ["uv"]]
    assert groups([hub]) == [[hub]]
    assert groups([]) == []


def test_commands_name_the_server_and_the_place() -> None:
    known, models = projects(4, 10, 20), Models(1, 1, 100)
    for tool in [*installers(known), hub_client(models)]:
        command, more = tool.command("http://127.0.0.1:9", Path("/t"))
        assert "/t" in command
        assert any("http://127.0.0.1:9" in text for text in [*command, *more.values()])


def _round(direct: float, first: float, second: float, least: float) -> Round:
    return {way: Ran(seconds) for way, seconds in zip(WAYS, (direct, first, second, least), strict=True)}


@pytest.mark.parametrize(
    ("seconds", "met"),
    [
        ((10.0, 10.0, 2.0, 1.0), [True, True]),
        ((10.0, 12.0, 2.0, 1.0), [False, True]),
        ((3.0, 3.0, 2.0, 1.8), [True, True]),
        ((3.0, 3.0, 2.0, 1.0), [True, False]),
    ],
)
def test_the_second_time_is_far_faster_or_as_fast_as_the_tool_can_be(
    seconds: tuple[float, float, float, float], met: list[bool]
) -> None:
    found = _limits(_tool("pip"), [_round(*seconds)], judged=True)
    assert [limit.met for limit in found] == met
    assert [limit.met for limit in _limits(_tool("pip"), [_round(*seconds)], judged=False)] == [None, None]
