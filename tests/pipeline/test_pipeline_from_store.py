"""Answers out of the store, and what happens when a body is not there after all."""

from __future__ import annotations

from pipeline_house import House, Scripted

from edgeproxy.policy.rules import Rules


async def test_a_body_that_is_gone_is_a_miss(house: House) -> None:
    house.upstream.answers("/a", Scripted(), Scripted(pieces=(b"again",)))
    await house.get("/a")
    house.store.bodies.clear()
    assert await house.get("/a") == (200, b"again", "miss")


async def test_a_body_that_is_gone_cannot_be_had_offline(house: House) -> None:
    house.upstream.answers("/a", Scripted())
    await house.get("/a")
    house.store.bodies.clear()
    house.site.rules = Rules(offline=True)
    assert (await house.get("/a"))[0] == 504


async def test_every_answer_says_why(house: House) -> None:
    house.upstream.answers("/a", Scripted())
    miss = await house.ask("/a")
    await miss.body.aclose()
    assert "edge; fwd=uri-miss; fwd-status=200; stored" in miss.headers.get("Cache-Status")
    await house.get("/a")
    hit = await house.ask("/a")
    assert hit.headers.get("Cache-Status") == "edge; hit; ttl=60"
    assert hit.headers.get("Age") == "0"
    assert "edge" in hit.headers.get("Via")
