"""The path of a request from outside: what a client gets, and what upstream was asked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pipeline_house import House, Scripted

from edgeproxy.errors import ProxyError, RequestError, UpstreamError
from edgeproxy.message import BytesBody, Headers, Request, Response
from edgeproxy.policy.rules import Rules

REFUSED = UpstreamError(ProxyError.CONNECTION_REFUSED, "refused")
CUT = UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "cut")


async def test_a_miss_is_stored_and_the_next_is_a_hit(house: House) -> None:
    house.upstream.answers("/a", Scripted())
    assert await house.get("/a") == (200, b"hello world", "miss")
    assert await house.get("/a") == (200, b"hello world", "hit")
    assert len(house.upstream.requests) == 1


async def test_offline_never_asks(house: House) -> None:
    house.upstream.answers("/a", Scripted(fields=(("Cache-Control", "max-age=10"),)))
    await house.get("/a")
    house.site.rules = Rules(offline=True, unavailable_status=503)
    house.now += 1000
    assert await house.get("/a") == (200, b"hello world", "stale")
    assert (await house.get("/b"))[0] == 503
    assert (await house.get("/a", "POST"))[0] == 503
    assert len(house.upstream.requests) == 1


async def test_variants_are_chosen_by_what_vary_names(house: House) -> None:
    vary = (("Cache-Control", "max-age=60"), ("Vary", "Accept-Language"))
    house.upstream.answers(
        "/a", Scripted(fields=vary, pieces=(b"en",)), Scripted(fields=vary, pieces=(b"de",))
    )
    assert (await house.get("/a", Accept_Language="en"))[1] == b"en"
    assert (await house.get("/a", Accept_Language="de"))[1] == b"de"
    assert (await house.get("/a", Accept_Language="en"))[1:] == (b"en", "hit")


async def test_a_request_that_came_through_here_before_is_a_loop(house: House) -> None:
    request = Request("GET", "/a", Headers((("Via", "1.1 edge"),)))
    with pytest.raises(RequestError) as refused:
        await house.handler(request)
    assert refused.value.status == 508


async def test_redirects_go_only_where_the_plan_allows(house: House) -> None:
    house.site.shape = lambda plan: replace(plan, redirects=frozenset({"origin.test"}))
    house.upstream.answers("/a", Scripted(302, fields=(("Location", "/b"),), pieces=()))
    house.upstream.answers("/b", Scripted())
    house.upstream.answers("/c", Scripted(302, fields=(("Location", "http://evil.test/"),), pieces=()))
    assert (await house.get("/a"))[:2] == (200, b"hello world")
    assert (await house.get("/c"))[0] == 502


async def test_what_a_site_says_instead_of_no_answer(house: House) -> None:
    said: list[Response | None] = [Response(200, Headers(), BytesBody(b"from what is known")), None]
    house.site.shape = lambda plan: replace(plan, instead=lambda: said[0])
    house.upstream.answers("/a", REFUSED)
    assert await house.get("/a") == (200, b"from what is known", "local")
    assert (await house.get("/a", "POST"))[:2] == (200, b"from what is known")
    house.site.rules = Rules(offline=True)
    assert (await house.get("/b"))[:2] == (200, b"from what is known")
    del said[0]
    assert (await house.get("/a"))[0] == 504
    house.site.rules = Rules()
    said[0] = Response(200)
    house.upstream.answers("/c", Scripted())
    assert (await house.get("/c"))[1] == b"hello world", "an answer is an answer"
