"""The table of fills and what it remembers."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from pipeline_house import House, Scripted, content

from edgeproxy.errors import BodyAborted, ProxyError, UpstreamError
from edgeproxy.policy.rules import Rules
from edgeproxy.sites.site import Expected

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


# -- wrong bytes and other candidates --------------------------------------------------------------


def expecting_digest(house: House, data: bytes) -> None:
    digest = hashlib.sha256(data).hexdigest()
    house.site.shape = lambda plan: replace(plan, expected=Expected(sha256=digest))


async def test_wrong_bytes_of_a_parent_that_nobody_has_seen_are_fetched_from_the_next(house: House) -> None:
    expecting_digest(house, b"hello world")
    wrong = Scripted(pieces=(b"hello wOrld",), source="up")
    house.upstream.answers("/a", wrong, Scripted(pieces=(b"hello worlD",), source="far"), Scripted())
    assert (await house.get("/a"))[:2] == (200, b"hello world")
    assert [sorted(one.avoid) for one in house.upstream.requests] == [[], ["up"], ["far", "up"]]
    assert house.metrics.value("digest_mismatch_total", "one") == 2
    assert "from up" in house.reports[0]


async def test_wrong_bytes_of_the_origin_are_not_asked_for_again(house: House) -> None:
    expecting_digest(house, b"hello world")
    house.upstream.answers("/a", Scripted(pieces=(b"hello wOrld",), source="origin"))
    assert (await house.get("/a"))[0] == 502
    assert len(house.upstream.requests) == 1


@pytest.mark.parametrize("size", [100_000, 3 << 20], ids=["ordinary", "large"])
async def test_clients_are_cut_off_from_wrong_bytes_and_the_right_ones_are_got_from_elsewhere(
    house: House, size: int
) -> None:
    data = bytes(range(256)) * (size // 256)
    expecting_digest(house, data)
    fields = (("Cache-Control", "max-age=60"), ("ETag", '"v1"'))
    wrong = Scripted(fields=fields, pieces=(b"?" + data[1:-9], data[-9:]), source="up")
    house.upstream.answers("/a", wrong, Scripted(fields=fields, pieces=(data,), source="far"))
    with pytest.raises(BodyAborted):
        await content(await house.ask("/a"))
    await house.fills_end()
    await house.fills_end()
    assert [sorted(one.avoid) for one in house.upstream.requests] == [[], ["up"]]
    assert await house.get("/a") == (200, data, "hit")


async def test_a_parent_that_announces_another_length_than_is_known_is_passed_over(house: House) -> None:
    house.site.shape = lambda plan: replace(plan, expected=Expected(size=11))
    house.upstream.answers("/a", Scripted(pieces=(b"short",), source="up"), Scripted(source="origin"))
    assert (await house.get("/a"))[:2] == (200, b"hello world")
