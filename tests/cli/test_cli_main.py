import subprocess
import sys
from typing import Any

import pytest

import edgeproxy


def test_help_and_version_are_there(run: Any) -> None:
    assert edgeproxy.__version__ in run("--version").out
    ended = run("--help")
    assert ended.code == 0
    for command in ("serve", "check", "status", "ls", "explain", "purge", "warm", "env"):
        assert command in ended.out


@pytest.mark.parametrize(
    "arguments", [("absent",), ("check", "--absent"), ("env", "--shell", "tcsh"), ("explain",)]
)
def test_wrong_usage_ends_with_2(run: Any, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).code == 2


@pytest.mark.parametrize("command", ["serve", "check", "status", "env"])
def test_a_configuration_that_cannot_be_used_is_one_line_and_2(run: Any, command: str) -> None:
    ended = run(command, "--set", "cache.disc=1")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "edgeproxy: cache.disc: unknown key; did you mean cache.disk?\n"


@pytest.mark.parametrize(
    ("loading", "needless"),
    [
        (
            "import edgeproxy.cli.serve, edgeproxy.process",
            {"cryptography", "rich.progress", "edgeproxy.cli.warm"},
        ),
        (
            "commands.get_command(None, 'env')",
            {"aiohttp", "asyncio", "rich", "structlog", "edgeproxy.cli.serve"},
        ),
    ],
    ids=["serve", "env"],
)
def test_a_command_loads_nothing_that_only_others_need(loading: str, needless: set[str]) -> None:
    code = f"import sys; from edgeproxy.cli.main import commands; {loading}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & needless == set()
