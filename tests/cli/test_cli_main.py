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
