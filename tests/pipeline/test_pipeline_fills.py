"""The table of fills and what it remembers."""

from __future__ import annotations

from pipeline_house import House, Scripted

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.policy.rules import Rules

REFUSED = UpstreamError(ProxyError.CONNECTION_REFUSED, "refused")
CUT = UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "cut")


async def test_a_failure_may_be_remembered_for_a_while(house: House) -> None:
    house.site.rules = Rules(error_memory=2.0, unavailable_status=503, retry_after=1.0)
    house.upstream.answers("/a", REFUSED, Scripted())
    response = await house.ask("/a")
    assert (response.status, response.headers.get("Retry-After")) == (503, "1")
    assert (await house.get("/a"))[0] == 503
    assert len(house.upstream.requests) == 1
    house.now += 3
    assert (await house.get("/a"))[0] == 200
