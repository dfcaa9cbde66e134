from __future__ import annotations

import pytest

from edgeproxy import config
from edgeproxy.errors import ConfigurationError
from edgeproxy.message import Request
from edgeproxy.sites.registry import SiteTable, build_sites
from edgeproxy.sites.site import SiteContext


def files(name: str, mount: str = "", hosts: list[str] | None = None, kind: str = "generic") -> config.Site:
    return config.Site(name=name, kind=kind, mount=mount, hosts=hosts or [], origin="http://origin.example")


@pytest.fixture
def table(context: SiteContext) -> SiteTable:
    return build_sites(
        [
            files("root", "/"),
            files("short", "/a"),
            files("long", "/a/b"),
            files("hosted", "", ["files.example", "ported.example:81"]),
            files("hosted-mount", "/m", ["files.example"]),
        ],
        context,
    )


@pytest.mark.parametrize(
    ("authority", "target", "name", "below"),
    [
        ("", "/", "root", "/"),
        ("", "/ab", "root", "/ab"),
        ("", "/a", "short", "/"),
        ("", "/a?q", "short", "/?q"),
        ("", "/a/x", "short", "/x"),
        ("", "/a/b", "long", "/"),
        ("", "/a/b/", "long", "/"),
        ("", "/a/b//../x%2F?y", "long", "//../x%2F?y"),
        ("", "/a/bc", "short", "/bc"),
        ("files.example", "/a/b", "hosted", "/a/b"),
        ("files.example:8080", "/x", "hosted", "/x"),
        ("files.example", "/m/x", "hosted-mount", "/x"),
        ("ported.example:81", "/x", "hosted", "/x"),
        ("ported.example", "/x", "root", "/x"),
        ("files.example.evil", "/x", "root", "/x"),
    ],
)
def test_hosts_come_first_then_the_longest_mount_on_a_segment_boundary(
    table: SiteTable, authority: str, target: str, name: str, below: str
) -> None:
    routed = table.route(Request("GET", target, authority=authority))
    assert routed is not None
    assert (routed[0].name, routed[1]) == (name, below)


def test_what_no_site_serves_is_nobodys(context: SiteContext) -> None:
    table = build_sites([files("one", "/one")], context)
    assert table.route(Request("GET", "/")) is None
    assert table.route(Request("OPTIONS", "*")) is None


@pytest.mark.parametrize(
    ("sites", "path", "word"),
    [
        ([files("a", "/a", kind="generik")], "site.a.kind", "'generic'"),
        ([files("a", "/a"), files("a", "/b")], "site.a.name", "two"),
        ([files("a", "/x"), files("b", "/x/")], "site.b.mount", "site a"),
        ([files("a")], "site.a.mount", "needs"),
        ([files("a", "x")], "site.a.mount", "prefix"),
        ([files("a", "", ["Files.example"])], "site.a.hosts", "lower"),
    ],
)
def test_sites_that_cannot_work_are_refused_with_the_key(
    context: SiteContext, sites: list[config.Site], path: str, word: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        build_sites(sites, context)
    assert raised.value.path == path
    assert word in str(raised.value)


def test_one_mount_may_serve_different_hosts(context: SiteContext) -> None:
    table = build_sites([files("a", "/", ["a.example"]), files("b", "/", ["b.example"])], context)
    routed = table.route(Request("GET", "/x", authority="b.example"))
    assert routed is not None
    assert routed[0].name == "b"


def test_without_a_site_the_index_pip_uses_and_the_public_hub_are_served(
    context: SiteContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    table = build_sites([], context)
    assert table.mounts == ("/pypi", "/hf")
    assert table.named("pypi") is not None
    assert table.named("hf") is not None
