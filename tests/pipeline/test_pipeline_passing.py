"""Exchanges for one client alone."""

from __future__ import annotations

from pipeline_house import House, Scripted, content

from edgeproxy.errors import ProxyError, UpstreamError

REFUSED = UpstreamError(ProxyError.CONNECTION_REFUSED, "refused")
CUT = UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "cut")


async def test_unsafe_methods_pass_and_invalidate(house: House) -> None:
    house.upstream.answers("/a", Scripted(), Scripted(201, pieces=(b"done",)), Scripted(pieces=(b"new",)))
    await house.get("/a")
    assert (await house.get("/a", "POST"))[:2] == (201, b"done")
    assert await house.get("/a") == (200, b"new", "miss")


async def test_head_is_answered_from_a_stored_get_and_passed_on_otherwise(house: House) -> None:
    house.upstream.answers("/a", Scripted(pieces=()), Scripted())
    assert (await house.get("/a", "HEAD"))[1:] == (b"", "miss")
    assert house.upstream.requests[0].method == "HEAD"
    await house.get("/a")
    response = await house.ask("/a", "HEAD")
    assert response.body.length == 11
    assert await content(response) == b""
    assert len(house.upstream.requests) == 2
