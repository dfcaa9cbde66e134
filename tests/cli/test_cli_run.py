"""A command through a node; with real clients in test_journey_proxy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def through(run: Any, tmp_path: Path) -> Any:
    """Run a command with a node of its own."""
    options = ("--set", f"cache.directory={tmp_path / 'cache'}", "--set", "cache.free_space=0")
    return lambda *command, ephemeral=("--ephemeral",): run("run", *options, *ephemeral, "--", *command)


def test_the_command_knows_the_proxy_and_whom_to_trust_and_its_status_is_ours(
    through: Any, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    code = (
        "import os, sys, urllib.request as r; e = os.environ; proxy = e['HTTPS_PROXY']; "
        "page = r.build_opener(r.ProxyHandler({})).open(proxy + '/.well-known/edgeproxy').read().decode(); "
        "said = '\\n'.join([proxy, e['http_proxy'], e['PIP_CERT'], e['NO_PROXY'], page]); "
        f"open({str(told)!r}, 'w').write(said); sys.exit(7)"
    )
    ended = through(sys.executable, "-c", code)
    assert ended.code == 7, ended.err
    proxy, plain, cert, direct, page = told.read_text().split("\n", 4)
    assert proxy == plain
    assert proxy.startswith("http://127.0.0.1:")
    assert cert == str(tmp_path / "cache" / "ca" / "bundle.pem")
    assert Path(cert).exists()
    assert "localhost" in direct
    assert "edgeproxy at" in page


def test_a_node_that_asks_for_a_user_is_shown_one(through: Any, run: Any, tmp_path: Path) -> None:
    told = tmp_path / "told"
    code = f"import os; open({str(told)!r}, 'w').write(os.environ['HTTPS_PROXY'])"
    asks = ("--ephemeral", "--set", 'proxy.users=["ada:love lace"]')
    ended = through(sys.executable, "-c", code, ephemeral=asks)
    assert (ended.code, ended.err) == (0, "")
    assert told.read_text().startswith("http://ada:love%20lace@127.0.0.1:")
    ended = through("true", ephemeral=("--ephemeral", "--set", 'proxy.tokens=["t"]'))
    assert (ended.code, "proxy.tokens" in ended.err) == (1, True)
    ended = run("run", "--url", "http://ada:secret@127.0.0.1:1", "--set", "proxy.intercept=off", "--", "true")
    assert (ended.code, ended.err) == (1, "edgeproxy: no node answers at http://127.0.0.1:1\n")


def test_no_command_and_no_node_are_told_in_a_line(through: Any, run: Any) -> None:
    assert through("no-such-command").err == "edgeproxy: no-such-command: no such command\n"
    told = run("run", "--url", "http://127.0.0.1:1", "--set", "proxy.intercept=off", "--", "true")
    assert (told.code, told.err) == (1, "edgeproxy: no node answers at http://127.0.0.1:1\n")
    assert run("run").code == 2


def test_a_command_that_is_killed_looks_so(through: Any) -> None:
    assert through(sys.executable, "-c", "import os; os.kill(os.getpid(), 9)").code == 128 + 9
