"""The way out of a network: what options and environments say, as tables."""

from __future__ import annotations

import pytest

from edgeproxy.errors import ConfigurationError
from edgeproxy.upstream.egress import ENVIRONMENT, Egress, EgressProxy, egress

PROXY = EgressProxy("proxy.office", 3128)


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy.office:3128", PROXY),
        ("http://Proxy.Office:3128/", PROXY),
        ("proxy.office:3128", PROXY),
        ("http://proxy.office", EgressProxy("proxy.office", 80)),
        ("http://[2001:db8::1]:8080", EgressProxy("2001:db8::1", 8080)),
        ("http://ada:l%3Aove@proxy.office:3128", EgressProxy("proxy.office", 3128, "ada:l:ove")),
        ("http://ada@proxy.office:3128", EgressProxy("proxy.office", 3128, "ada:")),
        ("", None),
    ],
)
def test_an_option_names_one_for_all(text: str, proxy: EgressProxy | None) -> None:
    found, lines = egress(text, (), {"HTTPS_PROXY": "http://another:1"}, ())
    assert (found.to("https", "a.example", 443), found.to("http", "a.example", 80)) == (proxy, proxy)
    assert lines == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://proxy.office:3128", "https is no way to a proxy"),
        ("socks5h://proxy.office:1080", "socks5h is no way to a proxy"),
        ("http://proxy.office:99999", "is written"),
        ("http://:3128", "is written"),
        ("http://proxy.office/path", "is written"),
        ("http://a%0Ab:c@proxy.office", "signs that no proxy takes"),
        ("http://localhost:8080", "localhost:8080 is this node"),
    ],
)
def test_an_option_that_cannot_be_is_refused_and_no_password_is_told(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"upstream.proxy: .*{said}") as caught:
        egress(text, (), {}, ["127.0.0.1:8080"])
    assert "a%0Ab" not in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "https", "http", "lines"),
    [
        ({}, None, None, 0),
        ({"HTTPS_PROXY": "http://proxy.office:3128"}, PROXY, None, 0),
        ({"https_proxy": "http://proxy.office:3128", "HTTP_PROXY": " "}, PROXY, None, 0),
        ({"http_proxy": "http://proxy.office:3128"}, None, PROXY, 0),
        ({"ALL_PROXY": "http://proxy.office:3128"}, PROXY, PROXY, 0),
        ({"ALL_PROXY": "socks5://x:1", "HTTPS_PROXY": "proxy.office:3128"}, PROXY, None, 1),
        ({"HTTPS_PROXY": "https://proxy.office:3128"}, None, None, 1),
        ({"HTTPS_PROXY": "http://127.0.0.1:8080", "HTTP_PROXY": "http://127.0.0.1:8080"}, None, None, 2),
        ({"HTTPS_PROXY": "http://127.0.0.1:3128"}, EgressProxy("127.0.0.1", 3128), None, 0),
    ],
)
def test_an_environment_says_it_for_each_scheme(
    environment: dict[str, str], https: EgressProxy | None, http: EgressProxy | None, lines: int
) -> None:
    found, said = egress(ENVIRONMENT, (), environment, ["127.0.0.1:8080"])
    assert (found.to("https", "a.example", 443), found.to("http", "a.example", 80)) == (https, http)
    assert len(said) == lines


@pytest.mark.parametrize(
    ("direct", "host", "port", "is_direct"),
    [
        ("*", "a.example", 443, True),
        ("a.example", "a.example", 443, True),
        ("a.example", "b.a.example", 443, True),
        ("a.example", "ba.example", 443, False),
        (".a.example", "a.example", 443, False),
        (".a.example", "b.a.example", 443, True),
        ("*.a.example", "b.a.example", 443, True),
        ("A.Example", "a.example", 443, True),
        ("a.example:8443", "a.example", 8443, True),
        ("a.example:8443", "a.example", 443, False),
        ("192.0.2.0/24", "192.0.2.7", 443, True),
        ("192.0.2.0/24", "192.0.3.7", 443, False),
        ("192.0.2.0/24", "192.0.2.7.example", 443, False),
        ("2001:db8::/32", "2001:db8::5", 443, True),
        ("192.0.2.7", "192.0.2.7", 443, True),
        ("[2001:db8::5]:443", "2001:db8::5", 443, True),
        ("2001:db8::5", "2001:db8::5", 443, True),
        ("not/a/network", "192.0.2.7", 443, False),
        ("", "localhost", 443, True),
        ("", "a.localhost", 443, True),
        ("", "127.9.9.9", 443, True),
        ("", "::1", 443, True),
        ("", "a.example", 443, False),
    ],
)
def test_whom_it_leaves_out(direct: str, host: str, port: int, is_direct: bool) -> None:
    by_option, _ = egress("http://proxy.office:3128", [direct] if direct else [], {}, ())
    environment = {"HTTPS_PROXY": "http://proxy.office:3128", "NO_PROXY": f" {direct} , x.example"}
    by_environment, _ = egress(ENVIRONMENT, (), environment, ())
    for found in (by_option, by_environment):
        assert (found.to("https", host, port) is None) is is_direct


def test_nothing_said_is_no_proxy() -> None:
    assert Egress().to("https", "a.example", 443) is None
    assert "love" not in repr(egress("http://ada:love@proxy.office", (), {}, ())[0])
