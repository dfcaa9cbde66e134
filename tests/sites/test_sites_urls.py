from __future__ import annotations

import pytest

from edgeproxy.errors import ConfigurationError
from edgeproxy.sites.urls import configured_url, is_address, looks_private, parse_url
from edgeproxy.upstream.upstream import Origin


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://a.example", (Origin("https", "a.example", 443), "/", "")),
        ("HTTP://A.Example:81/x/../y?q", (Origin("http", "a.example", 81), "/x/../y?q", "")),
        ("https://me:pw@a.example?q", (Origin("https", "a.example", 443), "/?q", "me:pw")),
        ("https://[::1]:8443/", (Origin("https", "::1", 8443), "/", "")),
        *((text, None) for text in ("ftp://a.example/", "//a.example/", "/a", "", "https:///a")),
        *((f"https://a.example{rest}", None) for rest in (":0/", ":65536/", ":x/", "/a#b", "/a b", "/é")),
        *((text, None) for text in ("https://[::g]/", "https://a@b@c.example/", "https://a.example\\b/")),
        ("https://a.example:४४३/", None),
    ],
)
def test_a_url_is_taken_apart_or_refused(text: str, expected: object) -> None:
    assert parse_url(text) == expected


@pytest.mark.parametrize("text", ["https://me:secret@a.example/?q", "me:secret@a.example"])
def test_a_configured_url_that_is_refused_is_not_repeated(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"site\.x") as raised:
        configured_url(text, "site.x")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("host", "address", "private"),
    [
        ("127.0.0.1", True, True),
        ("10.1.2.3", True, True),
        ("8.8.8.8", True, False),
        ("::1", True, True),
        ("localhost", False, True),
        ("build.internal", False, True),
        ("index.example", False, False),
    ],
)
def test_a_host_tells_whether_it_is_an_address_and_private(host: str, address: bool, private: bool) -> None:
    assert (is_address(host), looks_private(host)) == (address, private)
