from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy import config
from edgeproxy.errors import ConfigurationError, RequestError
from edgeproxy.message import Request
from edgeproxy.sites.python_facts import FileFacts, PageFacts, file_key
from edgeproxy.sites.registry import SiteTable, build_sites
from edgeproxy.sites.site import Inquiry, Plan, SiteContext
from edgeproxy.upstream.upstream import Origin, Reach


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


# -- under the names of upstreams -------------------------------------------------------------------


def named_table(context: SiteContext) -> SiteTable:
    return build_sites(
        [
            config.Site(name="root", mount="/", origin="http://plain.example"),
            config.Site(name="pub", mount="/p", origin="https://plain.example/pub"),
            config.Site(name="ported", mount="/q", origin="http://ported.example:8000", query="sort"),
            config.Site(name="own", hosts=["me.example", "shared.example"], origin="http://shared.example"),
            config.Site(name="six", mount="/6", origin="http://[::1]:9000"),
            config.Site(
                name="packages",
                kind="python-index",
                mount="/pypi",
                index="https://index.example/simple/",
                link_hosts=["files.example"],
            ),
            config.Site(name="hf", kind="huggingface", mount="/hf", endpoint="https://hub.example/h"),
        ],
        context,
    )


@pytest.mark.parametrize(
    ("authority", "target", "names", "names_for_a_node"),
    [
        ("plain.example", "/x", ["root", "(root)"], ["root"]),
        ("plain.example", "/pub/x", ["pub", "root", "(root)"], ["pub", "root"]),  # https is meant
        ("PLAIN.example", "/x", ["root", "(root)"], ["root"]),
        ("plain.example:80", "/pub/x", ["root", "(root)"], ["root"]),
        ("plain.example:443", "/pub/x", ["pub", "(root)"], ["pub"]),
        ("plain.example:81", "/x", ["(root)"], []),
        ("ported.example:8000", "/q/x", ["ported", "(ported)"], ["ported"]),
        ("ported.example", "/q/x", ["(ported)"], []),
        ("[::1]:9000", "/x", ["six", "(root)"], ["six"]),
        ("me.example", "/x", ["(own)", "(root)"], ["(own)"]),
        ("shared.example", "/x", ["(own)", "(root)"], ["(own)"]),  # a host of ours is never a name
        ("index.example", "/simple/a/", ["packages", "(root)"], ["packages"]),
        ("index.example", "/pypi/simple/a/", ["packages", "(packages)"], ["packages"]),
        ("files.example", "/a/b-1.0.zip", ["packages", "(root)"], ["packages"]),
        ("hub.example", "/h/api/models/a/b", ["hf", "(root)"], ["hf"]),
        ("hub.example", "/api/models/a/b", ["(root)"], []),
        ("cdn.example", "/x", ["(root)"], []),
        ("", "/x", ["(root)"], []),
    ],
)
def test_hosts_come_first_then_names_then_mounts_and_nodes_get_no_mounts(
    context: SiteContext, authority: str, target: str, names: list[str], names_for_a_node: list[str]
) -> None:
    table, request = named_table(context), Request("GET", target, authority=authority)
    for is_node, wanted in ((False, names), (True, names_for_a_node)):
        routed = table.routes(request, is_node=is_node)
        assert [one.site.name if one.is_named else f"({one.site.name})" for one in routed] == wanted


@pytest.mark.parametrize(("scheme", "names"), [("https", ["pub"]), ("http", ["root"]), ("", ["pub", "root"])])
def test_a_scheme_that_is_told_is_taken_at_its_word(
    context: SiteContext, scheme: str, names: list[str]
) -> None:
    request = Request("GET", "/pub/x", authority="plain.example", target_scheme=scheme)
    routed = named_table(context).routes(request, is_node=True)
    assert [one.site.name for one in routed] == names


AUTHORITIES = [
    *("plain.example", "plain.example:80", "plain.example:443", "ported.example:8000", "[::1]:9000"),
    *("me.example", "shared.example", "index.example", "files.example", "hub.example", "node.example:8080"),
]
SEGMENTS = st.sampled_from(
    [
        "a",
        "pub",
        "p",
        "q",
        "..",
        "%2e%2e",
        "simple",
        "pypi",
        "json",
        "h",
        "hf",
        "api",
        "models",
        "x-1.0.zip",
        "",
    ]
)


