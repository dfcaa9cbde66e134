from __future__ import annotations

import pytest

from edgeproxy.sites.python_links import LinkRules, Resolver, host_id, origin_of_id
from edgeproxy.upstream.upstream import Origin

INDEX = Origin("https", "index.example", 443)
RULES = LinkRules(index=INDEX, private=False)
BASE = "https://index.example/simple/thing/"


@pytest.mark.parametrize(
    ("origin", "text"),
    [
        (Origin("https", "a.example", 443), "a.example"),
        (Origin("https", "a.example", 8443), "a.example~8443"),
        (Origin("http", "a.example", 80), "http~a.example"),
        (Origin("http", "::1", 81), "http~v6~--1~81"),
    ],
)
def test_an_origin_has_one_id(origin: Origin, text: str) -> None:
    assert host_id(origin) == text
    assert origin_of_id(text) == origin


@pytest.mark.parametrize(
    "text", ["", "a.example~443", "A.example", "a~b~1", "http~", "me@a.example", "a/b", "v6~zz"]
)
def test_what_is_not_the_one_id_of_an_origin_is_none(text: str) -> None:
    assert origin_of_id(text) is None


@pytest.mark.parametrize(
    ("url", "relative"),
    [
        ("https://f.example/p/a-1.zip#sha256=ab", "../../f/f.example/p/a-1.zip"),
        ("../../p/a-1.zip", "../../f/index.example/p/a-1.zip"),
        ("//f.example/a-1.zip", "../../f/f.example/a-1.zip"),
        ("https://f.example/a%2B1.zip", "../../f/f.example/a%2B1.zip"),
        ("https://me:pw@f.example/a-1.zip", None),
        ("https://f.example", None),
        ("https://f.example/a-1.zip?x=1", None),
        ("https://f.example/../a-1.zip", None),
        ("mailto:a@f.example", None),
        ("https://[bad/a-1.zip", None),
    ],
)
def test_a_link_becomes_ours_if_it_is_a_plain_path_on_a_served_host(url: str, relative: str | None) -> None:
    link = Resolver(BASE, RULES).resolve(url, hashed=True)
    assert (link.relative if link else None) == relative


@pytest.mark.parametrize(
    ("rules", "url", "served"),
    [
        (RULES, "https://10.0.0.1/", False),
        (RULES, "http://f.example/", False),
        (RULES, "https://f.example:22/", False),
        (LinkRules(INDEX, private=False, learn=False), "https://f.example/", False),
        (LinkRules(INDEX, private=True), "https://10.0.0.1:22/", True),
        (LinkRules(INDEX, private=True), "http://f.example/", False),
    ],
)
def test_learned_hosts_are_as_public_as_the_index(rules: LinkRules, url: str, served: bool) -> None:
    resolver = Resolver(BASE, rules)
    assert (resolver.resolve(f"{url}a-1.zip", hashed=True) is not None) is served
    assert resolver.resolve(f"{url}a-1.zip", hashed=False) is None
