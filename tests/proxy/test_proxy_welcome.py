"""What the node tells people of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeproxy.message import BytesBody, Request
from edgeproxy.proxy.welcome import BASE, Welcome, pac


def ask(welcome: Welcome, path: str = "", **changes: Any) -> tuple[int, str, str] | None:
    whole = {"authority": "edge.example:8080", **changes}
    response = welcome.answer(Request("GET", BASE + path, **whole))
    if response is None:
        return None
    assert isinstance(response.body, BytesBody)
    return response.status, response.headers.get("content-type"), response.body.data.decode()


@pytest.fixture
def welcome(tmp_path: Path) -> Welcome:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    return Welcome({"python-index": "/pypi", "huggingface": "/hf"}, tmp_path / "ca.pem", is_proxy=True)


def test_a_page_names_the_clients_and_where_the_reader_has_found_it(welcome: Welcome) -> None:
    status, kind, page = ask(welcome) or (0, "", "")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    for line in (
        "http://edge.example:8080/pypi/simple/",
        "HF_ENDPOINT=http://edge.example:8080/hf",
        "HTTPS_PROXY=http://edge.example:8080",
    ):
        assert line in page
    assert "<script" not in page


def test_one_client_gets_plain_lines(welcome: Welcome) -> None:
    assert ask(welcome, "?client=hf") == (
        200,
        "text/plain; charset=utf-8",
        "export HF_ENDPOINT=http://edge.example:8080/hf\nhf download REPOSITORY\n",
    )
    status, _, line = ask(welcome, "?client=npm") or (0, "", "")
    assert status == 404
    assert "pip, uv, hf" in line


def test_the_certificate_and_the_configuration_of_browsers(welcome: Welcome, tmp_path: Path) -> None:
    assert ask(welcome, "/ca.pem") == (200, "application/x-pem-file", "-----BEGIN CERTIFICATE-----\n")
    assert ask(welcome, "/proxy.pac") == (200, "application/x-ns-proxy-autoconfig", pac("edge.example:8080"))
    secured = (ask(welcome, "/proxy.pac", scheme="https") or (0, "", ""))[2]
    assert '"HTTPS edge.example:8080; DIRECT"' in secured
    (tmp_path / "ca.pem").unlink()
    assert ask(welcome, "/ca.pem") is None


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("/other", {}),
        ("", {"authority": ""}),
        ("", {"authority": '"><script>'}),
        ("/proxy.pac", {"authority": 'a"; alert(1)'}),
    ],
)
def test_what_is_not_told(welcome: Welcome, path: str, changes: dict[str, Any]) -> None:
    assert ask(welcome, path, **changes) is None


def test_a_node_that_is_no_proxy_says_nothing_of_one() -> None:
    plain = Welcome({}, None, is_proxy=False)
    assert ask(plain, "/proxy.pac") is None
    assert "HTTPS_PROXY" not in (ask(plain) or (0, "", ""))[2]
    assert plain.answer(Request("POST", BASE, authority="a")) is None
