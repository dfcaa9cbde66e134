from typing import Any

import pytest

from edgeproxy.config import Config, Parent, Section, Siblings, Site, UpstreamSection
from edgeproxy.configuration.checks import check
from edgeproxy.errors import ConfigurationError

PIN = "A" * 43 + "="
A, B = "http://a.example:8080", "http://b.example:8080"


def parent(**changes: Any) -> Config:
    return whole(parent=[Parent(**{"name": "up", "url": "https://up.example:8443", **changes})])


def whole(**sections: Section | list[Any]) -> Config:
    return Config(site=[Site(name="files", mount="/", origin="http://127.0.0.1:9000")], **sections)


def siblings(**changes: Any) -> Config:
    return whole(siblings=Siblings(**{"nodes": [A, B], "own": A, **changes}))


@pytest.mark.parametrize(
    "good",
    [
        parent(),
        parent(name=""),
        parent(pins=[PIN, f"sha256//{PIN}"], verify_tls=False),
        parent(url="https://mirror.example/pypi", asks="own-name"),
        parent(sites=["fi*"]),
        parent(certificate="c.pem", key="k.pem"),
        Config(parent=[Parent(url="http://up", sites=["pypi"])]),
        whole(upstream=UpstreamSection(origin="never"), parent=[Parent(url="http://up")]),
        siblings(),
        whole(siblings=Siblings()),
        whole(upstream=UpstreamSection(nameservers=["192.0.2.1", "[2001:db8::1]:53"])),
    ],
)
def test_what_can_work_is_accepted(good: Config) -> None:
    check(good)


@pytest.mark.parametrize(
    ("path", "bad"),
    [
        ("parent.origin.name", parent(name="origin")),
        ("parent.a b.name", parent(name="a b")),
        ("parent.up.url", parent(url="")),
        ("parent.up.url", parent(url="https://user:secret@up.example")),
        ("parent.up.url", parent(url="https://up.example/path")),
        ("parent.up.sites", parent(sites=[])),
        ("parent.up.sites", parent(sites=["fles"])),
        ("parent.up.pins", parent(pins=["sha256//short"])),
        ("parent.up.pins", parent(url="http://up.example", pins=[PIN])),
        ("parent.up.token", parent(token="a b")),
        ("parent.up.token_file", parent(token="a", token_file="/f")),
        ("parent.up.key", parent(certificate="c.pem")),
        ("parent.up.certificate", parent(key="k.pem")),
        ("upstream.origin", whole(upstream=UpstreamSection(origin="never"))),
        ("upstream.nameservers", whole(upstream=UpstreamSection(nameservers=["ns.example"]))),
        ("siblings.own", siblings(own="http://c.example")),
        ("siblings.own", siblings(own="")),
        ("siblings.nodes", siblings(nodes=[A, A])),
        ("siblings.nodes", siblings(nodes=[A, f"{B}/x"])),
        ("siblings.token", siblings(token="\n")),
    ],
)
def test_what_cannot_work_is_refused_with_its_key(path: str, bad: Config) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check(bad)
    assert caught.value.path == path
    assert "secret" not in str(caught.value)
