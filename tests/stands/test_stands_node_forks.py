"""Nodes that are forked, beside those that are loaded from their files."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from stands.node import Node, environment
from stands.node_forks import Child, NodeForks, node_forks


@pytest.fixture
def forks() -> NodeForks:
    found = node_forks(environment())
    if found is None:
        pytest.skip("this is not Linux")
    return found


def test_a_command_has_the_output_and_the_end_of_its_own(forks: NodeForks, tmp_path: Path) -> None:
    output, errors = tmp_path / "output", tmp_path / "errors"
    errors.write_text("before\n")
    assert forks.run(["--version"], tmp_path, output, errors).wait(30) == 0
    assert output.read_text().startswith("edgeproxy, version ")
    assert forks.run(["serve", "--set", "cache.disc=1"], tmp_path, output, errors).wait(30) == 2
    assert output.read_text() == ""
    assert errors.read_text().startswith("before\nedgeproxy: cache.disc: unknown key")


def test_a_node_ends_as_a_child_of_ours_does(forks: NodeForks, tmp_path: Path) -> None:
    node = Node(tmp_path, [{"name": "all", "mount": "/", "origin": "http://127.0.0.1:9"}])
    node.start()
    process = node.process
    assert process is not None
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.05)
    assert Path(f"/proc/{node.pid}/cwd").readlink() == tmp_path
    node.kill()
    assert process.poll() == process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("is_loaded_anew", [True, False], ids=["loaded", "forked"])
def test_another_program_can_take_over_from_either(tmp_path: Path, is_loaded_anew: bool) -> None:
    node = Node(tmp_path, [{"name": "all", "mount": "/", "origin": "http://127.0.0.1:9"}])
    node.is_loaded_anew = is_loaded_anew
    node.start()
    former = node.pid
    assert node.reload(exec=True)["restarted"]
    node.replaced()
    assert node.pid != former
    assert node.status()["node"]["ready"]
    node.stop()


def test_what_is_loaded_is_not_used_in_another_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(tmp_path, [{"name": "all", "mount": "/", "origin": "http://127.0.0.1:9"}])
    for is_same in (True, False, True):
        if is_same:
            monkeypatch.undo()
        else:
            monkeypatch.setenv("LC_ALL", "C.UTF-8" if os.environ.get("LC_ALL") != "C.UTF-8" else "C")
        node.start()
        assert isinstance(node.process, Child) is is_same
        node.stop()
