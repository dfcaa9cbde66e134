from typing import Any

import pytest


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("sh", "export PIP_INDEX_URL=http://127.0.0.1:8080/pypi/simple/\n"),
        ("fish", "set -gx PIP_INDEX_URL 'http://127.0.0.1:8080/pypi/simple/'\n"),
        ("powershell", "$env:PIP_INDEX_URL = 'http://127.0.0.1:8080/pypi/simple/'\n"),
        ("dotenv", "PIP_INDEX_URL=http://127.0.0.1:8080/pypi/simple/\n"),
    ],
)
def test_each_shell_gets_its_own_form(run: Any, shell: str, line: str) -> None:
    ended = run("env", "--shell", shell)
    assert ended.code == 0
    assert line in ended.out


def test_another_url_can_be_told(run: Any) -> None:
    out = run("env", "--url", "http://edge.example:8080/").out
    assert "export UV_DEFAULT_INDEX=http://edge.example:8080/pypi/simple/\n" in out
    assert "export PIP_TRUSTED_HOST=edge.example:8080\n" in out


def test_without_a_known_port_a_url_must_be_told(run: Any) -> None:
    assert "--url" in run("env", "--set", "listen.http=127.0.0.1:0").err
    assert run("env", "--url", "edge:8080").code == 2
