from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from edgeproxy import config
from edgeproxy.errors import ConfigurationError
from edgeproxy.sites.python_settings import authorization_field, believes_missing, link_hosts
from edgeproxy.upstream.upstream import Origin


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("files.example", Origin("https", "files.example", 443)),
        ("files.example:8443", Origin("https", "files.example", 8443)),
        ("http://files.example:81/", Origin("http", "files.example", 81)),
    ],
)
def test_a_link_host_is_a_host_or_a_url(host: str, origin: Origin) -> None:
    assert link_hosts([host], "w") == [origin]


@pytest.mark.parametrize("host", ["", "a b", "a.example:x", "ftp://a.example/"])
def test_what_is_no_link_host_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError):
        link_hosts([host], "w")


@pytest.mark.parametrize(
    ("text", "credential"),
    [("me:secret\n", "me:secret"), ("  me:a:b \r\nmore\n", "me:a:b"), ("nocolon\n", None), ("", None)],
)
def test_static_credentials_are_the_first_line_of_their_file(
    tmp_path: Path, text: str, credential: str | None
) -> None:
    path = tmp_path / "secret"
    path.write_text(text)
    settings = config.Site(name="s", credentials="static", credentials_file=str(path))
    if credential is None:
        with pytest.raises(ConfigurationError):
            authorization_field(settings, "", "w")
        return
    field = authorization_field(settings, "url:wins-not", "w")
    assert field is not None
    assert b64decode(field.removeprefix("Basic ")).decode() == credential


def test_userinfo_is_used_unless_the_clients_own_is_passed() -> None:
    assert authorization_field(config.Site(name="s"), "", "w") is None
    field = authorization_field(config.Site(name="s"), "me:p%40", "w")
    assert field == "Basic bWU6cEA="
    assert authorization_field(config.Site(name="s", credentials="pass"), "me:p", "w") is None


@pytest.mark.parametrize(
    ("changes", "believed"),
    [({}, True), ({"keep_deleted": True}, False), ({"credentials": "pass"}, False)],
)
def test_a_project_that_is_missing_is_gone_unless_that_may_mean_something_else(
    changes: dict[str, Any], believed: bool
) -> None:
    assert believes_missing(config.Site(name="p", kind="python-index", **changes)) is believed
