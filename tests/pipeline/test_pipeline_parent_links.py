from __future__ import annotations

import pytest
from pipeline_house import Scripted, ScriptedUpstream

from edgeproxy.message import Headers
from edgeproxy.pipeline.parent_links import Introduced, ParentLink
from edgeproxy.upstream.upstream import Origin, UpstreamRequest

PARENT = ParentLink("above", Origin("https", "parent.test", 443), token="secret")
OTHER = Origin("https", "origin.test", 443)


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
    await Introduced(upstream, [PARENT], "edge-1").fetch(request)
    told = {("Edge-Node", "edge-1"), ("Proxy-Authorization", "Bearer secret")} if is_told else set()
    assert set(upstream.requests[0].headers) == {("X", "y"), *told}


async def test_what_a_parent_says_of_its_purges_is_handed_on_and_what_others_say_is_not() -> None:
    upstream, heard = ScriptedUpstream(), []
    upstream.answers("/a", Scripted(fields=(("Edge-Purges", "3; epoch=ab"),)))
    upstream.answers("/b", Scripted())
    introduced = Introduced(upstream, [PARENT], "edge-1")
    await introduced.fetch(UpstreamRequest("GET", PARENT.origin, "/a", host="origin.test"))
    introduced.heard = lambda link, said: heard.append((link.name, said))
    for origin, target in ((PARENT.origin, "/a"), (PARENT.origin, "/b"), (OTHER, "/a")):
        await introduced.fetch(UpstreamRequest("GET", origin, target, host="origin.test"))
    assert heard == [("above", "3; epoch=ab")]


def test_a_token_is_shown_to_nobody() -> None:
    assert "secret" not in repr(PARENT)
    assert ParentLink("x", OTHER).fields("n")["Proxy-Authorization"] is None