@given(
    st.sampled_from(AUTHORITIES),
    st.lists(SEGMENTS, max_size=5),
    st.sampled_from(["", "?b=1&a=2", "?"]),
    st.booleans(),
)
@settings(max_examples=400)
def test_whatever_host_is_named_the_key_is_what_is_fetched(
    authority: str, segments: list[str], query: str, is_node: bool
) -> None:
    """A client chooses Host and target. By name it gets what that URL is upstream, to the byte but for
    what a query rule has made equal; at a mount the origin is the site's own, whatever Host says."""
    context = SiteContext("edge", False, Reach(), lambda: 0.0, lambda keys: frozenset())
    request = Request("GET", f"/{'/'.join(segments)}{query}", authority=authority)
    for routed in named_table(context).routes(request, is_node=is_node):
        try:
            planned = routed.site.plan(request, routed.path)
        except RequestError as error:
            assert error.status == 400  # noqa: PT017 - any other would be a fault
            continue
        if isinstance(planned, Inquiry):
            planned = planned.plan
            assert planned.origin.host == "hub.example"
        if not isinstance(planned, Plan):
            continue
        assert planned.key.partition(" ")[0] == planned.origin.url + planned.target
        if routed.is_named and routed.site.name != "hf":
            assert authority in (
                planned.origin.authority,
                f"{planned.origin.host}:{planned.origin.port}",
            ) or (planned.origin.host == "::1")
            path = planned.target.partition("?")[0]
            assert path == request.target.partition("?")[0]
            assert sorted(planned.target) in (sorted(request.target), sorted(path))


def test_a_root_mount_gives_the_same_whether_its_origin_is_named_or_not(context: SiteContext) -> None:
    table = build_sites([files("root", "/")], context)
    for target in ("/a?b", "/", "//x/../y", "/%2e"):
        plans = []
        for authority in ("origin.example", "node.example"):
            request = Request("GET", target, authority=authority)
            routed = table.route(request)
            assert routed is not None
            plans.append(routed.site.plan(request, routed.path))
        assert plans[0] == plans[1]


def test_what_a_page_links_to_cannot_take_a_path_of_ours_away(context: SiteContext) -> None:
    """An index names the node's own address as that of its files."""
    table = build_sites(
        [
            config.Site(
                name="packages", kind="python-index", mount="/pypi", index="https://index.example/simple/"
            ),
            config.Site(name="files", mount="/files", origin="http://origin.example"),
        ],
        context,
    )
    site = table.named("packages")
    assert site is not None
    ours = Origin("https", "cache.example", 443)
    site.learn(PageFacts("evil", {file_key(ours, "/files/evil-1.0.zip"): FileFacts(b"x" * 32)}, hosts={ours}))  # type: ignore[arg-type]
    request = Request("GET", "/files/evil-1.0.zip", authority="cache.example")
    assert [one.site.name for one in table.routes(request)] == ["files", "packages"]
    assert [one.site.name for one in table.routes(request, is_node=True)] == ["packages"]


def test_the_upstreams_of_a_site_are_known_by_its_name(context: SiteContext) -> None:
    table = named_table(context)
    assert [origin.url for origin in table.origins_of("packages")] == [
        "https://index.example",
        "https://files.example",
    ]
    assert table.origins_of("nobody") == ()


def test_a_host_is_reached_as_its_site_reaches_it_and_no_other_is_known(context: SiteContext) -> None:
    sites = build_sites(
        [
            config.Site(name="a", mount="/a", origin="https://a.example", ca_file="/a.pem"),
            config.Site(name="hf", mount="/hf", kind="huggingface", ca_file="/hf.pem"),
            config.Site(
                name="p",
                mount="/p",
                kind="python-index",
                index="https://index.example/simple/",
                upstreams=["https://other.example/simple/"],
                link_hosts=["https://files.example"],
                ca_file="/p.pem",
            ),
        ],
        context,
    )
    for host, file in (
        ("a.example", "/a.pem"),
        ("huggingface.co", "/hf.pem"),
        ("index.example", "/p.pem"),
        ("other.example", "/p.pem"),
        ("files.example", "/p.pem"),
    ):
        assert sites.has_host("https", host, 443)
        reach = sites.reach_of(Origin("https", host, 443))
        assert reach is not None
        assert reach.ca_file == file
    assert sites.reach_of(Origin("https", "nobody.example", 443)) is None
    assert sites.reach_of(Origin("http", "a.example", 80)) is None
