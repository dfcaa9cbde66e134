from __future__ import annotations

import pytest
from pipeline_house import Scripted, ScriptedUpstream

from edgeproxy import config
from edgeproxy.message import Headers
from edgeproxy.pipeline.parent_links import Introduced, ParentLink, links_of
from edgeproxy.policy.surrogates import Position
from edgeproxy.upstream.candidate import Candidate, Role
from edgeproxy.upstream.remote import Remote
from edgeproxy.upstream.upstream import Origin, Reach, UpstreamRequest

PARENT = ParentLink("above", Origin("https", "parent.test", 443), token="secret")
OTHER = Origin("https", "origin.test", 443)
HERE = Position("ab", 7)


@pytest.mark.parametrize(
    ("origin", "host", "is_told"),
    [
        (PARENT.origin, "origin.test", True),
        (PARENT.origin, None, False),  # asked for something of its own, as a mirror is
        (PARENT.origin, "parent.test", False),
        (OTHER, None, False),
        (OTHER, "parent.test", False),
    ],
)
async def test_a_parent_is_told_who_asks_under_the_name_of_an_origin(
    origin: Origin, host: str | None, is_told: bool
) -> None:
    upstream = ScriptedUpstream()
    upstream.answers("/a", Scripted())
    request = UpstreamRequest("GET", origin, "/a", Headers((("X", "y"),)), host=host)
    await Introduced(upstream, [PARENT], "edge-1", lambda: HERE).fetch(request)
    told = {("Edge-Node", "edge-1"), ("Proxy-Authorization", "Bearer secret")} if is_told else set()
    assert set(upstream.requests[0].headers) == {("X", "y"), *told}


async def test_what_a_parent_says_of_its_purges_is_handed_on_and_what_others_say_is_not() -> None:
    upstream, heard = ScriptedUpstream(), []
    upstream.answers("/a", Scripted(fields=(("Edge-Purges", "3; epoch=ab"),)))
    upstream.answers("/b", Scripted())
    introduced = Introduced(upstream, [PARENT], "edge-1", lambda: HERE)
    await introduced.fetch(UpstreamRequest("GET", PARENT.origin, "/a", host="origin.test"))
    introduced.heard = lambda link, said: heard.append((link.name, said))
    for origin, target in ((PARENT.origin, "/a"), (PARENT.origin, "/b"), (OTHER, "/a")):
        await introduced.fetch(UpstreamRequest("GET", origin, target, host="origin.test"))
    assert heard == [("above", "3; epoch=ab")]


@pytest.mark.parametrize(("beside", "told"), [(True, "7; epoch=ab"), (False, "")])
async def test_a_sibling_is_told_what_has_been_purged_here_by_nobody_but_this_node(
    beside: bool, told: str
) -> None:
    upstream = ScriptedUpstream()
    upstream.answers("/a", Scripted())
    link = ParentLink("other", PARENT.origin, beside=beside)
    client_says = Headers((("Edge-Purges", "9; epoch=cd"),))
    request = UpstreamRequest("GET", PARENT.origin, "/a", client_says, host="origin.test")
    await Introduced(upstream, [link], "edge-1", lambda: HERE).fetch(request)
    assert upstream.requests[0].headers.get("Edge-Purges") == told


def test_a_token_is_shown_to_nobody() -> None:
    assert "secret" not in repr(PARENT)
    assert ParentLink("x", OTHER).fields("n")["Proxy-Authorization"] is None


def remote(name: str, role: Role = Role.PARENT, **more: object) -> Remote:
    candidate = Candidate(name, role, **more)  # type: ignore[arg-type]
    return Remote(candidate, Origin("https", f"{name}.test", 443), Reach(), token="t")


def test_parents_and_siblings_are_told_who_asks_and_followed_and_mirrors_are_left_alone() -> None:
    remotes = [
        remote("all"),
        remote("some", sites=("h*",)),
        remote("none", sites=("x",)),
        remote("beside", Role.SIBLING),
        remote("mirror", is_mirror=True),
    ]
    sites = [config.Site(name="hf", mount="/"), config.Site(name="pypi", mount="/p")]
    links = links_of(remotes, sites)
    assert [(link.name, link.sites, link.beside, link.token) for link in links] == [
        ("all", (), False, "t"),
        ("some", ("hf",), False, "t"),
        ("beside", (), True, "t"),
    ]
    introduced = Introduced(ScriptedUpstream(), links, "edge-1", lambda: HERE)
    assert introduced.links == links
    assert [link.sites for link in links_of([remote("some", sites=("hf",))], [])] == [("hf",)]
