from pathlib import Path
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


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--shell", "uv.toml", "--proxy"), "from variables only"),
        (("--ca", "ca.pem"), "--ca goes with --proxy"),
        (("--proxy", "--ca", "absent.pem"), "absent.pem: No such file"),
    ],
)
def test_what_has_no_place_is_told_in_a_line(run: Any, options: tuple[str, ...], said: str) -> None:
    ended = run("env", *options)
    assert ended.code != 0
    assert said in ended.err
    assert "Traceback" not in ended.err


def test_a_user_is_told_with_the_url_and_never_printed_unasked(run: Any, tmp_path: Path) -> None:
    settings = ("--set", 'proxy.users=["ada:lovelace"]', "--set", f"cache.directory={tmp_path}")
    asked = ("env", "--proxy", *settings)
    ended = run(*asked)
    assert (ended.code, "lovelace" in ended.out, "--url" in ended.err) == (0, False, True)
    ended = run(*asked, "--url", "http://ada:lovelace@edge:8080")
    assert "HTTPS_PROXY=http://ada:lovelace@edge:8080" in ended.out
    assert ended.err == ""


def test_an_image_gets_the_bundle_as_a_file_of_its_own(run: Any, tmp_path: Path) -> None:
    place = ("--set", f"cache.directory={tmp_path}", "--set", "cache.free_space=0")
    asked = ("env", "--proxy", "--shell", "docker", "--url", "http://edge.example:8080", *place)
    assert "COPY" not in run(*asked).out  # there is no authority to be trusted
    assert run("ca", "init", *place).code == 0
    lines = run(*asked).out.splitlines()
    assert lines[0] == f"# beside the Dockerfile: cp {tmp_path / 'ca' / 'bundle.pem'} edgeproxy-bundle.pem"
    assert lines[1] == "COPY edgeproxy-bundle.pem /etc/ssl/edgeproxy-bundle.pem"
    assert 'ENV PIP_CERT="/etc/ssl/edgeproxy-bundle.pem"' in lines
    assert str(tmp_path) not in "\n".join(lines[1:])
