"""`edgeproxy warm` and `edgeproxy ls` with a whole node in front of a stand-in hub."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stands.hub import Hub
from stands.hub_content import Pattern
from stands.node import Node, environment

PROGRAM = "from edgeproxy.cli.main import main; main()"
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hub() -> Iterator[Hub]:
    running = Hub()
    files = {"config.json": b"{}", "a b#\u00fc.txt": b"hello", "model.safetensors": Pattern("w", 12 << 20)}
    running.add("acme/tiny", files)
    yield running
    running.stop()


@pytest.fixture
def node(start_node: Callable[..., Node], hub: Hub) -> Node:
    return start_node([{"name": "hf", "kind": "huggingface", "mount": "/hf", "endpoint": hub.url}])


@pytest.fixture
def edgeproxy(node: Node) -> Command:
    """Runs a command with the node's own configuration."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", PROGRAM, *arguments, "--config", str(node.directory / "edge.toml")]
        clean = {name: value for name, value in environment().items() if name != "HF_TOKEN"}
        return subprocess.run(
            command,
            env={**clean, "COLUMNS": "160", "LC_ALL": os.environ.get("LC_ALL", "C.UTF-8")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def at(node: Node) -> str:
    return f"http://{node.http[0]}:{node.http[1]}"


def admin(node: Node) -> str:
    return f"{node.admin[0]}:{node.admin[1]}"


def test_what_was_warmed_is_there_without_the_hub_and_is_listed(
    node: Node, hub: Hub, edgeproxy: Command
) -> None:
    first = edgeproxy("warm", "hf:acme/tiny", "--url", at(node))
    assert (first.returncode, first.stderr) == (0, "")
    assert "4 of 4 files, 12.0 MiB" in first.stdout
    hub.down()
    second = edgeproxy("warm", "hf:acme/tiny", "--url", at(node))
    assert second.returncode == 0, second.stderr
    assert "4 were there already" in second.stdout
    shown = edgeproxy("ls", "hf:acme/tiny", "--admin", admin(node))
    assert shown.returncode == 0, shown.stderr
    for words in ("config.json", "a b#\u00fc.txt", "model.safetensors", "12.0 MiB"):
        assert words in shown.stdout
    assert " no " not in shown.stdout


def test_what_is_not_chosen_is_missing(node: Node, edgeproxy: Command) -> None:
    done = edgeproxy("warm", "hf:acme/tiny", "--url", at(node), "--exclude", "*.safetensors")
    assert done.returncode == 0, done.stderr
    shown = edgeproxy("ls", "hf:acme/tiny", "--missing", "--url", at(node), "--admin", admin(node))
    assert shown.returncode == 0, shown.stderr
    lines = {line.split("  ")[0]: line for line in shown.stdout.split("\n")}
    assert " no " in lines["model.safetensors"]
    assert " yes " in lines["config.json"]


def test_a_repository_that_is_not_there_is_told(node: Node, edgeproxy: Command) -> None:
    done: Any = edgeproxy("warm", "hf:acme/absent", "--url", at(node))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("edgeproxy: hf:acme/absent@main: 401 ")
